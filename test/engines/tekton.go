package engines

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"

	"sqlflow.org/sqlflow_playground/test/bed"
	"sqlflow.org/sqlflow_playground/test/images"
	"sqlflow.org/sqlflow_playground/test/programs"
)

// InstallTekton puts the controller of Tekton Pipelines on a cluster with a
// real node. Its webhook is left out: it fills in defaults, which the
// controller does as well, and refuses what is not valid before it is stored,
// which the tests of ../tekton ask of the same code. Cold, the programs take
// minutes to build.
func InstallTekton(ctx context.Context, b *bed.Bed, logf func(format string, args ...any)) (*Engine, error) {
	name := func(program string) string { return "sqlflow/tekton-" + program + ":" + programs.TektonVersion }
	var inPods []program
	for _, p := range []string{"entrypoint", "nop", "workingdirinit"} {
		inPods = append(inPods, program{Name: p, Image: name(p), Path: "/ko-app/" + p})
	}
	return install(ctx, b, recipe{
		name:   "tekton",
		family: programs.Tekton(),
		images: inPods,
		apply: func(dir string) ([][]string, error) {
			maps, err := filepath.Glob(filepath.Join(dir, "config", "config-*.yaml"))
			if err != nil || len(maps) == 0 {
				return nil, fmt.Errorf("no configuration in %s (%v)", dir, err)
			}
			var configuration []string
			for _, name := range maps {
				configuration = append(configuration, "--filename="+name)
			}
			return [][]string{
				{"--filename=" + filepath.Join(dir, "config/100-namespace")},
				{"--filename=" + filepath.Join(dir, "config/300-crds")},
				configuration,
			}, nil
		},
		command: func(dir string) (command, error) {
			ports, err := bed.FreePorts(3)
			if err != nil {
				return command{}, err
			}
			return command{
				path: filepath.Join(dir, "controller"),
				args: []string{
					"-kubeconfig=" + b.Kubeconfig(), "-disable-ha",
					"-entrypoint-image=" + name("entrypoint"), "-nop-image=" + name("nop"),
					"-workingdirinit-image=" + name("workingdirinit"),
					// What scripts are put in place with; any image with a shell will do.
					"-shell-image=" + images.StepName,
					// Not used: results by sidecar are an alpha feature, Windows is not here.
					"-sidecarlogresults-image=none", "-shell-image-win=none",
				},
				env: []string{
					"SYSTEM_NAMESPACE=tekton-pipelines", "METRICS_DOMAIN=tekton.dev/pipeline",
					"CONFIG_DEFAULTS_NAME=config-defaults", "CONFIG_LOGGING_NAME=config-logging",
					"CONFIG_OBSERVABILITY_NAME=config-observability", "CONFIG_FEATURE_FLAGS_NAME=feature-flags",
					"CONFIG_LEADERELECTION_NAME=config-leader-election-controller", "CONFIG_SPIRE=config-spire",
					"PROBES_PORT=" + strconv.Itoa(ports[0]), "METRICS_PROMETHEUS_PORT=" + strconv.Itoa(ports[1]),
					"PROFILING_PORT=" + strconv.Itoa(ports[2]),
				},
				ready: "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0])) + "/readiness",
			}, nil
		},
	}, logf)
}
