package handlers

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// member finds the member of that name in a JSON object that is known to be valid,
// and tells how many there are of it: -1 if the text is no object.
func member(object []byte, name string) (value []byte, times int) {
	i := blanks(object, 0)
	if object[i] != '{' {
		return nil, -1
	}
	for i = blanks(object, i+1); object[i] != '}'; {
		key := object[i:text(object, i)]
		i = blanks(object, blanks(object, i+len(key))+1) // over the colon
		end := element(object, i)
		if said(key) == name {
			value = object[i:end]
			times++
		}
		if i = blanks(object, end); object[i] == ',' {
			i = blanks(object, i+1)
		}
	}
	return value, times
}

// said is the text of a valid JSON string.
func said(literal []byte) string {
	if bytes.IndexByte(literal, '\\') < 0 {
		return string(literal[1 : len(literal)-1])
	}
	var text string
	if err := json.Unmarshal(literal, &text); err != nil {
		panic(fmt.Errorf("a string in valid JSON is not valid: %w", err))
	}
	return text
}

// blanks, text and element return where what begins at i ends.
func blanks(b []byte, i int) int {
	for b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r' {
		i++
	}
	return i
}

func text(b []byte, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

func element(b []byte, i int) int {
	for depth := 0; ; {
		switch b[i] {
		case '"':
			if i = text(b, i); depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // a number or word before it ended
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
		}
		i++
	}
}
