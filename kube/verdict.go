package kube

import (
	"fmt"
	"regexp"
	"strings"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// verdict says where a pod stands, in our words, and why, in Kubernetes'. Failed means
// that waiting is in vain; it is told within seconds, because a notebook waits for it.
// wasReady: the pod was ready before, so a few restarts may be the harvest of weeks.
// A failure that is unsure may pass by itself: the scheduler and the container runtime
// both try again, and say the same of what lasts a moment as of what lasts.
func (s podStatus) verdict(waitForNodes, wasReady bool) (phase playground.Phase, reason string, unsure bool) {
	switch s.Phase {
	case "Failed", "Succeeded":
		return playground.Failed, s.whyEnded(), false
	}
	if ready, _ := s.condition("Ready"); ready.Status == "True" {
		return playground.Ready, "", false
	}
	if scheduled, ok := s.condition("PodScheduled"); ok && scheduled.Status == "False" {
		reason := words(scheduled.Reason, scheduled.Message)
		if scheduled.Reason == "Unschedulable" && !waitForNodes && !passingUnschedulable(scheduled.Message) {
			return playground.Failed, reason, true
		}
		return playground.Starting, reason, false
	}
	waiting := ""
	for _, c := range append(append([]containerStatus{}, s.InitContainerStatuses...), s.ContainerStatuses...) {
		switch reason, hopeless := c.trouble(wasReady); {
		case hopeless:
			return playground.Failed, reason, c.runtimeErred()
		case waiting == "":
			waiting = reason
		}
	}
	return playground.Starting, waiting, false
}

// stage says how far a pod that starts has come. The kubelet does not tell pulling an
// image from making the container: both are ContainerCreating.
func (s podStatus) stage() playground.Stage {
	if scheduled, _ := s.condition("PodScheduled"); scheduled.Status != "True" {
		return ""
	}
	for _, c := range s.ContainerStatuses {
		if c.State.Running != nil {
			return playground.Started
		}
		if c.State.Waiting != nil {
			return playground.Pulling
		}
	}
	return playground.Scheduled
}

func (s podStatus) condition(kind string) (condition, bool) {
	for _, c := range s.Conditions {
		if c.Type == kind {
			return c, true
		}
	}
	return condition{}, false
}

// whyEnded: a pod of ours should run for ever, so Succeeded is an end as bad as Failed.
func (s podStatus) whyEnded() string {
	if s.Reason != "" || s.Message != "" {
		return words(s.Reason, s.Message)
	}
	for _, c := range append(append([]containerStatus{}, s.InitContainerStatuses...), s.ContainerStatuses...) {
		if t := c.State.Terminated; t != nil {
			return t.ended(c.Name)
		}
	}
	return "the pod has ended: " + s.Phase
}

// manyRestarts before a container was ever ready are a crash loop, whatever the kubelet
// calls its present moment.
const manyRestarts = 3

// trouble says what a container waits for, and whether it waits in vain.
//
// An image that could not be pulled at the first try may be there at the second, so
// ErrImagePull is only final when its message says that trying again is in vain;
// the kubelet's own ImagePullBackOff, some ten seconds later, always is.
func (c containerStatus) trouble(wasReady bool) (reason string, hopeless bool) {
	looping := c.RestartCount >= manyRestarts && !wasReady
	w := c.State.Waiting
	if w == nil {
		if t := c.State.Terminated; t != nil {
			return t.ended(c.Name), looping
		}
		if t := c.LastState.Terminated; t != nil && looping {
			return t.ended(c.Name), true
		}
		return "", false
	}
	reason = words(w.Reason, w.Message)
	switch w.Reason {
	case "ErrImagePull":
		return reason, finalPullError.MatchString(w.Message)
	case "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RunContainerError", "CreateContainerError":
		return reason, true
	case "CreateContainerConfigError":
		// The kubelet says so too while it has not yet read a Secret that is there.
		return reason, !strings.Contains(w.Message, "failed to sync")
	case "CrashLoopBackOff":
		if t := c.LastState.Terminated; t != nil {
			reason = w.Reason + ": " + t.ended(c.Name)
		}
		return reason, true
	}
	return reason, false
}

// runtimeErred: the container runtime could not do its part. On a busy node it says so
// of what it does at the next try; what lasts comes to a crash loop.
func (c containerStatus) runtimeErred() bool {
	w := c.State.Waiting
	return w != nil && (w.Reason == "CreateContainerError" || w.Reason == "RunContainerError" || w.Reason == "ImageInspectError")
}

// finalPullError matches registries' and containerd's words for: this image is not to
// be had. A host that does not resolve is nearly always a wrong name or no network.
var finalPullError = regexp.MustCompile(`(?i)not found|not exist|manifest unknown|denied|unauthorized|forbidden|invalid|no such host|no match for platform`)

// passingUnschedulable: a volume claim takes a moment to be bound.
func passingUnschedulable(message string) bool {
	return strings.Contains(message, "unbound immediate PersistentVolumeClaims")
}

func (t containerTrouble) ended(container string) string {
	s := fmt.Sprintf("container %s ended with exit code %d", container, t.ExitCode)
	if t.Reason != "" || t.Message != "" {
		s += " (" + words(t.Reason, strings.TrimSpace(t.Message)) + ")"
	}
	return s
}

// words joins Kubernetes' reason and message, cut to what a notebook can show.
func words(reason, message string) string {
	const longest = 1000
	s := reason
	if message != "" {
		s = strings.TrimPrefix(reason+": "+message, ": ")
	}
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + "..."
	}
	return s
}
