package couler

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/template"

	"sqlflow.org/sqlflow_playground/couler/quote"
	"sqlflow.org/sqlflow_playground/templates"
)

// python writes one program for Python 3.8 or later that needs nothing else but
// the program "step": a function for each step, called one by one. Images,
// resources, volumes, log file and exit wait are left out, for there is no
// container. Credentials are not in the text but taken from the environment,
// unless the workflow has no Secret. The error tells of secrets that one
// environment cannot hold.
func (w *Workflow) python() ([]byte, error) {
	if err := w.oneEnvironment(); err != nil {
		return nil, err
	}
	p := &pythonPage{Workflow: w, Title: strings.TrimSuffix(w.Name, "-")}
	known := map[string]string{} // by an environment, the name it has
	for i := range w.Steps {
		s := &pythonStep{Step: &w.Steps[i], Entry: "step_entry_" + strconv.Itoa(i+1)}
		s.EnvName = p.env("ENV_"+strconv.Itoa(len(p.Envs)+1), s.Step, known)
		p.Functions = append(p.Functions, s)
	}
	for _, i := range w.Order() {
		p.Calls = append(p.Calls, p.Functions[i])
	}
	if w.OnExit != nil {
		// A dictionary of its own, for it gets the status too.
		p.Exit = &pythonStep{Step: w.OnExit, Entry: "exit_entry", EnvName: p.env("EXIT_ENV", w.OnExit, map[string]string{})}
		p.Functions = append(p.Functions, p.Exit)
	}
	return (&sheet{}).fill(templates.PythonProgram, pythonFunctions(), p)
}

// outside tells whether a program takes the variable's value from its environment.
func (w *Workflow) outside(e EnvVar) bool {
	return !e.known() || w.Secret != "" && (e.Hidden != "" || e.Empty)
}

// oneEnvironment refuses a step that would be given another step's secret, because
// both call it by one name in the one environment of the program.
func (w *Workflow) oneEnvironment() error {
	type variable struct {
		EnvVar
		step string
	}
	taken := map[string]variable{}
	var problems []error
	for _, s := range w.AllSteps() {
		for _, e := range s.Env {
			if !w.outside(e) {
				continue
			}
			first, there := taken[e.Name]
			if !there {
				taken[e.Name] = variable{e, s.Name}
			} else if e.known() != first.known() || e.Hidden != first.Hidden || !e.known() && e.From != first.From {
				problems = append(problems, &Problem{Line: s.Line, Step: s.Name,
					Text: fmt.Sprintf("environment variable %s is another secret than in step %s; a Python program takes both from its one environment", e.Name, first.step)})
			}
		}
	}
	return errors.Join(problems...)
}

// pythonPage is what templates/python_program.py sees of a workflow.
type pythonPage struct {
	*Workflow
	Title     string
	Functions []*pythonStep // as they stand in the workflow, the exit step last
	Envs      []pythonEnv
	Calls     []*pythonStep // in the order in which they run
	Exit      *pythonStep   // nil for none
}

// pythonStep is what it sees of a step.
type pythonStep struct {
	*Step
	Entry   string // its function
	EnvName string // the dictionary of its variables
}

// Body is the step's Python inside a function, or nothing when it cannot stand
// there.
func (s *pythonStep) Body() string {
	text, ok := indented(s.Python)
	if !ok {
		return ""
	}
	return strings.TrimRight(text, "\n")
}

// pythonEnv is a dictionary of variables.
type pythonEnv struct {
	Name      string
	Variables []pythonVariable
}

type pythonVariable struct {
	Name, Value string
	Outside     bool // its value is in the environment of the program
}

// env gives the dictionary of a step's variables: a new one of that name, unless
// an equal one is known.
func (p *pythonPage) env(name string, s *Step, known map[string]string) string {
	if len(s.Env) == 0 {
		return "{}"
	}
	var variables []pythonVariable
	for _, e := range s.Env {
		v := pythonVariable{Name: e.Name, Outside: p.outside(e)}
		if !v.Outside {
			v.Value = e.value()
		}
		variables = append(variables, v)
	}
	text := fmt.Sprintf("%#v", variables)
	if other, ok := known[text]; ok {
		return other
	}
	known[text] = name
	p.Envs = append(p.Envs, pythonEnv{name, variables})
	return name
}

// pythonFunctions are what the template of a Python program calls.
func pythonFunctions() template.FuncMap {
	asIs := func(text string) string { return text }
	return template.FuncMap{
		"quote": pythonValue, "seconds": seconds,
		"lines": func(text string) string { return quote.PythonLines(text, pythonIndent+pythonIndent) },
		// What is a name already, and Python that the user wrote.
		"name": asIs, "body": asIs,
	}
}

// pythonValue writes a text or a number for Python.
func pythonValue(value any) (string, error) {
	switch v := value.(type) {
	case int:
		return strconv.Itoa(v), nil
	case string:
		return quote.Python(v), nil
	}
	return "", fmt.Errorf("no Python for %T", value)
}
