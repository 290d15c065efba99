// Package argo pins Argo Workflows: its programs are built from this module
// (package programs), and its own validator judges what package couler emits,
// which the tests beside this file do offline.
package argo
