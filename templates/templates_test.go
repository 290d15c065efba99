package templates_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sqlflow.org/sqlflow_playground/templates"
)

func sample(user string) templates.Database {
	labels := map[string]string{"app.kubernetes.io/name": "sqlflow-mysql", "sqlflow.org/database": "sqlflow-mysql-a"}
	return templates.Database{
		Name: "sqlflow-mysql-a", Namespace: "class", User: user, Image: "sqlflow/sqlflow:mysql", Labels: labels,
		Annotations: map[string]string{"sqlflow.org/user": user},
		Selector:    map[string]string{"sqlflow.org/database": "sqlflow-mysql-a"},
	}
}

func load(t testing.TB, dir string) *templates.Set {
	t.Helper()
	set, err := templates.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

type object struct {
	Kind     string
	Metadata struct {
		Name, Namespace     string
		Labels, Annotations map[string]string
	}
	Spec map[string]any
}

func decode(t testing.TB, doc []byte, err error) object {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var o object
	if err := json.Unmarshal(doc, &o); err != nil {
		t.Fatalf("%v in %s", err, doc)
	}
	return o
}

func TestBuiltInPodAndServiceAreWhatTheOriginalMade(t *testing.T) {
	t.Parallel()
	set, d := load(t, ""), sample("a")

	doc, err := set.Pod(d)
	pod := decode(t, doc, err)
	if pod.Kind != "Pod" || pod.Metadata.Name != d.Name || pod.Metadata.Namespace != "class" || !maps.Equal(pod.Metadata.Labels, d.Labels) {
		t.Errorf("the pod is %+v", pod)
	}
	for _, want := range []string{
		`"image":"sqlflow/sqlflow:mysql"`, `"imagePullPolicy":"IfNotPresent"`, `{"name":"MYSQL_HOST","value":"0.0.0.0"}`,
		`{"name":"MYSQL_PORT","value":"3306"}`, `"startupProbe":{"exec":{"command":["cat","/work/mysql-inited"]},"periodSeconds":1,"timeoutSeconds":5,"failureThreshold":900}`,
		`"automountServiceAccountToken":false`, `"enableServiceLinks":false`, `"allowPrivilegeEscalation":false`,
		`"drop":["ALL"]`, `"seccompProfile":{"type":"RuntimeDefault"}`, `"limits":{`, `"requests":{`,
	} {
		if !strings.Contains(string(doc), want) {
			t.Errorf("the pod lacks %s:\n%s", want, doc)
		}
	}
	if strings.Contains(string(doc), "readinessProbe") {
		t.Errorf("a ready database is asked for ever whether it is ready:\n%s", doc)
	}

	doc, err = set.Service(d)
	service := decode(t, doc, err)
	if service.Kind != "Service" || !strings.Contains(string(doc), `"selector":{"sqlflow.org/database":"sqlflow-mysql-a"}`) || service.Spec["type"] != "ClusterIP" {
		t.Errorf("the service is %s", doc)
	}
}

func TestHostileUsersStayPlainValues(t *testing.T) {
	t.Parallel()
	set := load(t, "")
	for _, user := range []string{
		`"`, `\`, "a\nb", "a\r\nspec: {hostNetwork: true}", "\x00", "\x7f", "\u0085", "\u2028", "\ufeff", "\ufffe", "\u202e", "😀",
		"$(reboot)", "../..", "{{ .Name }}", "- a", "no", "null", "1e3", "2001-01-01", "<<", "*a", "&a", "!!binary a", strings.Repeat("ü", 512),
	} {
		for kind, render := range map[string]func(templates.Database) ([]byte, error){"Pod": set.Pod, "Service": set.Service} {
			doc, err := render(sample(user))
			o := decode(t, doc, err)
			if o.Kind != kind || o.Metadata.Annotations["sqlflow.org/user"] != user {
				t.Errorf("%q became %s %q", user, o.Kind, o.Metadata.Annotations["sqlflow.org/user"])
			}
		}
	}
}

func TestTextThatIsNoUTF8IsRefused(t *testing.T) {
	t.Parallel()
	if doc, err := load(t, "").Pod(sample("a\xff")); err == nil {
		t.Errorf("rendered %s", doc)
	}
}

func TestStorage(t *testing.T) {
	t.Parallel()
	set, d := load(t, ""), sample("a")
	d.VolumeClaim, d.Storage = "sqlflow-mysql-a", "2Gi"
	doc, err := set.Volume(d)
	volume := decode(t, doc, err)
	if text, _ := json.Marshal(volume.Spec); volume.Kind != "PersistentVolumeClaim" || string(text) != `{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"2Gi"}}}` {
		t.Errorf("the volume is %s", doc)
	}
	d.StorageClass = "fast"
	doc, err = set.Volume(d)
	if class := decode(t, doc, err).Spec["storageClassName"]; class != "fast" {
		t.Errorf("the storage class is %v", class)
	}
	doc, err = set.Pod(d)
	if decode(t, doc, err); !strings.Contains(string(doc), `"persistentVolumeClaim":{"claimName":"sqlflow-mysql-a"}`) {
		t.Errorf("the pod mounts nothing: %s", doc)
	}

	// A template that mounts no volume is good as long as there are none.
	dir := t.TempDir()
	write(t, dir, "mysql_pod.yaml", change(t, "mysql_pod.yaml", "{{- if .VolumeClaim }}\n  volumes:", "{{- if false }}\n  volumes:"))
	own := load(t, dir)
	if _, err := own.Pod(sample("a")); err != nil {
		t.Error(err)
	}
	if _, err := own.Hash(templates.Database{Image: "a", Storage: "1Gi"}); err == nil || !strings.Contains(err.Error(), "mysql_pod.yaml") || !strings.Contains(err.Error(), "--storage") {
		t.Errorf("a pod without the volume: %v", err)
	}
}

func TestHashFollowsImageAndTemplatesOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "mysql_pod.yaml", change(t, "mysql_pod.yaml", "memory: 1Gi", "memory: 2Gi"))
	hash := func(set *templates.Set, image string) string {
		h, err := set.Hash(templates.Database{Image: image})
		if err != nil || len(h) != 16 {
			t.Fatalf("hash %q, %v", h, err)
		}
		return h
	}
	base := hash(load(t, ""), "a")
	stored, err := load(t, "").Hash(templates.Database{Image: "a", Storage: "1Gi"})
	if err != nil || stored == base {
		t.Errorf("with storage: %s, %v", stored, err)
	}
	if hash(load(t, ""), "a") != base || hash(load(t, ""), "b") == base || hash(load(t, dir), "a") == base {
		t.Error("the hash does not follow what is made")
	}
}

// change is the built-in template name with old replaced by new, everywhere.
func change(t testing.TB, name, old, new string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%s does not contain %q", name, old)
	}
	return strings.ReplaceAll(string(text), old, new)
}

func write(t testing.TB, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestBadTemplatesStopTheStartWithFileAndLine(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, file, old, new, want string
	}{
		{"unknown function", "mysql_pod.yaml", "quote .Image", "env .Image", `mysql_pod.yaml:30: function "env" not defined`},
		{"clock", "mysql_pod.yaml", "quote .Image", "now | quote", `mysql_pod.yaml:30: function "now" not defined`},
		{"randomness", "mysql_pod.yaml", "quote .Image", "randAlpha 3 | quote", `mysql_pod.yaml:30: function "randAlpha" not defined`},
		{"unknown value", "mysql_pod.yaml", "quote .Image", "quote .Imago", `mysql_pod.yaml:54:22: executing`},
		{"unknown label", "mysql_pod.yaml", "quote .Labels", "quote .Labels.team", `mysql_pod.yaml:10:`},
		{"no quote", "mysql_pod.yaml", "quote .Image", ".Image", `mysql_pod.yaml:30:16: {{.Image}} is printed without quote`},
		{"no quote in a branch", "mysql_pod.yaml", "{{ quote .Image }}", "{{ if true }}x{{ else }}{{ .Image }}{{ end }}", `is printed without quote`},
		{"quotes around quote", "mysql_pod.yaml", "{{ quote .Namespace }}", `"{{ quote .Namespace }}"`, `mysql_pod.yaml: rendered line `},
		{"no YAML", "mysql_pod.yaml", "containers:", "containers: }", `mysql_pod.yaml: rendered line `},
		{"a tab", "mysql_pod.yaml", "  containers:", "\tcontainers:", `mysql_pod.yaml: rendered line `},
		{"two documents", "mysql_service.yaml", "spec:", "---\nspec:", `a second document starts here`},
		{"other kind", "mysql_pod.yaml", "kind: Pod", "kind: Deployment", `mysql_pod.yaml: rendered line 6: kind is "Deployment" and must be "Pod"`},
		{"other name", "mysql_pod.yaml", "quote .Name }", `quote "db" }`, `metadata.name is "db"`},
		{"other namespace", "mysql_pod.yaml", "quote .Namespace", `quote "kube-system"`, `metadata.namespace is "kube-system"`},
		{"no labels", "mysql_pod.yaml", "labels: {{ quote .Labels }}", "", `metadata.labels.`},
		{"no user", "mysql_pod.yaml", "annotations: {{ quote .Annotations }}", "", `metadata.annotations.`},
		{"other image", "mysql_pod.yaml", "{{ quote .Image }}", "mysql:8", `no container has the image`},
		{"no selector", "mysql_service.yaml", "selector: {{ quote .Selector }}", "", `spec.selector.`},
		{"other port", "mysql_service.yaml", "port: 3306", "port: 3307", `no port is 3306`},
		{"key twice", "mysql_pod.yaml", "  enableServiceLinks: false", "  enableServiceLinks: false\n  enableServiceLinks: true", `"enableServiceLinks" is there twice`},
		{"alias", "mysql_pod.yaml", `value: "0.0.0.0"`, "value: *x", `unknown anchor`},
		{"structure by user", "mysql_pod.yaml", "spec:", "spec:\n  hostNetwork: true{{ if eq .User \"1\" }}\n  hostPID: true{{ end }}", `the structure depends on the user's id here (user "1")`},
		{"empty", "mysql_service.yaml", "", "", `mysql_service.yaml: nothing is rendered`},
		{"endless", "mysql_service.yaml", "spec:", "{{ define \"x\" }}aaaaaaaaaaaaaaaaaaaaaaaaaaaa{{ template \"x\" }}{{ end }}{{ template \"x\" }}\nspec:", `mysql_service.yaml:`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir, text := t.TempDir(), ""
			if test.old != "" {
				text = change(t, test.file, test.old, test.new)
			}
			write(t, dir, test.file, text)
			_, err := templates.Load(dir)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("got %v, want ... %s ...", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
		})
	}
}

func TestFolderOfTemplates(t *testing.T) {
	t.Parallel()
	t.Run("missing", func(t *testing.T) {
		t.Parallel()
		if _, err := templates.Load(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "--template_dir") {
			t.Errorf("of a folder that is not there: %v", err)
		}
	})
	t.Run("misspelt", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		write(t, dir, "mysql-pod.yaml", "")
		if _, err := templates.Load(dir); err == nil || !strings.Contains(err.Error(), "mysql-pod.yaml replaces no template") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("one replaced", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		write(t, dir, "mysql_pod.yaml", change(t, "mysql_pod.yaml", "cpu: 50m", `cpu: {{ ternary "2" "1" (hasPrefix "a" .User) | quote }}`))
		doc, err := load(t, dir).Pod(sample("a"))
		decode(t, doc, err)
		if !strings.Contains(string(doc), `"cpu":"2"`) {
			t.Errorf("not replaced: %s", doc)
		}
	})
}

func FuzzUserStaysAValue(f *testing.F) {
	for _, s := range []string{"a", "\"", "a: b\n", "\u2028", "{{", "😀", "\x00"} {
		f.Add(s)
	}
	set := load(f, "")
	f.Fuzz(func(t *testing.T, user string) {
		for _, render := range []func(templates.Database) ([]byte, error){set.Pod, set.Service} {
			doc, err := render(sample(user))
			if err != nil {
				if strings.ToValidUTF8(user, "") == user {
					t.Errorf("%q: %v", user, err)
				}
				return
			}
			if got := decode(t, doc, nil).Metadata.Annotations["sqlflow.org/user"]; got != user {
				t.Errorf("%q became %q", user, got)
			}
		}
	})
}
