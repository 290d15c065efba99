package couler

import (
	"bytes"
	"fmt"
	"strings"
	"text/template"
	"time"

	"sqlflow.org/sqlflow_playground/couler/quote"
	"sqlflow.org/sqlflow_playground/templates"
)

// sheet is where a template writes. It measures how much of that a step makes.
type sheet struct {
	limit int // bytes that may be sent to a cluster; 0 for no limit

	b        bytes.Buffer
	comments int   // bytes of comments, which are not sent
	full     bool  // the limit is passed
	last     *Step // with which it was, if it was a step
}

// fill writes what one of package templates' makes of data, with the functions that it
// calls. To read the template each time takes a fraction of a millisecond.
func (s *sheet) fill(name string, functions template.FuncMap, data any) ([]byte, error) {
	t, err := templates.Workflow(name, functions)
	if err != nil {
		return nil, err
	}
	if err := t.Execute(&s.b, data); err != nil {
		return nil, fmt.Errorf("fill in the template: %w", err)
	}
	s.measure(nil)
	return s.b.Bytes(), nil
}

// sent is how many bytes of it are sent to a cluster.
func (s *sheet) sent() int { return s.b.Len() - s.comments }

// measure notes the step with which the limit is passed; it is called behind each.
func (s *sheet) measure(step *Step) int {
	if s.limit > 0 && !s.full && s.sent() > s.limit {
		s.full, s.last = true, step
	}
	return s.sent()
}

// comment writes a line of comment; where it is called, the line begins.
func (s *sheet) comment(text string) string {
	line := strings.TrimRight("# "+text, " ")
	indent := s.b.Len() - bytes.LastIndexByte(s.b.Bytes(), '\n') - 1
	s.comments += indent + len(line) + 1
	return line
}

// yaml are the functions that the templates of YAML call.
func (s *sheet) yaml() template.FuncMap {
	return template.FuncMap{"quote": yamlValue, "seconds": seconds, "comment": s.comment, "measure": s.measure}
}

// yamlValue writes a value for YAML: a text, a time, or a number. Text of several lines
// may become a block when it is said how far that is to be indented.
func yamlValue(value any, indent ...int) (string, error) {
	var text string
	switch v := value.(type) {
	case int:
		return fmt.Sprint(v), nil
	case time.Duration:
		text = v.String()
	case string:
		text = v
	default:
		return "", fmt.Errorf("no YAML for %T", value)
	}
	switch {
	case bare(text):
		return text, nil
	case len(indent) > 0:
		return quote.YAML(text, strings.Repeat(" ", indent[0])), nil
	}
	return quote.YAMLLine(text), nil
}

// bare tells whether text needs no quotes in any YAML: a letter first, then what
// names are made of, a colon only inside; and no word that YAML 1.1 takes for
// something else.
func bare(text string) bool {
	var before byte
	for i := range len(text) {
		c := text[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case i == 0:
			return false
		case '0' <= c && c <= '9', strings.IndexByte("-_./@", c) >= 0, c == ':' && before != ':':
		default:
			return false
		}
		before = c
	}
	switch strings.ToLower(text) {
	case "", "true", "false", "yes", "no", "on", "off", "null", "y", "n":
		return false
	}
	return before != ':'
}
