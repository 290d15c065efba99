package kube

import (
	"errors"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/templates"
)

// DefaultImage is the image that the Python server ran.
const DefaultImage = "sqlflow/sqlflow:mysql"

// Options are what a [Cluster] needs. Runner, Templates, Namespace, Identity and Log are
// required, the rest has defaults.
type Options struct {
	Runner    *Runner
	Templates *templates.Set
	// Namespace is where the databases live; see [Runner.CurrentNamespace].
	Namespace string
	// Identity names this replica among all that share the namespace.
	Identity string
	Log      logrus.FieldLogger

	Image string // [DefaultImage] if empty
	// PodAddress gives out the address of the pod, which changes with every pod, as the
	// Python server did. By default it is that of the service.
	PodAddress bool
	// WaitForNodes: a pod that fits on no node waits for one (an autoscaler) and has not failed.
	WaitForNodes bool
	// Storage is the size of the volume that a database gets, a quantity such as "2Gi"; empty:
	// data goes with the pod. StorageClass is where volumes come from; empty: the cluster's default.
	Storage, StorageClass string
	// Pool says that databases may be made ahead: see [Cluster.Restock].
	Pool bool
	Now  func() time.Time // time.Now if nil
}

func (o *Options) complete() error {
	switch {
	case o.Runner == nil:
		return errors.New("kube.Options.Runner is missing")
	case o.Templates == nil:
		return errors.New("kube.Options.Templates is missing")
	case o.Namespace == "":
		return errors.New("kube.Options.Namespace is empty")
	case o.Identity == "":
		return errors.New("kube.Options.Identity is empty")
	case o.Log == nil:
		return errors.New("kube.Options.Log is missing")
	}
	if o.Image == "" {
		o.Image = DefaultImage
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return nil
}

// Cluster implements playground.Cluster on Kubernetes.
type Cluster struct {
	o          Options
	hash       string // of the templates
	timing     timing
	view       *view
	claims     *group[claim]
	reads      *group[reading]
	fresh      fresh
	reclaims   *group[playground.User]
	starts     *group[playground.User]
	marks      *group[taking]
	releases   *group[taking]
	removals   *group[removal]
	handings   *group[string]
	promises   promises
	reflectors []*reflector
	told       told
	lead       leadership
}

var _ playground.Cluster = (*Cluster)(nil)

// New makes a Cluster. It does not talk to Kubernetes yet: see [Cluster.Check].
func New(o Options) (*Cluster, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	hash, err := o.Templates.Hash(templates.Database{Image: o.Image, Storage: o.Storage, StorageClass: o.StorageClass})
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		o: o, hash: hash, timing: usualTiming(),
		view: newView(o.PodAddress),
	}
	c.claims = &group[claim]{run: c.claimAll, most: mostTogether}
	c.reads = &group[reading]{run: closed(c.readAll), most: mostTogether}
	c.reclaims = &group[playground.User]{run: closed(c.reclaimAll), most: mostPatched}
	c.starts = &group[playground.User]{run: c.startAll, most: mostTogether}
	c.marks = &group[taking]{run: closed(c.markAll), most: mostPatched}
	c.releases = &group[taking]{run: closed(c.releaseAll), most: mostPatched}
	c.removals = &group[removal]{run: closed(c.removeAll), most: mostTogether}
	c.handings = &group[string]{run: closed(c.handAll), most: mostTogether}
	if o.Pool {
		if err := c.sameForEverybody(); err != nil {
			return nil, err
		}
	}
	selector := url.Values{"labelSelector": {managerLabel + "=" + managerName}}
	kinds := []struct {
		resource resource
		keep     func(*object, playground.User) pieces
	}{
		{c.leases(), func(o *object, u playground.User) pieces { return pieces{record: recordOf(o, u)} }},
		{c.services(), func(o *object, u playground.User) pieces { return pieces{service: serviceOf(o, u)} }},
		{c.pods(), c.keepPod},
		{c.volumes(), func(o *object, u playground.User) pieces { return pieces{volume: volumeOf(o, u)} }},
	}
	if o.Storage == "" {
		kinds = kinds[:3]
	}
	for _, each := range kinds {
		c.reflectors = append(c.reflectors, &reflector{
			resource: each.resource, runner: o.Runner, query: selector, timing: c.timing,
			keep: func(o *object) kept { return c.keep(each.resource.kind, o, each.keep) },
		})
	}
	return c, nil
}

func (c *Cluster) leases() resource {
	return resource{"Lease", "/apis/coordination.k8s.io/v1/namespaces/" + url.PathEscape(c.o.Namespace) + "/leases"}
}

func (c *Cluster) services() resource {
	return resource{"Service", "/api/v1/namespaces/" + url.PathEscape(c.o.Namespace) + "/services"}
}

func (c *Cluster) pods() resource {
	return resource{"Pod", "/api/v1/namespaces/" + url.PathEscape(c.o.Namespace) + "/pods"}
}

func (c *Cluster) volumes() resource {
	return resource{"PersistentVolumeClaim", "/api/v1/namespaces/" + url.PathEscape(c.o.Namespace) + "/persistentvolumeclaims"}
}

// keep remembers o if it is truly one of ours.
func (c *Cluster) keep(kind string, o *object, as func(*object, playground.User) pieces) kept {
	k := kept{name: o.Metadata.Name}
	user, ok := o.user(kind)
	if !ok {
		c.tellOnce(o.Metadata.UID, "%s %.80q carries our label but not the user its name was made from; it is left alone", kind, o.Metadata.Name)
		return k
	}
	k.pieces = as(o, user)
	return k
}

func (c *Cluster) keepPod(o *object, user playground.User) pieces {
	before := c.view.standing(o.Metadata.Name)
	return pieces{pod: podOf(o, user, before.pod, c.o.WaitForNodes)}
}

// told remembers what was warned of already, for a bounded number of objects.
type told struct {
	mu  sync.Mutex
	ids map[string]bool
}

func (c *Cluster) tellOnce(uid, format string, args ...any) {
	const most = 1000
	c.told.mu.Lock()
	defer c.told.mu.Unlock()
	if c.told.ids[uid] || len(c.told.ids) >= most {
		return
	}
	if c.told.ids == nil {
		c.told.ids = make(map[string]bool)
	}
	c.told.ids[uid] = true
	c.o.Log.Warnf(format, args...)
}

// isOurs compares label and raw id.
func (c *Cluster) isOurs(o *object, user playground.User) bool {
	return o != nil && o.Metadata.Labels[managerLabel] == managerName && o.Metadata.Annotations[userNote] == string(user)
}

// labels are those of all objects of that name.
func (c *Cluster) labels(name string) map[string]string {
	return map[string]string{appLabel: appName, managerLabel: managerName, databaseLabel: name}
}

// outOfReach makes of err what playground.Cluster promises: the cluster cannot be
// reached, or it refuses for good.
func outOfReach(err error) error {
	var known *playground.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	switch ReasonOf(err) {
	case Forbidden, Invalid, BadRequest:
		return refused(firstWords(err), err)
	}
	return &playground.Error{Code: playground.Unavailable, Message: "the cluster cannot be reached", Err: err}
}

func refused(message string, err error) error {
	return &playground.Error{Code: playground.CannotStart, Message: message, Err: err}
}

// firstWords are Kubernetes' own words in err.
func firstWords(err error) string {
	var e *Error
	if errors.As(err, &e) && e.Message != "" {
		return words("", strings.Join(strings.Fields(e.Message), " "))
	}
	return "Kubernetes refused it"
}
