package program

import (
	"errors"
	"fmt"

	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// maxGrammar is how long a text may be, and maxGrammarDepth how deep its
// parentheses, to be read by the MySQL grammar. Its trees are walked by
// recursion, so that without a bound a hostile text could exhaust the stack;
// and a statement of 128 KiB cannot be handed to a step anyway.
const (
	maxGrammar      = 128 << 10
	maxGrammarDepth = 1000
)

var errTooLarge = errors.New("the statement is too large to be analysed")

// grammar reads standard SQL by the grammar of MySQL.
func grammar(text string) (st sqlparser.Statement, err error) {
	defer func() {
		if r := recover(); r != nil { // a fault of the library must not be ours
			st, err = nil, fmt.Errorf("the MySQL grammar failed: %v", r)
		}
	}()
	if len(text) > maxGrammar {
		return nil, errTooLarge
	}
	depth := 0
	for i := range len(text) { // brackets in strings may be counted too
		if text[i] == '(' {
			depth++
		}
	}
	if depth > maxGrammarDepth && nesting(text) > maxGrammarDepth {
		return nil, errTooLarge
	}
	return sqlparser.Parse(text)
}

// nesting is how deep the parentheses of a statement go.
func nesting(text string) int {
	scan := scanner{text: text}
	depth, deepest := 0, 0
	for {
		t, f := scan.standard()
		if f != nil || t.kind == endToken {
			return deepest
		}
		if t.kind != markToken {
			continue
		}
		switch text[t.start] {
		case '(':
			depth++
			deepest = max(deepest, depth)
		case ')':
			depth--
		}
	}
}
