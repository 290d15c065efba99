package graph

// colour is how a state looks. All texts have a contrast of at least 4.5 to
// their ground (WCAG 2, level AA).
type colour struct{ fill, stroke, text string }

// palette is only read.
var palette = map[State]colour{
	Pending:   {"#f6f8fa", "#8c959f", "#57606a"},
	Running:   {"#ddf4ff", "#0969da", "#0550ae"},
	Succeeded: {"#dafbe1", "#2da44e", "#116329"},
	Failed:    {"#ffebe9", "#cf222e", "#a40e26"},
	Error:     {"#fff1e5", "#bc4c00", "#953800"},
	Skipped:   {"#ffffff", "#afb8c1", "#6e7781"},
}

func colours(s State) colour {
	if c, ok := palette[s]; ok {
		return c
	}
	return colour{"#ffffff", "#57606a", "#24292f"}
}
