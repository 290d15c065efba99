package handlers

import (
	"encoding/json"
	"io"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

const (
	// maxBody is the longest request body, in bytes.
	maxBody = 64 << 10
	// maxDrained is how much is read of one that is refused.
	maxDrained = 4 << 20
)

// bodyUser reads {"user_id": "..."} from the body. Other fields are ignored.
func (x *exchange) bodyUser() (playground.User, error) {
	body, err := x.body()
	if err != nil {
		return "", err
	}
	return parseUser(body)
}

// body reads the body, whatever the content type says: the notebook plugin sends JSON
// as a form.
func (x *exchange) body() ([]byte, error) {
	length := x.r.ContentLength
	var body []byte
	var err error
	switch {
	case length > maxBody:
	case length >= 0:
		body = make([]byte, length)
		_, err = io.ReadFull(x.r.Body, body)
	default:
		body, err = io.ReadAll(io.LimitReader(x.r.Body, maxBody+1))
	}
	if err != nil {
		return nil, &playground.Error{Code: playground.BadRequest, Message: "the body broke off", Err: err}
	}
	if max(length, int64(len(body))) > maxBody {
		x.drain()
		return nil, playground.Errorf(TooLarge, "the body is larger than %d bytes", maxBody)
	}
	return body, nil
}

// drain reads a body that nobody wants, within bounds: many clients listen only once
// they have sent all, and then find the connection broken instead of the refusal. Who
// asked first whether to send (RFC 9110 section 10.1.1) is told before.
func (x *exchange) drain() {
	if x.r.Header.Get("Expect") == "" {
		_, _ = io.CopyN(io.Discard, x.r.Body, maxDrained)
	}
}

// parseUser finds user_id in a JSON object. It is stricter than encoding/json alone,
// which folds case, takes the last of several and replaces what is not Unicode: each
// of these could make one user's id into another's.
func parseUser(body []byte) (playground.User, error) {
	bad := func(why string) (playground.User, error) {
		return "", playground.Errorf(playground.BadRequest, `the body must be JSON like {"user_id": "id"}: %s`, why)
	}
	switch {
	case !utf8.Valid(body):
		return bad("it is not UTF-8")
	case !json.Valid(body):
		return bad("it is not valid JSON")
	}
	value, times := member(body, "user_id")
	switch {
	case times < 0:
		return bad("it is no object")
	case times == 0:
		return playground.ParseUser("")
	case times > 1:
		return bad("user_id is there twice")
	}
	if value[0] != '"' {
		return bad("user_id must be a string")
	}
	if halfSurrogate(value) {
		return bad("user_id is not valid Unicode")
	}
	return playground.ParseUser(said(value))
}

// halfSurrogate reports whether a valid JSON string escapes half of a UTF-16 pair.
func halfSurrogate(s []byte) bool {
	unit := func(i int) rune { // the code unit escaped at i, or -1
		if i+6 > len(s) || s[i] != '\\' || s[i+1] != 'u' {
			return -1
		}
		n, err := strconv.ParseUint(string(s[i+2:i+6]), 16, 16)
		if err != nil {
			return -1
		}
		return rune(n)
	}
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			continue
		}
		if first := unit(i); utf16.IsSurrogate(first) {
			if utf16.DecodeRune(first, unit(i+6)) == utf8.RuneError {
				return true
			}
			i += 6
		}
		i++ // the escaped character, which may be a backslash itself
	}
	return false
}

// queryUser reads an escaped user_id from the query.
func (x *exchange) queryUser() (playground.User, error) {
	raw, _ := rawUser(x.r.URL.RawQuery)
	id, err := url.QueryUnescape(raw)
	if err != nil {
		return "", playground.Errorf(playground.BadRequest, "user_id is not escaped as a URL's query wants it")
	}
	return playground.ParseUser(id)
}

// rawUser finds the undecoded value of user_id in a URL's query, the first if
// there are several: the others may be what followed an & in an id that was not
// escaped.
func rawUser(query string) (raw string, ok bool) {
	for query != "" {
		var parameter string
		parameter, query, _ = strings.Cut(query, "&")
		if key, value, _ := strings.Cut(parameter, "="); key == "user_id" {
			return value, true
		}
	}
	return "", false
}
