package command

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"sqlflow.org/sqlflow_playground/client"
)

// clientFlags are the flags that the client's commands share.
type clientFlags struct {
	envFile string
	user    string
	json    bool
	export  bool
	purge   bool
	wait    time.Duration
	every   time.Duration
	live    *live // the terminal's line while create_db waits; nil for none
}

func newClient(w World) *cobra.Command {
	var f clientFlags
	c := &cobra.Command{
		Use:   "client",
		Short: "Ask a playground server for a database from the shell",
		Long: `Client calls a playground server with the certificate and the address that the
notebook plugin's env file names: SQLFLOW_PLAYGROUND_SERVRE, ..._SERVER_CA,
..._CLIENT_KEY, ..._CLIENT_CERT and SQLFLOW_USER_ID, from --env_file or from the
environment. It exits with 0, 1 when the server refuses, 2 for wrong usage, and 3
when the server cannot be reached.`,
		Example: `  sqlflow_playground client create_db --env_file ~/.sqlflow_playground/ann/sqlflow_playground.env
  eval "$(sqlflow_playground client create_db --export)"
  sqlflow_playground client keep_alive --every 5m`,
		Args: arguments(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.PersistentFlags().StringVar(&f.envFile, "env_file", "", "the notebook plugin's env file (default: the environment)")
	c.PersistentFlags().StringVar(&f.user, "user_id", "", "whose database (default: SQLFLOW_USER_ID)")
	c.PersistentFlags().BoolVar(&f.json, "json", false, "print JSON")

	add := func(use, short, example string, forUser bool, run func(ctx context.Context, c *cobra.Command, to *client.Client, user string) error) *cobra.Command {
		sub := &cobra.Command{Use: use, Short: short, Example: "  sqlflow_playground client " + example, Args: arguments(cobra.NoArgs),
			RunE: func(c *cobra.Command, _ []string) error {
				to, user, err := f.connect(c, w)
				if err != nil {
					return err
				}
				defer to.Close()
				if user == "" && forUser {
					return usage("no user id: give --user_id, or set %s", client.EnvUserID)
				}
				return told(run(c.Context(), c, to, user))
			}}
		c.AddCommand(sub)
		return sub
	}

	sub := add("create_db", "Get a database and print its data source", "create_db --env_file ann/sqlflow_playground.env", true,
		func(ctx context.Context, c *cobra.Command, to *client.Client, user string) error {
			stop := f.live.follow(ctx, to, user)
			source, err := to.CreateDB(ctx, user)
			stop()
			if err != nil {
				return err
			}
			switch {
			case f.json:
				return printJSON(c.OutOrStdout(), map[string]string{"data_source": source})
			case f.export:
				source = "export SQLFLOW_DATASOURCE='" + strings.ReplaceAll(source, "'", `'\''`) + "'"
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), source)
			return err
		})
	sub.Flags().BoolVar(&f.export, "export", false, "print `export SQLFLOW_DATASOURCE=...` for eval")
	sub.Flags().DurationVar(&f.wait, "wait", 5*time.Minute, "how long to go on asking a server that says to come again; 0: ask once")
	sub.MarkFlagsMutuallyExclusive("export", "json")

	add("heart_beat", "Keep the database with one heart beat", "heart_beat --env_file ann/sqlflow_playground.env", true,
		func(ctx context.Context, c *cobra.Command, to *client.Client, user string) error {
			greeting, err := to.HeartBeat(ctx, user)
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(c.OutOrStdout(), map[string]string{"greeting": greeting})
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), greeting)
			return err
		})

	sub = add("keep_alive", "Send heart beats until interrupted", "keep_alive --every 5m --env_file ann/sqlflow_playground.env", true,
		func(ctx context.Context, c *cobra.Command, to *client.Client, user string) error {
			return keepAlive(ctx, c, to, user, f.every)
		})
	sub.Flags().DurationVar(&f.every, "every", 10*time.Minute, "time between heart beats")

	add("db", "Tell about the database", "db --json --env_file ann/sqlflow_playground.env", true,
		func(ctx context.Context, c *cobra.Command, to *client.Client, user string) error {
			db, err := to.DB(ctx, user)
			if err != nil {
				return err
			}
			return f.printDatabases(c, db, []client.Database{db})
		})

	add("list_db", "Tell about all databases (gateways only)", "list_db --env_file dsw/sqlflow_playground.env", false,
		func(ctx context.Context, c *cobra.Command, to *client.Client, _ string) error {
			all, err := to.ListDB(ctx)
			if err != nil {
				return err
			}
			if err := f.printDatabases(c, all, all.Databases); err != nil || f.json || all.Pool == (client.Pool{}) {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "made ahead: %d of %d ready, %d coming\n", all.Pool.Ready, all.Pool.Want, all.Pool.Coming)
			return err
		})

	sub = add("delete_db", "Remove the database now", "delete_db --env_file ann/sqlflow_playground.env", true,
		func(ctx context.Context, c *cobra.Command, to *client.Client, user string) error {
			if err := to.DeleteDB(ctx, user, f.purge); err != nil {
				return err
			}
			if f.json {
				return printJSON(c.OutOrStdout(), map[string]string{"deleted": user})
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "the database of %q is gone\n", user)
			return err
		})
	sub.Flags().BoolVar(&f.purge, "purge", false, "remove the data too that the server keeps for the user's return")
	return c
}

// connect makes the client that the env file or the environment describes.
func (f *clientFlags) connect(c *cobra.Command, w World) (*client.Client, string, error) {
	getenv := w.Getenv
	if f.envFile != "" {
		values, err := readEnvFile(f.envFile, w)
		if err != nil {
			return nil, "", usage("%v", err)
		}
		getenv = func(name string) string {
			if v, ok := values[name]; ok {
				return v
			}
			return w.Getenv(name)
		}
	}
	o, user, err := client.FromEnv(getenv)
	if err != nil {
		return nil, "", usage("%v; give --env_file, or set the variables of the env file", err)
	}
	if f.user != "" {
		user = f.user
	}
	if f.envFile != "" {
		beside(f.envFile, &o.CAFile, &o.CertFile, &o.KeyFile)
	}
	o.MaxWait = max(f.wait, time.Nanosecond) // 0 would be no bound
	f.live = newLive(w.Err)
	o.OnWait = waiting(c.ErrOrStderr(), f.live)
	to, err := client.New(o)
	if err != nil {
		return nil, "", usage("%v", err)
	}
	return to, user, nil
}

func readEnvFile(path string, w World) (map[string]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	values, err := client.ReadEnv(file, w.Getenv)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return values, nil
}

// beside looks for files that are not where the env file says next to the env file
// itself, where the key tool put them: so a client's folder works wherever it lies.
func beside(envFile string, paths ...*string) {
	for _, p := range paths {
		if _, err := os.Stat(*p); err == nil {
			continue
		}
		near := filepath.Join(filepath.Dir(envFile), filepath.Base(*p))
		if _, err := os.Stat(near); err == nil {
			*p = near
		}
	}
}

// waiting tells that the client waits: in the terminal's line, or in lines of its own.
func waiting(out io.Writer, l *live) func(string, time.Duration) {
	return func(reason string, wait time.Duration) {
		text := fmt.Sprintf("waiting: %s (again in %v)", reason, wait.Round(time.Second))
		if l != nil {
			l.wait(text)
			return
		}
		fmt.Fprintln(out, text)
	}
}

// keepAlive beats until ctx ends. One failed beat is told and no reason to stop.
func keepAlive(ctx context.Context, c *cobra.Command, to *client.Client, user string, every time.Duration) error {
	if every < time.Second {
		return usage("--every is %v; it must be at least a second", every)
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		greeting, err := to.HeartBeat(ctx, user)
		var refused *client.Error
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &refused) && refused.Status == 403:
			return err
		case err != nil:
			fmt.Fprintf(c.ErrOrStderr(), "%s %v\n", time.Now().Format(time.TimeOnly), err)
		default:
			fmt.Fprintf(c.OutOrStdout(), "%s %s\n", time.Now().Format(time.TimeOnly), greeting)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (f *clientFlags) printDatabases(c *cobra.Command, raw any, all []client.Database) error {
	if f.json {
		return printJSON(c.OutOrStdout(), raw)
	}
	t := tabwriter.NewWriter(c.OutOrStdout(), 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "USER\tSTATE\tDATA SOURCE\tLAST HEART BEAT\tEXPIRES\tASKED BY\tREASON")
	for _, db := range all {
		fmt.Fprintf(t, "%q\t%s\t%s\t%s\t%s\t%q\t%s\n", db.UserID, db.State, dash(db.DataSource), when(db.LastHeartBeat), when(db.Expires), db.Client, db.Reason)
	}
	return t.Flush()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(time.DateTime)
}

// told gives an error of the client its exit code, and says what to do about a server
// that does not answer.
func told(err error) error {
	if !errors.Is(err, client.ErrUnreachable) {
		return err
	}
	advice := "is " + client.EnvServer + " right, and does the server run?"
	network, _ := errors.AsType[*net.OpError](err)
	_, unverified := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case unverified:
		advice = "are " + client.EnvServer + " and " + client.EnvServerCA + " of the same playground?"
	case network != nil && network.Op == "remote error": // a TLS alert
		advice = "the certificate may be revoked or expired; ask the server's maintainer for a new one"
	}
	return &exitError{exitUnreachable, fmt.Errorf("%w: %s", err, advice)}
}
