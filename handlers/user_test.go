package handlers

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// Whatever the body, an id that is accepted is one that JSON can say, exactly.
func FuzzParseUser(f *testing.F) {
	for _, body := range []string{
		`{"user_id":"ann"}`, `{"user_id":"\ud83e\udd8a"}`, `{"user_id":"\ud83e"}`, `{"user_id":"\\ud83e"}`, `{"a":[{}],"user_id":"\u0000"}`,
		`{"user_id":1}`, `{"user_id":"a","user_id":"b"}`, "{\"user_id\":\"\xff\"}", `{}`, ``, `{"user_id":"a"} {`, `{"user_id":"�"}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		user, err := parseUser(body)
		if err != nil {
			if playground.AsError(err).Code != playground.BadRequest {
				t.Errorf("%q: %v", body, err)
			}
			return
		}
		if id := string(user); id == "" || len(id) > playground.MaxUserBytes || !utf8.ValidString(id) {
			t.Errorf("%q became %q", body, id)
		}
		// encoding/json agrees, wherever it is as strict.
		var loose map[string]any
		if err := json.Unmarshal(body, &loose); err != nil || loose["user_id"] != string(user) {
			t.Errorf("%q became %q, encoding/json has %v, %v", body, user, loose["user_id"], err)
		}
		if strings.ContainsRune(string(user), utf8.RuneError) && !strings.ContainsRune(string(body), utf8.RuneError) &&
			!strings.Contains(strings.ToLower(string(body)), `\ufffd`) {
			t.Errorf("%q became %q: something was replaced", body, user)
		}
	})
}

func TestRawUserIsTheFirstUndecodedValue(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"user_id=ann":                 "ann",
		"user_id=a%20b+c":             "a%20b+c",
		"x=1&user_id=ann&user_id=bob": "ann",
		"user_id=a=b":                 "a=b",
		"user_id=":                    "",
		"user_id":                     "",
		"user_id=a;b":                 "a;b",
		"user_id=%zz":                 "%zz",
	} {
		if got, ok := rawUser(query); !ok || got != want {
			t.Errorf("%q: %q, %t, want %q", query, got, ok, want)
		}
	}
	for _, query := range []string{"", "&", "x=user_id", "user%5Fid=ann", "USER_ID=ann"} {
		if got, ok := rawUser(query); ok {
			t.Errorf("%q: found %q", query, got)
		}
	}
}
