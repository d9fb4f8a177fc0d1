// Package format reads and writes rows as CSV, JSON lines, Parquet and Arrow IPC.
//
// Text formats deliver text: every column as it was written, with the file and
// the line of each record beside it (datatype.FileColumn, datatype.LineColumn),
// and NULL only where the format or an override says so. Casting is the gate's
// business. Memory is bounded by one batch. What cannot be read whole is an
// error of kind refused that names file and line.
package format

import (
	"bufio"
	"bytes"
	"io"
	"iter"
	"path"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
)

// Kinds of format.
const (
	CSV     = "csv"
	JSON    = "json" // one object per line
	Parquet = "parquet"
)

// Compressions.
const (
	None = "none"
	Gzip = "gzip"
	Zstd = "zstd"
)

// Batches is a stream of record batches; each is borrowed until the next one.
type Batches = iter.Seq2[arrow.RecordBatch, error]

// A batch of text ends at whichever of these comes first.
const (
	batchRows  = 32 << 10
	batchBytes = 8 << 20
)

// Guess completes a format by the name of a file.
func Guess(name string, f project.Format) (project.Format, error) {
	base := strings.ToLower(path.Base(name))
	ending := path.Ext(base)
	if f.Compression == "" {
		f.Compression = None
		switch ending {
		case ".gz":
			f.Compression = Gzip
		case ".zst", ".zstd":
			f.Compression = Zstd
		}
	}
	if ending == ".gz" || ending == ".zst" || ending == ".zstd" {
		ending = path.Ext(strings.TrimSuffix(base, ending))
	}
	if f.Kind != "" {
		return f, nil
	}
	switch ending {
	case ".csv", ".tsv", ".txt":
		f.Kind = CSV
	case ".jsonl", ".ndjson", ".json":
		f.Kind = JSON
	case ".parquet", ".pq":
		f.Kind = Parquet
	default:
		return f, fault.New(fault.Invalid, "%s: the name does not tell the format; say format: csv, json or parquet", name)
	}
	return f, nil
}

// decompress opens a compressed stream.
func decompress(r io.Reader, compression string) (io.ReadCloser, error) {
	switch compression {
	case "", None:
		return io.NopCloser(r), nil
	case Gzip:
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, fault.New(fault.Refused, "the file is not gzip: %w", err)
		}
		return z, nil
	case Zstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(512<<20))
		if err != nil {
			return nil, fault.New(fault.Refused, "the file is not zstd: %w", err)
		}
		return z.IOReadCloser(), nil
	}
	return nil, fault.New(fault.Invalid, "no compression %q; there are none, gzip and zstd", compression)
}

// textBatch builds batches of text columns with file and line.
type textBatch struct {
	schema  *arrow.Schema
	columns []*array.StringBuilder
	file    *array.StringBuilder
	line    *array.Int64Builder
	rows    int
	bytes   int
}

func newTextBatch(names []string) *textBatch {
	schema := datatype.Text(names...).Arrow()
	t := &textBatch{schema: schema}
	for range names {
		t.columns = append(t.columns, array.NewStringBuilder(memory.DefaultAllocator))
	}
	t.file, t.line = array.NewStringBuilder(memory.DefaultAllocator), array.NewInt64Builder(memory.DefaultAllocator)
	return t
}

func (t *textBatch) full() bool { return t.rows >= batchRows || t.bytes >= batchBytes }

// end closes a record that stands at a line of a file.
func (t *textBatch) end(file string, line int64) {
	t.file.Append(file)
	t.line.Append(line)
	t.rows++
}

// take returns the rows so far as a batch and begins anew.
func (t *textBatch) take() arrow.RecordBatch {
	arrays := make([]arrow.Array, 0, len(t.columns)+2)
	for _, c := range t.columns {
		arrays = append(arrays, c.NewArray())
	}
	arrays = append(arrays, t.file.NewArray(), t.line.NewArray())
	batch := array.NewRecordBatch(t.schema, arrays, int64(t.rows))
	for _, a := range arrays {
		a.Release()
	}
	t.rows, t.bytes = 0, 0
	return batch
}

func (t *textBatch) release() {
	for _, c := range t.columns {
		c.Release()
	}
	t.file.Release()
	t.line.Release()
}

// head returns the beginning of a stream without consuming it.
func head(r *bufio.Reader) ([]byte, error) {
	b, err := r.Peek(headBytes)
	if err != nil && err != io.EOF && err != bufio.ErrBufferFull { //nolint:errorlint // bufio returns these as they are
		return nil, err
	}
	return b, nil
}

// headBytes is how much of a file decides its dialect.
const headBytes = 64 << 10

var utf8BOM = []byte("\xef\xbb\xbf")

// skipBOM consumes a byte order mark of UTF-8, and refuses those of UTF-16.
func skipBOM(r *bufio.Reader, file string) error {
	start, _ := r.Peek(3)
	switch {
	case bytes.HasPrefix(start, utf8BOM):
		_, _ = r.Discard(3)
	case bytes.HasPrefix(start, []byte("\xff\xfe")), bytes.HasPrefix(start, []byte("\xfe\xff")):
		return fault.New(fault.Refused, "%s: the file is UTF-16; write it as UTF-8", file)
	}
	return nil
}
