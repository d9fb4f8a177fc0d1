package format

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
)

// maxRecord bounds a record, so that a quote that is never closed does not bring a whole file into memory.
const maxRecord = 64 << 20

// records cuts CSV into records. The standard library's reader knows one quote
// and no escape, makes one line end of another inside of a field, and holds a
// record of any size.
type records struct {
	in        *bufio.Reader
	file      string
	delimiter []byte
	marks     project.CSVMarks

	line   int64 // that was read last
	first  int64 // line of the record
	long   []byte
	text   []byte // of the record, its fields side by side
	ends   []int  // of the fields in text
	fields []string
}

func newRecords(in *bufio.Reader, file string, marks project.CSVMarks) *records {
	return &records{in: in, file: file, delimiter: utf8.AppendRune(nil, marks.Delimiter), marks: marks}
}

// read returns the next record that is not an empty line; it is borrowed until the next call.
func (r *records) read() ([]string, error) {
	var line []byte
	for len(withoutLineEnd(line)) == 0 {
		var err error
		if line, err = r.readLine(); err != nil {
			return nil, err
		}
	}
	r.first, r.text, r.ends = r.line, r.text[:0], r.ends[:0]
	for at := 0; at >= 0; {
		var err error
		if r.marks.Quote != 0 && at < len(line) && line[at] == r.marks.Quote {
			line, at, err = r.quoted(line, at)
		} else {
			line, at, err = r.bare(line, at)
		}
		if err != nil {
			return nil, err
		}
		r.ends = append(r.ends, len(r.text))
	}
	whole, start := string(r.text), 0
	r.fields = r.fields[:0]
	for _, end := range r.ends {
		r.fields = append(r.fields, whole[start:end])
		start = end
	}
	return r.fields, nil
}

// bare takes a field without quotes, and returns where the next one begins: -1 after the last one.
func (r *records) bare(line []byte, at int) (rest []byte, next int, err error) {
	from := at
	for ; at < len(line); at++ {
		switch c := line[at]; {
		case c == r.delimiter[0] && bytes.HasPrefix(line[at:], r.delimiter):
			r.text = append(r.text, line[from:at]...)
			return line, at + len(r.delimiter), nil
		case c == r.marks.Quote && c != 0:
			return nil, 0, r.fail(r.line, at, "a quote stands inside a field that does not begin with one")
		case c == r.marks.Escape && c != 0:
			size := r.escaped(line[at+1:])
			if size == 0 {
				continue
			}
			r.text = append(r.text, line[from:at]...)
			r.text = append(r.text, line[at+1:at+1+size]...)
			if from = at + 1 + size; line[from-1] == '\n' {
				line, err = r.goOn()
				if errors.Is(err, io.EOF) {
					return nil, -1, nil
				}
				if err != nil {
					return nil, 0, err
				}
				from = 0
			}
			at = from - 1
		}
	}
	r.text = append(r.text, withoutLineEnd(line[from:])...)
	return line, -1, nil
}

// quoted takes a field between quotes.
func (r *records) quoted(line []byte, at int) (rest []byte, next int, err error) {
	line0, column0 := r.line, at
	for at++; ; {
		end := at
		for end < len(line) && line[end] != r.marks.Quote && (line[end] != r.marks.Escape || r.marks.Escape == 0) {
			end++
		}
		r.text = append(r.text, line[at:end]...)
		if end == len(line) {
			if line, err = r.goOn(); err != nil {
				if errors.Is(err, io.EOF) {
					err = r.fail(line0, column0, "the quote is never closed")
				}
				return nil, 0, err
			}
			at = 0
			continue
		}
		mark := line[end]
		at = end + 1
		if mark != r.marks.Quote {
			size := r.escaped(line[at:])
			if size == 0 {
				size, at = 1, end
			}
			r.text = append(r.text, line[at:at+size]...)
			at += size
			continue
		}
		switch {
		case at < len(line) && line[at] == r.marks.Quote:
			r.text = append(r.text, r.marks.Quote)
			at++
		case bytes.HasPrefix(line[at:], r.delimiter):
			return line, at + len(r.delimiter), nil
		case len(withoutLineEnd(line[at:])) == 0:
			return line, -1, nil
		default:
			return nil, 0, r.fail(r.line, end, `a quoted field goes on after its closing quote; if the file writes \" for a quote inside a field, say so: format: {csv: {escape: "\\"}}`)
		}
	}
}

// escaped is the size of what an escape before the text takes the meaning from.
// Before anything else the escape stands for itself.
func (r *records) escaped(text []byte) int {
	switch {
	case len(text) == 0:
		return 0
	case text[0] == r.marks.Escape, text[0] == r.marks.Quote && r.marks.Quote != 0, text[0] == '\n':
		return 1
	case bytes.HasPrefix(text, []byte("\r\n")):
		return 2
	case bytes.HasPrefix(text, r.delimiter):
		return len(r.delimiter)
	}
	return 0
}

// goOn reads the next line of a record that has begun.
func (r *records) goOn() ([]byte, error) {
	if len(r.text) > maxRecord {
		return nil, r.fail(r.first, 0, "the record has more than %d MiB; is a quote never closed?", maxRecord>>20)
	}
	return r.readLine()
}

// readLine returns the next line with its end; it is borrowed until the next call.
func (r *records) readLine() ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		r.long = r.long[:0]
		for errors.Is(err, bufio.ErrBufferFull) {
			if r.long = append(r.long, line...); len(r.long) > maxRecord {
				return nil, r.fail(r.line+1, 0, "the line has more than %d MiB", maxRecord>>20)
			}
			line, err = r.in.ReadSlice('\n')
		}
		r.long = append(r.long, line...)
		line = r.long
	}
	switch {
	case err == nil, errors.Is(err, io.EOF) && len(line) > 0:
		r.line++
		return line, nil
	case errors.Is(err, io.EOF):
		return nil, io.EOF
	}
	return nil, fault.New(fault.Refused, "%s:%d: %w", r.file, r.line+1, err)
}

func (r *records) fail(line int64, column int, form string, args ...any) error {
	return fault.New(fault.Refused, "%s:%d:%d: "+form, append([]any{r.file, line, column + 1}, args...)...)
}

// withoutLineEnd cuts a line's end; a lone return is one at the end of a file only.
func withoutLineEnd(line []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
}
