package format

import (
	"errors"
	"io"
	"slices"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/core/value"
)

// Sample finds the types of text columns from the first records of some files,
// for tables that nobody has written a contract for. The zero Sample is empty.
type Sample struct {
	rows    int64
	names   []string
	columns map[string]*value.Guess
}

// Rows is the number of records seen.
func (s *Sample) Rows() int64 { return s.rows }

// Add reads at most so many records of a file, which is CSV or JSON lines. The
// errors are those that a reader of the whole file would give.
func (s *Sample) Add(r io.Reader, file string, f project.Format, most int) (err error) {
	next := s.json
	if f.Kind == CSV {
		next = s.csv
	}
	one, source, err := next(r, file, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	for range most {
		switch err := one(); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		s.rows++
	}
	return nil
}

func (s *Sample) csv(r io.Reader, file string, f project.Format) (func() error, io.Closer, error) {
	c, err := openCSV(r, file, f)
	if err != nil {
		return nil, nil, err
	}
	columns := make([]*value.Guess, len(c.names))
	for i, name := range c.names {
		columns[i] = s.column(name)
	}
	return func() error {
		record, _, err := c.next()
		for i, text := range record {
			if !slices.Contains(c.nulls, text) {
				columns[i].Text(text)
			}
		}
		return err
	}, c.plain, nil
}

func (s *Sample) json(r io.Reader, file string, f project.Format) (func() error, io.Closer, error) {
	j, err := openJSON(r, file, f)
	if err != nil {
		return nil, nil, err
	}
	return func() error {
		line, err := j.next()
		if err != nil {
			return err
		}
		for i, key := range line.keys {
			column, raw := s.column(key), line.values[i]
			switch raw[0] {
			case 'n': // null
			case '"':
				text, err := j.text(line, i)
				if err != nil {
					return err
				}
				column.Quoted(text)
			case '{', '[':
				column.Document()
			default:
				column.Text(string(raw))
			}
		}
		return nil
	}, j.plain, nil
}

func (s *Sample) column(name string) *value.Guess {
	if g := s.columns[name]; g != nil {
		return g
	}
	if s.columns == nil {
		s.columns = map[string]*value.Guess{}
	}
	s.names = append(s.names, name)
	s.columns[name] = new(value.Guess)
	return s.columns[name]
}

// Schema is the columns of all files in the order of their appearance, each with its type.
func (s *Sample) Schema() datatype.Schema {
	var out datatype.Schema
	for _, name := range s.names {
		out.Fields = append(out.Fields, datatype.Field{Name: name, Type: s.columns[name].Type()})
	}
	return out
}
