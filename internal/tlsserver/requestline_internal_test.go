package tlsserver

import (
	"bufio"
	"bytes"
	"net/http"
	"testing"
)

func TestMend(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"GET /b?user_id=ann HTTP/1.1\r":           "GET /b?user_id=ann HTTP/1.1\r",
		"GET /b?user_id=ann lee HTTP/1.1\r":       "GET /b?user_id=ann%20lee HTTP/1.1\r",
		"GET /b?user_id= a  b  HTTP/1.0\r":        "GET /b?user_id=%20a%20%20b%20 HTTP/1.0\r",
		"GET /b?user_id=a\x00\tb\x7f HTTP/1.1\r":  "GET /b?user_id=a%00%09b%7F HTTP/1.1\r",
		"GET /b?user_id=a HTTP/1.1 b HTTP/1.1\r":  "GET /b?user_id=a%20HTTP/1.1%20b HTTP/1.1\r",
		"GET /b?user_id=\xe9\x99\x88% HTTP/1.1\r": "GET /b?user_id=\xe9\x99\x88% HTTP/1.1\r",
		"GET /b c?user_id=a b HTTP/1.1\r":         "GET /b c?user_id=a b HTTP/1.1\r",
		"GET /b c HTTP/1.1\r":                     "GET /b c HTTP/1.1\r",
		"POST /b?user_id=ann lee HTTP/1.1\r":      "POST /b?user_id=ann lee HTTP/1.1\r",
		"GET /b?user_id=ann lee HTTP/2.0\r":       "GET /b?user_id=ann lee HTTP/2.0\r",
		"GET /b?user_id=ann lee":                  "GET /b?user_id=ann lee",
		"":                                        "",
	} {
		if got := string(mend([]byte(line))); got != want {
			t.Errorf("%q became %q, want %q", line, got, want)
		}
	}
}

// Mending changes nothing that net/http would have understood.
func FuzzMend(f *testing.F) {
	f.Add([]byte("GET /api/heart_beat?user_id=ann HTTP/1.1\r"))
	f.Add([]byte("GET /?a=b c HTTP/1.1 HTTP/1.1"))
	f.Fuzz(func(t *testing.T, line []byte) {
		if bytes.IndexByte(line, '\n') >= 0 {
			return
		}
		read := func(line []byte) (*http.Request, error) {
			text := append(bytes.Clone(line), "\nHost: h\r\n\r\n"...)
			return http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
		}
		before, err := read(line)
		if err != nil {
			return
		}
		after, err := read(mend(line))
		if err != nil || before.Method != after.Method || before.RequestURI != after.RequestURI || before.Proto != after.Proto {
			t.Errorf("%q became %q: %+v, %v", line, mend(line), after, err)
		}
	})
}
