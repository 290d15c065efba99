package handlers

import (
	"net/http"
	"strconv"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// Codes of what HTTP itself can get wrong, beside those of package playground.
const (
	NotFound         playground.Code = "not_found"
	MethodNotAllowed playground.Code = "method_not_allowed"
	TooLarge         playground.Code = "too_large"
	TooManyStreams   playground.Code = "too_many_streams"
)

// httpStatus is what a code means in HTTP, and, where asking again makes sense,
// how long to wait if the error itself does not say.
type httpStatus struct {
	status     int
	retryAfter time.Duration
}

func statuses() map[playground.Code]httpStatus {
	return map[playground.Code]httpStatus{
		playground.BadRequest:    {status: http.StatusBadRequest},
		playground.Forbidden:     {status: http.StatusForbidden},
		playground.Full:          {status: http.StatusTooManyRequests, retryAfter: 30 * time.Second},
		playground.Maintenance:   {status: http.StatusServiceUnavailable, retryAfter: time.Minute},
		playground.StillCreating: {status: http.StatusServiceUnavailable, retryAfter: 2 * time.Second},
		playground.Unavailable:   {status: http.StatusServiceUnavailable, retryAfter: 10 * time.Second},
		playground.Interrupted:   {status: http.StatusServiceUnavailable, retryAfter: 2 * time.Second},
		playground.CannotStart:   {status: http.StatusBadGateway},
		playground.Internal:      {status: http.StatusInternalServerError},
		NotFound:                 {status: http.StatusNotFound},
		MethodNotAllowed:         {status: http.StatusMethodNotAllowed},
		TooLarge:                 {status: http.StatusRequestEntityTooLarge},
		TooManyStreams:           {status: http.StatusTooManyRequests, retryAfter: 10 * time.Second},
	}
}

// errorBody is the JSON of every refusal.
type errorBody struct {
	Error errorDetail `json:"error"`
}

type errorDetail struct {
	Code      playground.Code `json:"code"`
	Message   string          `json:"message"`
	RequestID string          `json:"request_id"`
	// Ahead is how many creations were queued before this one.
	Ahead int `json:"ahead,omitempty"`
}

// queueAhead is the header that tells a waiting client how many creations are queued
// before its own.
const queueAhead = "X-Queue-Ahead"

// refuse writes err as the answer.
func (x *exchange) refuse(e *playground.Error) {
	known, ok := statuses()[e.Code]
	if !ok {
		known = statuses()[playground.Internal]
	}
	if wait := max(e.RetryAfter, 0); wait > 0 || known.retryAfter > 0 {
		if wait == 0 {
			wait = known.retryAfter
		}
		seconds := (wait + time.Second - 1) / time.Second
		x.w.Header().Set("Retry-After", strconv.Itoa(int(seconds)))
	}
	if e.Code == playground.StillCreating {
		x.w.Header().Set(queueAhead, strconv.Itoa(e.Ahead))
	}
	x.replyJSON(known.status, errorBody{errorDetail{
		Code: e.Code, Message: e.Message, RequestID: x.id, Ahead: e.Ahead,
	}})
}
