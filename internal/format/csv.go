package format

import (
	"bufio"
	"bytes"
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

// ReadCSV reads one CSV file. The delimiter is found by looking at the beginning
// unless the format says it; the first record is the header
// unless the format says header: false. Columns that want names and the file
// lacks are delivered as NULL.
func ReadCSV(r io.Reader, file string, f project.Format, want []string) (datatype.Schema, Batches, error) {
	c, err := openCSV(r, file, f)
	if err != nil {
		return datatype.Schema{}, nil, err
	}
	names := slices.Clone(c.names)
	for _, n := range want {
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return datatype.Text(names...), c.batches(names), nil
}

// openCSV reads as far as the header.
func openCSV(r io.Reader, file string, f project.Format) (*csvReader, error) {
	plain, err := decompress(r, f.Compression)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	buffered := bufio.NewReaderSize(plain, headBytes)
	if err := skipBOM(buffered, file); err != nil {
		return nil, err
	}
	marks, key, err := f.CSV.Marks()
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", file, key, err)
	}
	start, err := head(buffered)
	if err != nil {
		return nil, fault.New(fault.Refused, "%s: %w", file, err)
	}
	if marks.Delimiter == 0 {
		marks.Delimiter = delimiter(start, marks)
	}
	if strings.EqualFold(f.CSV.Encoding, "latin1") || strings.EqualFold(f.CSV.Encoding, "iso-8859-1") {
		buffered = bufio.NewReaderSize(charmap.ISO8859_1.NewDecoder().Reader(buffered), headBytes)
	} else if strings.EqualFold(f.CSV.Encoding, "windows-1252") {
		buffered = bufio.NewReaderSize(charmap.Windows1252.NewDecoder().Reader(buffered), headBytes)
	}
	c := &csvReader{csv: newRecords(buffered, file, marks), plain: plain, file: file, nulls: f.CSV.Nulls}
	if len(c.nulls) == 0 {
		c.nulls = []string{""}
	}
	for range f.CSV.Skip {
		if _, err := c.csv.readLine(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
	}
	return c, c.header(f.CSV)
}

// delimiter returns the one that cuts the first records alike.
func delimiter(start []byte, marks project.CSVMarks) rune {
	if i := bytes.LastIndexByte(start, '\n'); i > 0 {
		start = start[:i+1]
	}
	best, bestFields := ',', 1
	for _, candidate := range []rune{',', ';', '\t', '|'} {
		if candidate == rune(marks.Quote) || candidate == rune(marks.Escape) {
			continue
		}
		marks.Delimiter = candidate
		reader := newRecords(bufio.NewReader(bytes.NewReader(start)), "", marks)
		fields := 0
		for range 50 {
			record, err := reader.read()
			if err != nil {
				break // a broken record is told where it is read in earnest
			}
			if fields > 0 && len(record) != fields {
				fields = 0
				break
			}
			fields = len(record)
		}
		if fields > bestFields {
			best, bestFields = candidate, fields
		}
	}
	return best
}

type csvReader struct {
	csv   *records
	plain io.Closer
	file  string
	names []string
	nulls []string
	first []string // a first record that was no header
}

func (c *csvReader) header(f project.CSVFormat) error {
	record, err := c.csv.read()
	if errors.Is(err, io.EOF) {
		if len(f.Columns) == 0 {
			return fault.New(fault.Refused, "%s: the file is empty, not even a header is there", c.file)
		}
		c.names = f.Columns
		return nil
	}
	if err != nil {
		return err
	}
	// Whoever names the columns has a file that does not, unless they say otherwise.
	if f.Header != nil && !*f.Header || f.Header == nil && len(f.Columns) > 0 {
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
		case strings.Contains(n, "\r"):
			return fault.New(fault.Refused, "%s:%d: column %d is named %q: the file ends its lines with CR alone; write LF or CR LF", c.file, c.csv.first, i+1, n)
		case n == "":
			return fault.New(fault.Refused, "%s:%d: column %d has no name", c.file, c.csv.first, i+1)
		case seen[n]:
			return fault.New(fault.Refused, "%s:%d: two columns are named %q", c.file, c.csv.first, n)
		case datatype.Hidden(n):
			return fault.New(fault.Refused, "%s:%d: a column is named %q, which Tidemill uses itself", c.file, c.csv.first, n)
		}
		seen[n] = true
	}
	if len(record) != len(c.names) {
		return fault.New(fault.Refused, "%s:%d: %d columns, but columns: names %d", c.file, c.csv.first, len(record), len(c.names))
	}
	return nil
}

// next returns the next record with its line; io.EOF after the last.
func (c *csvReader) next() (record []string, line int64, err error) {
	if record, c.first = c.first, nil; record == nil {
		if record, err = c.csv.read(); err != nil {
			return nil, 0, err
		}
	}
	if len(record) != len(c.names) {
		return nil, 0, fault.New(fault.Refused, "%s:%d: %d fields where the header has %d; is a quote missing, or a delimiter inside a field without quotes?",
			c.file, c.csv.first, len(record), len(c.names))
	}
	return record, c.csv.first, nil
}

func (c *csvReader) batches(names []string) Batches {
	return func(yield func(batch recordBatch, err error) bool) {
		defer func() { _ = c.plain.Close() }()
		t := newTextBatch(names)
		defer t.release()
		flush := func() bool {
			batch := t.take()
			defer batch.Release()
			return yield(batch, nil)
		}
		for {
			record, line, err := c.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil {
				err = c.append(t, record, line)
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
