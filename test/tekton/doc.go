// Package tekton pins Tekton Pipelines: its programs are built from this
// module (package programs), and its own validation judges what package couler
// emits, which the tests beside this file do offline.
package tekton
