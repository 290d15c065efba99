package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// Labels and annotations of ours. The first two labels are Kubernetes' recommended ones
// (https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/).
const (
	appLabel      = "app.kubernetes.io/name"
	appName       = "sqlflow-mysql"
	managerLabel  = "app.kubernetes.io/managed-by"
	managerName   = "sqlflow_playground"
	databaseLabel = "sqlflow.org/database" // the name that the three objects share
	templateLabel = "sqlflow.org/template" // templates.Set.Hash
	leavingLabel  = "sqlflow.org/leaving"  // on a pod that is deleted together with others
	poolLabel     = "sqlflow.org/pool"     // on what was made ahead: spare, taken or dropped

	userNote        = "sqlflow.org/user"         // the raw id
	clientNote      = "sqlflow.org/client"       // on the lease: the gateway certificate that asked for it
	serviceNote     = "sqlflow.org/service"      // on the lease: the service's name
	markedNote      = "sqlflow.org/marked"       // on the lease: when a reaper marked it
	releasedNote    = "sqlflow.org/released"     // on the lease: when its pod was taken
	releasedPodNote = "sqlflow.org/released-pod" // on the lease: the uid of that pod
)

// stamp is a time in an object. One that cannot be read is zero and no error: a
// single strange object must not stop the watch for all.
type stamp struct{ time.Time }

func (s *stamp) UnmarshalJSON(text []byte) error {
	s.Time = parseTime(strings.Trim(string(text), `"`))
	return nil
}

func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// microTime is the form of a Lease's times (metav1.MicroTime).
func microTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z07:00") }

// object holds the few fields that we read of a Lease, Service, Pod, PersistentVolumeClaim
// or Status.
type object struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Name              string            `json:"name"`
		UID               string            `json:"uid"`
		ResourceVersion   string            `json:"resourceVersion"`
		CreationTimestamp stamp             `json:"creationTimestamp"`
		DeletionTimestamp stamp             `json:"deletionTimestamp"`
		Labels            map[string]string `json:"labels"`
		Annotations       map[string]string `json:"annotations"`
		OwnerReferences   []owner           `json:"ownerReferences"`
	} `json:"metadata"`
	Spec struct {
		// of a Service
		ClusterIP string `json:"clusterIP"`
		// of a Lease
		RenewTime      stamp  `json:"renewTime"`
		HolderIdentity string `json:"holderIdentity"`
		// of a Pod
		InitContainers []struct{}  `json:"initContainers"`
		Containers     []container `json:"containers"`
	} `json:"spec"`
	Status podStatus `json:"status"`
	// of a Status (an error in a watch)
	Code    int    `json:"code"`
	Message string `json:"message"`
	Reason  string `json:"reason"`
}

// owner is whom an object belongs to; Kubernetes deletes it when its owner is gone.
type owner struct {
	Kind string `json:"kind"`
	UID  string `json:"uid"`
}

type container struct {
	Name  string `json:"name"`
	Image string `json:"image"`
	Env   []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"env"`
}

// podStatus is a pod's; a Status object has text there, which is passed over.
type podStatus struct {
	Phase                 string            `json:"phase"`
	Reason                string            `json:"reason"`
	Message               string            `json:"message"`
	PodIP                 string            `json:"podIP"`
	Conditions            []condition       `json:"conditions"`
	InitContainerStatuses []containerStatus `json:"initContainerStatuses"`
	ContainerStatuses     []containerStatus `json:"containerStatuses"`
}

func (s *podStatus) UnmarshalJSON(text []byte) error {
	if len(text) == 0 || text[0] != '{' {
		return nil
	}
	type plain podStatus
	return json.Unmarshal(text, (*plain)(s))
}

type condition struct {
	Type    string `json:"type"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Since   stamp  `json:"lastTransitionTime"`
}

type containerStatus struct {
	Name         string         `json:"name"`
	RestartCount int            `json:"restartCount"`
	State        containerState `json:"state"`
	LastState    containerState `json:"lastState"`
}

type containerState struct {
	Waiting    *containerTrouble `json:"waiting"`
	Terminated *containerTrouble `json:"terminated"`
	Running    *struct{}         `json:"running"`
}

type containerTrouble struct {
	Reason   string `json:"reason"`
	Message  string `json:"message"`
	ExitCode int    `json:"exitCode"`
}

func (o *object) version() playground.Version {
	return playground.Version{UID: o.Metadata.UID, Resource: o.Metadata.ResourceVersion}
}

// user is the raw id that o's annotation holds. What the cluster says is as hostile as
// what a client says: the id must give the object's own name, or ok is false. Only what
// was made ahead, which a Lease never is, has a name that belongs to nobody: its user is
// "" until it is taken.
func (o *object) user(kind string) (user playground.User, ok bool) {
	id := o.Metadata.Annotations[userNote]
	if kind != "Lease" && isSpare(o.Metadata.Name) {
		if id == "" {
			return "", true
		}
		user, err := playground.ParseUser(id)
		return user, err == nil
	}
	user, err := playground.ParseUser(id)
	return user, err == nil && user.Name() == o.Metadata.Name
}

// owner is the uid of the Lease that o belongs to; "" if it belongs to none.
func (o *object) owner() string {
	for _, each := range o.Metadata.OwnerReferences {
		if each.Kind == "Lease" {
			return each.UID
		}
	}
	return ""
}

// record, pod, service and volume are what is remembered of the objects. The user of
// what was made ahead and is nobody's yet is "".
type record struct {
	user             playground.User
	client           string
	place            string // the name of the pod and the service
	version          playground.Version
	created, used    time.Time
	marked, released time.Time
	releasedPod      string
}

type pod struct {
	user    playground.User
	version playground.Version
	created time.Time
	leaving bool
	ready   bool      // now or ever
	unready time.Time // since when it is not ready, unless it is
	phase   playground.Phase
	reason  string
	unsure  bool
	stage   playground.Stage
	ip      string
	owner   string // uid of the record it belongs to, if any
	hash    string // of the template it was made from
}

type service struct {
	user    playground.User
	version playground.Version
	created time.Time
	ip      string
	owner   string
	dropped bool // a spare that is being removed
}

// volume is a PersistentVolumeClaim.
type volume struct {
	user    playground.User
	version playground.Version
	created time.Time
	name    string
	pending bool // not bound: there is no data in it yet
	leaving bool
}

func recordOf(o *object, user playground.User) *record {
	notes := o.Metadata.Annotations
	r := &record{
		user: user, client: notes[clientNote], place: notes[serviceNote],
		version: o.version(), created: o.Metadata.CreationTimestamp.Time, used: o.Spec.RenewTime.Time,
		marked: parseTime(notes[markedNote]), released: parseTime(notes[releasedNote]), releasedPod: notes[releasedPodNote],
	}
	if r.used.IsZero() {
		r.used = r.created
	}
	if !isSpare(r.place) {
		r.place = user.Name()
	}
	return r
}

// podOf remembers o; before is what was remembered of that name until now, or nil.
func podOf(o *object, user playground.User, before *pod, waitForNodes bool) *pod {
	wasReady := before != nil && before.ready && before.version.UID == o.Metadata.UID
	p := &pod{
		user: user, version: o.version(), created: o.Metadata.CreationTimestamp.Time,
		leaving: !o.Metadata.DeletionTimestamp.IsZero(), ip: o.Status.PodIP, owner: o.owner(),
		hash: o.Metadata.Labels[templateLabel],
	}
	p.phase, p.reason, p.unsure = o.Status.verdict(waitForNodes, wasReady)
	if p.phase == playground.Starting {
		p.stage = o.Status.stage()
	}
	p.ready = wasReady || p.phase == playground.Ready
	p.unready = p.created
	if ready, _ := o.Status.condition("Ready"); ready.Since.After(p.created) {
		p.unready = ready.Since.Time
	}
	return p
}

func serviceOf(o *object, user playground.User) *service {
	ip := o.Spec.ClusterIP
	if ip == "None" {
		ip = ""
	}
	return &service{
		user: user, version: o.version(), created: o.Metadata.CreationTimestamp.Time, ip: ip, owner: o.owner(),
		dropped: o.Metadata.Labels[poolLabel] == poolDropped,
	}
}

func volumeOf(o *object, user playground.User) *volume {
	return &volume{
		user: user, version: o.version(), created: o.Metadata.CreationTimestamp.Time, name: o.Metadata.Name,
		pending: o.Status.Phase != "Bound", leaving: !o.Metadata.DeletionTimestamp.IsZero(),
	}
}

// decodeObjects reads the JSON documents that kubectl prints one after the other for
// -o json; a List among them counts as its items.
func decodeObjects(text io.Reader) ([]*object, error) {
	var all []*object
	documents := json.NewDecoder(text)
	for {
		var doc struct {
			object
			Items []*object `json:"items"`
		}
		switch err := documents.Decode(&doc); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return all, fmt.Errorf("kubectl printed what is no JSON: %w", err)
		}
		if doc.Kind == "List" {
			all = append(all, doc.Items...)
		} else {
			all = append(all, &doc.object)
		}
	}
}

// decodeList reads one list of the API item by item and returns its resource version.
func decodeList(text io.Reader, item func(*object)) (version string, err error) {
	d := json.NewDecoder(text)
	if err := expect(d, json.Delim('{')); err != nil {
		return "", err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return "", listError(err)
		}
		switch key {
		case "metadata":
			var m struct {
				ResourceVersion string `json:"resourceVersion"`
			}
			err = d.Decode(&m)
			version = m.ResourceVersion
		case "items":
			err = decodeItems(d, item)
		default:
			var skipped json.RawMessage
			err = d.Decode(&skipped)
		}
		if err != nil {
			return "", listError(err)
		}
	}
	if err := expect(d, json.Delim('}')); err != nil {
		return "", err
	}
	if version == "" {
		return "", errors.New("kubectl printed a list without a resourceVersion")
	}
	return version, nil
}

func decodeItems(d *json.Decoder, item func(*object)) error {
	switch open, err := d.Token(); {
	case err != nil:
		return err
	case open == nil: // null: there are none
		return nil
	case open != json.Delim('['):
		return errors.New("items is no list")
	}
	for d.More() {
		var o object
		if err := d.Decode(&o); err != nil {
			return err
		}
		item(&o)
	}
	return expect(d, json.Delim(']'))
}

func expect(d *json.Decoder, want json.Delim) error {
	got, err := d.Token()
	if err != nil {
		return listError(err)
	}
	if got != want {
		return fmt.Errorf("kubectl printed what is no list: %v instead of %v", got, want)
	}
	return nil
}

func listError(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("kubectl printed what is no list: %w", err)
}
