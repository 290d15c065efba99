// Package probe asks MySQL servers, over their own protocol, whether they answer
// and whether anybody but the asker uses them.
package probe

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/go-sql-driver/mysql"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

const (
	defaultTimeout     = 4 * time.Second
	defaultDialTimeout = 2 * time.Second
	// defaultAddresses bounds what is remembered: about 200 bytes for each.
	defaultAddresses = 8192
	// longestAnswer is far more than an honest server sends to one of our calls.
	// The user is root there and may have put anything behind the address.
	longestAnswer = 64 << 10
)

// The account that every playground database has (the image's own, and part of
// the data source that users are given).
const (
	account  = "root"
	password = "root"
)

// MySQL implements [playground.Prober]: each call makes one connection, asks, and
// closes it. The zero value is ready to use; it must not be copied after that.
type MySQL struct {
	// Timeout bounds a whole call and DialTimeout its TCP connect, in addition to
	// the call's context. They default to 4 s and 2 s.
	Timeout, DialTimeout time.Duration
	// MaxAddresses is how many addresses are remembered, 8192 by default. The one
	// that was not used for longest is forgotten first; a forgotten one looks, at
	// its next Activity, as if somebody else had made our connections.
	MaxAddresses int
	// Now is time.Now by default.
	Now func() time.Time
	// Dial is net.Dialer's DialContext by default.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	made ledger
}

var _ playground.Prober = (*MySQL)(nil)

// Ping returns nil once the server at address (host:port) answers SELECT 1 to
// root. The error wraps [playground.ErrUnreachable] if no TCP connection could be
// tried out (see [Unreachable]); a refused one or a failed handshake does not. It wraps
// [playground.ErrRefused] if the server sent an error of MySQL's own.
func (m *MySQL) Ping(ctx context.Context, address string) error {
	err := m.visit(ctx, address, func(ctx context.Context, e *entry) error {
		rows, err := m.ask(ctx, e, address, "SELECT 1")
		if err != nil {
			return err
		}
		if len(rows) != 1 || len(rows[0]) != 1 || rows[0][0] != "1" {
			return errors.New("it answered, but not SELECT 1")
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("pinging MySQL at %s: %w", address, err)
	}
	return nil
}

const statusQuery = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Threads_connected', 'Connections', 'Uptime')"

// Activity tells how the server at address (host:port) is used, without the
// connections that m made itself to the same server process. A server notices the
// end of a connection a moment late, so Threads may count one of ours that was made
// just before. Errors are as Ping's.
func (m *MySQL) Activity(ctx context.Context, address string) (playground.Activity, error) {
	var a playground.Activity
	err := m.visit(ctx, address, func(ctx context.Context, e *entry) error {
		rows, err := m.ask(ctx, e, address, statusQuery)
		if err != nil {
			return err
		}
		told, err := counts(rows, "Threads_connected", "Connections", "Uptime")
		if err != nil {
			return err
		}
		own := e.settle(m.now(), told["Connections"], time.Duration(told["Uptime"])*time.Second)
		a = playground.Activity{
			Threads:     max(0, told["Threads_connected"]-1), // the one that asked
			Connections: max(0, told["Connections"]-own),
		}
		return nil
	})
	if err != nil {
		return playground.Activity{}, fmt.Errorf("asking MySQL at %s about its use: %w", address, err)
	}
	return a, nil
}

// counts makes a map of the rows of name and number, and insists on names.
func counts(rows [][]string, names ...string) (map[string]int64, error) {
	told := map[string]int64{}
	for _, row := range rows {
		if len(row) != 2 {
			return nil, fmt.Errorf("it answered with %d columns instead of 2", len(row))
		}
		n, err := strconv.ParseInt(row[1], 10, 64)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("its %q is %q, not a count", clip(row[0]), clip(row[1]))
		}
		told[row[0]] = n
	}
	for _, name := range names {
		if _, ok := told[name]; !ok {
			return nil, fmt.Errorf("it did not tell %s", name)
		}
	}
	return told, nil
}

// visit calls f in its turn and within the time for one call.
func (m *MySQL) visit(ctx context.Context, address string, f func(context.Context, *entry) error) error {
	ctx, cancel := context.WithTimeout(ctx, or(m.Timeout, defaultTimeout))
	defer cancel()
	e, err := m.made.take(ctx, address, m.now(), or(m.MaxAddresses, defaultAddresses))
	if err == nil {
		defer m.made.give(e)
		err = f(ctx, e)
	}
	var sent *mysql.MySQLError
	switch {
	case errors.As(err, &sent):
		return fmt.Errorf("%w: %w", playground.ErrRefused, err)
	case err != nil && ctx.Err() != nil && !errors.Is(err, playground.ErrUnreachable):
		return fmt.Errorf("gave up waiting: %w", context.Cause(ctx))
	}
	return err
}

// ask runs one query over a connection of its own, which it notes in e, and returns
// the answer's rows as text.
func (m *MySQL) ask(ctx context.Context, e *entry, address, query string) (rows [][]string, err error) {
	c := mysql.NewConfig()
	c.User, c.Passwd = account, password
	c.Net, c.Addr = "tcp", address
	c.Logger = &mysql.NopLogger{}
	c.CheckConnLiveness = false
	c.MaxAllowedPacket = longestAnswer // set, so that the driver does not ask for it
	var wire *boundedConn
	c.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := m.dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		wire = &boundedConn{Conn: conn, left: longestAnswer}
		return wire, nil
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	defer func() {
		// The driver says no more than "invalid connection" for whatever happened.
		if errors.Is(err, mysql.ErrInvalidConn) && wire != nil && wire.err != nil {
			err = fmt.Errorf("connection broke: %w", wire.err)
		}
	}()

	conn, err := connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	e.connected(m.now())

	result, err := conn.(driver.QueryerContext).QueryContext(ctx, query, nil)
	if err != nil {
		return nil, err
	}
	defer result.Close()
	values := make([]driver.Value, len(result.Columns()))
	for {
		if err := result.Next(values); err == io.EOF {
			return rows, nil
		} else if err != nil {
			return nil, err
		}
		row := make([]string, len(values))
		for i, v := range values {
			row[i] = text(v)
		}
		rows = append(rows, row)
	}
}

func (m *MySQL) now() time.Time {
	if m.Now != nil {
		return m.Now()
	}
	return time.Now()
}

// or is v, or otherwise when v is not positive.
func or[T time.Duration | int](v, otherwise T) T {
	if v > 0 {
		return v
	}
	return otherwise
}

func text(v driver.Value) string {
	switch v := v.(type) {
	case []byte:
		return string(v)
	case string:
		return v
	}
	return fmt.Sprint(v)
}

// clip keeps what a hostile server says short enough for an error.
func clip(s string) string { return s[:min(len(s), 40)] }
