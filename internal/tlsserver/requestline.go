package tlsserver

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
)

// longestLine is the longest first line, in bytes, that is looked at. It has room
// for a user id of 1,024 bytes however it is escaped.
const longestLine = 8 << 10

// mended is an HTTP/1 connection whose first request line is escaped where its client
// forgot to. The notebook plugin pastes the user id into the URL as it is
// (pysqlflow's sqlflow/magic.py), so "Ann Lee" makes a line of four words, which
// net/http refuses, and a heart beat that is refused is sent again without a pause.
// Only the first line, because the plugin's HTTP library makes one request on each
// connection.
//
// http.Server finds the state of the TLS connection by the method of *tls.Conn.
type mended struct {
	*tls.Conn
	first []byte // of the first line, while it is incomplete; then what is not read yet
	whole bool
	err   error // what ended the first line
}

func (c *mended) Read(p []byte) (int, error) {
	for !c.whole {
		if err := c.readLine(); err != nil {
			return 0, err
		}
	}
	if len(c.first) > 0 {
		n := copy(p, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	if c.err != nil {
		err := c.err
		c.err = nil
		return 0, err
	}
	c.first = nil
	return c.Conn.Read(p)
}

// readLine reads a piece of the first line and mends it when it is complete.
func (c *mended) readLine() error {
	buffer := make([]byte, 1024)
	n, err := c.Conn.Read(buffer)
	c.first = append(c.first, buffer[:n]...)
	if end := bytes.IndexByte(c.first, '\n'); end >= 0 {
		line := mend(c.first[:end])
		c.first, c.whole, c.err = append(line, c.first[end:]...), true, err
		return nil
	}
	if err != nil && n == 0 {
		// A deadline may be moved and the line go on; what was read stays.
		if e, ok := err.(net.Error); ok && e.Timeout() {
			return err
		}
	}
	if err != nil || len(c.first) > longestLine {
		c.whole, c.err = true, err
	}
	return nil
}

// mend escapes blanks and control characters in the query of a GET request's line.
// Any other line is returned as it is.
func mend(line []byte) []byte {
	target, isGet := bytes.CutPrefix(line, []byte("GET "))
	end := bytes.LastIndex(target, []byte(" HTTP/1."))
	if !isGet || end < 0 {
		return bytes.Clone(line)
	}
	target, version := target[:end], target[end:]
	query := bytes.IndexByte(target, '?')
	if query < 0 || bytes.IndexFunc(target[:query], unfit) >= 0 {
		return bytes.Clone(line)
	}
	mended := bytes.NewBuffer(make([]byte, 0, len(line)+16))
	mended.WriteString("GET ")
	mended.Write(target[:query])
	for _, c := range target[query:] {
		if unfit(rune(c)) {
			fmt.Fprintf(mended, "%%%02X", c)
		} else {
			mended.WriteByte(c)
		}
	}
	mended.Write(version)
	return mended.Bytes()
}

// unfit is what a request line cannot have within its target (RFC 9112 section 3).
func unfit(c rune) bool { return c <= ' ' || c == 0x7f }
