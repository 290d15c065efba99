package handlers

import (
	"encoding/json"
	"unicode/utf8"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

func badBody(why string) error {
	return playground.Errorf(playground.BadRequest, "the body must be a JSON object: %s", why)
}

// parseProgram reads the body of POST /api/workflow, as strictly as a user's id is read.
func parseProgram(body []byte) (p Program, err error) {
	if p.User, err = parseUser(body); err != nil {
		return Program{}, err
	}
	for _, m := range []struct {
		name string
		to   *string
	}{{"sql", &p.SQL}, {"engine", &p.Engine}, {"data_source", &p.DataSource}} {
		if *m.to, err = textMember(body, m.name); err != nil {
			return Program{}, err
		}
	}
	value, times := member(body, "parallel")
	switch {
	case times > 1:
		return Program{}, badBody("parallel is there twice")
	case times == 1 && json.Unmarshal(value, &p.Parallel) != nil:
		return Program{}, badBody("parallel must be true or false")
	case p.SQL == "":
		return Program{}, playground.Errorf(playground.BadRequest, "sql is missing or empty")
	}
	return p, nil
}

// parseWorkflowID reads the body of POST /api/stop_workflow.
func parseWorkflowID(body []byte) (string, error) {
	switch {
	case !utf8.Valid(body):
		return "", badBody("it is not UTF-8")
	case !json.Valid(body):
		return "", badBody("it is not valid JSON")
	}
	return textMember(body, "workflow_id")
}

// textMember is the text of a member of a valid JSON object; "" when there is none.
func textMember(object []byte, name string) (string, error) {
	value, times := member(object, name)
	switch {
	case times < 0:
		return "", badBody("it is no object")
	case times == 0 || times == 1 && string(value) == "null":
		return "", nil
	case times > 1:
		return "", badBody(name + " is there twice")
	case value[0] != '"':
		return "", badBody(name + " must be a string")
	case halfSurrogate(value):
		return "", badBody(name + " is not valid Unicode")
	}
	return said(value), nil
}
