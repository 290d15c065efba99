package playground

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

const (
	// NamePrefix begins the names of a user's objects, as in the Python server.
	NamePrefix = "sqlflow-mysql-"
	// longestPlain keeps NamePrefix and an id within the 63 characters of a label.
	longestPlain = 63 - len(NamePrefix)
	// hashed separates a slug from its hash.
	hashed = "--"
	// hashChars base32 characters are 80 bits.
	hashChars = 16
)

// Name is the name of u's objects in the cluster, a DNS label (RFC 1123) of at
// most 63 characters that no other id shares: an id that is a DNS label itself
// and short enough keeps its plain name, as the Python server had it; any other
// becomes a readable slug and an 80-bit hash of the raw id. The rule is
// KubeSpawner's (kubespawner/slugs.py) with a longer hash.
func (u User) Name() string {
	if id := string(u); len(id) <= longestPlain && isLabel(id) && !looksHashed(id) {
		return NamePrefix + id
	}
	sum := sha256.Sum256([]byte(u))
	hash := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10]))
	room := longestPlain - len(hashed) - hashChars
	return NamePrefix + slug(string(u), room) + hashed + hash
}

// slug keeps what a DNS label allows of id, everything else becomes one "-", in
// at most room characters, beginning and ending with a letter or digit.
func slug(id string, room int) string {
	var b strings.Builder
	for _, r := range strings.ToLower(id) {
		if b.Len() >= room {
			break
		}
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	s := strings.Trim(b.String(), "-")
	if s == "" {
		return "x"
	}
	return s
}

// looksHashed reports whether id has the form that Name gives to hashed ids. Such an
// id is hashed itself, so nobody can choose an id whose name is another's.
func looksHashed(id string) bool {
	i := len(id) - hashChars
	if i < len(hashed) || id[i-len(hashed):i] != hashed {
		return false
	}
	return strings.Trim(id[i:], "abcdefghijklmnopqrstuvwxyz234567") == ""
}

func isLabel(s string) bool {
	if s == "" || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
