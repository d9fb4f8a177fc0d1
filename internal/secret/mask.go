package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// shortest is the least length of a secret that is masked: a shorter one would
// blacken ordinary text.
const shortest = 6

// Masker replaces known secrets in a stream of bytes, across chunk borders, in
// every common encoding: raw, URL, JSON, shell and base64 at its three offsets.
// It is for one stream and not safe for concurrent use.
type Masker struct {
	patterns [][]byte
	longest  int
	pending  []byte // a tail that may be the beginning of a secret
}

// Add makes the masker know one more secret from now on.
func (m *Masker) Add(v Value) {
	text := v.Reveal()
	if len(text) < shortest {
		return
	}
	for _, p := range encodings(text) {
		if !slices.ContainsFunc(m.patterns, func(q []byte) bool { return bytes.Equal(p, q) }) {
			m.patterns = append(m.patterns, p)
			m.longest = max(m.longest, len(p))
		}
	}
	slices.SortFunc(m.patterns, func(a, b []byte) int { return len(b) - len(a) })
}

func encodings(text string) [][]byte {
	escaped, _ := json.Marshal(text)
	out := [][]byte{
		[]byte(text),
		[]byte(url.QueryEscape(text)),
		[]byte(url.PathEscape(text)),
		[]byte(strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(text), "%2F", "/"), "+", "%20")), // as Python's quote does
		escaped[1 : len(escaped)-1],
		[]byte(plainJSON(text)),
		[]byte(asciiJSON(plainJSON(text))),
		[]byte(strings.ReplaceAll(text, "'", `'\''`)),
	}
	for offset := range 3 {
		padded := append(make([]byte, offset), text...)
		for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			coded := e.EncodeToString(padded)
			// The characters at both ends also depend on the neighbours.
			from := (offset*8 + 5) / 6
			to := len(coded)
			if (offset+len(text))%3 != 0 {
				to--
			}
			if to-from >= shortest {
				out = append(out, []byte(coded[from:to]))
			}
		}
	}
	return out
}

// plainJSON is a text inside of JSON, with nothing escaped for HTML.
func plainJSON(text string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(text) // a text always marshals
	return b.String()[1 : b.Len()-len("\"\n")]
}

// asciiJSON escapes what is not ASCII, as Python's json.dumps does.
func asciiJSON(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r < utf8.RuneSelf:
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// Write masks a chunk and returns what can be shown; the rest is kept back
// until more comes. The result is valid until the next call.
func (m *Masker) Write(chunk []byte) []byte {
	if len(m.patterns) == 0 {
		return chunk
	}
	m.pending = append(m.pending, chunk...)
	masked := m.mask(m.pending)
	keep := m.tail(masked)
	out := slices.Clone(masked[:len(masked)-keep])
	m.pending = append(m.pending[:0], masked[len(masked)-keep:]...)
	return out
}

// Flush returns what was kept back, at the end of the stream.
func (m *Masker) Flush() []byte {
	out := m.pending
	m.pending = nil
	return out
}

func (m *Masker) mask(b []byte) []byte {
	for _, p := range m.patterns {
		if bytes.Contains(b, p) {
			b = bytes.ReplaceAll(b, p, []byte("***"))
		}
	}
	return b
}

// tail is the length of the longest end of b that begins a secret.
func (m *Masker) tail(b []byte) int {
	for n := min(len(b), m.longest-1); n > 0; n-- {
		end := b[len(b)-n:]
		for _, p := range m.patterns {
			if bytes.HasPrefix(p, end) {
				return n
			}
		}
	}
	return 0
}
