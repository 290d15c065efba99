package command_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"sqlflow.org/sqlflow_playground/internal/command"
)

// TestEveryCommandHasAnExample asks each command for its help, and it for its commands.
func TestEveryCommandHasAnExample(t *testing.T) {
	t.Parallel()
	list := regexp.MustCompile(`(?s)Available Commands:\n(.*?)\n\n`)
	var asked []string
	var ask func(words ...string)
	ask = func(words ...string) {
		var help bytes.Buffer
		code := command.Run(t.Context(), command.World{Args: append(words, "--help"), In: strings.NewReader(""), Out: &help, Err: &help})
		name := strings.Join(words, " ")
		asked = append(asked, name)
		_, examples, _ := strings.Cut(help.String(), "\nExamples:\n")
		if code != 0 || !strings.Contains(examples, "sqlflow_playground "+name) {
			t.Errorf("`%s --help` ends with %d and shows no example of itself:\n%s", name, code, help.String())
		}
		commands := list.FindStringSubmatch(help.String())
		if commands == nil {
			return
		}
		for line := range strings.Lines(commands[1]) {
			switch sub := strings.Fields(line)[0]; sub {
			case "completion", "help": // cobra's own
			default:
				ask(append(words[:len(words):len(words)], sub)...)
			}
		}
	}
	ask()
	if len(asked) < 25 {
		t.Errorf("only %d commands were found: %q", len(asked), asked)
	}
}
