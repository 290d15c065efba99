package couler

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/distribution/reference"

	"sqlflow.org/sqlflow_playground/couler/quote"
)

// Problem is something wrong with a workflow.
type Problem struct {
	Line int    // in the program or YAML file; 0 when unknown
	Step string // the step's name; empty when it is about the whole
	Text string
}

// Error gives "line 3: step s2-train: ..." with what is known of it.
func (p *Problem) Error() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", p.Line)
	}
	if p.Step != "" {
		fmt.Fprintf(&b, "step %s: ", p.Step)
	}
	b.WriteString(p.Text)
	return b.String()
}

// The names of Kubernetes (RFC 1123 labels and subdomains), narrowed where
// Argo or Tekton takes less: a DAG's task must not begin with a digit.
var (
	stepName     = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)
	namePrefix   = regexp.MustCompile(`^[a-z][-a-z0-9]*$`)
	label        = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	subdomain    = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	secretKey    = regexp.MustCompile(`^[-._a-zA-Z0-9]{1,253}$`)
	metadataKey  = regexp.MustCompile(`^([a-z0-9]([-.a-z0-9]*[a-z0-9])?/)?[a-zA-Z0-9]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?$`)
	labelValue   = regexp.MustCompile(`^([a-zA-Z0-9]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?)?$`)
	variableName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
	quantity     = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$`)
)

const (
	maxName    = 63                // of objects, steps and labels
	maxPrefix  = maxName - 5       // the cluster adds five characters
	maxSecond  = 100 * 365 * 86400 // a hundred years, far from any overflow
	maxRetries = 100
	// entrypoint is the Argo template that orders the others.
	entrypoint = "workflow"
)

// Validate reports everything that is wrong with the workflow, joined, each a
// *Problem; nil when every engine will take it. Commands and environment
// variables larger than MaxArgument are refused too, for no kernel starts them.
func (w *Workflow) Validate() error {
	v := &validator{w: w}
	v.whole()
	names := map[string]bool{entrypoint: true}
	for _, s := range w.AllSteps() {
		v.step(s, names)
	}
	v.order()
	return errors.Join(v.problems...)
}

type validator struct {
	w        *Workflow
	problems []error
	seen     string // an image that is one: most steps have the same
}

func (v *validator) add(s *Step, format string, a ...any) {
	p := &Problem{Text: fmt.Sprintf(format, a...)}
	if s != nil {
		p.Step, p.Line = s.Name, s.Line
		if !stepName.MatchString(s.Name) {
			p.Step = ""
		}
	}
	v.problems = append(v.problems, p)
}

// bounded tells whether text matches and is no longer than max.
func bounded(text string, form *regexp.Regexp, max int) bool {
	return len(text) <= max && form.MatchString(text)
}

func (v *validator) whole() {
	w := v.w
	if !bounded(w.Name, namePrefix, maxPrefix) {
		v.add(nil, "the workflow's name %.80q is no prefix of a name: lower-case letters, digits and -, a letter first, at most %d", w.Name, maxPrefix)
	}
	if w.Namespace != "" && !bounded(w.Namespace, label, maxName) {
		v.add(nil, "%.80q is no namespace", w.Namespace)
	}
	if w.ServiceAccount != "" && !bounded(w.ServiceAccount, subdomain, 253) {
		v.add(nil, "%.80q is no service account", w.ServiceAccount)
	}
	if w.Secret != "" && !bounded(w.Secret, subdomain, 253) {
		v.add(nil, "%.80q is no name of a secret", w.Secret)
	}
	for _, key := range slices.Sorted(maps.Keys(w.Labels)) {
		if !bounded(key, metadataKey, 253+1+63) || !bounded(w.Labels[key], labelValue, maxName) {
			v.add(nil, "%.80q: %.80q is no label", key, w.Labels[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(w.Annotations)) {
		if !bounded(key, metadataKey, 253+1+63) || !utf8.ValidString(w.Annotations[key]) {
			v.add(nil, "%.80q is no annotation", key)
		}
	}
	v.duration(nil, "TTL", w.TTL)
	v.duration(nil, "timeout", w.Timeout)
	v.duration(nil, "exit wait", w.ExitWait)
	if w.LogFile != "" && (!cleanPath(w.LogFile) || strings.HasSuffix(w.LogFile, "/")) {
		v.add(nil, "the log file %.80q is no absolute path of a file", w.LogFile)
	}
	volumes := map[string]bool{}
	for _, volume := range w.Volumes {
		if !bounded(volume.Name, label, maxName) || strings.HasPrefix(volume.Name, "tekton-internal-") {
			v.add(nil, "%.80q is no name of a volume", volume.Name)
		}
		if volumes[volume.Name] {
			v.add(nil, "there are two volumes %q", volume.Name)
		}
		volumes[volume.Name] = true
		sources := 0
		for _, source := range []string{volume.Claim, volume.SecretName, volume.ConfigMap} {
			if source == "" {
				continue
			}
			if sources++; !bounded(source, subdomain, 253) {
				v.add(nil, "volume %s: %.80q is no name of an object", volume.Name, source)
			}
		}
		if sources > 1 {
			v.add(nil, "volume %s: only one of claim, secret and config map makes a volume", volume.Name)
		}
	}
}

func (v *validator) duration(s *Step, what string, d time.Duration) {
	if d < 0 || d/time.Second > maxSecond {
		v.add(s, "a %s of %v cannot be", what, d)
	} else if d%time.Second != 0 {
		v.add(s, "the %s of %v is not in whole seconds", what, d)
	}
}

// cleanPath tells whether p is an absolute path that nobody rewrites.
func cleanPath(p string) bool {
	return path.IsAbs(p) && len(p) < 4096 && quote.Plain(p) && !strings.ContainsAny(p, "\n\t")
}

func (v *validator) step(s *Step, names map[string]bool) {
	switch {
	case !bounded(s.Name, stepName, maxName):
		v.add(s, "%.80q is no name of a step: lower-case letters, digits and -, a letter first, at most %d", s.Name, maxName)
	case names[s.Name]:
		v.add(s, "the name is taken; names are used once, and %q is the engine's", entrypoint)
	}
	names[s.Name] = true
	kinds := 0
	for _, is := range []bool{s.SQL != "", s.Python != "", len(s.Command) > 0} {
		if is {
			kinds++
		}
	}
	if kinds != 1 {
		v.add(s, "it must be one of sql, python and command, and is %d of them", kinds)
	} else {
		v.text(s)
	}
	v.image(s)
	v.env(s)
	for _, name := range slices.Sorted(maps.Keys(s.Resources)) {
		if !bounded(name, metadataKey, 253+1+63) || !bounded(s.Resources[name], quantity, 32) {
			v.add(s, "resource %.80q: %.80q is no quantity like 500m, 2 or 4Gi", name, s.Resources[name])
		}
	}
	v.mounts(s)
	if s.Retries < 0 || s.Retries > maxRetries {
		v.add(s, "%d retries: it must be 0 to %d", s.Retries, maxRetries)
	}
	v.duration(s, "timeout", s.Timeout)
}

func (v *validator) image(s *Step) {
	if s.Image == "" {
		v.add(s, "it has no image")
		return
	}
	if s.Image == v.seen {
		return
	}
	if _, err := reference.ParseNormalizedNamed(s.Image); err != nil || len(s.Image) > 4096 {
		v.add(s, "%.80q is no image", s.Image)
		return
	}
	v.seen = s.Image
}

// text refuses what no program can be given.
func (v *validator) text(s *Step) {
	for _, text := range append([]string{s.SQL, s.Python}, s.Command...) {
		if strings.Contains(text, "\x00") {
			v.add(s, "it holds a NUL byte, which no argument can")
			return
		}
	}
	if s.Python != "" && !utf8.ValidString(s.Python) {
		v.add(s, "it is not UTF-8, which Python source must be")
	}
	if len(s.Command) == 0 && strings.TrimSpace(s.SQL+s.Python) == "" {
		v.add(s, "it is empty")
	}
	if len(s.Command) > 0 && s.Command[0] == "" {
		v.add(s, "the command has no program")
	}
	for _, a := range v.w.Argv(s) {
		if len(a) > MaxArgument {
			v.add(s, "it is too large: its command takes %d bytes, and Linux allows %d", len(a), MaxArgument)
			return
		}
	}
}

func (v *validator) env(s *Step) {
	for i, e := range s.Env {
		value := e.value()
		switch {
		case !bounded(e.Name, variableName, 253):
			v.add(s, "%.80q is no name of an environment variable", e.Name)
			continue
		case i > 0 && s.Env[i-1].Name >= e.Name:
			v.add(s, "environment variable %s is there twice or not in order", e.Name)
		case !utf8.ValidString(value) || strings.Contains(value, "\x00"):
			v.add(s, "the value of environment variable %s is not UTF-8 text without NUL", e.Name)
		case len(e.Name)+1+len(value) > MaxArgument:
			v.add(s, "environment variable %s is too large: %d bytes, and Linux allows %d", e.Name, len(e.Name)+1+len(value), MaxArgument)
		}
		if s == v.w.OnExit && e.Name == StatusVariable {
			v.add(s, "environment variable %s is the engine's", e.Name)
		}
		if e.Empty && (e.From == (SecretKey{}) || e.Hidden != "") {
			v.add(s, "environment variable %s is said to be the empty key of a secret, and is not", e.Name)
		}
		if e.From != (SecretKey{}) {
			if !bounded(e.From.Name, subdomain, 253) || !secretKey.MatchString(e.From.Key) {
				v.add(s, "environment variable %s: %.80q, %.80q is no secret and key", e.Name, e.From.Name, e.From.Key)
			}
			if e.From.Name == v.w.Secret {
				v.add(s, "environment variable %s is a key of the secret %s, which is the workflow's own", e.Name, e.From.Name)
			}
			if e.Value != "" {
				v.add(s, "environment variable %s has a value and a secret", e.Name)
			}
		}
	}
}

func (v *validator) mounts(s *Step) {
	paths := map[string]bool{}
	for _, m := range s.Mounts {
		known := false
		for _, volume := range v.w.Volumes {
			known = known || volume.Name == m.Volume
		}
		if !known {
			v.add(s, "it mounts the volume %.80q, which the workflow has not", m.Volume)
		}
		p := path.Clean(m.Path)
		tekton := (p == "/tekton" || strings.HasPrefix(p, "/tekton/")) && p != "/tekton/home"
		if !cleanPath(m.Path) || strings.Contains(m.Path, ":") || p == "/" || tekton {
			v.add(s, "%.80q is no place to mount a volume", m.Path)
		}
		if paths[p] {
			v.add(s, "two volumes are mounted at %s", p)
		}
		paths[p] = true
	}
}

// order checks that every step waits for steps that are there, and that no
// circle of steps waits for itself.
func (v *validator) order() {
	if len(v.w.Steps) == 0 {
		v.add(nil, "the workflow has no steps")
	}
	if v.w.OnExit != nil && len(v.w.OnExit.After) > 0 {
		v.add(v.w.OnExit, "the exit step always comes last and waits for no step by name")
	}
	known := map[string]bool{}
	for i := range v.w.Steps {
		known[v.w.Steps[i].Name] = true
	}
	good := true
	for i := range v.w.Steps {
		s := &v.w.Steps[i]
		seen := map[string]bool{}
		for _, name := range s.After {
			if !known[name] {
				v.add(s, "it waits for the step %.80q, which is not there", name)
				good = false
			}
			if seen[name] {
				v.add(s, "it waits twice for the step %s", name)
			}
			seen[name] = true
		}
	}
	if order := v.w.Order(); good && len(order) < len(v.w.Steps) {
		done := map[int]bool{}
		for _, i := range order {
			done[i] = true
		}
		var circle []string
		for i, s := range v.w.Steps {
			if !done[i] {
				circle = append(circle, s.Name)
			}
		}
		v.add(nil, "these steps wait for each other in a circle, or for such a circle: %s", strings.Join(circle, ", "))
	}
}
