package embedded

import (
	"fmt"
	"net"

	"github.com/dolthub/vitess/go/mysql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// The engine walks statements recursively, and a stack that grows over Go's limit
// of 1 GB cannot be recovered from: SELECT 1+1+1+... of 2 MB ended the process of
// all users. Nested parentheses are limited by the parser itself (200); chains of
// operators are not. Up to 100,000 of them were seen to be harmless.
const (
	longestChain = 20_000
	// shortest is the length under which no chain can be too long.
	shortest = longestChain

	// longestCommand is MySQL's default max_allowed_packet; the wire protocol here
	// has no limit of its own.
	longestCommand = 64 << 20
	// longestPrepare bounds the text of a statement to prepare, which is walked
	// before the engine gives us a chance to measure its chains.
	longestPrepare = 1 << 20
)

// tooDeep returns an error if the parse tree of statement could be too deep.
func tooDeep(statement string) error {
	if len(statement) < shortest || chain(statement) <= longestChain {
		return nil
	}
	const stackOverrun = 1436 // ER_STACK_OVERRUN_NEED_MORE
	return mysql.NewSQLError(stackOverrun, mysql.SSUnknownSQLState, "Thread stack overrun: too many operators in one expression")
}

// chain is an upper bound of the depth of statement's parse tree: the most words
// that stand in a row without a comma or semicolon, added up over open parentheses.
func chain(statement string) int {
	words := sqlparser.NewStringTokenizer(statement)
	longest, sum := 0, 0
	levels := []int{0} // words since the last comma, by open parenthesis
	for {
		word, _ := words.Scan()
		top := len(levels) - 1
		switch word {
		case 0, sqlparser.LEX_ERROR:
			return longest
		case ',', ';':
			sum -= levels[top]
			levels[top] = 0
			continue
		case '(':
			levels = append(levels, 0)
			continue
		case ')':
			if top > 0 {
				sum -= levels[top]
				levels = levels[:top]
			}
			continue
		}
		levels[top]++
		sum++
		longest = max(longest, sum)
	}
}

// wire watches what a client sends and breaks off when a command is too long. The
// packets' headers (3 bytes length, 1 byte number, which is 0 at the begin of a
// command) are described in
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html.
type wire struct {
	net.Conn
	header  [4]byte
	have    int  // bytes of header that are known
	left    int  // bytes of the packet that are still to come
	command bool // a command's first byte comes next
	limit   int
	total   int // bytes of the command, as announced
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if bad := w.follow(p[:n]); bad != nil {
		return 0, bad
	}
	return n, err
}

func (w *wire) follow(p []byte) error {
	for len(p) > 0 {
		if w.left == 0 {
			n := copy(w.header[w.have:], p)
			w.have += n
			p = p[n:]
			if w.have < len(w.header) {
				return nil
			}
			w.have = 0
			w.left = int(w.header[0]) | int(w.header[1])<<8 | int(w.header[2])<<16
			if w.header[3] == 0 {
				w.command, w.limit, w.total = true, longestCommand, 0
			}
			w.total += w.left
			if w.limit > 0 && w.total > w.limit {
				return fmt.Errorf("a command of more than %d bytes", w.limit)
			}
			continue
		}
		if w.command {
			w.command = false
			if p[0] == mysql.ComPrepare {
				w.limit = longestPrepare
				if w.total > w.limit {
					return fmt.Errorf("a statement to prepare of more than %d bytes", w.limit)
				}
			}
		}
		n := min(w.left, len(p))
		w.left -= n
		p = p[n:]
	}
	return nil
}

// CloseRead lets the server still write.
func (w *wire) CloseRead() error {
	half, ok := w.Conn.(interface{ CloseRead() error })
	if !ok {
		return w.Close()
	}
	return half.CloseRead()
}
