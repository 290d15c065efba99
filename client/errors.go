package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// ErrUnreachable says that there was no answer: no connection, no handshake, or it
// broke off. A server that does not accept the certificate does not answer either.
var ErrUnreachable = errors.New("the playground server cannot be reached")

// unreachable keeps the cause beside ErrUnreachable.
type unreachable struct{ cause error }

func (e *unreachable) Error() string   { return fmt.Sprintf("%v: %v", ErrUnreachable, e.cause) }
func (e *unreachable) Unwrap() []error { return []error{ErrUnreachable, e.cause} }

// Error is a refusal by the server.
type Error struct {
	Status    int    // HTTP's
	Code      string // the server's word for it, like "forbidden"; "" from something else
	Message   string // for people
	RequestID string // leads to the cause in the server's log
	// RetryAfter is how long the server asks to wait before another try; 0: it does not.
	RetryAfter time.Duration
	// Ahead is how many creations were queued before this one.
	Ahead int
}

func (e *Error) Error() string {
	text := e.Message
	if e.Code != "" {
		text = e.Code + ": " + text
	}
	if e.RequestID != "" {
		text += " (request " + e.RequestID + ")"
	}
	return text
}

// newError reads a refusal, of our server or of whatever stands before it.
func newError(response *http.Response, body []byte) *Error {
	e := &Error{
		Status:     response.StatusCode,
		RequestID:  response.Header.Get("X-Request-Id"),
		RetryAfter: retryAfter(response),
	}
	var ours struct {
		Error struct {
			Code      string `json:"code"`
			Message   string `json:"message"`
			RequestID string `json:"request_id"`
			Ahead     int    `json:"ahead"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &ours) == nil && ours.Error.Code != "" {
		e.Code, e.Message, e.Ahead = ours.Error.Code, ours.Error.Message, ours.Error.Ahead
		if ours.Error.RequestID != "" {
			e.RequestID = ours.Error.RequestID
		}
		return e
	}
	e.Message = fmt.Sprintf("HTTP status %d", response.StatusCode)
	if text := firstLine(body); text != "" {
		e.Message += ": " + strconv.QuoteToGraphic(text)
	}
	return e
}

func firstLine(body []byte) string {
	const longest = 200
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	if len(line) > longest {
		line = line[:longest]
	}
	if !utf8.ValidString(line) {
		return ""
	}
	return line
}

// retryAfter reads the header of that name in seconds, the form our server sends
// (RFC 9110 section 10.2.3).
func retryAfter(response *http.Response) time.Duration {
	seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
	if err != nil || seconds < 0 || seconds > int(longestWait/time.Second) {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
