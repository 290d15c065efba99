package workflow_test

import (
	"context"
	"fmt"
	"time"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/kube"
	"sqlflow.org/sqlflow_playground/kube/workflow"
)

// A program is followed as SQLFlow's own clients do it: by asking again and again, each
// time with what the answer before said.
func ExampleCluster_Fetch() {
	ctx := context.Background()
	cluster, err := workflow.New(workflow.Options{
		Kubectl: kube.NewRunner(kube.RunnerOptions{Path: "kubectl"}), Engine: couler.Argo,
		LogView: workflow.LogView{Endpoint: "http://localhost:8001"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	request := workflow.FetchRequest{Job: workflow.Job{ID: "sqlflow-bdpff", Namespace: "default"}}
	for tick := time.Tick(time.Second); ; <-tick {
		answer, err := cluster.Fetch(ctx, request)
		for _, response := range answer.Responses {
			fmt.Println(response.Message) // SQLFlow Step: [1/3] Status: Running
		}
		if err != nil || answer.EOF {
			return
		}
		request = answer.UpdatedFetchSince
	}
}

func ExampleCluster_Submit() {
	ctx := context.Background()
	cluster, err := workflow.New(workflow.Options{Kubectl: kube.NewRunner(kube.RunnerOptions{Path: "kubectl"}), Engine: couler.Tekton})
	if err != nil {
		fmt.Println(err)
		return
	}
	program, err := couler.Compile("SELECT 1;", couler.Session{DataSource: "mysql://root:root@tcp(10.0.0.9:3306)/"}, couler.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	run, err := cluster.Submit(ctx, program)
	if err != nil {
		fmt.Println(err)
		return
	}
	err = cluster.Watch(ctx, run.Name, func(now *workflow.Status) error {
		fmt.Println(now.Name, now.State)
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
}
