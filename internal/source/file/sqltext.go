package file

import "strings"

// Statement returns the text of a query without a last semicolon, which could
// not stand inside another query. Places in the text stay what they were.
func Statement(text string) string {
	last := -1 // of a semicolon with nothing but comments behind it
	for i := 0; i < len(text); {
		switch {
		case strings.HasPrefix(text[i:], "--"):
			i = after(text, i, "\n")
		case strings.HasPrefix(text[i:], "/*"):
			i = after(text, i+2, "*/")
		case text[i] == ';':
			if last < 0 {
				last = i
			}
			i++
		case text[i] == ' ' || text[i] == '\n' || text[i] == '\t' || text[i] == '\r':
			i++
		default:
			last = -1
			i = token(text, i)
		}
	}
	if last < 0 {
		return text
	}
	return strings.TrimRight(text[:last], " \t\r\n") + "\n"
}

// token returns where the quoted text or the character at i ends.
func token(text string, i int) int {
	switch c := text[i]; c {
	case '\'', '"':
		return after(text, i+1, string(c)) // a doubled quote begins the next text
	case '$':
		if end := strings.IndexByte(text[i+1:], '$'); end >= 0 && isTag(text[i+1:i+1+end]) {
			tag := text[i : i+end+2]
			return after(text, i+len(tag), tag)
		}
	}
	return i + 1
}

func isTag(text string) bool {
	return strings.TrimFunc(text, func(r rune) bool {
		return r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r > 127
	}) == ""
}

func after(text string, from int, end string) int {
	from = min(from, len(text))
	at := strings.Index(text[from:], end)
	if at < 0 {
		return len(text)
	}
	return from + at + len(end)
}

// CodeStart returns where the text begins behind blanks and comments.
func CodeStart(text string) int {
	for i := 0; i < len(text); {
		switch {
		case strings.HasPrefix(text[i:], "--"):
			i = after(text, i, "\n")
		case strings.HasPrefix(text[i:], "/*"):
			i = after(text, i+2, "*/")
		case text[i] == ' ' || text[i] == '\n' || text[i] == '\t' || text[i] == '\r':
			i++
		default:
			return i
		}
	}
	return 0
}
