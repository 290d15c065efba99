package kube

import (
	"context"
	"errors"
	"io/fs"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// Reason says in one word why kubectl failed. Most are Kubernetes' own
// (metav1.StatusReason), as kubectl prints them: "Error from server (REASON): ...".
type Reason string

const (
	AlreadyExists Reason = "AlreadyExists"
	NotFound      Reason = "NotFound"
	Conflict      Reason = "Conflict" // changed since, or a precondition failed
	Forbidden     Reason = "Forbidden"
	Unauthorized  Reason = "Unauthorized"
	Invalid       Reason = "Invalid"
	BadRequest    Reason = "BadRequest"
	Gone          Reason = "Gone"        // the resource version is too old (410, also called Expired)
	Busy          Reason = "Busy"        // the API server answers: not now (429, 500, 503, 504)
	Unreachable   Reason = "Unreachable" // no API server at that address
	Timeout       Reason = "Timeout"     // our own time limit
	Canceled      Reason = "Canceled"    // the caller gave up, or the gateway stops
	Missing       Reason = "Missing"     // there is no such program
	Other         Reason = "Other"
)

// Results are all results that a run is counted under.
func Results() []string {
	all := []string{"ok"}
	for _, r := range []Reason{AlreadyExists, NotFound, Conflict, Forbidden, Unauthorized, Invalid, BadRequest, Gone,
		Busy, Unreachable, Timeout, Canceled, Missing, Other} {
		all = append(all, string(r))
	}
	return all
}

// Verbs are all verbs that a run is counted under.
func Verbs() []string {
	return []string{"apply", "auth", "config", "create", "delete", "get", "logs", "patch", "version", "watch", "other"}
}

func knownVerb(verb string) string {
	for _, v := range Verbs() {
		if v == verb {
			return v
		}
	}
	return "other"
}

func result(err error) string {
	if err == nil {
		return "ok"
	}
	return string(ReasonOf(err))
}

// ReasonOf gives the reason of the [Error] in err's chain, or [Other].
func ReasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return Other
}

// Error is a run of kubectl that failed. It prints as one line that begins with the
// command as it can be pasted into a shell; what went to its standard input is not in it.
type Error struct {
	Program string
	Args    []string
	Stderr  string // at most 1 MiB
	Reason  Reason
	Message string // Kubernetes' own words, the first of them; "" if it said nothing
	Err     error  // of the process: its exit status, a context's error
}

func (e *Error) Error() string {
	const longest = 2000
	line := pasteable(append([]string{e.Program}, e.Args...)) + ": " + e.Err.Error()
	if e.Stderr != "" {
		line += ": " + strings.Join(strings.FieldsFunc(e.Stderr, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
	}
	if len(line) > longest {
		line = strings.ToValidUTF8(line[:longest], "") + "..."
	}
	return strings.Map(printable, line)
}

func (e *Error) Unwrap() error { return e.Err }

func printable(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return '�'
}

func pasteable(args []string) string {
	plain := regexp.MustCompile(`^[A-Za-z0-9_./:=,@%+-]+$`)
	quoted := make([]string, len(args))
	for i, a := range args {
		if plain.MatchString(a) {
			quoted[i] = a
		} else {
			quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

func startReason(err error) Reason {
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return Missing
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return endReason(err)
	}
	return Other
}

func endReason(err error) Reason {
	if errors.Is(err, context.Canceled) {
		return Canceled
	}
	return Timeout
}

// complaint is one thing that kubectl wrote to its standard error: it goes on after
// the first trouble where it was given many objects.
type complaint struct {
	reason  Reason
	message string // Kubernetes' own words
}

// complaints takes stderr apart. The forms are kubectl's (pkg/cmd/util/helpers.go,
// StandardErrorMessage and its callers), captured from 1.32 and 1.36.
func complaints(stderr string) []complaint {
	var all []complaint
	for line := range strings.Lines(stderr) {
		line = strings.TrimRight(line, "\r\n")
		if c, ok := complaintOf(line); ok {
			all = append(all, c)
		} else if len(all) > 0 && strings.TrimSpace(line) != "" {
			all[len(all)-1].message += "\n" + line // a long message goes on
		}
	}
	return all
}

func complaintOf(line string) (complaint, bool) {
	if rest, ok := strings.CutPrefix(line, "Error from server ("); ok {
		if word, message, ok := strings.Cut(rest, "): "); ok {
			return ofServer(serverReason(word), message), true
		}
	}
	if message, ok := strings.CutPrefix(line, "Error from server: "); ok {
		return ofServer(Busy, message), true
	}
	for _, known := range []struct {
		reason Reason
		prefix string
	}{
		{Unreachable, "The connection to the server "},
		{Unreachable, "Unable to connect to the server: "},
		{Unauthorized, "error: You must be logged in to the server"},
		{Invalid, "The request is invalid"},
		{BadRequest, "unable to decode "},
		{Busy, "error: unexpected EOF"},
	} {
		if strings.HasPrefix(line, known.prefix) {
			return complaint{known.reason, line}, true
		}
	}
	if strings.HasPrefix(line, "The ") && strings.Contains(line, " is invalid: ") {
		return complaint{Invalid, strings.TrimPrefix(line, "The ")}, true
	}
	if message, ok := strings.CutPrefix(line, "error: "); ok {
		return complaint{transportReason(message), bare(message)}, true
	}
	return complaint{}, false
}

// ofServer is what the API server answered. A webhook's denial has whatever reason the
// webhook gave it, and often none.
func ofServer(reason Reason, message string) complaint {
	message = bare(message)
	if strings.HasPrefix(message, "admission webhook ") && strings.Contains(message, " denied the request") {
		reason = Forbidden
	}
	return complaint{reason, message}
}

// bare takes off what kubectl puts before Kubernetes' words.
func bare(message string) string {
	return strings.TrimPrefix(message, `error when creating "STDIN": `)
}

func serverReason(word string) Reason {
	switch word {
	case "Expired", "Gone":
		return Gone
	case "Timeout", "ServerTimeout", "TooManyRequests", "InternalError", "ServiceUnavailable":
		return Busy
	case "BadRequest", "RequestEntityTooLarge", "NotAcceptable", "UnsupportedMediaType", "MethodNotAllowed":
		return BadRequest
	}
	for _, known := range Results() {
		if word == known {
			return Reason(word)
		}
	}
	return Other
}

// transportReason finds the network's troubles, which come from Go's own libraries.
func transportReason(message string) Reason {
	for _, sign := range []string{"connection refused", "no route to host", "i/o timeout", "no such host", "TLS handshake",
		"connection reset", "EOF", "client connection lost", "context deadline exceeded", "network is unreachable"} {
		if strings.Contains(message, sign) {
			return Unreachable
		}
	}
	return Other
}

// explain fills in what e.Stderr says.
func (e *Error) explain() {
	if all := complaints(e.Stderr); len(all) > 0 {
		e.Reason, e.Message = all[0].reason, all[0].message
	} else {
		e.Reason = transportReason(e.Stderr)
	}
}

// aboutObject reports whether c is about the object of that kind and name: its words
// then begin with the resource or kind and the quoted name.
func (c complaint) aboutObject(kind, name string) bool {
	head, _, found := strings.Cut(c.message, strconv.Quote(name))
	if !found {
		return false
	}
	head = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(head, "object is being deleted: ")))
	head, _, _ = strings.Cut(head, ".") // "leases.coordination.k8s.io", "Lease.coordination.k8s.io"
	kind = strings.ToLower(kind)
	return head == kind || head == kind+"s"
}

// aboutNone reports whether c names no object at the start of its words, as with
// missing permissions: it then is about all objects of that kind.
func (c complaint) aboutNone() bool {
	before, _, found := strings.Cut(c.message, `"`)
	return !found || strings.Contains(strings.TrimSpace(before), " ")
}

// mayConcern reports whether c, which names no object, may be about that kind: words
// such as "pods is forbidden" are about pods alone.
func (c complaint) mayConcern(kind string) bool {
	first, rest, _ := strings.Cut(c.message, " ")
	if !strings.HasPrefix(rest, "is forbidden") {
		return true
	}
	first, _, _ = strings.Cut(first, ".")
	return strings.EqualFold(first, kind+"s")
}
