// Package output writes what a command gives and says: tables for people, JSON
// and CSV for programs, numbers and durations as people read them, and how far
// long work is.
//
// Data go to one writer and talk to another; nothing here decides what is said.
package output

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"
)

// Table is data that a command gives: rows for people, values for programs.
type Table struct {
	Columns []string
	Rows    [][]string
	Values  any // what --output json writes
}

// Write writes data in a form: table, json or csv.
func (t Table) Write(to io.Writer, form string) error {
	switch form {
	case "json":
		e := json.NewEncoder(to)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		if v := reflect.ValueOf(t.Values); v.Kind() == reflect.Slice && v.IsNil() {
			return e.Encode([]any{}) // an empty list is a list
		}
		return e.Encode(t.Values)
	case "csv":
		w := csv.NewWriter(to)
		if err := w.Write(t.Columns); err != nil {
			return err
		}
		if err := w.WriteAll(t.Rows); err != nil {
			return err
		}
		return nil
	}
	return Align(to, t.Columns, t.Rows)
}

// One is a table of one thing: its fields, as JSON names them, are the columns.
func One(value any) (Table, error) {
	t := Table{Values: value, Rows: [][]string{{}}}
	text, err := json.Marshal(value)
	if err != nil {
		return t, err
	}
	fields := json.NewDecoder(bytes.NewReader(text))
	if _, err := fields.Token(); err != nil { // the opening brace
		return t, err
	}
	for fields.More() {
		name, err := fields.Token()
		if err != nil {
			return t, err
		}
		var cell json.RawMessage
		if err := fields.Decode(&cell); err != nil {
			return t, err
		}
		said := string(cell)
		if strings.HasPrefix(said, `"`) {
			if err := json.Unmarshal(cell, &said); err != nil {
				return t, err
			}
		}
		t.Columns, t.Rows[0] = append(t.Columns, fmt.Sprint(name)), append(t.Rows[0], said)
	}
	return t, nil
}

// Align writes rows in columns that are as wide as their widest cell. Line ends inside a cell are shown as spaces.
func Align(w io.Writer, columns []string, rows [][]string) error {
	width := make([]int, len(columns))
	lines := append([][]string{columns}, rows...)
	for _, row := range lines {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range lines {
		var b strings.Builder
		for i, cell := range row {
			cell = strings.ReplaceAll(cell, "\n", " ")
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(b.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

// Progress is a bar on a terminal, and a line now and then elsewhere.
type Progress struct {
	to       io.Writer
	terminal bool
	what     string
	begun    time.Time
	last     time.Time
	shown    bool
	quiet    string
}

// NewProgress begins to tell how far some work is.
func NewProgress(to io.Writer, terminal bool, what string) *Progress {
	return &Progress{to: to, terminal: terminal, what: what, begun: time.Now()}
}

const barWidth = 28

// Show says how far the work is.
func (p *Progress) Show(done, total int, note string) {
	now := time.Now()
	if !p.terminal {
		// One line for each tenth, and none that repeats.
		tenth := fmt.Sprint(done * 10 / max(total, 1))
		if tenth != p.quiet && now.Sub(p.last) > time.Second {
			p.quiet, p.last = tenth, now
			_, _ = fmt.Fprintf(p.to, "%s: %d of %d%s\n", p.what, done, total, after(", ", note))
		}
		return
	}
	if now.Sub(p.last) < 50*time.Millisecond && done < total {
		return
	}
	p.last, p.shown = now, true
	full := barWidth * done / max(total, 1)
	eta := ""
	if done > 0 && done < total {
		left := time.Duration(float64(now.Sub(p.begun)) / float64(done) * float64(total-done))
		eta = ", about " + left.Round(time.Second).String() + " left"
	}
	_, _ = fmt.Fprintf(p.to, "\r\x1b[K%s [%s%s] %d/%d%s%s", p.what, strings.Repeat("█", full), strings.Repeat("·", barWidth-full), done, total, eta, after(", ", note))
}

// End takes the bar away.
func (p *Progress) End() {
	if p.shown {
		_, _ = fmt.Fprint(p.to, "\r\x1b[K")
	}
}

func after(mark, text string) string {
	if text == "" {
		return ""
	}
	return mark + text
}

// Number groups the digits of a number: 336,776.
func Number(n int64) string {
	text := fmt.Sprint(n)
	sign := ""
	if n < 0 {
		sign, text = "-", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}

// Duration is a duration as people read it; empty for none.
func Duration(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}
