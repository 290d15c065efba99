package program

import (
	"strings"

	"github.com/distribution/reference"
)

// maxImage bounds an image's name: 255 bytes of registry and path, 128 of
// tag, and the longest digest in use.
const maxImage = 255 + 1 + 128 + 1 + 140

// imageProblem says why a name is no image's name, by the reference grammar
// of the container registries (HOST:PORT/PATH:TAG@DIGEST), or "".
func imageProblem(name string) string {
	if len(name) > maxImage {
		return "it is too long"
	}
	if _, err := reference.ParseNormalizedNamed(name); err != nil {
		return strings.TrimPrefix(err.Error(), reference.ErrReferenceInvalidFormat.Error()+": ")
	}
	return ""
}
