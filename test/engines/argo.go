package engines

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"sqlflow.org/sqlflow_playground/test/bed"
	"sqlflow.org/sqlflow_playground/test/programs"
)

// argoConfiguration is Argo's namespace and the ConfigMap that its controller
// does not start without. Argo's defaults hold, but for the metrics, which
// are off since their port is fixed.
const argoConfiguration = `
apiVersion: v1
kind: Namespace
metadata: {name: argo}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: workflow-controller-configmap, namespace: argo}
data:
  metricsConfig: |
    enabled: false
  telemetryConfig: |
    enabled: false
`

// InstallArgo puts Argo's workflow controller on a cluster with a real node.
// Cold, its programs take minutes to build. The pods of steps need what
// AllowSteps gives them.
func InstallArgo(ctx context.Context, b *bed.Bed, logf func(format string, args ...any)) (*Engine, error) {
	executor := "sqlflow/argoexec:" + programs.ArgoVersion
	return install(ctx, b, recipe{
		name:   "argo",
		family: programs.Argo(),
		images: []program{{Name: "argoexec", Image: executor, Path: "/bin/argoexec"}},
		apply: func(dir string) ([][]string, error) {
			configuration := b.Extra("argo.yaml")
			if err := os.WriteFile(configuration, []byte(argoConfiguration), 0o644); err != nil {
				return nil, err
			}
			return [][]string{
				{"--kustomize=" + filepath.Join(dir, "manifests/base/crds/minimal")},
				{"--filename=" + configuration},
			}, nil
		},
		command: func(dir string) (command, error) {
			return command{
				path: filepath.Join(dir, "workflow-controller"),
				args: []string{
					"--kubeconfig=" + b.Kubeconfig(), "--namespace=argo",
					"--executor-image=" + executor, "--executor-image-pull-policy=IfNotPresent",
				},
				env: []string{
					"LEADER_ELECTION_DISABLE=true",
					// How long after a change of its pods a workflow is looked at: ten seconds
					// by default, which suits clusters with thousands of them.
					"DEFAULT_REQUEUE_TIME=1s",
				},
				// The port is fixed in its source.
				ready: "http://" + net.JoinHostPort("127.0.0.1", "6060") + "/healthz",
			}, nil
		},
	}, logf)
}

// AllowSteps lets the pods that run as a service account tell Argo how their
// step ended, as Argo's documentation asks of every namespace with workflows
// ("Workflow RBAC").
func AllowSteps(ctx context.Context, b *bed.Bed, namespace, account string) error {
	manifest := fmt.Sprintf(`
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: argo-executor, namespace: %[1]q}
rules:
- {apiGroups: [argoproj.io], resources: [workflowtaskresults], verbs: [create, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: "argo-executor-%[2]s", namespace: %[1]q}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: argo-executor}
subjects:
- {kind: ServiceAccount, name: %[2]q, namespace: %[1]q}
`, namespace, account)
	if _, err := b.Kubectl(ctx, strings.NewReader(manifest), "apply", "--filename=-"); err != nil {
		return fmt.Errorf("allow steps of %s/%s: %w", namespace, account, err)
	}
	return nil
}
