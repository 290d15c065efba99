package client

import (
	"bytes"
	"context"
	"io"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/sirupsen/logrus"
)

const (
	// longestWait is the longest Retry-After that is believed.
	longestWait = time.Hour
	// maxRefusal bounds what is read of a refusal before a wait, in bytes.
	maxRefusal = 64 << 10
)

// newRetrying repeats what the server asks to repeat: after an answer 429 or 503 with
// Retry-After. Everything else, broken connections among it, is the caller's to
// judge: whoever waits at a terminal must hear soon that there is no server.
func newRetrying(once *http.Client, o Options) *retryablehttp.Client {
	c := &retryablehttp.Client{
		HTTPClient:   once,
		RetryMax:     math.MaxInt32, // the context and MaxWait are the bounds
		CheckRetry:   o.again,
		Backoff:      func(_, _ time.Duration, _ int, response *http.Response) time.Duration { return pause(response) },
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
	if o.Log != nil {
		c.Logger = leveled{o.Log}
	}
	return c
}

// attempts is the state of one call, carried in its context.
type attempts struct {
	began   time.Time
	codes   []string // the refusals that are asked to be repeated; nil: all
	refusal *Error   // the last
}

type attemptsKey struct{}

// again decides whether there is another attempt, and tells of the wait.
func (o Options) again(ctx context.Context, response *http.Response, err error) (bool, error) {
	if err != nil || ctx.Err() != nil {
		return false, nil // the error itself is returned
	}
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
	default:
		return false, nil
	}
	if response.Header.Get("Retry-After") == "" {
		return false, nil
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxRefusal))
	_ = response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(body))
	if err != nil {
		return false, nil // what was read tells enough
	}
	wait := pause(response)
	call, ok := ctx.Value(attemptsKey{}).(*attempts)
	if ok {
		call.refusal = newError(response, body)
		if call.codes != nil && !slices.Contains(call.codes, call.refusal.Code) {
			return false, nil
		}
		if o.MaxWait > 0 && time.Since(call.began)+wait > o.MaxWait {
			return false, nil
		}
	}
	if o.OnWait != nil {
		o.OnWait(newError(response, body).Message, wait)
	}
	return true, nil
}

// pause is what the server asks for, and never less than a second.
func pause(response *http.Response) time.Duration {
	return max(retryAfter(response), time.Second)
}

// leveled writes go-retryablehttp's lines, all of them at debug level: what matters
// is returned or told to OnWait.
type leveled struct{ log logrus.FieldLogger }

var _ retryablehttp.LeveledLogger = leveled{}

func (l leveled) Error(msg string, pairs ...any) { l.write(msg, pairs) }
func (l leveled) Warn(msg string, pairs ...any)  { l.write(msg, pairs) }
func (l leveled) Info(msg string, pairs ...any)  { l.write(msg, pairs) }
func (l leveled) Debug(msg string, pairs ...any) { l.write(msg, pairs) }

func (l leveled) write(msg string, pairs []any) {
	fields := logrus.Fields{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if key, ok := pairs[i].(string); ok {
			fields[key] = pairs[i+1]
		}
	}
	l.log.WithFields(fields).Debug(msg)
}
