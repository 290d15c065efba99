// Step is the program that a workflow's step runs: step -e "SQL" sends a
// statement to the database that SQLFLOW_DATASOURCE names and prints the rows.
//
// The statement reaches the server byte for byte, through the protocol itself,
// because a command-line client would take some of it for its own commands. A
// statement that needs a machine-learning back end (SELECT ... TO TRAIN and its
// kin, SHOW TRAIN) is only printed: there is none on a test cluster.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/go-sql-driver/mysql"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "step:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, out, errs io.Writer) error {
	flags := flag.NewFlagSet("step", flag.ContinueOnError)
	flags.SetOutput(errs)
	statement := flags.String("e", "", "the `statement` to run")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if strings.TrimSpace(*statement) == "" {
		return errors.New("no statement: give one with -e")
	}
	if needsBackend(*statement) {
		_, err := fmt.Fprintf(out, "step: would run\n%s\n", *statement)
		return err
	}
	db, err := open(getenv("SQLFLOW_DATASOURCE"))
	if err != nil {
		return err
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, *statement)
	if err != nil {
		return err
	}
	defer rows.Close()
	for {
		if err := printRows(out, rows); err != nil {
			return err
		}
		if !rows.NextResultSet() {
			return rows.Err()
		}
	}
}

// open turns a SQLFlow data source, mysql://user:password@tcp(host:port)/?args,
// into a database. Whatever is wrong with it is told without its password.
func open(source string) (*sql.DB, error) {
	dsn, ok := strings.CutPrefix(source, "mysql://")
	if !ok {
		return nil, errors.New("SQLFLOW_DATASOURCE is not of the form mysql://user:password@tcp(host:port)/")
	}
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, fmt.Errorf("SQLFLOW_DATASOURCE: %w", err)
	}
	config.MultiStatements = true // a statement may end in ; and a comment
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, fmt.Errorf("SQLFLOW_DATASOURCE: %w", err)
	}
	return sql.OpenDB(connector), nil
}

// printRows writes a heading and the rows, tabs between the values, each value
// as the server sent it.
func printRows(out io.Writer, rows *sql.Rows) error {
	columns, err := rows.Columns()
	if err != nil || len(columns) == 0 {
		return err
	}
	if _, err := fmt.Fprintln(out, strings.Join(columns, "\t")); err != nil {
		return err
	}
	values := make([]sql.RawBytes, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	line := make([]string, len(columns))
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for i, value := range values {
			if line[i] = string(value); value == nil {
				line[i] = "NULL"
			}
		}
		if _, err := fmt.Fprintln(out, strings.Join(line, "\t")); err != nil {
			return err
		}
	}
	return rows.Err()
}
