package couler

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"

	"sqlflow.org/sqlflow_playground/couler/quote"
)

// prelude is the part of a Python program that is the same in all of them.
//
//go:embed prelude.py
var prelude string

// python writes one program for Python 3.8 or later that needs nothing else but
// the program "step": a function for each step, called one by one. Images,
// resources, volumes, log file and exit wait are left out, for there is no
// container. Credentials are not in the text but taken from the environment,
// unless the workflow has no Secret.
func (w *Workflow) python() []byte {
	p := &pythonWriter{w: w, envs: map[string]string{}}
	p.b.WriteString("#!/usr/bin/env python3\n")
	fmt.Fprintf(&p.b, "\"\"\"The workflow %s as one program: %d steps, called one by one.\n\n", strings.TrimSuffix(w.Name, "-"), len(w.Steps))
	p.b.WriteString("Made by sqlflow_playground. SQL is run by the program \"step\", which must be in PATH.\n\"\"\"\n")
	p.b.WriteString(prelude)
	for i := range w.Steps {
		p.function("step_entry_"+strconv.Itoa(i+1), &w.Steps[i])
	}
	if w.OnExit != nil {
		p.function("exit_entry", w.OnExit)
	}
	var calls strings.Builder
	for _, i := range w.Order() {
		calls.WriteString("    " + p.step("step_entry_"+strconv.Itoa(i+1), &w.Steps[i]) + ",\n")
	}
	exit := "None"
	if w.OnExit != nil {
		exit = p.step("exit_entry", w.OnExit)
	}
	p.b.WriteString("\n")
	p.b.WriteString(p.definitions.String())
	fmt.Fprintf(&p.b, "\nSTEPS = [\n%s]\n\nEXIT = %s\n\nif __name__ == \"__main__\":\n    sys.exit(main(STEPS, EXIT, timeout=%d))\n", calls.String(), exit, seconds(w.Timeout))
	return []byte(p.b.String())
}

type pythonWriter struct {
	w           *Workflow
	b           strings.Builder
	definitions strings.Builder
	envs        map[string]string // by an environment's text, the name it is given
}

// function writes a step as a function.
func (p *pythonWriter) function(name string, s *Step) {
	where := ""
	if s.Line > 0 {
		where = fmt.Sprintf(", line %d", s.Line)
	}
	fmt.Fprintf(&p.b, "\n\ndef %s():\n    \"\"\"%s%s\"\"\"\n", name, s.Name, where)
	switch {
	case s.SQL != "":
		fmt.Fprintf(&p.b, "    run_sql(\n%s\n    )\n", quote.PythonLines(s.SQL, "        "))
	case s.Python != "":
		if text, ok := indented(s.Python); ok {
			p.b.WriteString(strings.TrimRight(text, "\n") + "\n")
			return
		}
		fmt.Fprintf(&p.b, "    run_python(\n        %s,\n%s\n    )\n", quote.Python(s.Name), quote.PythonLines(s.Python, "        "))
	default:
		p.b.WriteString("    run(\n")
		for _, a := range s.Command {
			fmt.Fprintf(&p.b, "        %s,\n", quote.Python(a))
		}
		p.b.WriteString("    )\n")
	}
}

// step writes the call of a step.
func (p *pythonWriter) step(entry string, s *Step) string {
	return fmt.Sprintf("Step(%s, %s, %s, %d, %d)", quote.Python(s.Name), entry, p.env(s), s.Retries, seconds(s.Timeout))
}

// env names the dictionary of a step's variables; equal ones are written once.
func (p *pythonWriter) env(s *Step) string {
	if s == p.w.OnExit || len(s.Env) == 0 { // the exit step's gets the status
		return "{" + strings.TrimSpace(p.variables(s, " ")) + "}"
	}
	text := p.variables(s, "\n    ")
	name, known := p.envs[text]
	if !known {
		name = "ENV_" + strconv.Itoa(len(p.envs)+1)
		p.envs[text] = name
		fmt.Fprintf(&p.definitions, "\n%s = {%s\n}\n", name, text)
	}
	return name
}

func (p *pythonWriter) variables(s *Step, before string) string {
	var b strings.Builder
	for _, e := range s.Env {
		value := quote.Python(e.value())
		if hidden := e.Hidden != "" && p.w.Secret != ""; hidden || e.From != (SecretKey{}) && e.Hidden == "" {
			value = "None"
		}
		fmt.Fprintf(&b, "%s%s: %s,", before, quote.Python(e.Name), value)
	}
	return b.String()
}
