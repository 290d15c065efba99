//go:build cgo || gms_pure_go

package embedded

import (
	"github.com/dolthub/vitess/go/mysql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// The engine walks statements recursively, and a stack that grows over Go's limit
// of 1 GB cannot be recovered from: SELECT 1+1+1+... of 2 MB ended the process of
// all users. Nested parentheses are limited by the parser itself (200); chains of
// operators are not. 100,000 of them did not overflow the stack, but even thousands
// keep a processor busy for minutes, and such a statement cannot be ended.
const (
	longestChain = 5_000
	// shortest is the length under which no chain can be too long.
	shortest = longestChain
)

// tooDeep returns an error if the parse tree of statement could be too deep.
func tooDeep(statement string) error {
	if len(statement) < shortest {
		return nil
	}
	// Where strings end depends on the session's sql_mode; take the worse.
	if chain(sqlparser.NewStringTokenizer(statement)) <= longestChain &&
		chain(sqlparser.NewStringTokenizerForAnsiQuotes(statement)) <= longestChain {
		return nil
	}
	const stackOverrun = 1436 // ER_STACK_OVERRUN_NEED_MORE
	return mysql.NewSQLError(stackOverrun, mysql.SSUnknownSQLState, "Thread stack overrun: too many operators in one expression")
}

// chain is an upper bound of the depth of a statement's parse tree: the most words
// that stand in a row without a comma or semicolon, added up over open parentheses.
func chain(words *sqlparser.Tokenizer) int {
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
