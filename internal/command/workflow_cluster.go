package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/kube/workflow"
)

func newWorkflowSubmit(f *workflowFlags) *cobra.Command {
	var watch bool
	c := f.takesProgram(&cobra.Command{
		Use:   "submit [FILE]",
		Short: "Start a program on a cluster and print the workflow's id",
		Long: `Submit creates the workflow on a cluster, and with it a Secret with the data source and
tokens that its steps need. The Secret belongs to the workflow and goes with it. When
anything fails, nothing is left.`,
		Example: `  id=$(sqlflow_playground workflow submit train.sql) && sqlflow_playground workflow watch $id
  sqlflow_playground workflow submit --engine tekton --parallel --watch train.sql`,
		RunE: func(c *cobra.Command, args []string) error {
			engine, err := f.parse(c, couler.Argo)
			if err != nil {
				return err
			}
			w, src, err := f.compile(c, args, engine)
			if err != nil {
				return err
			}
			return f.submit(c, engine, w, src, watch)
		},
	})
	c.Flags().BoolVarP(&watch, "watch", "w", false, "then follow it to its end")
	c.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return c
}

func (f *workflowFlags) submit(c *cobra.Command, engine couler.Engine, w *couler.Workflow, src source, watch bool) error {
	cluster, err := f.cluster(engine)
	if err != nil {
		return err
	}
	run, err := cluster.Submit(c.Context(), w)
	if err != nil {
		var problem *couler.Problem
		if errors.As(err, &problem) {
			return named(src, err)
		}
		return clusterError(err, engine)
	}
	if f.json {
		err = printJSON(c.OutOrStdout(), map[string]string{"workflow_id": run.Name, "namespace": run.Namespace, "engine": string(engine)})
	} else {
		_, err = fmt.Fprintln(c.OutOrStdout(), run.Name)
	}
	if err != nil || !watch {
		return err
	}
	f.namespace = run.Namespace
	return f.follow(c, engine, run.Name, true)
}

// about makes a command about a workflow that is named on the command line.
func (f *workflowFlags) about(c *cobra.Command, args cobra.PositionalArgs, run func(c *cobra.Command, engine couler.Engine, cluster *workflow.Cluster, args []string) error) *cobra.Command {
	c.Args = arguments(args)
	c.ValidArgsFunction = f.completeWorkflows
	c.RunE = func(c *cobra.Command, args []string) error {
		engine, err := f.parse(c, couler.Argo)
		if err != nil {
			return err
		}
		cluster, err := f.cluster(engine)
		if err != nil {
			return err
		}
		return clusterError(run(c, engine, cluster, args), engine)
	}
	return c
}

func newWorkflowStatus(f *workflowFlags) *cobra.Command {
	c := f.about(&cobra.Command{
		Use:     "status NAME",
		Short:   "Tell how far a workflow and its steps are",
		Example: "  sqlflow_playground workflow status sqlflow-x7k2p\n  sqlflow_playground workflow status --json sqlflow-x7k2p",
	}, cobra.ExactArgs(1), func(c *cobra.Command, _ couler.Engine, cluster *workflow.Cluster, args []string) error {
		status, err := cluster.Status(c.Context(), args[0])
		if err != nil {
			return err
		}
		if f.json {
			return printJSON(c.OutOrStdout(), status)
		}
		return printStatus(c.OutOrStdout(), status, time.Now())
	})
	c.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return c
}

func printStatus(out io.Writer, s *workflow.Status, now time.Time) error {
	fmt.Fprintf(out, "%s %s, %s\n", s.Name, s.State, headline(s, now))
	if s.Message != "" {
		fmt.Fprintf(out, "  %s\n", printable(s.Message))
	}
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "STEP\tSTATE\tELAPSED\tRETRIES\tPOD\tMESSAGE")
	for _, step := range s.Steps {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\n", step.Name, dash(string(step.State)), elapsed(step.Started, step.Finished, now), step.Retries, dash(step.Pod), printable(step.Message))
	}
	return t.Flush()
}

// headline says how many steps are done, and since when.
func headline(s *workflow.Status, now time.Time) string {
	done := 0
	for _, step := range s.Steps {
		if step.State == workflow.Succeeded {
			done++
		}
	}
	line := fmt.Sprintf("%d of %s done", done, count(len(s.Steps), "step"))
	if !s.Started.IsZero() {
		line += ", " + elapsed(s.Started, s.Finished, now)
	}
	if s.Stopping && !s.State.Ended() {
		line += ", stopping"
	}
	return line
}

// elapsed is the time between two moments, or until now; "-" before the first.
func elapsed(from, to, now time.Time) string {
	if from.IsZero() {
		return "-"
	}
	if to.IsZero() {
		to = now
	}
	return max(to.Sub(from), 0).Round(time.Second).String()
}

func newWorkflowLogs(f *workflowFlags) *cobra.Command {
	var follow bool
	c := f.about(&cobra.Command{
		Use:   "logs NAME [STEP]",
		Short: "Print what a step, or every step, has printed",
		Long: `Logs prints what a step, or every step, has printed in all its tries whose pods are there,
the earliest first. With -f it goes from step to step in the order written.`,
		Example: `  sqlflow_playground workflow logs sqlflow-x7k2p
  sqlflow_playground workflow logs -f sqlflow-x7k2p s3-train`,
	}, cobra.RangeArgs(1, 2), func(c *cobra.Command, _ couler.Engine, cluster *workflow.Cluster, args []string) error {
		out := c.OutOrStdout()
		if len(args) == 2 {
			return cluster.Logs(c.Context(), args[0], args[1], follow, func(line []byte) error {
				_, err := fmt.Fprintf(out, "%s\n", line)
				return err
			})
		}
		status, err := cluster.Status(c.Context(), args[0])
		if err != nil {
			return err
		}
		for _, step := range status.Steps {
			err := cluster.LogsFrom(c.Context(), status, step.Name, follow, func(line []byte) error {
				_, err := fmt.Fprintf(out, "%s | %s\n", step.Name, line)
				return err
			})
			if errors.Is(err, workflow.ErrNoLogs) {
				fmt.Fprintf(c.ErrOrStderr(), "%v\n", err)
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	c.Flags().BoolVarP(&follow, "follow", "f", false, "wait for steps to begin, and go on until they end")
	return c
}

func newWorkflowStop(f *workflowFlags) *cobra.Command {
	var now bool
	c := f.about(&cobra.Command{
		Use:     "stop NAME",
		Short:   "End a workflow early",
		Long:    "Stop ends the running steps of a workflow, and no others begin; an exit step still runs.",
		Example: "  sqlflow_playground workflow stop sqlflow-x7k2p",
	}, cobra.ExactArgs(1), func(c *cobra.Command, _ couler.Engine, cluster *workflow.Cluster, args []string) error {
		if err := cluster.Stop(c.Context(), args[0], now); err != nil {
			return err
		}
		_, err := fmt.Fprintf(c.OutOrStdout(), "%s is stopping\n", args[0])
		return err
	})
	c.Flags().BoolVar(&now, "now", false, "without the exit step")
	return c
}

func newWorkflowDelete(f *workflowFlags) *cobra.Command {
	return f.about(&cobra.Command{
		Use:     "delete NAME...",
		Short:   "Remove workflows, their pods and their Secrets",
		Example: "  sqlflow_playground workflow delete sqlflow-x7k2p",
	}, cobra.MinimumNArgs(1), func(c *cobra.Command, _ couler.Engine, cluster *workflow.Cluster, args []string) error {
		for _, name := range args {
			if err := cluster.Delete(c.Context(), name); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s is gone\n", name)
		}
		return nil
	})
}

func newWorkflowList(f *workflowFlags) *cobra.Command {
	var all bool
	c := f.about(&cobra.Command{
		Use:     "list",
		Short:   "List the workflows of a namespace, the newest first",
		Example: "  sqlflow_playground workflow list\n  sqlflow_playground workflow list --all --json",
	}, cobra.NoArgs, func(c *cobra.Command, _ couler.Engine, cluster *workflow.Cluster, _ []string) error {
		runs, err := cluster.List(c.Context(), all)
		if err != nil {
			return err
		}
		if f.json {
			return printJSON(c.OutOrStdout(), runs)
		}
		t := tabwriter.NewWriter(c.OutOrStdout(), 0, 8, 2, ' ', 0)
		fmt.Fprintln(t, "NAME\tNAMESPACE\tSTATE\tCREATED\tELAPSED\tMESSAGE")
		for _, r := range runs {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, r.Namespace, r.State, when(r.Created), elapsed(r.Started, r.Finished, time.Now()), printable(r.Message))
		}
		return t.Flush()
	})
	c.ValidArgsFunction = cobra.NoFileCompletions
	c.Flags().BoolVar(&all, "all", false, "also those that were not made by sqlflow_playground")
	c.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return c
}

// completeWorkflows completes the names of workflows on the cluster.
func (f *workflowFlags) completeWorkflows(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	engine, err := f.parse(c, couler.Argo)
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	cluster, err := f.cluster(engine)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), 5*time.Second)
	defer cancel()
	runs, err := cluster.List(ctx, false)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, r := range runs {
		names = append(names, r.Name+"\t"+string(r.State))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// printable makes text of a cluster or a step one line that plays no tricks on a terminal.
func printable(text string) string {
	const longest = 4096
	if len(text) > longest {
		text = text[:longest] + "…"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r):
			return '\ufffd'
		}
		return r
	}, strings.TrimRight(strings.ToValidUTF8(text, "\ufffd"), " \t\r\n"))
}
