package command

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/couler/graph"
	"sqlflow.org/sqlflow_playground/couler/program"
	"sqlflow.org/sqlflow_playground/couler/quote"
	"sqlflow.org/sqlflow_playground/kube/workflow"
)

func newWorkflowCompile(f *workflowFlags) *cobra.Command {
	var secret bool
	c := f.takesProgram(&cobra.Command{
		Use:   "compile [FILE]",
		Short: "Write the workflow for an engine: YAML, or a Python program",
		Long: `Compile writes the workflow for Argo or Tekton as YAML for kubectl create (not apply), or
as one Python program. The data source and tokens are not in it: the Python program reads
them from its environment, and the YAML names a Secret, which must be there before the
workflow is. With --secret, that is written and not the workflow, with all that is secret
in clear. ("submit" needs none of this: it makes a Secret of its own for each workflow.)`,
		Example: `  sqlflow_playground workflow compile --secret train.sql | kubectl create -f -
  sqlflow_playground workflow compile train.sql | kubectl create -f -
  sqlflow_playground workflow compile --engine python train.sql > train.py
  echo 'SELECT 1;' | sqlflow_playground workflow compile --engine tekton`,
		RunE: func(c *cobra.Command, args []string) error {
			engine, err := f.parse(c, couler.Argo)
			if err != nil {
				return err
			}
			if engine == couler.Docker {
				return usage("nothing is written for docker: `sqlflow_playground workflow run` starts the containers")
			}
			if secret && engine == couler.Python {
				return usage("a Python program needs no Secret: it reads its environment")
			}
			w, src, err := f.compile(c, args, engine)
			if err != nil {
				return err
			}
			text, err := w.Emit(engine)
			if err != nil {
				return named(src, err)
			}
			manifest, err := w.SecretManifest()
			switch {
			case secret && err != nil:
				return named(src, err)
			case secret && len(manifest) == 0:
				return named(src, errors.New("the steps need no Secret"))
			case secret:
				text = manifest
			case len(manifest) > 0 && engine != couler.Python:
				fmt.Fprintf(c.ErrOrStderr(), "note: the steps need the Secret %s; `workflow compile --secret` writes it\n", w.Secret)
			}
			_, err = c.OutOrStdout().Write(text)
			return err
		},
	})
	c.Flags().BoolVar(&secret, "secret", false, "write the Secret that the steps need, and not the workflow")
	return c
}

func newWorkflowLint(f *workflowFlags) *cobra.Command {
	return f.takesProgram(&cobra.Command{
		Use:   "lint [FILE]",
		Short: "Say what is wrong with a program or a workflow file; no cluster is asked",
		Long: `Lint reads a program or a workflow file, makes the workflow for each engine (or the one
that --engine names) as compile does, and says what is wrong and what is worth knowing.
It exits with 1 when anything is wrong.`,
		Example: "  sqlflow_playground workflow lint train.sql\n  sqlflow_playground workflow lint --engine argo steps.yaml",
		RunE: func(c *cobra.Command, args []string) error {
			engine, err := f.parse(c, "")
			if err != nil {
				return err
			}
			w, src, err := f.compile(c, args, engine)
			if err != nil {
				return err
			}
			engines := []couler.Engine{couler.Argo, couler.Tekton, couler.Python, couler.Docker}
			if engine != "" {
				engines = []couler.Engine{engine}
			}
			told := map[string]bool{}
			var problems []error
			var names []string
			for _, e := range engines {
				names = append(names, string(e))
				if e == couler.Docker {
					continue // what it needs, the workflow's own check has seen
				}
				if _, err := w.Emit(e); err != nil && !told[err.Error()] {
					told[err.Error()] = true
					problems = append(problems, fmt.Errorf("%s: %w", e, err))
				}
			}
			if _, err := w.SecretManifest(); err != nil && len(problems) == 0 {
				problems = append(problems, err)
			}
			if len(problems) > 0 {
				return named(src, errors.Join(problems...))
			}
			for _, note := range notes(w, src) {
				fmt.Fprintf(c.OutOrStdout(), "%s: note: %s\n", src.name, note)
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: nothing is wrong: %s for %s\n", src.name, count(len(w.Steps), "step"), strings.Join(names, ", "))
			return nil
		},
	})
}

// count gives "1 step", "2 steps".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// notes are what is not wrong but worth knowing.
func notes(w *couler.Workflow, src source) []string {
	var all []string
	for _, s := range w.AllSteps() {
		for _, text := range append([]string{s.SQL, s.Python}, s.Command...) {
			if !quote.Plain(text) {
				all = append(all, (&couler.Problem{Line: s.Line, Step: s.Name,
					Text: "it holds what an engine would rewrite, so it is sent as base64, a program that the image needs then"}).Error())
				break
			}
		}
	}
	if src.isYAML {
		return all
	}
	statements, err := program.Parse(src.text)
	if n := len(statements); err == nil && n > 0 && !strings.HasSuffix(statements[n-1].Text, ";") {
		all = append(all, (&couler.Problem{Line: statements[n-1].Line, Text: "the last statement has no semicolon"}).Error())
	}
	return all
}

// drawings are the formats of a graph.
func drawings() map[string]func(io.Writer, []graph.Node) error {
	return map[string]func(io.Writer, []graph.Node) error{
		"text": graph.Text, "mermaid": graph.Mermaid, "dot": graph.DOT, "svg": graph.SVG,
	}
}

func newWorkflowGraph(f *workflowFlags) *cobra.Command {
	var format, name string
	c := f.takesProgram(&cobra.Command{
		Use:   "graph [FILE]",
		Short: "Draw what waits for what",
		Long: `Graph draws the steps of a program and what each waits for: one after the other, or with
--parallel only for those whose tables or models it needs. With --workflow it draws a
workflow on the cluster, each step in the colour of its state.`,
		Example: `  sqlflow_playground workflow graph --parallel train.sql
  sqlflow_playground workflow graph --parallel --format svg train.sql > train.svg
  sqlflow_playground workflow graph --workflow sqlflow-x7k2p --format mermaid`,
		RunE: func(c *cobra.Command, args []string) error {
			draw := drawings()[format]
			if draw == nil {
				return usage("--format is %q; it must be text, mermaid, dot or svg", format)
			}
			engine, err := f.parse(c, couler.Argo)
			if err != nil {
				return err
			}
			if name == "" {
				w, _, err := f.compile(c, args, engine)
				if err != nil {
					return err
				}
				return draw(c.OutOrStdout(), planned(w))
			}
			if len(args) > 0 || f.execute != "" {
				return usage("give a program or --workflow, not both")
			}
			cluster, err := f.cluster(engine)
			if err != nil {
				return err
			}
			status, err := cluster.Status(c.Context(), name)
			if err != nil {
				return clusterError(err, engine)
			}
			return draw(c.OutOrStdout(), running(status))
		},
	})
	c.Flags().StringVar(&format, "format", "text", "text|mermaid|dot|svg")
	c.Flags().StringVar(&name, "workflow", "", "a workflow on the cluster, instead of a program")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"text", "mermaid", "dot", "svg"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("workflow", f.completeWorkflows)
	return c
}

// planned are the steps of a workflow that does not run.
func planned(w *couler.Workflow) []graph.Node {
	at := map[string]int{}
	for i, s := range w.Steps {
		at[s.Name] = i
	}
	steps := w.AllSteps()
	nodes := make([]graph.Node, len(steps))
	for i, s := range steps {
		nodes[i] = graph.Node{Name: s.Name, Label: s.SQL + s.Python + strings.Join(s.Command, " ")}
		for _, name := range s.After {
			nodes[i].After = append(nodes[i].After, at[name])
		}
	}
	if w.OnExit != nil {
		nodes[len(nodes)-1].After = last(nodes[:len(nodes)-1])
	}
	return nodes
}

// running are the steps of a workflow on the cluster.
func running(s *workflow.Status) []graph.Node {
	at := map[string]int{}
	for i, step := range s.Steps {
		at[step.Name] = i
	}
	nodes := make([]graph.Node, len(s.Steps))
	for i, step := range s.Steps {
		nodes[i] = graph.Node{Name: step.Name, Label: step.Text, State: graph.State(step.State)}
		for _, name := range step.After {
			if j, there := at[name]; there {
				nodes[i].After = append(nodes[i].After, j)
			}
		}
		if step.Exit {
			nodes[i].After = last(nodes[:i])
		}
	}
	return nodes
}

// last are the nodes that no other waits for: the exit step comes after them.
func last(nodes []graph.Node) []int {
	awaited := map[int]bool{}
	for _, n := range nodes {
		for _, i := range n.After {
			awaited[i] = true
		}
	}
	var ends []int
	for i := range nodes {
		if !awaited[i] {
			ends = append(ends, i)
		}
	}
	return ends
}
