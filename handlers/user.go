package handlers

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// maxBody is the longest request body, in bytes.
const maxBody = 64 << 10

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
	if length > maxBody {
		x.w.Header().Set("Connection", "close") // rather than read the rest
		return nil, tooLarge()
	}
	var body []byte
	var err error
	if length >= 0 {
		body = make([]byte, length)
		_, err = io.ReadFull(x.r.Body, body)
	} else {
		body, err = io.ReadAll(http.MaxBytesReader(x.w, x.r.Body, maxBody))
	}
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, tooLarge()
		}
		return nil, &playground.Error{Code: playground.BadRequest, Message: "the body broke off", Err: err}
	}
	return body, nil
}

func tooLarge() error {
	return playground.Errorf(TooLarge, "the body is larger than %d bytes", maxBody)
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
