package format

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
)

// ReadCSV reads one CSV file. Delimiter and encoding are found by looking at
// the beginning unless the format says them; the first record is the header
// unless the format says header: false. Columns that want names and the file
// lacks are delivered as NULL.
func ReadCSV(r io.Reader, file string, f project.Format, want []string) (datatype.Schema, Batches, error) {
	plain, err := decompress(r, f.Compression)
	if err != nil {
		return datatype.Schema{}, nil, fmt.Errorf("%s: %w", file, err)
	}
	buffered := bufio.NewReaderSize(plain, headBytes)
	if err := skipBOM(buffered, file); err != nil {
		return datatype.Schema{}, nil, err
	}
	start, err := head(buffered)
	if err != nil {
		return datatype.Schema{}, nil, fault.New(fault.Refused, "%s: %w", file, err)
	}
	var text io.Reader = buffered
	if strings.EqualFold(f.CSV.Encoding, "latin1") || strings.EqualFold(f.CSV.Encoding, "iso-8859-1") {
		text = charmap.ISO8859_1.NewDecoder().Reader(buffered)
	} else if strings.EqualFold(f.CSV.Encoding, "windows-1252") {
		text = charmap.Windows1252.NewDecoder().Reader(buffered)
	}
	reader := csv.NewReader(text)
	reader.ReuseRecord, reader.FieldsPerRecord = true, -1
	if reader.Comma, err = delimiter(f.CSV.Delimiter, start); err != nil {
		return datatype.Schema{}, nil, fmt.Errorf("%s: %w", file, err)
	}
	if (f.CSV.Quote != "" && f.CSV.Quote != `"`) || (f.CSV.Escape != "" && f.CSV.Escape != `"`) {
		return datatype.Schema{}, nil, fault.New(fault.Invalid, `%s: only the quote " is read, doubled inside a quoted field`, file)
	}
	c := &csvReader{csv: reader, file: file, nulls: f.CSV.Nulls}
	if len(c.nulls) == 0 {
		c.nulls = []string{""}
	}
	for range f.CSV.Skip {
		if _, err := reader.Read(); err != nil {
			return datatype.Schema{}, nil, c.explain(err)
		}
	}
	if err := c.header(f.CSV); err != nil {
		return datatype.Schema{}, nil, err
	}
	names := slices.Clone(c.names)
	for _, n := range want {
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return datatype.Text(names...), c.batches(names, plain), nil
}

// delimiter returns the one that is given, or the one that cuts the first lines alike.
func delimiter(given string, start []byte) (rune, error) {
	if given == `\t` || strings.EqualFold(given, "tab") {
		given = "\t"
	}
	if given != "" {
		r, size := utf8.DecodeRuneInString(given)
		if size != len(given) || r == '"' || r == '\n' || r == '\r' {
			return 0, fault.New(fault.Invalid, "delimiter %q: it is one character, and neither a quote nor a line end", given)
		}
		return r, nil
	}
	if i := bytes.LastIndexByte(start, '\n'); i > 0 {
		start = start[:i+1]
	}
	best, bestFields := ',', 1
	for _, candidate := range []rune{',', ';', '\t', '|'} {
		reader := csv.NewReader(bytes.NewReader(start))
		reader.Comma, reader.LazyQuotes = candidate, true
		fields := 0
		for range 50 {
			record, err := reader.Read() // an error too where the fields differ in number
			if err != nil {
				if !errors.Is(err, io.EOF) {
					fields = 0
				}
				break
			}
			fields = len(record)
		}
		if fields > bestFields {
			best, bestFields = candidate, fields
		}
	}
	return best, nil
}

type csvReader struct {
	csv   *csv.Reader
	file  string
	names []string
	nulls []string
	first []string // a first record that was no header
}

func (c *csvReader) header(f project.CSVFormat) error {
	record, err := c.csv.Read()
	if errors.Is(err, io.EOF) {
		if len(f.Columns) == 0 {
			return fault.New(fault.Refused, "%s: the file is empty, not even a header is there", c.file)
		}
		c.names = f.Columns
		return nil
	}
	if err != nil {
		return c.explain(err)
	}
	if f.Header != nil && !*f.Header {
		c.first = slices.Clone(record)
		c.names = f.Columns
		if len(c.names) == 0 {
			for i := range record {
				c.names = append(c.names, fmt.Sprintf("column%d", i+1))
			}
		}
	} else {
		c.names = slices.Clone(record)
		if len(f.Columns) > 0 {
			c.names = f.Columns
		}
	}
	seen := map[string]bool{}
	for i, n := range c.names {
		c.names[i] = strings.TrimSpace(n)
		switch n = c.names[i]; {
		case n == "":
			return fault.New(fault.Refused, "%s:1: column %d has no name", c.file, i+1)
		case seen[n]:
			return fault.New(fault.Refused, "%s:1: two columns are named %q", c.file, n)
		case datatype.Hidden(n):
			return fault.New(fault.Refused, "%s:1: a column is named %q, which Tidemill uses itself", c.file, n)
		}
		seen[n] = true
	}
	if len(record) != len(c.names) {
		return fault.New(fault.Refused, "%s:1: %d columns, but columns: names %d", c.file, len(record), len(c.names))
	}
	return nil
}

func (c *csvReader) batches(names []string, source io.Closer) Batches {
	return func(yield func(batch recordBatch, err error) bool) {
		defer func() { _ = source.Close() }()
		t := newTextBatch(names)
		defer t.release()
		flush := func() bool {
			batch := t.take()
			defer batch.Release()
			return yield(batch, nil)
		}
		if c.first != nil {
			if err := c.append(t, c.first, 1); err != nil {
				yield(nil, err)
				return
			}
		}
		for {
			record, err := c.csv.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil {
				line, _ := c.csv.FieldPos(0)
				err = c.append(t, record, int64(line))
			} else {
				err = c.explain(err)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if t.full() && !flush() {
				return
			}
		}
		if t.rows > 0 {
			flush()
		}
	}
}

func (c *csvReader) append(t *textBatch, record []string, line int64) error {
	if len(record) != len(c.names) {
		return fault.New(fault.Refused, "%s:%d: %d fields where the header has %d; is a quote missing, or a delimiter inside a field without quotes?",
			c.file, line, len(record), len(c.names))
	}
	for i, v := range record {
		if slices.Contains(c.nulls, v) {
			t.columns[i].AppendNull()
			continue
		}
		if !utf8.ValidString(v) {
			return fault.New(fault.Refused, "%s:%d: column %s is not UTF-8; if the file has another encoding, say so: format: {csv: {encoding: latin1}}",
				c.file, line, c.names[i])
		}
		t.columns[i].Append(v)
		t.bytes += len(v)
	}
	for i := len(record); i < len(t.columns); i++ {
		t.columns[i].AppendNull()
	}
	t.end(c.file, line)
	return nil
}

// explain gives a parse error of the library a file and plain words.
func (c *csvReader) explain(err error) error {
	if parse, ok := errors.AsType[*csv.ParseError](err); ok {
		what := parse.Err.Error()
		switch {
		case errors.Is(parse.Err, csv.ErrQuote):
			what = "a quoted field goes on after its closing quote, or its quote is never closed"
		case errors.Is(parse.Err, csv.ErrBareQuote):
			what = "a quote stands inside a field that does not begin with one"
		}
		return fault.New(fault.Refused, "%s:%d:%d: %s", c.file, parse.Line, parse.Column, what)
	}
	return fault.New(fault.Refused, "%s: %w", c.file, err)
}
