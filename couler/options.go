package couler

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Options say how steps run. The zero value is usable; OptionsFromEnv reads
// SQLFlow's variables.
type Options struct {
	// Name is the workflow's; "sqlflow-" when empty.
	Name string
	// Image is for steps that name none; "sqlflow/sqlflow" when empty.
	// (SQLFLOW_WORKFLOW_STEP_IMAGE)
	Image string
	// TTL is how long the cluster keeps a finished workflow; 0 is until
	// somebody deletes it. (SQLFLOW_WORKFLOW_TTL, a day when unset)
	TTL time.Duration
	// Timeout bounds the workflow; 0 is no bound. Retries is how many times
	// more a failing step is tried.
	Timeout time.Duration
	Retries int
	// Resources are requests and limits of every step.
	// (SQLFLOW_WORKFLOW_RESOURCES)
	Resources map[string]string
	// SecretName is a Secret in the cluster, each of its keys in
	// SecretValues becoming a variable of every step. The values are not
	// sent to a cluster, where the Secret must be; the other engines use
	// them. (SQLFLOW_WORKFLOW_SECRET)
	SecretName   string
	SecretValues map[string]Credential
	// LogFile and ExitWait are Workflow's.
	// (SQLFLOW_WORKFLOW_STEP_LOG_FILE, SQLFLOW_WORKFLOW_EXIT_TIME_WAIT)
	LogFile  string
	ExitWait time.Duration

	// Environ are our own variables with the prefix SQLFLOW_ that are no
	// options. Steps get the few that they need, or with PassEnv all.
	Environ map[string]Credential
	PassEnv bool

	// Parallel lets a step run as soon as those it depends on have ended,
	// and not only after the step before.
	Parallel bool
	// Credentials is the name of the Secret made for the workflow;
	// "sqlflow-session" when empty. InlineCredentials puts what it would
	// carry into the YAML instead.
	Credentials       string
	InlineCredentials bool
}

const (
	defaultImage       = "sqlflow/sqlflow"
	defaultName        = "sqlflow-"
	defaultTTL         = 24 * time.Hour
	defaultCredentials = "sqlflow-session"

	optionPrefix = "SQLFLOW_WORKFLOW_"
)

// OptionsFromEnv reads options from an environment of NAME=value lines, by the
// names and with the defaults of SQLFlow (go/workflow/couler/codegen.go). Every
// value that cannot be is reported with its name, joined; the value itself is
// not told where it may be secret.
func OptionsFromEnv(environ []string) (Options, error) {
	env := environment(environ)
	o := Options{
		Image:   env[optionPrefix+"STEP_IMAGE"],
		LogFile: env[optionPrefix+"STEP_LOG_FILE"],
		TTL:     defaultTTL,
		Environ: map[string]Credential{},
	}
	var problems []error
	read := func(name string, into func(value string) error) {
		if value := env[optionPrefix+name]; value != "" {
			if err := into(value); err != nil {
				problems = append(problems, fmt.Errorf("%s%s: %w", optionPrefix, name, err))
			}
		}
	}
	read("TTL", func(value string) (err error) { o.TTL, err = wholeSeconds(value); return err })
	read("EXIT_TIME_WAIT", func(value string) (err error) { o.ExitWait, err = wholeSeconds(value); return err })
	read("STEP_LOG_FILE", func(value string) error {
		if !cleanPath(value) || strings.HasSuffix(value, "/") {
			return fmt.Errorf("%.80q is no absolute path of a file", value)
		}
		return nil
	})
	read("RESOURCES", func(value string) (err error) { o.Resources, err = readResources(value); return err })
	read("SECRET", func(value string) (err error) { o.SecretName, o.SecretValues, err = readSecret(value); return err })
	read("CLUSTER_CONFIG", func(string) error {
		return errors.New("a Python file that changes the workflow is not run here; unset it, and say what is needed in a workflow file")
	})
	for name, value := range env {
		if strings.HasPrefix(name, "SQLFLOW_") && !strings.HasPrefix(name, optionPrefix) && variableName.MatchString(name) {
			o.Environ[name] = Credential(value)
		}
	}
	if len(problems) > 0 {
		return Options{}, errors.Join(problems...)
	}
	return o, nil
}

func wholeSeconds(value string) (time.Duration, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 || n > maxSecond {
		return 0, fmt.Errorf("%.80q should be a whole number of seconds", value)
	}
	return time.Duration(n) * time.Second, nil
}

// readResources reads {"cpu": "100m", "memory": "32Mi"}; a number stands for
// itself.
func readResources(value string) (map[string]string, error) {
	var raw map[string]any
	if err := strictJSON(value, &raw); err != nil {
		return nil, fmt.Errorf(`it should be a JSON object like {"memory": "32Mi", "cpu": "100m"}: %w`, err)
	}
	resources := make(map[string]string, len(raw))
	for name, v := range raw {
		text, ok := scalarText(v)
		if !ok || !quantity.MatchString(text) || !metadataKey.MatchString(name) {
			return nil, fmt.Errorf("%.80q: %.80q is no quantity like 500m, 2 or 4Gi", name, text)
		}
		resources[name] = text
	}
	return resources, nil
}

// readSecret reads {"name": {"key": "value"}}. Its errors tell no values.
func readSecret(value string) (string, map[string]Credential, error) {
	var raw map[string]map[string]any
	if strictJSON(value, &raw) != nil || len(raw) != 1 {
		return "", nil, errors.New(`it should be a JSON object with one secret, like {"name": {"key": "value"}}`)
	}
	values := map[string]Credential{}
	for name, keys := range raw {
		if !bounded(name, subdomain, 253) {
			return "", nil, fmt.Errorf("%.80q is no name of a secret", name)
		}
		for key, v := range keys {
			text, ok := scalarText(v)
			if !variableName.MatchString(key) || !ok {
				return "", nil, fmt.Errorf("the key %.80q must be a name of an environment variable, and its value a text", key)
			}
			values[key] = Credential(text)
		}
		return name, values, nil
	}
	return "", nil, nil
}

func strictJSON(value string, into any) error {
	d := json.NewDecoder(bytes.NewReader([]byte(value)))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more follows it")
	}
	return nil
}

func scalarText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), regexp.MustCompile(`^[0-9.]+$`).MatchString(v.String())
	}
	return "", false
}
