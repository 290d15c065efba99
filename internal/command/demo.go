package command

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sqlflow.org/sqlflow_playground/client"
	"sqlflow.org/sqlflow_playground/internal/embedded"
	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/keytool"
)

// demoUser is whose database the demo makes.
const demoUser = "demo"

func newDemo(w World) *cobra.Command {
	var s settings
	var dir string
	c := &cobra.Command{
		Use:   "demo",
		Short: "Serve a playground on this machine: embedded MySQL, keys made as needed, no cluster",
		Long: `Demo makes a key store if there is none, serves https://localhost:PORT with a MySQL
inside this process, and prints what to paste into another terminal. The databases
are in memory: they end with it.`,
		Example: "  sqlflow_playground demo\n  sqlflow_playground demo --port 50053 --key_store /tmp/keys",
		Args:    arguments(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := fromEnvironment(c.Flags(), w); err != nil {
				return err
			}
			return demo(c.Context(), c.OutOrStdout(), c.ErrOrStderr(), &s, dir)
		},
	}
	s.manager = playground.DefaultOptions()
	c.Flags().IntVar(&s.port, "port", 50052, "port to serve HTTPS on, at localhost")
	c.Flags().StringVar(&dir, "key_store", defaultKeyStore, "the key store's folder; made if it is not there")
	c.Flags().StringVar(&s.logLevel, "log_level", "warning", "debug|info|warning|error")
	return c
}

func demo(ctx context.Context, out, errs io.Writer, s *settings, dir string) error {
	if !embedded.Available {
		return errNoEngine
	}
	store := &keytool.Store{Dir: dir}
	if err := demoKeys(out, store); err != nil {
		return withHint(err)
	}
	paths := store.Paths()
	s.host, s.backend, s.logFormat, s.dbAddress = "127.0.0.1", backendEmbedded, "text", addressService
	s.caCrt, s.serverKey, s.serverCrt = paths.CACert, paths.ServerKey, paths.ServerCert
	if err := s.check(func(string) bool { return false }); err != nil {
		return err
	}
	log, err := s.logger(errs)
	if err != nil {
		return err
	}
	g, err := newGateway(ctx, s, log)
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(g.listener.Addr().String())
	if err == nil {
		err = withHint(demoClient(store, port))
	}
	if err != nil {
		g.close()
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- g.run(ctx) }()
	if err := demoTranscript(ctx, out, g.manager, store, port); err != nil {
		stop()
		<-ended
		return err
	}
	return <-ended
}

// demoKeys makes what the key store lacks of the authority and the server's certificate.
func demoKeys(out io.Writer, store *keytool.Store) error {
	if !store.Exists() {
		if _, err := store.Init(keytool.InitOptions{}); err != nil {
			return err
		}
		fmt.Fprintf(out, "made the key store %s\n", store.Dir)
	}
	if server, err := current(store, "server"); err != nil || server != nil {
		return err
	}
	_, err := store.Server(keytool.ServerOptions{})
	return err
}

// current finds the certificate that lies in the folder of this name; nil if none does.
func current(store *keytool.Store, name string) (*keytool.Entry, error) {
	all, err := store.List()
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(all, func(e keytool.Entry) bool { return e.Name == name && e.Current })
	if at < 0 {
		return nil, nil
	}
	return &all[at], nil
}

// demoClient makes the client of the demo's user, and makes it anew where its env file
// names another port or folder.
func demoClient(store *keytool.Store, port string) error {
	const localhost = "https://localhost:"
	folder := absolute(store.ClientDir(demoUser))
	have, err := current(store, demoUser)
	if err != nil {
		return err
	}
	if have != nil {
		env, err := readEnvFile(store.EnvFile(demoUser), World{})
		server, key := env[client.EnvServer], env[client.EnvClientKey]
		fits := server == localhost+port && key == filepath.Join(folder, "client.key")
		// A client of that name need not be the demo's.
		others := have.Kind != keytool.KindClient || have.User != demoUser || err == nil && !strings.HasPrefix(server, localhost)
		if err == nil && fits || others || !have.RevokedAt.IsZero() {
			return nil
		}
	}
	_, err = store.Client(demoUser, keytool.ClientOptions{
		Folder: folder, ServerURL: localhost + port, SQLFlowServer: "localhost:50051", Force: have != nil,
	})
	return err
}

// demoTranscript makes the demo user's database and prints what to try.
func demoTranscript(ctx context.Context, out io.Writer, m *playground.Manager, store *keytool.Store, port string) error {
	status, err := m.Create(ctx, playground.Client{Name: "demo", Power: playground.OneUser, User: demoUser}, demoUser)
	if err != nil {
		return fmt.Errorf("making the first database: %w", err)
	}
	host, dbPort, err := net.SplitHostPort(status.Address)
	if err != nil {
		return fmt.Errorf("the first database's address: %w", err)
	}
	dir := store.ClientDir(demoUser)
	_, err = fmt.Fprintf(out, `serving https://localhost:%[1]s on the embedded MySQL; Ctrl-C ends it

Ask for a database, as a notebook does:
  curl --cacert %[2]s/ca.crt --cert %[2]s/client.crt --key %[2]s/client.key \
    -d '{"user_id": "%[3]s"}' https://localhost:%[1]s/api/create_db

Look into it:
  mysql -h %[4]s -P %[5]s -uroot -proot -e 'SELECT COUNT(*) FROM iris.train'

For the notebook's env file (%[2]s/sqlflow_playground.env):
  SQLFLOW_PLAYGROUND_SERVRE=https://localhost:%[1]s
  SQLFLOW_PLAYGROUND_SERVER_CA=%[6]s/ca.crt
  SQLFLOW_PLAYGROUND_CLIENT_KEY=%[6]s/client.key
  SQLFLOW_PLAYGROUND_CLIENT_CERT=%[6]s/client.crt
  SQLFLOW_PLAYGROUND_USER_ID_ENV=SQLFLOW_USER_ID
  SQLFLOW_USER_ID=%[3]s
`, port, dir, demoUser, host, dbPort, absolute(dir))
	return err
}

func absolute(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		return abs
	}
	return dir
}
