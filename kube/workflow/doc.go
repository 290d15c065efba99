// Package workflow runs couler's workflows on a cluster that has Argo Workflows or
// Tekton Pipelines, and reaches that cluster through kubectl alone.
//
//	c, err := workflow.New(workflow.Options{Kubectl: runner, Engine: couler.Argo})
//	run, err := c.Submit(ctx, w)
//	err = c.Watch(ctx, run.Name, func(s *workflow.Status) error { ... })
//
// Both engines are told in the same words. A Status is the workflow with its steps in
// the order in which they were written, under the names they have in couler, whatever
// the engine made of them: steps in groups, a DAG, retries, an exit handler. It is read
// from two kinds of objects: the workflow itself, and what runs its steps (Argo: pods,
// found by label and by the node's id in an annotation; Tekton: TaskRuns, found by
// label). Nothing is polled: Watch lists and watches both, and Tries finds in what it
// tells the logs that Follow follows.
//
// Fetch is SQLFlow's own way of asking (go/workflow/argo/fetch.go), its messages
// letter for letter.
package workflow
