package format_test

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/format"
)

// dump writes batches as lines: "file:line a|b|c", NULL as ∅.
func dump(schema datatype.Schema, batches format.Batches, err error) (string, error) {
	if err != nil {
		return "", err
	}
	var names []string
	for _, f := range schema.Fields {
		if !datatype.Hidden(f.Name) {
			names = append(names, f.Name)
		}
	}
	var b strings.Builder
	fmt.Fprintln(&b, strings.Join(names, "|"))
	for batch, err := range batches {
		if err != nil {
			return b.String(), err
		}
		n := len(names)
		for row := range int(batch.NumRows()) {
			if int(batch.NumCols()) > n {
				fmt.Fprintf(&b, "%s:%s ", batch.Column(n).ValueStr(row), batch.Column(n+1).ValueStr(row))
			}
			for i := range n {
				if i > 0 {
					b.WriteByte('|')
				}
				if batch.Column(i).IsNull(row) {
					b.WriteString("∅")
				} else {
					b.WriteString(batch.Column(i).ValueStr(row))
				}
			}
			b.WriteByte('\n')
		}
	}
	return b.String(), nil
}

func csvText(text string, f project.CSVFormat, want ...string) (string, error) {
	return dump(format.ReadCSV(strings.NewReader(text), "f.csv", project.Format{CSV: f}, want))
}

func TestCSVIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	no := false
	for _, c := range []struct {
		name, text string
		format     project.CSVFormat
		want       string
	}{
		{"plain", "a,b\n1,x\n,\"y,\"\"z\"\"\"\n", project.CSVFormat{}, "a|b\nf.csv:2 1|x\nf.csv:3 ∅|y,\"z\"\n"},
		{"semicolons are found", "a;b\n1,5;2\n3,0;4\n", project.CSVFormat{}, "a|b\nf.csv:2 1,5|2\nf.csv:3 3,0|4\n"},
		{"tabs are found", "a\tb\n1\tx y\n", project.CSVFormat{}, "a|b\nf.csv:2 1|x y\n"},
		{"a record of several lines", "a,b\n\"x\ny\",1\nz,2\n", project.CSVFormat{}, "a|b\nf.csv:2 x\ny|1\nf.csv:4 z|2\n"},
		{"byte order mark, CRLF, no last line end", "\ufeffa,b\r\n1,2\r\n3,4", project.CSVFormat{}, "a|b\nf.csv:2 1|2\nf.csv:3 3|4\n"},
		{"named columns are of a file without a header", "Ada,x\nBob,y\n", project.CSVFormat{Columns: []string{"n", "v"}}, "n|v\nf.csv:1 Ada|x\nf.csv:2 Bob|y\n"},
		{"without a header", "1,2\n3,4\n", project.CSVFormat{Header: &no, Columns: []string{"x", "y"}}, "x|y\nf.csv:1 1|2\nf.csv:2 3|4\n"},
		{"own null", "a,b\nNA,1\n,2\n", project.CSVFormat{Nulls: []string{"NA"}}, "a|b\nf.csv:2 ∅|1\nf.csv:3 |2\n"},
		{"lines before the header", "# made by hand\na,b\n1,2\n", project.CSVFormat{Skip: 1}, "a|b\nf.csv:3 1|2\n"},
		{"a header alone", "a,b\n", project.CSVFormat{}, "a|b\n"},
		{"another encoding", "a\n\xe9t\xe9\n", project.CSVFormat{Encoding: "latin1"}, "a\nf.csv:2 été\n"},
		{"line ends inside of quotes stay as they are", "a,b\r\n\"x\r\ny\",\"p\nq\"\r\n", project.CSVFormat{}, "a|b\nf.csv:2 x\r\ny|p\nq\n"},
		{"another quote", "a,b\n'x,''y','\"'\n", project.CSVFormat{Quote: "'"}, "a|b\nf.csv:2 x,'y|\"\n"},
		{"no quotes at all", "a,b\n\"x,5\" tall\n", project.CSVFormat{Quote: "none"}, "a|b\nf.csv:2 \"x|5\" tall\n"},
		{"an escape inside of quotes", `a,b` + "\n" + `"say \"no\"",C:\dir` + "\n" + `"\\",""` + "\n", project.CSVFormat{Escape: `\`, Nulls: []string{"-"}}, "a|b\nf.csv:2 say \"no\"|C:\\dir\nf.csv:3 \\|\n"},
		{"an escape without quotes, over a line end", "a;b\nx\\;y;p\\\nq\n\\N;z\n", project.CSVFormat{Quote: "none", Escape: `\`, Nulls: []string{`\N`}}, "a|b\nf.csv:2 x;y|p\nq\nf.csv:4 ∅|z\n"},
		{"an escape at the end", "a,b\n1,2\\", project.CSVFormat{Escape: `\`}, "a|b\nf.csv:2 1|2\\\n"},
		{"an escaped line end at the end", "a,b\n1,2\\\n", project.CSVFormat{Escape: `\`}, "a|b\nf.csv:2 1|2\n\n"},
		{"a delimiter of several bytes", "a¦b\n1¦\"2¦3\"\n", project.CSVFormat{Delimiter: "¦"}, "a|b\nf.csv:2 1|2¦3\n"},
		{"delimiters are found beside another quote", "a;b\n'1,2,3';4\n", project.CSVFormat{Quote: "'"}, "a|b\nf.csv:2 1,2,3|4\n"},
		{"free text before the header", "made \"by hand\n\na,b\n1,2\n", project.CSVFormat{Skip: 2}, "a|b\nf.csv:4 1|2\n"},
		{"spaces and leading zeros stay", "a,b\n 007 ,1e3\n", project.CSVFormat{}, "a|b\nf.csv:2  007 |1e3\n"},
	} {
		if got, err := csvText(c.text, c.format); err != nil || got != c.want {
			t.Errorf("%s: %v\n%s", c.name, err, cmp.Diff(c.want, got))
		}
	}
}

func TestABrokenCSVSaysWhereAndWhy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"", "f.csv: the file is empty"},
		{"a,b\n1\n", "f.csv:2: 1 fields where the header has 2"},
		{"a,b\n1,2\n1,2,3\n", "f.csv:3: 3 fields where the header has 2"},
		{"a,b\n\"x,1\n", "f.csv:2:1: the quote is never closed"},
		{"a,b\n1,\"x\"y\n", "f.csv:2:5: a quoted field goes on after its closing quote"},
		{"a,b\nx\"y,1\n", "f.csv:2:2: a quote stands inside a field"},
		{"a,a\n1,2\n", "two columns are named \"a\""},
		{"a,\n1,2\n", "column 2 has no name"},
		{"a,__line\n1,2\n", "which Tidemill uses itself"},
		{"a,b\n\xff\xfe,2\n", "f.csv:2: column a is not UTF-8"},
		{"\xff\xfea\x00", "UTF-16"},
	} {
		_, err := csvText(c.text, project.CSVFormat{})
		if !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.text, err, c.want)
		}
	}
	for _, f := range []project.CSVFormat{{Delimiter: "ab"}, {Delimiter: `"`}, {Quote: "''"}, {Quote: "é"}, {Quote: "\n"}, {Escape: "ab"}, {Delimiter: "\n"}, {Quote: ";", Delimiter: ";"}, {Escape: ";", Delimiter: ";"}} {
		if _, err := csvText("a,b\n", f); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

func TestWantedColumnsAreThereThoughTheFileLacksThem(t *testing.T) {
	t.Parallel()
	got, err := csvText("a\n1\n", project.CSVFormat{}, "a", "b")
	if err != nil || got != "a|b\nf.csv:2 1|∅\n" {
		t.Errorf("%q, %v", got, err)
	}
	got, err = dump(format.ReadJSON(strings.NewReader(`{"a": 1}`), "f.jsonl", project.Format{}, []string{"b"}, false))
	if err != nil || got != "a|b\nf.jsonl:1 1|∅\n" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestJSONLinesKeepTheirText(t *testing.T) {
	t.Parallel()
	text := `{"a": 12345678901234567890.10, "b": "x\u00e9\n", "c": null}` + "\n\n" + `{"c": {"k": [1, 2]}, "a": true}` + "\n"
	want := "a|b|c\nf.jsonl:1 12345678901234567890.10|xé\n|∅\nf.jsonl:3 true|∅|{\"k\": [1, 2]}\n"
	if got, err := dump(format.ReadJSON(strings.NewReader(text), "f.jsonl", project.Format{}, nil, false)); err != nil || got != want {
		t.Errorf("%v\n%s", err, cmp.Diff(want, got))
	}
	for bad, where := range map[string]string{
		"[1]\n": "f.jsonl:1", "{\"a\":1}\n{\"a\":\n": "f.jsonl:2", "{\"a\":1,\"a\":2}": "given twice", "{} {}": "more than one value",
		"{\"a\":1}x": "f.jsonl:1", "{\"__file\":1}": "uses itself", "\xff": "not UTF-8",
	} {
		_, err := dump(format.ReadJSON(strings.NewReader(bad), "f.jsonl", project.Format{}, nil, false))
		if !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), where) {
			t.Errorf("%q: %v, want %q", bad, err, where)
		}
	}
	late := strings.Repeat("{\"a\":1}\n", 1500) + "{\"b\":1}\n"
	if got, err := dump(format.ReadJSON(strings.NewReader(late), "f.jsonl", project.Format{}, []string{"a"}, true)); err != nil || strings.Count(got, "\n") < 1501 {
		t.Errorf("only what is wanted: %d lines, %v", strings.Count(got, "\n"), err)
	}
	if _, err := dump(format.ReadJSON(strings.NewReader(late), "f.jsonl", project.Format{}, nil, false)); !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), "f.jsonl:1501") {
		t.Errorf("a key that comes late is lost in silence: %v", err)
	}
}

func TestCompressedFilesAreTheSame(t *testing.T) {
	t.Parallel()
	const text = "a,b\n1,2\n"
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(z, text)
	_ = z.Close()
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"x.csv": []byte(text), "x.csv.gz": zipped.Bytes(), "x.csv.zst": encoder.EncodeAll([]byte(text), nil)} {
		f, err := format.Guess(name, project.Format{})
		if err != nil || f.Kind != format.CSV {
			t.Fatal(f, err)
		}
		got, err := dump(format.ReadCSV(bytes.NewReader(b), name, f, nil))
		if err != nil || got != "a|b\n"+name+":2 1|2\n" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	f, _ := format.Guess("x.csv.gz", project.Format{})
	if _, err := dump(format.ReadCSV(strings.NewReader(text), "x.csv.gz", f, nil)); !fault.Is(err, fault.Refused) {
		t.Errorf("text under a name of gzip: %v", err)
	}
	cut := zipped.Bytes()[:zipped.Len()-6]
	if _, err := dump(format.ReadCSV(bytes.NewReader(cut), "x.csv.gz", f, nil)); !fault.Is(err, fault.Refused) {
		t.Errorf("a file that was cut: %v", err)
	}
}

func sample(t testing.TB) (*arrow.Schema, arrow.RecordBatch) {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "i", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "s", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "f", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
		{Name: "b", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
		{Name: "t", Type: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, Nullable: true},
		{Name: "d", Type: arrow.FixedWidthTypes.Date32, Nullable: true},
		{Name: "w", Type: &arrow.TimestampType{Unit: arrow.Microsecond}, Nullable: true},
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	b.Field(0).(*array.Int64Builder).AppendValues([]int64{-1, 1 << 60, 0}, []bool{true, true, false})
	b.Field(1).(*array.StringBuilder).AppendValues([]string{"", `\e "x", y` + "\r\n", ""}, []bool{true, true, false})
	b.Field(2).(*array.Float64Builder).AppendValues([]float64{0.1, 1e300, 0}, []bool{true, true, false})
	b.Field(3).(*array.BooleanBuilder).AppendValues([]bool{true, false, false}, []bool{true, true, false})
	b.Field(4).(*array.TimestampBuilder).AppendValues([]arrow.Timestamp{1356998400000001, -1, 0}, []bool{true, true, false})
	b.Field(5).(*array.Date32Builder).AppendValues([]arrow.Date32{15706, -1, 0}, []bool{true, true, false})
	b.Field(6).(*array.TimestampBuilder).AppendValues([]arrow.Timestamp{1356998400000001, -1, 0}, []bool{true, true, false})
	return schema, b.NewRecordBatch()
}

func TestTypedCSVSaysWhatItCannotTakeOver(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a:timestamp\n2024-01-01T00:00:00\n":                 "line 2, column a",
		"a:timestamp\n2024-01-01T00:00:00.123456789+00:00\n": "line 2, column a: 2024-01-01T00:00:00.123456789+00:00 has nanoseconds",
		"a:localtime\n2024-01-01T00:00:00+00:00\n":           "line 2, column a",
		"a:int,b:int\n1,2\n9223372036854775808,1\n":          "line 3, column a",
		"\"a:decimal(3,1)\"\n1.55\n":                         `line 2, column a: "1.55" has more digits after the point`,
		"\"a:decimal(40,1)\"\n1\n":                           "is no NAME:TYPE",
		"a:int,b:int\n1\n":                                   "line 2: 1 fields where the header has 2",
		"a:int,b\n1,2\n":                                     `header field "b" is no NAME:TYPE`,
		"":                                                   "without a header",
	} {
		_, batches, err := format.ReadTypedCSV(strings.NewReader(text))
		if err == nil {
			for _, err = range batches {
				if err != nil {
					break
				}
			}
		}
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestADecimalTravelsAsItsExactText(t *testing.T) {
	t.Parallel()
	schema := arrow.NewSchema([]arrow.Field{{Name: "d", Type: &arrow.Decimal128Type{Precision: 9, Scale: 2}}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	b.Field(0).(*array.Decimal128Builder).AppendValues([]decimal128.Num{decimal128.FromI64(750), decimal128.FromI64(-1)}, nil)
	batch := b.NewRecordBatch()
	defer batch.Release()
	var text bytes.Buffer
	if err := format.WriteTypedCSV(&text, schema, func(yield func(arrow.RecordBatch, error) bool) { yield(batch, nil) }); err != nil {
		t.Fatal(err)
	}
	if text.String() != "\"d:decimal(9,2)\"\n7.50\n-0.01\n" {
		t.Errorf("%q", text.String())
	}
	_, back, err := format.ReadTypedCSV(&text)
	same(t, "typed CSV", batch, back, err)
}

func TestNaNIsANumberOfItsOwnInTypedCSV(t *testing.T) {
	t.Parallel()
	schema, batches, err := format.ReadTypedCSV(strings.NewReader("f:float,g:int\nnan,1\n,2\n-inf,3\n"))
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := format.WriteTypedCSV(&text, schema, batches); err != nil {
		t.Fatal(err)
	}
	if want := "f:float,g:int\nNaN,1\n,2\n-Inf,3\n"; text.String() != want {
		t.Errorf("%q, want %q", text.String(), want)
	}
}

func TestNestedValuesTravelAsJSON(t *testing.T) {
	t.Parallel()
	list := datatype.Field{Name: "l", Type: datatype.ListOf(datatype.StructOf(datatype.Field{Name: "a", Type: datatype.Of(datatype.String)}))}.Arrow()
	schema := arrow.NewSchema([]arrow.Field{list, {Name: "n", Type: arrow.PrimitiveTypes.Int64}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	if err := b.Field(0).UnmarshalJSON([]byte(`[[{"a": "x\\\"y"}, {"a": null}], null, []]`)); err != nil {
		t.Fatal(err)
	}
	b.Field(1).(*array.Int64Builder).AppendValues([]int64{1, 2, 3}, nil)
	batch := b.NewRecordBatch()
	defer batch.Release()
	var text bytes.Buffer
	if err := format.WriteTypedCSV(&text, schema, func(yield func(arrow.RecordBatch, error) bool) { yield(batch, nil) }); err != nil {
		t.Fatal(err)
	}
	back, batches, err := format.ReadTypedCSV(&text)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := datatype.FromArrow(back); err != nil || got.Fields[0].Type.Kind != datatype.JSON {
		t.Errorf("the column came back as %v, %v", got, err)
	}
	var rows []string
	for batch, err := range batches {
		if err != nil {
			t.Fatal(err)
		}
		for i := range int(batch.NumRows()) {
			rows = append(rows, batch.Column(0).ValueStr(i))
		}
	}
	if want := []string{`[{"a":"x\\\"y"},{"a":null}]`, "(null)", "[]"}; !slices.Equal(rows, want) {
		t.Errorf("rows %q, want %q", rows, want)
	}
}

func TestTypedCSVParquetAndIPCGiveBackWhatWasWritten(t *testing.T) {
	t.Parallel()
	schema, batch := sample(t)
	defer batch.Release()
	one := func(yield func(arrow.RecordBatch, error) bool) { yield(batch, nil) }
	var text bytes.Buffer
	if err := format.WriteTypedCSV(&text, schema, one); err != nil {
		t.Fatal(err)
	}
	_, typed, err := format.ReadTypedCSV(&text)
	same(t, "typed CSV", batch, typed, err)

	for name, open := range map[string]func(io.Writer) (format.Writer, error){
		"Parquet": func(w io.Writer) (format.Writer, error) { return format.NewParquetWriter(w, schema) },
		"IPC":     func(w io.Writer) (format.Writer, error) { return format.NewIPCWriter(w, schema), nil },
	} {
		var b bytes.Buffer
		w, err := open(&b)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(batch); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		var back format.Batches
		if name == "Parquet" {
			_, back, err = format.ReadParquet(t.Context(), bytes.NewReader(b.Bytes()), "f.parquet")
		} else {
			_, back, err = format.ReadIPC(bytes.NewReader(b.Bytes()))
		}
		same(t, name, batch, back, err)
		if name == "Parquet" {
			if _, _, err := format.ReadParquet(t.Context(), bytes.NewReader(b.Bytes()[:b.Len()/2]), "f.parquet"); !fault.Is(err, fault.Refused) {
				t.Errorf("half a Parquet file: %v", err)
			}
		}
	}
}

func same(t *testing.T, name string, want arrow.RecordBatch, got format.Batches, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	rows := int64(0)
	for batch, err := range got {
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		part := want.NewSlice(rows, rows+batch.NumRows())
		for i, c := range batch.Columns() {
			if !array.Equal(part.Column(i), c) {
				t.Errorf("%s, column %s: %v, want %v", name, want.ColumnName(i), c, part.Column(i))
			}
		}
		part.Release()
		rows += batch.NumRows()
	}
	if rows != want.NumRows() {
		t.Errorf("%s: %d rows, want %d", name, rows, want.NumRows())
	}
}

func TestEveryRecordArrivesOnceWithItsLine(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		field := rapid.StringMatching(`[a-z ,;"\n]{0,6}`)
		rows := rapid.SliceOfN(rapid.SliceOfN(field, 2, 2), 0, 30).Draw(t, "rows")
		var text strings.Builder
		text.WriteString("a,b\n")
		line, lines := 2, []int{}
		for _, r := range rows {
			lines = append(lines, line)
			quoted := `"` + strings.ReplaceAll(r[0], `"`, `""`) + `","` + strings.ReplaceAll(r[1], `"`, `""`) + `"` + "\n"
			line += strings.Count(quoted, "\n")
			text.WriteString(quoted)
		}
		_, batches, err := format.ReadCSV(strings.NewReader(text.String()), "f.csv", project.Format{CSV: project.CSVFormat{Delimiter: ",", Nulls: []string{"none of them"}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got [][]string
		var at []int
		for batch, err := range batches {
			if err != nil {
				t.Fatal(err)
			}
			for i := range int(batch.NumRows()) {
				got = append(got, []string{batch.Column(0).(*array.String).Value(i), batch.Column(1).(*array.String).Value(i)})
				at = append(at, int(batch.Column(3).(*array.Int64).Value(i)))
			}
		}
		if !slices.EqualFunc(got, rows, slices.Equal[[]string]) || !slices.Equal(at, lines) {
			t.Fatalf("%q at %v, want %q at %v", got, at, rows, lines)
		}
	})
}

// The standard library's reader says what a file of the common dialect means,
// but for the line ends inside of quotes, which it does not keep.
func TestTheCommonDialectIsReadAsTheStandardLibraryReadsIt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[ab,"\n]{1,40}`).Draw(t, "text")
		reader := csv.NewReader(strings.NewReader(text))
		reader.FieldsPerRecord = -1
		var want strings.Builder
		var wanted error
		for {
			record, err := reader.Read()
			if err != nil {
				if wanted = err; errors.Is(err, io.EOF) {
					wanted = nil
				}
				break
			}
			if len(record) != 2 {
				break
			}
			line, _ := reader.FieldPos(0)
			fmt.Fprintf(&want, "f.csv:%d %s|%s\n", line, record[0], record[1])
		}
		no := false
		got, err := csvText(text, project.CSVFormat{Header: &no, Columns: []string{"x", "y"}, Delimiter: ",", Nulls: []string{"none"}})
		if wanted != nil && err == nil {
			t.Fatalf("%q: read as %q, and the standard library says %v", text, got, wanted)
		}
		if err == nil && got != "x|y\n"+want.String() {
			t.Fatalf("%q: %q, want %q", text, got, want.String())
		}
	})
}

func TestWhatIsEscapedComesBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		quote := rapid.SampledFrom([]string{`"`, "'", "none"}).Draw(t, "quote")
		want := rapid.StringMatching(`[a;'"\\\n]{1,12}`).Draw(t, "field")
		var text strings.Builder
		for _, r := range want {
			if r == '\\' || r == ';' || r == '\n' || string(r) == quote {
				text.WriteByte('\\')
			}
			text.WriteRune(r)
		}
		field := text.String()
		if quote != "none" && rapid.Bool().Draw(t, "quoted") {
			field = quote + field + quote
		}
		got, err := csvText("a;b\n"+field+";1\n", project.CSVFormat{Quote: quote, Escape: `\`, Delimiter: ";"})
		if err != nil || got != "a|b\nf.csv:2 "+want+"|1\n" {
			t.Fatalf("%q: %q, %v", field, got, err)
		}
	})
}

func TestAQuoteThatIsNeverClosedDoesNotBringAWholeFileIntoMemory(t *testing.T) {
	t.Parallel()
	endless := io.MultiReader(strings.NewReader("a,b\n1,\""), io.LimitReader(repeated("some text\n"), 200<<20))
	_, err := dump(format.ReadCSV(endless, "f.csv", project.Format{}, nil))
	if !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), "f.csv:2:1: the record has more than 64 MiB") {
		t.Error(err)
	}
	long := io.MultiReader(strings.NewReader("a,b\n"), io.LimitReader(repeated("x"), 200<<20))
	if _, err = dump(format.ReadCSV(long, "f.csv", project.Format{}, nil)); !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), "f.csv:2:1: the line has more than 64 MiB") {
		t.Error(err)
	}
}

// repeated is a text without an end.
type repeated string

func (r repeated) Read(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		n += copy(b[n:], r)
	}
	return n, nil
}

func FuzzCSV(f *testing.F) {
	f.Add("a,b\n1,2\n", "", "")
	f.Add("a;b\n\"x\ny\";2\n", "'", "")
	f.Add("a;b\n\"x\\\"\\\n\";\\;2\n", "none", "\\")
	f.Fuzz(func(t *testing.T, text, quote, escape string) {
		_, err := csvText(text, project.CSVFormat{Quote: quote, Escape: escape})
		if k := fault.KindOf(err); err != nil && k != fault.Refused && k != fault.Invalid {
			t.Fatalf("%q: kind %s: %v", text, k, err)
		}
	})
}

func FuzzJSON(f *testing.F) {
	f.Add("{\"a\": [1, {\"b\": null}]}\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, err := dump(format.ReadJSON(strings.NewReader(text), "f.jsonl", project.Format{}, nil, false))
		if err != nil && !fault.Is(err, fault.Refused) {
			t.Fatalf("%q: %v", text, err)
		}
	})
}
