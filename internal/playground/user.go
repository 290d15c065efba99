package playground

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxUserBytes is the longest user id that is accepted, in bytes.
const MaxUserBytes = 1024

// User is the id of the person a database is for, exactly as the client sent it.
// It is hostile text: it never reaches a name, a manifest or a log except through
// [User.Name], a quoting function or [User.String].
type User string

// ParseUser accepts any non-empty UTF-8 text of at most [MaxUserBytes] bytes, and
// nothing is trimmed or folded: two different ids are always two users.
// The error is an [*Error] of code [BadRequest].
func ParseUser(id string) (User, error) {
	switch {
	case id == "":
		return "", &Error{Code: BadRequest, Message: "user_id is missing or empty"}
	case len(id) > MaxUserBytes:
		return "", Errorf(BadRequest, "user_id is %d bytes long; the limit is %d", len(id), MaxUserBytes)
	case !utf8.ValidString(id):
		return "", &Error{Code: BadRequest, Message: "user_id is not valid UTF-8"}
	}
	return User(id), nil
}

// String quotes the id and cuts it to a length that is fit for a log line.
// Unbounded user names in logs were a denial of service elsewhere (CVE-2026-54338).
func (u User) String() string {
	const longest = 64
	s := string(u)
	if len(s) > longest {
		cut := longest
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		return strconv.QuoteToGraphic(s[:cut]) + "..."
	}
	return strconv.QuoteToGraphic(s)
}

// unescaped is what a server receives, before any decoding, when a client pastes
// the id into a URL's query without escaping it, as the notebook plugin does
// (pysqlflow's sqlflow/magic.py): a "#" starts the fragment, which is never sent,
// and an "&" starts the next parameter.
func (u User) unescaped() string {
	if i := strings.IndexAny(string(u), "#&"); i >= 0 {
		return string(u[:i])
	}
	return string(u)
}
