package command

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/couler/quote"
	"sqlflow.org/sqlflow_playground/kube"
	"sqlflow.org/sqlflow_playground/kube/workflow"
)

// workflowFlags are the flags that the workflow commands share.
type workflowFlags struct {
	world World

	engine    string
	namespace string
	context   string
	kubectl   string
	json      bool

	// of the commands that take a program
	execute    string
	dataSource string
	user       string
	image      string
	parallel   int
	passEnv    bool
	inline     bool
	timeout    time.Duration
	retries    int
}

// atOnce is --parallel without a number.
const atOnce = -1

func newWorkflow(w World) *cobra.Command {
	f := &workflowFlags{world: w}
	c := &cobra.Command{
		Use:     "workflow",
		Aliases: []string{"flow"},
		Short:   "Compile SQL programs to Argo, Tekton or Python, run them, and follow them",
		Long: `Workflow makes a workflow of a SQL program, a step for each statement, and runs it on
Argo, on Tekton, on the local Docker, or as one Python program.

A program comes from a file, from -e, or from standard input; a file that ends in .yaml
or .yml is a workflow file (see docs/workflow.md). For whom the program runs, and on what
data, comes from the variables of SQLFlow's client: SQLFLOW_DATASOURCE, SQLFLOW_USER_ID,
SQLFLOW_USER_TOKEN, SQLFLOW_HIVE_LOCATION, SQLFLOW_HDFS_NAMENODE_ADDR,
JUPYTER_HADOOP_USER, JUPYTER_HADOOP_PASS, SQLFLOW_SUBMITTER, SQLFLOW_SERVICE_ACCOUNT and
SQLFLOW_WF_NAMESPACE. How steps run comes from the variables of SQLFlow's server:
SQLFLOW_WORKFLOW_STEP_IMAGE, ..._TTL, ..._SECRET, ..._RESOURCES, ..._STEP_LOG_FILE and
..._EXIT_TIME_WAIT.

Exit codes: 0 done; 1 the program is wrong, or the workflow failed; 2 wrong usage;
3 no cluster in reach. "run" with docker or python exits with the failed step's code.`,
		Example: `  sqlflow_playground workflow compile train.sql
  sqlflow_playground workflow run -e 'SELECT 1; SELECT 2;'
  sqlflow_playground workflow submit --engine tekton --watch train.sql
  sqlflow_playground workflow graph --parallel --format svg train.sql > train.svg
  sqlflow_playground workflow watch sqlflow-x7k2p`,
		Args: arguments(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	p := c.PersistentFlags()
	p.StringVar(&f.engine, "engine", "", "argo|tekton|python|docker (default: docker to run, argo for all else)")
	p.StringVarP(&f.namespace, "namespace", "n", "", "namespace of the cluster (default: SQLFLOW_WF_NAMESPACE, or kubectl's own)")
	p.StringVar(&f.context, "context", "", "context of the kubeconfig")
	p.StringVar(&f.kubectl, "kubectl", "kubectl", "the kubectl program")
	_ = c.RegisterFlagCompletionFunc("engine", cobra.FixedCompletions(
		[]string{string(couler.Argo), string(couler.Tekton), string(couler.Python), string(couler.Docker)}, cobra.ShellCompDirectiveNoFileComp))
	c.AddCommand(
		newWorkflowCompile(f), newWorkflowLint(f), newWorkflowGraph(f), newWorkflowRun(f), newWorkflowSubmit(f),
		newWorkflowStatus(f), newWorkflowLogs(f), newWorkflowWatch(f), newWorkflowStop(f), newWorkflowList(f), newWorkflowDelete(f),
	)
	return c
}

// takesProgram adds the flags of a command that takes a program.
func (f *workflowFlags) takesProgram(c *cobra.Command) *cobra.Command {
	c.Args = cobra.ArbitraryArgs // program checks them
	c.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"sql", "yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
	}
	s := c.Flags()
	s.StringVarP(&f.execute, "execute", "e", "", "the program itself, instead of a file")
	s.StringVar(&f.dataSource, "datasource", "", "data source of the program, like mysql://root:root@tcp(host:3306)/ (default: SQLFLOW_DATASOURCE, which other users of the machine cannot see)")
	s.StringVar(&f.user, "user_id", "", "for whom the program runs (default: SQLFLOW_USER_ID)")
	s.StringVar(&f.image, "image", "", "image of steps that name none (default: SQLFLOW_WORKFLOW_STEP_IMAGE)")
	s.IntVar(&f.parallel, "parallel", 0, "run steps that do not need each other's tables or models at the same time; with a number (docker) at most so many")
	s.Lookup("parallel").NoOptDefVal = strconv.Itoa(atOnce)
	s.BoolVar(&f.passEnv, "pass_env", false, "give steps every variable that begins with SQLFLOW_, and not only those they need")
	s.BoolVar(&f.inline, "inline_credentials", false, "write the data source and tokens into the YAML, and not into a Secret")
	s.DurationVar(&f.timeout, "timeout", 0, "bound of the whole workflow (default: none)")
	s.IntVar(&f.retries, "retries", 0, "how many times more a failing step is tried")
	return c
}

// parse reads the engine's name, with the command's own default.
func (f *workflowFlags) parse(c *cobra.Command, otherwise couler.Engine) (couler.Engine, error) {
	if err := fromEnvironment(c.InheritedFlags(), f.world); err != nil {
		return "", err
	}
	if f.engine == "" {
		return otherwise, nil
	}
	engine, err := couler.ParseEngine(f.engine)
	if err != nil {
		return "", usage("%v", err)
	}
	return engine, nil
}

// source is the text of a program, and what to call it.
type source struct {
	name, text string
	isYAML     bool
}

// mostSource is far more than any engine takes.
const mostSource = 64 << 20

var number = regexp.MustCompile(`^[1-9][0-9]{0,3}$`)

// read finds the program that the command line means.
func (f *workflowFlags) read(c *cobra.Command, args []string) (source, error) {
	if c.Flags().Changed("parallel") && f.parallel == atOnce {
		// The number after --parallel, which pflag takes for an argument.
		if i := slices.IndexFunc(args, number.MatchString); i >= 0 {
			if _, err := os.Stat(args[i]); err != nil {
				f.parallel, _ = strconv.Atoi(args[i])
				args = slices.Delete(slices.Clone(args), i, i+1)
			}
		}
	}
	given := c.Flags().Changed("execute")
	switch {
	case len(args) > 1 || given && len(args) > 0:
		return source{}, usage("give one program: a file, -e 'SQL', or standard input; see `%s --help`", c.CommandPath())
	case f.parallel < atOnce:
		return source{}, usage("--parallel is %d; it must be a positive number, or none", f.parallel)
	case given:
		return source{name: "-e", text: f.execute}, nil
	case len(args) == 1 && args[0] != "-":
		file, err := os.Open(args[0])
		if err != nil {
			return source{}, usage("%v", err)
		}
		defer file.Close()
		ext := strings.ToLower(filepath.Ext(args[0]))
		text, err := readAll(file, args[0])
		return source{args[0], text, ext == ".yaml" || ext == ".yml"}, err
	}
	if in, ok := f.world.In.(*os.File); ok && len(args) == 0 && term.IsTerminal(int(in.Fd())) {
		return source{}, usage("no program: give a file, -e 'SQL', or - for standard input; see `%s --help`", c.CommandPath())
	}
	text, err := readAll(f.world.In, "standard input")
	return source{name: "standard input", text: text}, err
}

func readAll(from io.Reader, name string) (string, error) {
	text, err := io.ReadAll(io.LimitReader(from, mostSource+1))
	if err == nil && len(text) > mostSource {
		err = fmt.Errorf("it is larger than %d bytes", mostSource)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return string(text), nil
}

// compile makes the workflow of the program that the command line means.
func (f *workflowFlags) compile(c *cobra.Command, args []string, engine couler.Engine) (*couler.Workflow, source, error) {
	src, err := f.read(c, args)
	if err != nil {
		return nil, src, err
	}
	if f.parallel > 0 && engine != couler.Docker {
		return nil, src, usage("--parallel=%d: only docker takes a number; the cluster itself says how much runs at once", f.parallel)
	}
	options, err := couler.OptionsFromEnv(f.world.Environ)
	if err != nil {
		return nil, src, usage("%v", err)
	}
	session := couler.SessionFromEnv(f.world.Environ)
	if f.dataSource != "" {
		session.DataSource = couler.Credential(f.dataSource)
	}
	if f.user != "" {
		session.UserID = f.user
	}
	if f.namespace != "" {
		session.Namespace = f.namespace
	}
	if f.image != "" {
		options.Image = f.image
	}
	options.Parallel, options.PassEnv, options.InlineCredentials = f.parallel != 0, f.passEnv, f.inline
	options.Timeout, options.Retries = f.timeout, f.retries
	var w *couler.Workflow
	if src.isYAML {
		w, err = couler.Load(strings.NewReader(src.text), session, options)
	} else {
		w, err = couler.Compile(src.text, session, options)
	}
	if err != nil {
		return nil, src, named(src, err)
	}
	if f.namespace != "" {
		w.Namespace = f.namespace // the command line has the last word, also over a workflow file
	}
	return w, src, nil
}

// named puts the program's name before each of the errors in it.
func named(src source, err error) error {
	var all []string
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			all = append(all, src.name+": "+e.Error())
		}
		return errors.New(strings.Join(all, "\n"))
	}
	return fmt.Errorf("%s: %w", src.name, err)
}

// workers is how many steps docker runs at once.
func (f *workflowFlags) workers() int {
	switch f.parallel {
	case 0:
		return 1
	case atOnce:
		return max(2, runtime.NumCPU())
	}
	return f.parallel
}

// cluster gives the cluster on which an engine's workflows run.
func (f *workflowFlags) cluster(engine couler.Engine) (*workflow.Cluster, error) {
	namespace := f.namespace
	if namespace == "" {
		namespace = f.world.Getenv("SQLFLOW_WF_NAMESPACE")
	}
	c, err := workflow.New(workflow.Options{
		Kubectl: kube.NewRunner(kube.RunnerOptions{
			Path: f.kubectl, Context: f.context, Environ: func() []string { return f.world.Environ },
		}),
		Engine: engine, Namespace: namespace,
	})
	if err != nil {
		return nil, usage("%v", err)
	}
	return c, nil
}

// again writes a workflow command that means the same cluster, as it is typed.
func (f *workflowFlags) again(engine couler.Engine, command string, args ...string) string {
	words := []string{"sqlflow_playground", "workflow", command}
	for _, flag := range []struct{ name, value, otherwise string }{
		{"engine", string(engine), string(couler.Argo)},
		{"namespace", f.namespace, f.world.Getenv("SQLFLOW_WF_NAMESPACE")},
		{"context", f.context, ""},
		{"kubectl", f.kubectl, "kubectl"},
	} {
		switch flag.value {
		case "", cmp.Or(f.world.Getenv(variable(flag.name)), flag.otherwise):
		default:
			words = append(words, "--"+flag.name, shellWord(flag.value))
		}
	}
	return strings.Join(append(words, args...), " ")
}

var plainWord = regexp.MustCompile(`^[\w@%+=:,./-]+$`)

// shellWord writes text as one word of a shell.
func shellWord(text string) string {
	if plainWord.MatchString(text) {
		return text
	}
	return quote.Bash(text)
}

// clusterError gives an error of a cluster its exit code, and says what may help.
func clusterError(err error, engine couler.Engine) error {
	switch {
	case err == nil:
		return nil
	case kube.ReasonOf(err) == kube.Unreachable:
		return &exitError{exitUnreachable, err}
	case workflow.NotInstalled(err):
		return fmt.Errorf("%w\n  %s is not installed in this cluster; --engine names another one", err, engine)
	}
	return err
}
