package project

import (
	"strings"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/core/fault"
)

// CSVFormat overrides what dialect detection finds.
type CSVFormat struct {
	Header    *bool    `json:"header,omitempty"`
	Delimiter string   `json:"delimiter,omitempty"`
	Quote     string   `json:"quote,omitempty"`  // none: a quote is a character like others
	Escape    string   `json:"escape,omitempty"` // empty: a quote inside a quoted field is doubled
	Nulls     []string `json:"nulls,omitempty"`
	Columns   []string `json:"columns,omitempty"`
	Encoding  string   `json:"encoding,omitempty"`
	Skip      int      `json:"skip,omitempty"` // lines before the header
}

// CSVMarks are the characters that part a CSV file. Zero: there is none; as
// delimiter: it is found by looking.
type CSVMarks struct {
	Delimiter     rune
	Quote, Escape byte
}

// Marks returns the characters that the format says. An error comes with the key that is wrong.
func (f CSVFormat) Marks() (m CSVMarks, key string, err error) {
	m.Quote = '"'
	if text := f.Delimiter; text != "" {
		if text == `\t` || strings.EqualFold(text, "tab") {
			text = "\t"
		}
		r, size := utf8.DecodeRuneInString(text)
		if size != len(text) || r == utf8.RuneError || r == '\n' || r == '\r' {
			return m, "delimiter", fault.New(fault.Invalid, "%q is not one character, or it ends a line", f.Delimiter)
		}
		m.Delimiter = r
	}
	if f.Quote == "none" {
		m.Quote = 0
	} else if f.Quote != "" {
		if m.Quote, err = mark(f.Quote); err != nil {
			return m, "quote", err
		}
	}
	if f.Escape != "" {
		if m.Escape, err = mark(f.Escape); err != nil {
			return m, "escape", err
		}
	}
	switch {
	case m.Quote != 0 && m.Delimiter == rune(m.Quote):
		return m, "delimiter", fault.New(fault.Invalid, "%q is the quote too", f.Delimiter)
	case m.Escape != 0 && m.Delimiter == rune(m.Escape):
		return m, "delimiter", fault.New(fault.Invalid, "%q is the escape too", f.Delimiter)
	case m.Escape == m.Quote:
		m.Escape = 0 // a doubled quote, as without it
	}
	return m, "", nil
}

// mark reads one character of ASCII that ends no line.
func mark(text string) (byte, error) {
	if len(text) != 1 || text[0] >= utf8.RuneSelf || text[0] == '\n' || text[0] == '\r' {
		return 0, fault.New(fault.Invalid, "%q is not one ASCII character, or it ends a line", text)
	}
	return text[0], nil
}
