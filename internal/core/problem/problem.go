// Package problem holds what Tidemill says about a project file: where, what is
// wrong, how to mend it, and under which code.
//
// A problem is data. Printing it (code frame, colour, JSON) is the business of
// the command line; finding it that of source and the core packages.
package problem

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Place is a position in a project file. Line and Column count from 1, columns
// in characters; 0 means that the place is the whole file.
type Place struct {
	File   string `json:"file,omitempty"` // slash-separated, relative to the project folder
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// String returns file:line:column, as editors understand it.
func (p Place) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Severity tells a problem that refuses the project from one that does not.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Problem is one finding about a project.
type Problem struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	Place
	Message string   `json:"message"`          // what is wrong, with the offending text
	Remedy  string   `json:"remedy,omitempty"` // how to mend it
	Related []Note   `json:"related,omitempty"`
	Owner   string   `json:"pipeline,omitempty"` // the pipeline that the problem disables; empty: none, or the whole project
	Also    []string `json:"also,omitempty"`     // further pipelines that it disables
}

// Note is another place that belongs to a problem, such as the first of two definitions.
type Note struct {
	Place
	Message string `json:"message"`
}

// New returns a problem of the severity that the code's entry in the table names.
func New(code Code, at Place, remedy, format string, args ...any) Problem {
	return Problem{
		Code: code, Severity: code.entry().severity, Place: at,
		Message: fmt.Sprintf(format, args...), Remedy: remedy,
	}
}

// Error makes a problem usable as an error: place, message, remedy and code on one line.
func (p Problem) Error() string {
	var b strings.Builder
	if at := p.Place.String(); at != "" {
		b.WriteString(at + ": ")
	}
	b.WriteString(p.Message)
	if p.Remedy != "" {
		b.WriteString("; " + p.Remedy)
	}
	fmt.Fprintf(&b, " [%s]", p.Code)
	return b.String()
}

// List is a set of problems in a fixed order.
type List []Problem

// Sort orders the list by file, line, column, code and message.
func (l List) Sort() {
	slices.SortFunc(l, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Code, b.Code), cmp.Compare(a.Message, b.Message),
		)
	})
}

// Errors returns the problems that refuse the project or one of its pipelines.
func (l List) Errors() List {
	var out List
	for _, p := range l {
		if p.Severity == SeverityError {
			out = append(out, p)
		}
	}
	return out
}

// Of returns the errors that disable a pipeline; of the empty name those that
// concern the project as a whole.
func (l List) Of(pipeline string) List {
	return slices.DeleteFunc(l.Errors(), func(p Problem) bool { return p.Owner != pipeline && !slices.Contains(p.Also, pipeline) })
}

// Summary says the first problem whole, and how many more there are.
func (l List) Summary() string {
	switch len(l) {
	case 0:
		return ""
	case 1:
		return l[0].Error()
	case 2:
		return l[0].Error() + ", and 1 more error"
	}
	return fmt.Sprintf("%s, and %d more errors", l[0].Error(), len(l)-1)
}

// Nearest returns the candidate that a person most likely meant by word, or
// the empty string where none is near: at most a third of its letters differ
// (Damerau-Levenshtein distance, optimal string alignment).
func Nearest(word string, candidates []string) string {
	best, bestDistance := "", 1+max(1, len(word)/3)
	for _, c := range candidates {
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// Suggest ends a sentence that says that a word names nothing: with the nearest
// candidate, or with all of them where they are few enough to read.
func Suggest(word string, candidates []string) string {
	const few = 8
	if near := Nearest(word, candidates); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	if len(candidates) == 0 || len(candidates) > few {
		return ""
	}
	return "; there are: " + strings.Join(candidates, ", ")
}

func distance(a, b string) int {
	s, t := []rune(a), []rune(b)
	if max(len(s), len(t)) > 64 {
		return 1 << 20
	}
	rows := make([][]int, len(s)+1)
	for i := range rows {
		rows[i] = make([]int, len(t)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(s); i++ {
		for j := 1; j <= len(t); j++ {
			cost := 1
			if s[i-1] == t[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && s[i-1] == t[j-2] && s[i-2] == t[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(s)][len(t)]
}
