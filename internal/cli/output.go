package cli

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/fault"
)

// table is data that a command gives: rows for people, values for programs.
type table struct {
	columns []string
	rows    [][]string
	values  any // what --output json writes
}

// give writes data to stdout in the form that was asked for.
func (s *session) give(t table) error {
	switch s.output {
	case "json":
		e := json.NewEncoder(s.Out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		if v := reflect.ValueOf(t.values); v.Kind() == reflect.Slice && v.IsNil() {
			return e.Encode([]any{}) // an empty list is a list
		}
		return e.Encode(t.values)
	case "csv":
		w := csv.NewWriter(s.Out)
		if err := w.Write(t.columns); err != nil {
			return err
		}
		if err := w.WriteAll(t.rows); err != nil {
			return err
		}
		return nil
	}
	return writeTable(s.Out, t.columns, t.rows)
}

// writeTable aligns columns by their widest cell. Line ends inside a cell are shown as spaces.
func writeTable(w io.Writer, columns []string, rows [][]string) error {
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

// progress is a bar on a terminal, and a line now and then elsewhere.
type progress struct {
	s     *session
	what  string
	begun time.Time
	last  time.Time
	shown bool
	quiet string
}

func (s *session) progress(what string) *progress {
	return &progress{s: s, what: what, begun: time.Now()}
}

const barWidth = 28

// show says how far the work is.
func (p *progress) show(done, total int, note string) {
	now := time.Now()
	if !p.s.Terminal {
		// One line for each tenth, and none that repeats.
		tenth := fmt.Sprint(done * 10 / max(total, 1))
		if tenth != p.quiet && now.Sub(p.last) > time.Second {
			p.quiet, p.last = tenth, now
			p.s.say("%s: %d of %d%s", p.what, done, total, after(", ", note))
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
	_, _ = fmt.Fprintf(p.s.Err, "\r\x1b[K%s [%s%s] %d/%d%s%s", p.what, strings.Repeat("█", full), strings.Repeat("·", barWidth-full), done, total, eta, after(", ", note))
}

// end takes the bar away.
func (p *progress) end() {
	if p.shown {
		_, _ = fmt.Fprint(p.s.Err, "\r\x1b[K")
	}
}

func after(mark, text string) string {
	if text == "" {
		return ""
	}
	return mark + text
}

// windowText is a window as people read it, in a zone.
func windowText(w calendar.Window, zone *time.Location) string {
	if w.IsZero() {
		return ""
	}
	start, end := w.Start.In(zone), w.End.In(zone)
	if start.Hour() == 0 && start.Minute() == 0 && end.Hour() == 0 && end.Minute() == 0 && end.Sub(start) < 26*time.Hour {
		return start.Format(time.DateOnly)
	}
	const short = "2006-01-02 15:04"
	return start.Format(short) + " – " + end.Format(short)
}

// number groups the digits of a number: 336,776.
func number(n int64) string {
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

func durationText(d time.Duration) string {
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

// paramsOf reads key=value pairs as JSON values: a number, true, false, or a text.
func paramsOf(pairs map[string]string) (json.RawMessage, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	values := map[string]any{}
	for k, text := range pairs {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			v = text
		}
		switch v.(type) {
		case string, float64, bool:
		default:
			return nil, fault.New(fault.Invalid, "param %s: %s is neither a number, a text, true nor false", k, text)
		}
		values[k] = v
	}
	return json.Marshal(values)
}
