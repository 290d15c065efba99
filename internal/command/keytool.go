package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sqlflow.org/sqlflow_playground/keytool"
)

// defaultKeyStore is where the key tool, the demo and the documentation keep keys.
const defaultKeyStore = "key_store"

// keyFlags are the flags that the key tool's commands share.
type keyFlags struct {
	dir       string
	days      int
	rsa       bool
	force     bool
	json      bool
	hosts     []string
	user      string
	gateway   bool
	serverURL string
	sqlflow   string
}

func (f *keyFlags) store() *keytool.Store { return &keytool.Store{Dir: f.dir} }

func newKeytool(w World) *cobra.Command {
	var f keyFlags
	c := &cobra.Command{
		Use:   "keytool",
		Short: "Make, renew, revoke and check the certificates of a playground",
		Long: `Keytool keeps a playground's keys in one folder: a certificate authority, the
server's certificate, and for every client a folder to send.`,
		Example: `  sqlflow_playground keytool init
  sqlflow_playground keytool server --host playground.example.com
  sqlflow_playground keytool client ann --server_url https://playground.example.com:50052
  sqlflow_playground keytool client dsw --gateway
  sqlflow_playground keytool revoke ann`,
		Args: arguments(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	dir := w.Getenv("SQLFLOW_PLAYGROUND_KEY_STORE")
	if dir == "" {
		dir = defaultKeyStore
	}
	c.PersistentFlags().StringVar(&f.dir, "key_store", dir, "the key store's folder")
	c.PersistentFlags().BoolVar(&f.json, "json", false, "print JSON")

	add := func(use, short, example string, args cobra.PositionalArgs, run func(c *cobra.Command, args []string) error) *cobra.Command {
		sub := &cobra.Command{Use: use, Short: short, Example: example, Args: arguments(args), RunE: run}
		c.AddCommand(sub)
		return sub
	}
	issued := func(make func(args []string) (keytool.Issued, error)) func(*cobra.Command, []string) error {
		return func(c *cobra.Command, args []string) error {
			got, err := make(args)
			if err != nil {
				return withHint(err)
			}
			return f.printIssued(c.OutOrStdout(), got)
		}
	}
	making := func(sub *cobra.Command, days int) {
		sub.Flags().IntVar(&f.days, "days", 0, fmt.Sprintf("life of the certificate in days (default %d)", days))
		sub.Flags().BoolVar(&f.rsa, "rsa", false, "an RSA key, for old peers, instead of ECDSA P-256")
	}

	sub := add("init", "Make the certificate authority", "  sqlflow_playground keytool init --key_store key_store", cobra.NoArgs,
		issued(func([]string) (keytool.Issued, error) {
			return f.store().Init(keytool.InitOptions{Days: f.days, RSA: f.rsa, Force: f.force})
		}))
	making(sub, 3650)
	sub.Flags().BoolVar(&f.force, "force", false, "replace an authority, after which every older certificate is worthless")

	sub = add("server", "Make the server's certificate", "  sqlflow_playground keytool server --host playground.example.com --host 10.0.0.7", cobra.NoArgs,
		issued(func([]string) (keytool.Issued, error) {
			return f.store().Server(keytool.ServerOptions{Hosts: f.hosts, Days: f.days, RSA: f.rsa, Force: f.force})
		}))
	making(sub, 825)
	sub.Flags().StringSliceVar(&f.hosts, "host", nil, "names and addresses that clients reach the server by (default localhost, 127.0.0.1, ::1 and this host's name)")
	sub.Flags().BoolVar(&f.force, "force", false, "replace the certificate and key that are there")

	sub = add("client NAME", "Make a client's certificate and the folder to send", "  sqlflow_playground keytool client ann\n  sqlflow_playground keytool client notebook-7 --user ann@example.org\n  sqlflow_playground keytool client dsw --gateway", cobra.ExactArgs(1),
		issued(func(args []string) (keytool.Issued, error) {
			return f.store().Client(args[0], keytool.ClientOptions{
				User: f.user, Gateway: f.gateway, Days: f.days, RSA: f.rsa, Force: f.force,
				ServerURL: f.serverURL, SQLFlowServer: f.sqlflow,
			})
		}))
	making(sub, 825)
	sub.Flags().StringVar(&f.user, "user", "", "the user id that the client acts for (default NAME)")
	sub.Flags().BoolVar(&f.gateway, "gateway", false, "the client acts for every user, as a tutorial site does")
	sub.Flags().BoolVar(&f.force, "force", false, "replace the client's folder")
	sub.Flags().StringVar(&f.serverURL, "server_url", "", "where the client reaches the server (default: the server certificate's first public name, port 50052)")
	sub.Flags().StringVar(&f.sqlflow, "sqlflow_server", "", "HOST:PORT of the SQLFlow server, for the env file")
	sub.MarkFlagsMutuallyExclusive("user", "gateway")

	sub = add("renew NAME", "Make a new certificate under an old name (server, or a client)", "  sqlflow_playground keytool renew server\n  sqlflow_playground keytool renew ann", cobra.ExactArgs(1),
		issued(func(args []string) (keytool.Issued, error) {
			return f.store().Renew(args[0], keytool.RenewOptions{Days: f.days, RSA: f.rsa})
		}))
	making(sub, 825)
	sub.ValidArgsFunction = f.completeIssued

	sub = add("revoke NAME", "End every certificate of a client", "  sqlflow_playground keytool revoke ann", cobra.ExactArgs(1),
		func(c *cobra.Command, args []string) error {
			got, err := f.store().Revoke(args[0])
			if err != nil {
				return withHint(err)
			}
			if f.json {
				return printJSON(c.OutOrStdout(), got)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "revoked %s (certificates: %d now, %d before); a server that reads %s knows by itself, one that reads a copy, as in a Secret, when that is made again\n",
				got.Name, len(got.Serials), len(got.Earlier), got.CRL)
			return err
		})
	sub.ValidArgsFunction = f.completeClients

	add("list", "List all certificates, their expiry and revocation", "  sqlflow_playground keytool list --json", cobra.NoArgs,
		func(c *cobra.Command, _ []string) error {
			all, err := f.store().List()
			if err != nil {
				return withHint(err)
			}
			if f.json {
				return printJSON(c.OutOrStdout(), all)
			}
			return printEntries(c.OutOrStdout(), all, time.Now())
		})

	add("check", "Say what is wrong with the key store; exits 1 if anything is", "  sqlflow_playground keytool check", cobra.NoArgs,
		func(c *cobra.Command, _ []string) error {
			problems, err := f.store().Check()
			if err != nil {
				return withHint(err)
			}
			if f.json {
				if err := printJSON(c.OutOrStdout(), problems); err != nil {
					return err
				}
			} else {
				for _, p := range problems {
					fmt.Fprintf(c.OutOrStdout(), "%s: %s\n  %s\n", p.Path, p.What, p.Hint)
				}
			}
			if len(problems) > 0 {
				return fmt.Errorf("problems in the key store %s: %d", f.dir, len(problems))
			}
			if !f.json {
				fmt.Fprintf(c.OutOrStdout(), "%s: nothing is wrong\n", f.dir)
			}
			return nil
		})
	return c
}

// completeIssued completes what has a certificate that can be renewed.
func (f *keyFlags) completeIssued(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return f.complete(func(e keytool.Entry) bool { return e.Kind != keytool.KindCA })
}

// completeClients completes the clients that can be revoked.
func (f *keyFlags) completeClients(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return f.complete(func(e keytool.Entry) bool { return e.Kind == keytool.KindClient || e.Kind == keytool.KindGateway })
}

// complete completes the names of those that are wanted, and of use.
func (f *keyFlags) complete(wanted func(keytool.Entry) bool) ([]string, cobra.ShellCompDirective) {
	all, err := f.store().List()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, e := range all {
		if e.Current && !e.Orphan && e.RevokedAt.IsZero() && wanted(e) {
			names = append(names, e.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (f *keyFlags) printIssued(out io.Writer, i keytool.Issued) error {
	if f.json {
		return printJSON(out, i)
	}
	var who string
	switch i.Kind {
	case keytool.KindClient:
		who = fmt.Sprintf(", who acts for the user %q", i.User)
	case keytool.KindGateway:
		who = ", which acts for every user"
	case keytool.KindServer:
		who = " for " + strings.Join(i.Hosts, ", ")
	}
	name := i.Name
	if name != i.Kind {
		name = i.Kind + " " + name
	}
	fmt.Fprintf(out, "%s%s, until %s\n", name, who, i.NotAfter.Format(time.DateOnly))
	for _, file := range i.Files {
		fmt.Fprintf(out, "  %s\n", file)
	}
	for _, note := range i.Notes {
		fmt.Fprintf(out, "note: %s\n", note)
	}
	return nil
}

func printEntries(out io.Writer, all []keytool.Entry, now time.Time) error {
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tKIND\tUSER\tEXPIRES\tSTATE\tSERIAL")
	for _, e := range all {
		state := "valid"
		switch {
		case !e.RevokedAt.IsZero():
			state = "revoked " + e.RevokedAt.Format(time.DateOnly)
		case now.After(e.NotAfter):
			state = "expired"
		case e.Orphan:
			state = "of an earlier authority"
		case !e.Current:
			state = "replaced"
		}
		user := e.User
		if e.Kind == keytool.KindClient {
			user = fmt.Sprintf("%q", e.User)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", e.Name, e.Kind, user, e.NotAfter.Format(time.DateOnly), state, e.Serial)
	}
	return t.Flush()
}

// withHint adds the advice that an error of the key tool carries. What no key store could
// have taken is the command line's fault.
func withHint(err error) error {
	wrong := errors.Is(err, keytool.ErrOption) || errors.Is(err, keytool.ErrName)
	if hint := keytool.Hint(err); hint != "" {
		err = fmt.Errorf("%w\n  %s", err, hint)
	}
	if wrong {
		return &exitError{exitUsage, err}
	}
	return err
}

func printJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
