package problem

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Render writes a list for people: each problem with its place, the line it
// stands on, a caret under the column, and the remedy. Files are the contents by
// path; a file that is not among them has no code frame.
func Render(list List, files map[string][]byte, colour bool) string {
	paint := func(code, text string) string {
		if !colour {
			return text
		}
		return "\x1b[" + code + "m" + text + "\x1b[0m"
	}
	var b strings.Builder
	for _, p := range list {
		word := paint("1;31", "error")
		if p.Severity == SeverityWarning {
			word = paint("1;33", "warning")
		}
		at := p.Place.String()
		if at != "" {
			at = paint("1", at) + ": "
		}
		fmt.Fprintf(&b, "%s%s: %s [%s]\n", at, word, p.Message, p.Code)
		frame(&b, p.Place, files[p.File], paint)
		for _, n := range p.Related {
			fmt.Fprintf(&b, "  %s: %s\n", n.Place, n.Message)
		}
		if p.Remedy != "" {
			fmt.Fprintf(&b, "  %s %s\n", paint("36", "mend:"), p.Remedy)
		}
	}
	return b.String()
}

// widest is how much of a line a frame shows, in characters.
const widest = 120

func frame(b *strings.Builder, at Place, content []byte, paint func(string, string) string) {
	if at.Line == 0 || !utf8.Valid(content) {
		return
	}
	lines := strings.Split(string(content), "\n")
	if at.Line > len(lines) {
		return
	}
	text := []rune(strings.TrimRight(strings.ReplaceAll(lines[at.Line-1], "\t", " "), "\r"))
	from := 0
	if at.Column > widest-20 {
		from = at.Column - widest/2
	}
	shown := text[min(from, len(text)):min(from+widest, len(text))]
	margin := fmt.Sprintf("%5d | ", at.Line)
	fmt.Fprintf(b, "%s%s\n", paint("2", margin), string(shown))
	if at.Column > 0 {
		fmt.Fprintf(b, "%s%s%s\n", paint("2", "      | "), strings.Repeat(" ", max(0, at.Column-1-from)), paint("1;31", "^"))
	}
}
