package templates

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
	"unicode"

	"github.com/Masterminds/sprig/v3"
)

// functions are what a template may call, besides what text/template has itself.
// The list names what is allowed rather than what is not, because sprig grows:
// nothing here reads the environment, the clock, files, the network or randomness.
func functions() template.FuncMap {
	all := sprig.TxtFuncMap()
	allowed := template.FuncMap{"quote": quote}
	for _, name := range sprigFunctions() {
		allowed[name] = all[name]
	}
	return allowed
}

func sprigFunctions() []string {
	return []string{
		// text
		"lower", "upper", "trim", "trimPrefix", "trimSuffix", "trunc", "replace", "hasPrefix", "hasSuffix", "contains",
		"join", "splitList", "toString", "regexMatch", "regexReplaceAll", "b64enc",
		// numbers
		"add", "sub", "mul", "div", "mod", "max", "min", "int", "int64",
		// choices, lists, dictionaries
		"default", "empty", "coalesce", "ternary", "list", "dict", "get", "hasKey", "has", "first", "last", "kindIs", "fail",
	}
}

// quote encodes any value as JSON, which is YAML too (YAML 1.2 was made to include
// it, https://yaml.org/spec/1.2.2/ section 1.2), on one line. Characters that are
// not printable in YAML, break lines there, or hide text from the reader are
// escaped in the form that both languages know.
func quote(value any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return "", err
	}
	var out strings.Builder
	for _, r := range strings.TrimSuffix(b.String(), "\n") {
		// A character past U+FFFF would need a surrogate pair, which JSON reads as
		// one character and YAML as two: those stay as they are.
		hidden := r > 0x7e && r < 0x10000 && !unicode.IsPrint(r)
		if hidden {
			fmt.Fprintf(&out, `\u%04x`, r)
		} else {
			out.WriteRune(r)
		}
	}
	return out.String(), nil
}

// allQuoted reports the first action that prints something without one of the functions
// that quote as its last word. Parsing back would find most of what that does, but only
// for the values that were tried.
func allQuoted(t *template.Template, quoting ...string) error {
	for _, each := range t.Templates() {
		if each.Tree == nil {
			continue
		}
		if err := quotedIn(each.Tree, each.Tree.Root, quoting); err != nil {
			return err
		}
	}
	return nil
}

func quotedIn(tree *parse.Tree, list *parse.ListNode, quoting []string) error {
	if list == nil {
		return nil
	}
	for _, node := range list.Nodes {
		var err error
		switch n := node.(type) {
		case *parse.ActionNode:
			if !prints(n.Pipe) || endsIn(n.Pipe, quoting) {
				continue
			}
			where, _ := tree.ErrorContext(n)
			return fmt.Errorf("%s: %s is printed without quote; write {{ quote VALUE }} and no quotes around it", where, n)
		case *parse.IfNode:
			err = bothQuoted(tree, &n.BranchNode, quoting)
		case *parse.RangeNode:
			err = bothQuoted(tree, &n.BranchNode, quoting)
		case *parse.WithNode:
			err = bothQuoted(tree, &n.BranchNode, quoting)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func bothQuoted(tree *parse.Tree, n *parse.BranchNode, quoting []string) error {
	if err := quotedIn(tree, n.List, quoting); err != nil {
		return err
	}
	return quotedIn(tree, n.ElseList, quoting)
}

// prints is false for {{ $x := ... }}, which only remembers.
func prints(p *parse.PipeNode) bool { return len(p.Decl) == 0 }

func endsIn(p *parse.PipeNode, quoting []string) bool {
	last := p.Cmds[len(p.Cmds)-1]
	word, ok := last.Args[0].(*parse.IdentifierNode)
	return ok && slices.Contains(quoting, word.Ident)
}

// templateError takes text/template's own word off the front, so that the message
// begins with the file and the line.
func templateError(err error) error {
	return fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "template: "))
}
