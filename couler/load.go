package couler

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"sqlflow.org/sqlflow_playground/couler/program"
)

// maxFile is far more than the file of any workflow that an engine takes.
const maxFile = 4 * MaxManifest

// Load makes a workflow of a YAML file of steps; docs/workflow.md describes it.
// What the file leaves open comes from the session and the options, as in
// Compile, except that the file alone says what runs in parallel.
//
// The file is read strictly: a field that is not known, a value of another
// type, a key that stands twice, aliases and further documents are refused. All
// problems are reported at once, joined and in the order of the file, each a
// *Problem with its line. Only a text that is no YAML at all has but one.
func Load(file io.Reader, session Session, options Options) (*Workflow, error) {
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, &Problem{Text: fmt.Sprintf("the file is larger than %d bytes", maxFile)}
	}
	root, err := readDocument(text)
	if err != nil {
		return nil, err
	}
	l := &loader{w: newWorkflow(session, options)}
	l.image, l.resources, l.retries = options.image(), options.Resources, options.Retries
	l.known = map[SecretKey]Credential{}
	for key, value := range options.SecretValues {
		l.known[SecretKey{options.SecretName, key}] = value
	}
	l.env = map[string]EnvVar{}
	for _, e := range stepEnv(session, options) {
		l.env[e.Name] = e
	}
	l.file(root)
	l.check()
	if len(l.problems) > 0 {
		slices.SortStableFunc(l.problems, func(a, b *Problem) int { return cmp.Compare(place(a), place(b)) })
		all := make([]error, len(l.problems))
		for i, p := range l.problems {
			all[i] = p
		}
		return nil, errors.Join(all...)
	}
	return l.w, nil
}

// place is where a problem stands in the file; what is wrong with the whole comes last.
func place(p *Problem) int { return cmp.Or(p.Line, maxFile) }

// loader fills in a workflow, with what the file's top says for every step.
type loader struct {
	reader
	w         *Workflow
	known     map[SecretKey]Credential // values of the Secret in the options
	image     string
	env       map[string]EnvVar
	resources map[string]string
	retries   int
	parallel  bool
}

func (l *loader) file(root *yaml.Node) {
	f := l.mapping(root, "a workflow", "name", "namespace", "serviceAccount", "labels", "annotations", "secret",
		"ttl", "timeout", "logFile", "exitWait", "image", "env", "resources", "retries", "volumes", "parallel", "steps", "onExit")
	w := l.w
	l.text(f["name"], &w.Name)
	l.text(f["namespace"], &w.Namespace)
	l.text(f["serviceAccount"], &w.ServiceAccount)
	l.text(f["secret"], &w.Secret)
	l.text(f["logFile"], &w.LogFile)
	l.duration(f["ttl"], &w.TTL)
	l.duration(f["timeout"], &w.Timeout)
	l.duration(f["exitWait"], &w.ExitWait)
	maps.Copy(w.Labels, l.texts(f["labels"]))
	w.Annotations = l.texts(f["annotations"])
	l.text(f["image"], &l.image)
	l.env = l.environment(f["env"], l.env)
	l.resources = l.merged(l.resources, f["resources"])
	l.integer(f["retries"], &l.retries)
	l.boolean(f["parallel"], &l.parallel)
	for _, n := range l.list(f["volumes"]) {
		before := len(l.problems)
		v := l.mapping(n, "a volume", "name", "claim", "secret", "configMap")
		var volume Volume
		l.text(v["name"], &volume.Name)
		l.text(v["claim"], &volume.Claim)
		l.text(v["secret"], &volume.SecretName)
		l.text(v["configMap"], &volume.ConfigMap)
		if volume.Name != "" || l.good(before) {
			w.Volumes = append(w.Volumes, volume)
		}
	}
	before := len(l.problems)
	for i, n := range l.list(f["steps"]) {
		w.Steps = append(w.Steps, l.step(n, i))
	}
	if len(w.Steps) == 0 && (root.Kind != yaml.MappingNode || !l.good(before)) {
		w.Steps = []Step{{Name: unread, Image: unread, Command: []string{unread}}}
	}
	if n := f["onExit"]; n != nil {
		s := l.step(n, -1)
		w.OnExit = &s
	}
}

// unread stands for what could not be read, which is told already, so that Validate does not
// take it for missing.
const unread = "unread"

// good tells whether nothing was wrong since there were so many problems.
func (l *loader) good(before int) bool { return len(l.problems) == before }

// step reads a step; i is its place, or -1 for the exit step.
func (l *loader) step(n *yaml.Node, i int) Step {
	before := len(l.problems)
	f := l.mapping(n, "a step", "name", "image", "sql", "python", "command", "env", "resources", "mounts", "after", "retries", "timeout")
	s := Step{Line: n.Line, Image: l.image, Retries: l.retries}
	l.text(f["sql"], &s.SQL)
	l.text(f["python"], &s.Python)
	s.Command = l.textList(f["command"])
	kind := "command"
	if s.SQL != "" {
		kind = l.statements(f["sql"], &s)
	} else if s.Python != "" {
		kind = "python"
	}
	s.Name = stepLabel(i, kind)
	if i < 0 {
		s.Name = "on-exit"
	}
	l.text(f["name"], &s.Name)
	l.text(f["image"], &s.Image)
	env := l.environment(f["env"], l.env)
	for _, name := range slices.Sorted(maps.Keys(env)) {
		s.Env = append(s.Env, env[name])
	}
	s.Resources = l.merged(l.resources, f["resources"])
	for _, n := range l.list(f["mounts"]) {
		before := len(l.problems)
		v := l.mapping(n, "a mount", "volume", "path", "readOnly")
		var m Mount
		l.text(v["volume"], &m.Volume)
		l.text(v["path"], &m.Path)
		l.boolean(v["readOnly"], &m.ReadOnly)
		if l.good(before) {
			s.Mounts = append(s.Mounts, m)
		}
	}
	if f["after"] != nil {
		s.After = l.textList(f["after"])
	} else if i > 0 && !l.parallel {
		s.After = []string{l.w.Steps[i-1].Name}
	}
	l.integer(f["retries"], &s.Retries)
	l.duration(f["timeout"], &s.Timeout)
	if s.SQL == "" && s.Python == "" && len(s.Command) == 0 && !l.good(before) {
		s.Command = []string{unread}
	}
	return s
}

// statements checks a step's SQL, takes the image that a single statement
// names, and says of which kind the step is.
func (l *loader) statements(n *yaml.Node, s *Step) string {
	statements, err := program.Parse(s.SQL)
	if err != nil {
		l.program(n, err)
		return "sql"
	}
	if len(statements) == 0 {
		l.wrong(n, "it holds no statement")
		return "sql"
	}
	if last := statements[len(statements)-1]; ended(last) != last.Text {
		s.SQL += "\n;" // on a line of its own, for a comment may come last
	}
	if len(statements) > 1 {
		return "sql"
	}
	s.Kind = statements[0].Kind
	s.Image = images(statements, s.Image)[0]
	return string(s.Kind)
}

// program reports mistakes in SQL at their line of the file: in a block the
// text begins on the line after its sign.
func (l *loader) program(n *yaml.Node, err error) {
	before := n.Line - 1
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		before = n.Line
	}
	report := func(e *program.Error) {
		l.problems = append(l.problems, &Problem{Line: before + e.Line, Text: strings.TrimSuffix(e.Message+"; "+e.Hint, "; ")})
	}
	if several, ok := errors.AsType[program.Errors](err); ok {
		for _, e := range several {
			report(e)
		}
	} else if one, ok := errors.AsType[*program.Error](err); ok {
		report(one)
	} else {
		l.wrong(n, "%v", err)
	}
}

// environment reads variables over those there are.
func (l *loader) environment(n *yaml.Node, there map[string]EnvVar) map[string]EnvVar {
	all := maps.Clone(there)
	for _, pair := range l.pairs(n) {
		before := len(l.problems)
		e := EnvVar{Name: pair.key.Value}
		if pair.value.Kind == yaml.MappingNode {
			f := l.mapping(pair.value, "a secret's key", "secret", "key")
			l.text(f["secret"], &e.From.Name)
			e.From.Key = e.Name
			l.text(f["key"], &e.From.Key)
			if e.From.Name == "" {
				l.wrong(pair.value, "the secret of %.80q has no name", e.Name)
			}
			value, known := l.known[e.From]
			e.Hidden, e.Empty = value, known && value == ""
		} else {
			l.scalar(pair.value, &e.Value)
		}
		if l.good(before) {
			all[e.Name] = e
		}
	}
	return all
}

// merged reads texts over those there are.
func (l *loader) merged(there map[string]string, n *yaml.Node) map[string]string {
	if len(there) == 0 && n == nil {
		return nil
	}
	all := maps.Clone(there)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, l.texts(n))
	return all
}

// check adds what Validate says.
func (l *loader) check() {
	joined, ok := l.w.Validate().(interface{ Unwrap() []error })
	if !ok {
		return
	}
	for _, e := range joined.Unwrap() {
		if p, ok := errors.AsType[*Problem](e); ok {
			l.problems = append(l.problems, p)
		}
	}
}
