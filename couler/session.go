package couler

import (
	"slices"
	"strings"
)

// Session says for whom a program runs, and on what data: the fields of
// SQLFlow's own session (proto/sqlflow.proto) that steps are told.
type Session struct {
	Token      Credential // SQLFLOW_USER_TOKEN
	DataSource Credential // SQLFLOW_DATASOURCE, like "mysql://root:root@tcp(host:3306)/?maxAllowedPacket=0"
	UserID     string     // SQLFLOW_USER_ID

	HiveLocation     string     // SQLFLOW_HIVE_LOCATION
	HDFSNamenodeAddr string     // SQLFLOW_HDFS_NAMENODE_ADDR
	HDFSUser         string     // SQLFLOW_HADOOP_USER
	HDFSPass         Credential // SQLFLOW_HADOOP_PASS

	Submitter string // SQLFLOW_submitter

	// ServiceAccount and Namespace are for the cluster; steps are not told.
	ServiceAccount, Namespace string
}

// SessionFromEnv reads a session from an environment of NAME=value lines, by
// the names that SQLFlow's client uses (pysqlflow, sqlflow/client.py) or, for
// what that lacks, the names under which a step is told.
func SessionFromEnv(environ []string) Session {
	env := environment(environ)
	first := func(names ...string) string {
		for _, name := range names {
			if env[name] != "" {
				return env[name]
			}
		}
		return ""
	}
	return Session{
		Token:            Credential(env["SQLFLOW_USER_TOKEN"]),
		DataSource:       Credential(env["SQLFLOW_DATASOURCE"]),
		UserID:           env["SQLFLOW_USER_ID"],
		HiveLocation:     env["SQLFLOW_HIVE_LOCATION"],
		HDFSNamenodeAddr: env["SQLFLOW_HDFS_NAMENODE_ADDR"],
		HDFSUser:         first("SQLFLOW_HADOOP_USER", "JUPYTER_HADOOP_USER"),
		HDFSPass:         Credential(first("SQLFLOW_HADOOP_PASS", "JUPYTER_HADOOP_PASS")),
		Submitter:        first("SQLFLOW_SUBMITTER", "SQLFLOW_submitter"),
		ServiceAccount:   env["SQLFLOW_SERVICE_ACCOUNT"],
		Namespace:        env["SQLFLOW_WF_NAMESPACE"],
	}
}

// env gives the session's variables, those with a value.
func (s Session) env() []EnvVar {
	all := []EnvVar{
		{Name: "SQLFLOW_USER_TOKEN", Hidden: s.Token},
		{Name: "SQLFLOW_DATASOURCE", Hidden: s.DataSource},
		{Name: "SQLFLOW_USER_ID", Value: s.UserID},
		{Name: "SQLFLOW_HIVE_LOCATION", Value: s.HiveLocation},
		{Name: "SQLFLOW_HDFS_NAMENODE_ADDR", Value: s.HDFSNamenodeAddr},
		{Name: "SQLFLOW_HADOOP_USER", Value: s.HDFSUser},
		{Name: "SQLFLOW_HADOOP_PASS", Hidden: s.HDFSPass},
		{Name: "SQLFLOW_submitter", Value: s.Submitter},
	}
	return slices.DeleteFunc(all, func(e EnvVar) bool { return e.value() == "" })
}

// passed are the variables of our own environment that a step may know, for
// its programs read them (SQLFlow, go/ and python/): where models and logs are
// kept. Who the user is and where the data are comes from the session alone.
var passed = map[string]bool{
	"SQLFLOW_EXIT_ON_SUBMIT":            true,
	"SQLFLOW_MODEL_ZOO_REGISTRY":        true,
	"SQLFLOW_OPTFLOW_KUBEMAKER_CLUSTER": true,
	"SQLFLOW_OPTFLOW_SNAPSHOT_ID":       true,
	"SQLFLOW_OPTFLOW_VERSION":           true,
	"SQLFLOW_OSS_AK":                    true,
	"SQLFLOW_OSS_CHECKPOINT_CONFIG":     true,
	"SQLFLOW_OSS_CHECKPOINT_DIR":        true,
	"SQLFLOW_OSS_MODEL_ENDPOINT":        true,
	"SQLFLOW_OSS_SK":                    true,
	"SQLFLOW_log_dir":                   true,
	"SQLFLOW_log_level":                 true,
}

// stepEnv gives the environment of every step: of our own environment what is
// allowed (or, the old way, everything that begins with SQLFLOW_ and is no
// option of the compiler), over that the session, over that the secret's keys.
// It is sorted by name.
func stepEnv(session Session, options Options) []EnvVar {
	byName := map[string]EnvVar{}
	for name, value := range options.Environ {
		if options.PassEnv || passed[name] {
			byName[name] = serverVariable(name, value)
		}
	}
	for _, e := range session.env() {
		byName[e.Name] = e
	}
	for key, value := range options.SecretValues {
		byName[key] = EnvVar{Name: key, Hidden: value, From: SecretKey{options.SecretName, key}, Empty: value == ""}
	}
	env := make([]EnvVar, 0, len(byName))
	for _, e := range byName {
		env = append(env, e)
	}
	slices.SortFunc(env, func(a, b EnvVar) int { return strings.Compare(a.Name, b.Name) })
	return env
}

// serverVariable hides a value whose name says that it is to be hidden.
func serverVariable(name string, value Credential) EnvVar {
	upper := strings.ToUpper(name)
	for _, word := range []string{"PASS", "PWD", "TOKEN", "SECRET", "KEY", "CREDENTIAL", "AUTH", "DATASOURCE", "CHECKPOINT"} {
		if strings.Contains(upper, word) {
			return EnvVar{Name: name, Hidden: value}
		}
	}
	if strings.HasSuffix(upper, "_AK") || strings.HasSuffix(upper, "_SK") {
		return EnvVar{Name: name, Hidden: value}
	}
	return EnvVar{Name: name, Value: value.Reveal()}
}

// environment reads NAME=value lines; of several of one name the last holds.
func environment(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, line := range environ {
		if name, value, ok := strings.Cut(line, "="); ok {
			env[name] = value
		}
	}
	return env
}
