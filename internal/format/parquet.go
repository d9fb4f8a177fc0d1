package format

import (
	"context"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
)

// RandomReader is what Parquet needs of a file.
type RandomReader interface {
	io.ReaderAt
	io.Seeker
	io.Reader
}

// rowGroupRows bounds a row group, so that writing holds little in memory.
const rowGroupRows = 128 << 10

// ReadParquet reads one Parquet file, typed as it is. The caller keeps the file
// open until the batches are consumed.
func ReadParquet(ctx context.Context, r parquet.ReaderAtSeeker, name string) (datatype.Schema, Batches, error) {
	reader, err := file.NewParquetReader(r)
	if err != nil {
		return datatype.Schema{}, nil, fault.New(fault.Refused, "%s: not a whole Parquet file: %w", name, err)
	}
	rows, err := pqarrow.NewFileReader(reader, pqarrow.ArrowReadProperties{BatchSize: batchRows}, memory.DefaultAllocator)
	if err != nil {
		return datatype.Schema{}, nil, fault.New(fault.Refused, "%s: %w", name, err)
	}
	arrowSchema, err := rows.Schema()
	if err != nil {
		return datatype.Schema{}, nil, fault.New(fault.Refused, "%s: %w", name, err)
	}
	schema, err := datatype.FromArrow(arrowSchema)
	if err != nil {
		return datatype.Schema{}, nil, fmt.Errorf("%s: %w", name, err)
	}
	return schema, func(yield func(recordBatch, error) bool) {
		defer func() { _ = reader.Close() }()
		stream, err := rows.GetRecordReader(ctx, nil, nil)
		if err != nil {
			yield(nil, fault.New(fault.Refused, "%s: %w", name, err))
			return
		}
		defer stream.Release()
		for stream.Next() {
			if !yield(stream.RecordBatch(), nil) {
				return
			}
		}
		if err := stream.Err(); err != nil && err != io.EOF { //nolint:errorlint // the reader returns io.EOF as it is
			yield(nil, fault.New(fault.Refused, "%s: %w", name, err))
		}
	}, nil
}

// Writer writes batches of one schema to a stream.
type Writer interface {
	Write(arrow.RecordBatch) error
	Close() error // writes what is left; the stream stays open
}

type parquetWriter struct{ w *pqarrow.FileWriter }

func (p parquetWriter) Write(b arrow.RecordBatch) error { return p.w.WriteBuffered(b) }
func (p parquetWriter) Close() error                    { return p.w.Close() }

// NewParquetWriter writes Parquet, zstd compressed, in row groups of bounded size.
func NewParquetWriter(w io.Writer, schema *arrow.Schema) (Writer, error) {
	properties := parquet.NewWriterProperties(
		parquet.WithCompression(compress.Codecs.Zstd), parquet.WithMaxRowGroupLength(rowGroupRows), parquet.WithCreatedBy("tidemill"),
	)
	// A wrapper without Close: the library would close the stream under us.
	out, err := pqarrow.NewFileWriter(schema, struct{ io.Writer }{w}, properties, pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
	if err != nil {
		return nil, fault.New(fault.Invalid, "write Parquet: %w", err)
	}
	return parquetWriter{out}, nil
}

// ReadIPC reads an Arrow IPC stream.
func ReadIPC(r io.Reader) (*arrow.Schema, Batches, error) {
	reader, err := ipc.NewReader(r)
	if err != nil {
		return nil, nil, fault.New(fault.Invalid, "the rows are no Arrow stream: %w", err)
	}
	return reader.Schema(), func(yield func(recordBatch, error) bool) {
		defer reader.Release()
		for reader.Next() {
			if !yield(reader.RecordBatch(), nil) {
				return
			}
		}
		if err := reader.Err(); err != nil {
			yield(nil, fault.New(fault.Invalid, "the Arrow stream ends early: %w", err))
		}
	}, nil
}

// NewIPCWriter writes an Arrow IPC stream.
func NewIPCWriter(w io.Writer, schema *arrow.Schema) Writer {
	return ipc.NewWriter(w, ipc.WithSchema(schema))
}
