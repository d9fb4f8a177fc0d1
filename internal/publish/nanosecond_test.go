package publish_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/format"
	"github.com/tidemill/tidemill/internal/gate"
	"github.com/tidemill/tidemill/internal/publish"
	"github.com/tidemill/tidemill/internal/store"
	"github.com/tidemill/tidemill/internal/store/files"
	"github.com/tidemill/tidemill/internal/store/storetest"
)

// writePandas writes instants as pandas does: in nanoseconds, whatever they are.
func writePandas(t *testing.T, path string, instants ...time.Time) {
	t.Helper()
	zoned := &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "America/New_York"}
	schema := arrow.NewSchema([]arrow.Field{{Name: "at", Type: zoned, Nullable: true}, {Name: "seen", Type: arrow.ListOf(zoned), Nullable: true}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for _, at := range instants {
		list := b.Field(1).(*array.ListBuilder)
		list.Append(true)
		if at.IsZero() {
			b.Field(0).AppendNull()
			continue
		}
		b.Field(0).(*array.TimestampBuilder).Append(arrow.Timestamp(at.UnixNano()))
		list.ValueBuilder().(*array.TimestampBuilder).Append(arrow.Timestamp(at.UnixNano()))
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	var out bytes.Buffer
	w, err := format.NewParquetWriter(&out, schema)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(batch); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestInstantsInNanosecondsAreReadWhereTheyFitMicroseconds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	landing, err := files.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = landing.Close() })
	noon := time.Date(2013, 1, 1, 12, 0, 0, 123456000, time.UTC)
	writePandas(t, filepath.Join(dir, "a1.parquet"), noon, time.Time{})
	writePandas(t, filepath.Join(dir, "a2.parquet"), noon.Add(time.Hour))
	writePandas(t, filepath.Join(dir, "b1.parquet"), noon, noon, noon)
	writePandas(t, filepath.Join(dir, "b2.parquet"), noon, noon.Add(1), noon)
	s := open(t)
	load := func(run string, fence int64, glob string, c *contract.Table) (publish.Outcome, error) {
		reading, err := landing.Read(t.Context(), store.Request{Files: []store.Files{{Glob: glob}}})
		if err != nil {
			t.Fatal(err)
		}
		w := write(project.ModeAppend)
		w.EventTime = ""
		return publish.Run(t.Context(), request(s, run, fence, publish.Table{Write: w, Contract: c, Source: publish.From(reading)}))
	}

	if _, err := load("a", 1, "a*.parquet", nil); err != nil {
		t.Fatal(err)
	}
	got := rows(t, s, `SELECT epoch_us("at"), epoch_us(seen[1]), typeof("at") FROM raw.flights ORDER BY "at"`)
	want := []string{"1357041600123456|1357041600123456", "1357045200123456|1357045200123456", "(null)|(null)"}
	for i := range want {
		want[i] += "|TIMESTAMP WITH TIME ZONE"
	}
	if !slices.Equal(got, want) {
		t.Errorf("the table has %q, want %q", got, want)
	}

	// A value that does not fit ends the load, by its file and row, and with what to do.
	_, err = load("b", 2, "b*.parquet", nil)
	if !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), "b2.parquet:2 ") || !strings.Contains(err.Error(), "12:00:00.123456001Z") || !strings.Contains(err.Error(), "round it at the source") {
		t.Errorf("a nanosecond was answered with %v", err)
	}

	// A contract that sets rows aside sets this one aside, and says where it stood.
	instant := datatype.Of(datatype.TimestampTZ)
	c := &contract.Table{Name: "raw.flights", ContractID: "flights", Version: "1.0.0", ExtraColumns: contract.ExtraAdd, OnFail: contract.Quarantine}
	c.Fields = []contract.Field{{Field: datatype.Field{Name: "at", Type: instant}, OnFail: contract.Quarantine}}
	c.Checks = []contract.Check{{Kind: contract.KindType, Rule: "at.type", Field: "at", Type: instant, OnFail: contract.Quarantine}}
	if _, err := load("c", 3, "b*.parquet", c); err != nil {
		t.Fatal(err)
	}
	if got, want := rows(t, s, "SELECT rule, file, line FROM raw.flights__quarantine"), []string{"at.type|b2.parquet|2"}; !slices.Equal(got, want) {
		t.Errorf("quarantine has %q, want %q", got, want)
	}
}

func TestADecimalOfNineDigitsIsToldNothingOfNanoseconds(t *testing.T) {
	t.Parallel()
	source := datatype.Schema{Fields: []datatype.Field{{Name: "n", Type: datatype.DecimalOf(9, 2)}}}
	batch := storetest.Batch(t, source, []any{"1.50"})
	defer batch.Release()
	whole := datatype.Of(datatype.Int32)
	c := &contract.Table{Name: "raw.flights", ContractID: "flights", Version: "1.0.0", OnFail: contract.Reject}
	c.Fields = []contract.Field{{Field: datatype.Field{Name: "n", Type: whole}}}
	c.Checks = []contract.Check{{Kind: contract.KindType, Rule: "n.type", Field: "n", Type: whole, OnFail: contract.Reject}}
	g, err := gate.New(gate.Config{Contract: c, Source: source})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Check(batch); !fault.Is(err, fault.Refused) || strings.Contains(err.Error(), "round it") {
		t.Errorf("a fraction was answered with %v", err)
	}
}
