package couler

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sqlflow.org/sqlflow_playground/couler/quote"
)

// A small YAML writer. The general encoders take 3 s for a workflow of 10,000
// steps, and write neither comments nor blocks as they are wanted here.

// object is a YAML mapping that keeps its order; list is a sequence. Their
// values are object, list, string, int64, bool, and the two below.
type (
	object []field
	list   []any
	field  struct {
		name  string
		value any
	}
	// commented is a value with lines of comment before it.
	commented struct {
		comment []string
		value   any
	}
	// marked is the part of a document that a step makes.
	marked struct {
		step  *Step
		value any
	}
)

// texts makes an object of a map, sorted by key.
func texts(m map[string]string) object {
	o := make(object, 0, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		o = append(o, field{key, m[key]})
	}
	return o
}

type writer struct {
	b        bytes.Buffer
	comments int // bytes of comments, which are not sent
	limit    int // bytes that may be sent; 0 for no limit
	over     *Step
	overAt   bool
}

func (w *writer) document(o object) []byte {
	w.object(o, "", false)
	w.mark(nil)
	return w.b.Bytes()
}

// mark notes the first step with which the text passes the limit.
func (w *writer) mark(s *Step) {
	if w.limit > 0 && !w.overAt && w.b.Len()-w.comments > w.limit {
		w.over, w.overAt = s, true
	}
}

const deeper = "  "

// object writes fields after indent. When inline, the first stands where the
// writer is, behind a list's dash.
func (w *writer) object(o object, indent string, inline bool) {
	for i, f := range o {
		if i > 0 || !inline {
			w.b.WriteString(indent)
		}
		w.b.WriteString(scalar(f.name, ""))
		w.b.WriteByte(':')
		w.value(f.value, indent)
	}
}

// value writes what follows "name:".
func (w *writer) value(v any, indent string) {
	switch v := v.(type) {
	case object:
		if len(v) == 0 {
			w.b.WriteString(" {}\n")
			return
		}
		w.b.WriteByte('\n')
		w.object(v, indent+deeper, false)
	case list:
		if len(v) == 0 {
			w.b.WriteString(" []\n")
			return
		}
		w.b.WriteByte('\n')
		w.list(v, indent, false)
	case string:
		w.b.WriteByte(' ')
		w.b.WriteString(scalar(v, indent+deeper))
		w.b.WriteByte('\n')
	case bool:
		w.b.WriteByte(' ')
		w.b.WriteString(strconv.FormatBool(v))
		w.b.WriteByte('\n')
	case int64:
		w.b.WriteByte(' ')
		w.b.WriteString(strconv.FormatInt(v, 10))
		w.b.WriteByte('\n')
	default:
		panic(fmt.Sprintf("couler: no YAML for %T", v))
	}
}

func (w *writer) list(l list, indent string, inline bool) {
	for i, v := range l {
		var step *Step
		if m, ok := v.(marked); ok {
			step, v = m.step, m.value
		}
		if c, ok := v.(commented); ok {
			for _, line := range c.comment {
				before := w.b.Len()
				w.b.WriteString(strings.TrimRight(indent+"# "+line, " "))
				w.b.WriteByte('\n')
				w.comments += w.b.Len() - before
			}
			v = c.value
		}
		if i > 0 || !inline {
			w.b.WriteString(indent)
		}
		w.b.WriteString("-")
		switch v := v.(type) {
		case object:
			w.b.WriteByte(' ')
			w.object(v, indent+deeper, true)
		case list:
			w.b.WriteByte(' ')
			w.list(v, indent+deeper, true)
		default:
			w.value(v, indent)
		}
		if step != nil {
			w.mark(step)
		}
	}
}

// bare is text that needs no quotes in any YAML; words that YAML 1.1 takes for
// something else are taken out by reserved.
var bare = regexp.MustCompile(`^[a-zA-Z][-a-zA-Z0-9_./@]*(:[-a-zA-Z0-9_./@]+)*$`)

func scalar(text, indent string) string {
	if bare.MatchString(text) && !reserved(text) {
		return text
	}
	return quote.YAML(text, indent)
}

func reserved(text string) bool {
	switch strings.ToLower(text) {
	case "true", "false", "yes", "no", "on", "off", "null", "y", "n":
		return true
	}
	return false
}
