package command

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/keytool"
)

// settings are the server's flags.
type settings struct {
	port                             int
	host, adminAddr                  string
	caCrt, serverKey, serverCrt, crl string
	oldCerts                         string
	backend, namespace, context      string
	kubectl, templateDir, image      string
	dbAddress, logFormat, logLevel   string
	waitForNodes                     bool
	workflowEngines, allowImage      []string
	workflowNamespace                string
	workflowServiceAccount           string
	storage, storageClass            string
	environ                          []string // of SQLFLOW_WORKFLOW_..., which say how steps run
	manager                          playground.Options
}

// The values that --backend, --db_address and --old_certs know.
const (
	backendKubectl  = "kubectl"
	backendEmbedded = "embedded"
	addressService  = "service"
	addressPod      = "pod"
	oldCertsAllow   = "allow"
	oldCertsDeny    = "deny"
)

// defaultEmbedded is how many databases one process should hold.
const defaultEmbedded = 50

// storedIdleTimeout is the default of --idle_timeout where data outlives the pod.
const storedIdleTimeout = time.Hour

func (s *settings) flags(c *cobra.Command) {
	s.manager = playground.DefaultOptions()
	f := c.Flags()
	f.SortFlags = false
	f.IntVar(&s.port, "port", 9999, "port to serve HTTPS on")
	f.StringVar(&s.host, "host", "", "address to serve on (default: all)")
	f.StringVar(&s.caCrt, "ca_crt", "", "certificate of the authority that signed the clients' certificates and the server's")
	f.StringVar(&s.serverKey, "server_key", "", "the server's private key")
	f.StringVar(&s.serverCrt, "server_crt", "", "the server's certificate")
	f.StringVar(&s.crl, "crl", "", "revocation list (default: crl.pem of the key store that --ca_crt lies in, or beside it, if there)")
	f.StringVar(&s.oldCerts, "old_certs", "", "allow|deny certificates that do not say whom they act for (default: deny when our key tool made the authority)")
	f.StringVar(&s.backend, "backend", backendKubectl, "kubectl|embedded: where databases run")
	f.StringVar(&s.namespace, "namespace", "", "Kubernetes namespace of the databases (default: kubectl's)")
	f.StringVar(&s.context, "context", "", "kubectl context (default: kubectl's)")
	f.StringVar(&s.kubectl, "kubectl", "kubectl", "the kubectl program")
	f.StringVar(&s.templateDir, "template_dir", "", "folder with templates that replace ours: mysql_pod.yaml, mysql_service.yaml, mysql_volume.yaml")
	f.StringVar(&s.image, "image", "sqlflow/sqlflow:mysql", "container image of a database")
	f.StringVar(&s.dbAddress, "db_address", addressService, "service|pod: the address that users get; a pod's own does not outlive it")
	f.BoolVar(&s.waitForNodes, "wait_for_nodes", false, "wait for a node when a pod cannot be scheduled, instead of failing")
	f.DurationVar(&s.manager.IdleTimeout, "idle_timeout", s.manager.IdleTimeout, "release a database that nobody used for so long; 0: never; 1h with --storage if it is not given")
	f.DurationVar(&s.manager.MaxIdle, "max_idle", s.manager.MaxIdle, "the same for one that cannot be asked about its use")
	f.DurationVar(&s.manager.KeepAddress, "keep_address", s.manager.KeepAddress, "how long a released database keeps its address")
	f.DurationVar(&s.manager.CreateTimeout, "create_timeout", s.manager.CreateTimeout, "answer create_db within this time, ready or not (the notebook plugin waits 20s)")
	f.IntVar(&s.manager.MaxDatabases, "max_databases", 0, "databases at once; 0: no limit (default 50 for the embedded backend)")
	f.IntVar(&s.manager.MaxPerGateway, "max_per_gateway", 0, "databases at once that one gateway certificate may have asked for, by its common name; 0: no limit")
	f.IntVar(&s.manager.MaxCreates, "max_creates", s.manager.MaxCreates, "creations at once; more wait in line")
	f.IntVar(&s.manager.Pool, "pool", 0, "databases made ahead, so that create_db need not wait for one")
	f.DurationVar(&s.manager.PoolMaxAge, "pool_max_age", s.manager.PoolMaxAge, "make a database of the pool anew when nobody took it for so long; 0: never")
	f.StringVar(&s.storage, "storage", "", "size of a volume for every user, such as 1Gi, whose data outlives an idle database (default: no volumes)")
	f.StringVar(&s.storageClass, "storage_class", "", "storage class of these volumes (default: the cluster's)")
	f.BoolVar(&s.manager.Maintenance, "maintenance", false, "make no database for anybody new")
	f.StringSliceVar(&s.workflowEngines, "workflow_engines", nil, "argo,tekton: engines of the cluster on which clients may run SQL programs (default: none)")
	f.StringVar(&s.workflowNamespace, "workflow_namespace", "", "Kubernetes namespace of the workflows (default: that of the databases)")
	f.StringVar(&s.workflowServiceAccount, "workflow_service_account", "", "service account of the workflows' pods (default: the namespace's)")
	f.StringSliceVar(&s.allowImage, "allow_image", nil, "images that TO RUN and TO TRAIN may name, like registry.example.com/models/*; a * stands for no slash (default: only the image of all other steps)")
	f.StringVar(&s.adminAddr, "admin_addr", "127.0.0.1:9998", "plain HTTP address of /healthz, /readyz and /metrics; empty: none")
	f.StringVar(&s.logFormat, "log_format", "text", "text|json")
	f.StringVar(&s.logLevel, "log_level", "info", "debug|info|warning|error")
	for name, values := range map[string][]string{
		"backend": {backendKubectl, backendEmbedded}, "db_address": {addressService, addressPod},
		"old_certs": {oldCertsAllow, oldCertsDeny}, "log_format": {"text", "json"}, "log_level": {"debug", "info", "warning", "error"},
	} {
		_ = c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
}

// check finds what is wrong with the flags, and fills in what depends on others.
func (s *settings) check(given func(flag string) bool) error {
	if s.port < 0 || s.port > 65535 {
		return usage("--port is %d; it must be between 0 and 65535", s.port)
	}
	for name, choice := range map[string]struct {
		value   string
		allowed [2]string
	}{
		"backend":    {s.backend, [2]string{backendKubectl, backendEmbedded}},
		"db_address": {s.dbAddress, [2]string{addressService, addressPod}},
		"log_format": {s.logFormat, [2]string{"text", "json"}},
	} {
		if choice.value != choice.allowed[0] && choice.value != choice.allowed[1] {
			return usage("--%s is %q; it must be %s or %s", name, choice.value, choice.allowed[0], choice.allowed[1])
		}
	}
	if s.oldCerts != "" && s.oldCerts != oldCertsAllow && s.oldCerts != oldCertsDeny {
		return usage("--old_certs is %q; it must be allow or deny", s.oldCerts)
	}
	for _, engine := range s.workflowEngines {
		if engine != string(couler.Argo) && engine != string(couler.Tekton) {
			return usage("--workflow_engines has %q; it may be argo, tekton or both: nothing of a client's runs on this host", engine)
		}
	}
	if s.backend == backendEmbedded && len(s.workflowEngines) > 0 {
		return usage("--workflow_engines needs --backend %s: steps in a cluster do not reach embedded databases", backendKubectl)
	}
	if s.backend == backendEmbedded && (s.manager.Pool > 0 || s.storage != "") {
		return usage("--pool and --storage need --backend %s", backendKubectl)
	}
	if s.storageClass != "" && s.storage == "" {
		return usage("--storage_class needs --storage, the size of the volumes")
	}
	if s.backend == backendEmbedded && !given("max_databases") {
		s.manager.MaxDatabases = defaultEmbedded
	}
	if s.storage != "" && !given("idle_timeout") {
		s.manager.IdleTimeout = storedIdleTimeout // nothing is lost
	}
	if idle := s.manager.IdleTimeout; idle > 0 {
		// A pass must see a lease several times in its life, and the grace after a
		// start must not double it.
		s.manager.FlushInterval = min(max(idle/10, 100*time.Millisecond), time.Minute)
		s.manager.Grace = min(s.manager.Grace, idle/2)
	}
	if err := s.manager.Validate(); err != nil {
		return usage("%v", err)
	}
	return s.checkFiles()
}

// checkFiles says how to make the files that TLS needs when they are not named.
func (s *settings) checkFiles() error {
	if s.caCrt != "" && s.serverKey != "" && s.serverCrt != "" {
		return nil
	}
	return usage("--ca_crt, --server_key and --server_crt are needed: `sqlflow_playground keytool init && sqlflow_playground keytool server` " +
		"makes key_store/ca/ca.crt, key_store/server/server.key and key_store/server/server.crt; without keys or a cluster, try `sqlflow_playground demo`")
}

// revocationList is the --crl that counts: the one named, or that of the key store in
// which the authority's certificate lies, which the key tool may have yet to make. Where
// the files of a key store were copied into one folder, it lies beside the certificate.
func (s *settings) revocationList() (path string, mayLack bool) {
	if s.crl != "" {
		return s.crl, false
	}
	const name = "crl.pem"
	// Absolute, because ca.crt alone, or ../ca.crt, does not name the folder above it.
	folder := filepath.Dir(absolute(s.caCrt))
	path, beside := filepath.Join(filepath.Dir(folder), name), filepath.Join(folder, name)
	if !isThere(path) && isThere(beside) {
		return beside, true
	}
	return path, true
}

// isThere is true for what cannot be looked at, too: whoever reads it says why.
func isThere(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// allowOldCerts decides about certificates that do not say whom they act for.
func (s *settings) allowOldCerts() (bool, error) {
	if s.oldCerts != "" {
		return s.oldCerts == oldCertsAllow, nil
	}
	text, err := os.ReadFile(s.caCrt)
	if err != nil {
		return false, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return false, fmt.Errorf("%s holds no PEM certificate", s.caCrt)
	}
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return false, fmt.Errorf("%s: %w", s.caCrt, err)
	}
	return !keytool.MadeCA(ca), nil
}

// logger makes the one logger of the process.
func (s *settings) logger(out io.Writer) (*logrus.Logger, error) {
	level, err := logrus.ParseLevel(s.logLevel)
	if err != nil {
		return nil, usage("--log_level is %q; it must be debug, info, warning or error", s.logLevel)
	}
	log := logrus.New()
	log.SetOutput(out)
	log.SetLevel(level)
	log.SetFormatter(&logrus.TextFormatter{FullTimestamp: true, DisableColors: true})
	if s.logFormat == "json" {
		log.SetFormatter(&logrus.JSONFormatter{})
	}
	return log, nil
}
