package command

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/couler/program"
	"sqlflow.org/sqlflow_playground/handlers"
	"sqlflow.org/sqlflow_playground/internal/metrics"
	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/kube"
	"sqlflow.org/sqlflow_playground/kube/workflow"
)

// userNote is the annotation of a workflow that holds the raw id of its user.
const userNote = "sqlflow.org/user"

// programs runs the programs of clients on the engines of a cluster, and nowhere else.
// It keeps nothing: whose a workflow is stands on the workflow.
type programs struct {
	engines  []couler.Engine // as --workflow_engines names them
	clusters map[couler.Engine]*workflow.Cluster
	session  couler.Session
	options  couler.Options
	image    string   // of steps that name none
	allowed  []string // patterns of the images that statements may name
}

var _ handlers.Workflows = (*programs)(nil)

// newPrograms makes what --workflow_engines asks for, and checks that the engines are
// there; nil when there are none.
func newPrograms(ctx context.Context, s *settings, recorder *metrics.Recorder) (handlers.Workflows, error) {
	if len(s.workflowEngines) == 0 {
		return nil, nil
	}
	options, err := couler.OptionsFromEnv(s.environ)
	if err != nil {
		return nil, usage("%v", err)
	}
	// A runner of their own: however many programs there are, databases do not wait.
	runner := kube.NewRunner(kube.RunnerOptions{
		Path: s.kubectl, Context: s.context, Namespace: s.namespace, Most: mostKubectl,
		Observe: func(verb, result string, took time.Duration) { recorder.Kubectl(verb, result, took.Seconds()) },
	})
	session := couler.Session{Namespace: s.workflowNamespace, ServiceAccount: s.workflowServiceAccount}
	if session.Namespace == "" {
		if session.Namespace, err = runner.CurrentNamespace(ctx); err != nil {
			return nil, err
		}
	}
	p, err := makePrograms(boundKubectl(runner), s.workflowEngines, session, options, s.allowImage, workflow.LogView{
		Endpoint:    World{Environ: s.environ}.Getenv("SQLFLOW_WORKFLOW_LOGVIEW_ENDPOINT"),
		DTMEndpoint: World{Environ: s.environ}.Getenv("SQLFLOW_WORKFLOW_LOGVIEW_DTM_ENDPOINT"),
	})
	if err != nil {
		return nil, err
	}
	for _, engine := range p.engines {
		if _, err := p.clusters[engine].List(ctx, false); err != nil {
			return nil, fmt.Errorf("--workflow_engines: %w", clusterError(err, engine))
		}
	}
	return p, nil
}

func makePrograms(kubectl workflow.Kubectl, engines []string, session couler.Session, options couler.Options, allowed []string, view workflow.LogView) (*programs, error) {
	p := &programs{clusters: map[couler.Engine]*workflow.Cluster{}, session: session, options: options, allowed: allowed}
	for _, name := range engines {
		engine, err := couler.ParseEngine(name)
		if err != nil {
			return nil, usage("--workflow_engines: %v", err)
		}
		c, err := workflow.New(workflow.Options{Kubectl: kubectl, Engine: engine, Namespace: session.Namespace, LogView: view})
		if err != nil {
			return nil, usage("--workflow_engines: %v", err)
		}
		if !slices.Contains(p.engines, engine) {
			p.engines, p.clusters[engine] = append(p.engines, engine), c
		}
	}
	for _, pattern := range allowed {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			return nil, usage("--allow_image: %q is no pattern like registry.example.com/models/*", pattern)
		}
	}
	plain, err := couler.Compile("SELECT 1;", session, options)
	if err != nil {
		return nil, usage("the settings of workflows: %v", err)
	}
	p.image = plain.Steps[0].Image
	return p, nil
}

// prefix begins the names of an engine's workflows, so that an id says where it is.
func prefix(engine couler.Engine) string { return "sqlflow-" + string(engine) + "-" }

// Check implements [handlers.Workflows].
func (p *programs) Check(of handlers.Program) error {
	_, _, err := p.compile(of)
	return err
}

func (p *programs) compile(of handlers.Program) (*couler.Workflow, couler.Engine, error) {
	engine := p.engines[0]
	if of.Engine != "" {
		engine = couler.Engine(of.Engine)
		if !slices.Contains(p.engines, engine) {
			return nil, "", playground.Errorf(playground.BadRequest, "the engine %.80q is not served here; it must be %s", of.Engine, alternatives(p.engines))
		}
	}
	if err := p.checkImages(of.SQL); err != nil {
		return nil, "", mistake(err)
	}
	session, options := p.session, p.options
	session.UserID, session.DataSource = string(of.User), couler.Credential(of.DataSource)
	options.Parallel, options.Name = of.Parallel, prefix(engine)
	w, err := couler.Compile(of.SQL, session, options)
	if err != nil {
		return nil, "", mistake(err)
	}
	w.Annotations = map[string]string{userNote: string(of.User)}
	if _, err := w.Emit(engine); err != nil {
		return nil, "", mistake(err)
	}
	return w, engine, nil
}

func alternatives(engines []couler.Engine) string {
	names := make([]string, len(engines))
	for i, e := range engines {
		names[i] = string(e)
	}
	return strings.Join(names, " or ")
}

// checkImages refuses statements whose image is not allowed, each at its place. Images
// that a statement does not name itself are the default, or that of an earlier TO TRAIN.
func (p *programs) checkImages(sql string) error {
	statements, err := program.Parse(sql)
	if err != nil {
		return err
	}
	var all program.Errors
	for _, s := range statements {
		if s.Image == "" || p.allows(s.Image) {
			continue
		}
		at := s.Offset
		if behind := min(len(s.Select), len(s.Text)); strings.Contains(s.Text[behind:], s.Image) {
			at += behind + strings.Index(s.Text[behind:], s.Image)
		}
		all = append(all, program.NewError(sql, at, fmt.Sprintf("the image %.200q is not allowed here", s.Image), p.hint()))
	}
	if len(all) > 0 {
		return all
	}
	return nil
}

func (p *programs) hint() string {
	return "allowed: " + strings.Join(append([]string{p.image}, p.allowed...), ", ")
}

func (p *programs) allows(image string) bool {
	return image == p.image || slices.ContainsFunc(p.allowed, func(pattern string) bool {
		ok, err := path.Match(pattern, image)
		return ok && err == nil
	})
}

// Submit implements [handlers.Workflows].
func (p *programs) Submit(ctx context.Context, of handlers.Program) (string, error) {
	w, engine, err := p.compile(of)
	if err != nil {
		return "", err
	}
	run, err := p.clusters[engine].Submit(ctx, w)
	if err != nil {
		return "", mistake(err)
	}
	return run.Name, nil
}

// Find implements [handlers.Workflows]. Workflows that were not submitted here are not
// found: nobody knows whose they are.
func (p *programs) Find(ctx context.Context, id string) (handlers.Workflow, error) {
	at := slices.IndexFunc(p.engines, func(e couler.Engine) bool { return strings.HasPrefix(id, prefix(e)) })
	if at < 0 {
		return nil, notFound(id)
	}
	cluster := p.clusters[p.engines[at]]
	status, notes, err := cluster.Annotated(ctx, id)
	if err != nil {
		return nil, mistake(err)
	}
	user, err := playground.ParseUser(notes[userNote])
	if err != nil {
		return nil, notFound(id)
	}
	return &found{cluster: cluster, status: status, user: user}, nil
}

func notFound(id string) error {
	return playground.Errorf(handlers.NotFound, "there is no workflow %.80q", id)
}

// ofKubectl tells troubles on the way to the cluster from what a workflow has to say.
func ofKubectl(err error) bool {
	_, ok := errors.AsType[*kube.Error](err)
	return ok || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// mistake gives an error the code under which a client hears of it.
func mistake(err error) error {
	const longest = 16 << 10 // a program may have a mistake in each of its statements
	_, inProgram := errors.AsType[*program.Error](err)
	_, inWorkflow := errors.AsType[*couler.Problem](err)
	switch reason := kube.ReasonOf(err); {
	case inProgram || inWorkflow:
		text := err.Error()
		if len(text) > longest {
			text = strings.ToValidUTF8(text[:longest], "") + "..."
		}
		return playground.Errorf(playground.BadRequest, "%s", text)
	case errors.Is(err, workflow.ErrNotFound):
		return &playground.Error{Code: handlers.NotFound, Message: "there is no such workflow", Err: err}
	case reason == kube.Unreachable || reason == kube.Busy || reason == kube.Timeout || errors.Is(err, context.DeadlineExceeded):
		return &playground.Error{Code: playground.Unavailable, Message: "the cluster does not answer now", Err: err}
	}
	return err
}
