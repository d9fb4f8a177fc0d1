package files_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
	"github.com/tidemill/tidemill/internal/store/files"
	"github.com/tidemill/tidemill/internal/store/storetest"
)

// folder opens a store on a folder with files.
func folder(t *testing.T, content map[string]string) (*files.Store, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := files.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, dir
}

// read returns the rows of a glob as texts, the hidden columns included.
func read(t *testing.T, s *files.Store, request store.Request) (*store.Reading, []string, error) {
	t.Helper()
	reading, err := s.Read(t.Context(), request)
	if err != nil {
		return nil, nil, err
	}
	var rows []string
	for batch, err := range reading.Batches {
		if err != nil {
			return reading, rows, err
		}
		if got, err := datatype.FromArrow(batch.Schema()); err != nil || !slices.Equal(got.Names(), reading.Schema.Names()) {
			t.Errorf("a batch has the columns %s, %v; the reading says %s", got, err, reading.Schema)
		}
		for i := range int(batch.NumRows()) {
			values := make([]string, batch.NumCols())
			for c := range values {
				values[c] = batch.Column(c).ValueStr(i)
			}
			rows = append(rows, strings.Join(values, "|"))
		}
	}
	return reading, rows, nil
}

func TestFilesOfAGlobAreReadInTheOrderOfTheirNamesAndTheColumnsOfTheFirst(t *testing.T) {
	t.Parallel()
	s, _ := folder(t, map[string]string{
		"in/2013-01-02.csv": "b,a\ny,2\n", "in/2013-01-01.csv": "a,b\n1,x\n", "in/.hidden.csv": "c\n", "in/2013-01-03.csv.partial": "c\n", "other/z.csv": "a,b\n9,z\n",
		"in/2013-01-04.csv/trap": "a folder",
	})
	reading, rows, err := read(t, s, store.Request{Files: []store.Files{{Glob: "in/*.csv"}}, Columns: []string{"later"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"1|x|(null)|in/2013-01-01.csv|2", "2|y|(null)|in/2013-01-02.csv|2"}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if !reading.Text || !reading.Stable || reading.Bytes != 16 || !slices.Equal(reading.Sources, []string{"in/2013-01-01.csv", "in/2013-01-02.csv"}) {
		t.Errorf("the reading says %+v", reading)
	}
}

func TestCompressedFilesReadAsTheOthers(t *testing.T) {
	t.Parallel()
	var zipped, packed bytes.Buffer
	g := gzip.NewWriter(&zipped)
	if _, err := g.Write([]byte("a,b\n1,x\n")); err != nil || g.Close() != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewWriter(&packed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write([]byte("{\"a\": 1, \"b\": \"x\"}\n")); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	s, _ := folder(t, map[string]string{"a.csv.gz": zipped.String(), "b.jsonl.zst": packed.String(), "cut.csv.gz": zipped.String()[:20]})
	for _, name := range []string{"a.csv.gz", "b.jsonl.zst"} {
		if _, rows, err := read(t, s, store.Request{Files: []store.Files{{Glob: name}}}); err != nil || len(rows) != 1 || !strings.HasPrefix(rows[0], "1|x|"+name) {
			t.Errorf("%s: %v, %v", name, rows, err)
		}
	}
	if _, rows, err := read(t, s, store.Request{Files: []store.Files{{Glob: "cut.csv.gz"}}}); !fault.Is(err, fault.Refused) {
		t.Errorf("half a file was read as %v, %v", rows, err)
	}
}

func TestFilesThatDifferAreRefusedByName(t *testing.T) {
	t.Parallel()
	s, _ := folder(t, map[string]string{"less/1.csv": "a,b\n1,2\n", "less/2.csv": "a\n1\n", "other/1.csv": "a,b\n1,2\n", "other/2.csv": "a,c\n1,2\n"})
	for _, glob := range []string{"less/*.csv", "other/*.csv"} {
		_, rows, err := read(t, s, store.Request{Files: []store.Files{{Glob: glob}}})
		if !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), strings.Replace(glob, "*", "2", 1)) {
			t.Errorf("%s was read as %v, %v", glob, rows, err)
		}
	}
}

func TestWhatIsNotThereIsAbsent(t *testing.T) {
	t.Parallel()
	s, dir := folder(t, map[string]string{"in/a.csv": "a\n"})
	if err := os.Symlink("nothing", filepath.Join(dir, "in", "dangling.csv")); err != nil {
		t.Fatal(err)
	}
	requests := []store.Request{
		{Files: []store.Files{{Glob: "in/*.jsonl"}}},
		{Files: []store.Files{{Glob: "none/*.csv"}}},
		{Files: []store.Files{{Glob: "in/a.csv/b.csv"}}},
		{Files: []store.Files{{Glob: "in/dangling.csv"}}},
		{Files: []store.Files{{Glob: "in"}}},
		{Table: project.Table{Schema: "raw", Name: "none"}},
		{Table: project.Table{Schema: "raw", Name: "none__quarantine"}},
	}
	for _, request := range requests {
		if _, _, err := read(t, s, request); !errors.Is(err, store.ErrAbsent) || !fault.Is(err, fault.NotFound) {
			t.Errorf("%+v was answered with %v", request, err)
		}
	}
	if _, _, err := read(t, s, store.Request{Query: dialect.Statement{SQL: "SELECT 1"}}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a query was answered with %v", err)
	}
}

func TestWhatLiesOutsideOfTheFolderIsNotRead(t *testing.T) {
	t.Parallel()
	s, dir := folder(t, map[string]string{"in/a.csv": "a\n1\n"})
	outside := filepath.Join(t.TempDir(), "secret.csv")
	if err := os.WriteFile(outside, []byte("a\ncanary\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	relative, err := filepath.Rel(filepath.Join(dir, "in"), outside)
	if err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"in/absolute.csv": outside, "in/relative.csv": relative, "folder": filepath.Dir(outside), "in/inside.csv": "a.csv"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for glob, kind := range map[string]fault.Kind{
		"in/absolute.csv": fault.Refused, "in/relative.csv": fault.Refused, "in/*.csv": fault.Refused, "folder/secret.csv": fault.Refused, "folder/*.csv": fault.Refused,
		"../*.csv": fault.Invalid, outside: fault.Invalid, "in/../../x.csv": fault.Invalid, "[": fault.Invalid,
	} {
		if _, rows, err := read(t, s, store.Request{Files: []store.Files{{Glob: glob}}}); !fault.Is(err, kind) {
			t.Errorf("%s was read as %v, %v; want %s", glob, rows, err, kind)
		}
	}
	if _, rows, err := read(t, s, store.Request{Files: []store.Files{{Glob: "in/inside.csv"}}}); err != nil || len(rows) != 1 {
		t.Errorf("a link within the folder was read as %v, %v", rows, err)
	}
}

// publish publishes rows in a window of days.
func publish(t *testing.T, s *files.Store, run string, spec store.TableSpec, rows ...[]any) (deleted int64, err error) {
	t.Helper()
	receipt, err := storetest.Attempt{Run: run, Fence: 1, Spec: spec, Live: true, Rows: rows}.Publish(t.Context(), t, s)
	if err != nil {
		return 0, err
	}
	return receipt.Tables[0].Evidence.Deleted, nil
}

func TestAFileIsCutWhereAWindowEnds(t *testing.T) {
	t.Parallel()
	for _, mode := range []project.Mode{project.ModeReplaceWindow, project.ModeAppend} {
		s, _ := folder(t, nil)
		wide := storetest.Spec(mode, storetest.Day(0))
		wide.Window.End = storetest.Day(2).End
		if _, err := publish(t, s, "wide", wide, storetest.Row(1, 1, "a", 1), storetest.Row(2, 25, "a", 1), storetest.Row(3, 47, "a", 1), storetest.Row(4, 48, "a", 1)); err != nil {
			t.Fatal(err)
		}
		if deleted, err := publish(t, s, "day", storetest.Spec(mode, storetest.Day(1)), storetest.Row(9, 30, "b", 1)); err != nil || deleted != 2 {
			t.Errorf("%s: %d rows were deleted, %v", mode, deleted, err)
		}
		_, rows, err := read(t, s, store.Request{Table: storetest.Table})
		for i, row := range rows {
			rows[i] = row[:1]
		}
		if diff := cmp.Diff([]string{"1", "4", "9"}, rows); diff != "" || err != nil {
			t.Errorf("%s, %v (-want +got):\n%s", mode, err, diff)
		}
		blind := storetest.Spec(project.ModeAppend, storetest.Day(0))
		blind.EventTime = ""
		if _, err := publish(t, s, "blind", blind, storetest.Row(5, 1, "c", 1)); !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: without an event time the window was cut with %v", mode, err)
		}
	}
}

func TestADayIsADayOfTheTablesZone(t *testing.T) {
	t.Parallel()
	s, _ := folder(t, nil)
	spec := storetest.Spec(project.ModeReplaceWindow, storetest.Day(0))
	spec.Zone, spec.EventTime = "America/New_York", "day"
	spec.Schema = datatype.Schema{Fields: []datatype.Field{{Name: "day", Type: datatype.Of(datatype.Date)}}}
	if _, err := publish(t, s, "a", spec, []any{"2013-01-01"}); err != nil { // it begins at 05:00 UTC
		t.Error(err)
	}
	spec.Window.End = spec.Window.Start.Add(5 * 3600e9)
	if _, err := publish(t, s, "b", spec, []any{"2013-01-01"}); !fault.Is(err, fault.Refused) {
		t.Errorf("a day that begins with the window's end was answered with %v", err)
	}
}

func TestOfEqualKeysTheLastStaysOrNone(t *testing.T) {
	t.Parallel()
	for _, stable := range []bool{true, false} {
		s, _ := folder(t, nil)
		spec := storetest.Spec(project.ModeReplaceWindow, storetest.Day(0))
		spec.Keys, spec.Stable = []string{"id"}, stable
		rows := [][]any{storetest.Row(1, 1, "x", 1), storetest.Row(2, 2, "y", 1), storetest.Row(1, 3, "z", 1)}
		receipt, err := storetest.Attempt{Run: "a", Fence: 1, Spec: spec, Rows: rows}.Publish(t.Context(), t, s)
		if err != nil {
			t.Fatal(err)
		}
		e := receipt.Tables[0].Evidence
		_, got, err := read(t, s, store.Request{Table: storetest.Table})
		if err != nil {
			t.Fatal(err)
		}
		_, refused, err := read(t, s, store.Request{Table: storetest.Table.Quarantine()})
		switch {
		case stable && (len(got) != 2 || e.Superseded != 1 || e.Inserted != 2 || !errors.Is(err, store.ErrAbsent)):
			t.Errorf("%v, %+v, %v", got, e, err)
		case !stable && (len(got) != 1 || e.Quarantined != 2 || e.Staged != 1 || len(refused) != 2 || len(e.Rules) != 1):
			t.Errorf("%v, %+v, %v, %v", got, e, refused, err)
		}
	}
}

func TestAKeyThatWasClosedBeforeItsTableWasThereStaysClosed(t *testing.T) {
	t.Parallel()
	s, _ := folder(t, nil)
	for _, fence := range []int64{7, 3, 7} {
		if receipt, err := s.CloseKey(t.Context(), storetest.Key("a", 0), fence); receipt != nil || err != nil {
			t.Fatalf("closing: %v, %v", receipt, err)
		}
	}
	a := storetest.Attempt{Run: "a", Fence: 6, Spec: storetest.Spec(project.ModeReplace, storetest.Day(0)), Rows: [][]any{storetest.Row(1, 1, "x", 1)}}
	if _, err := a.Publish(t.Context(), t, s); !errors.Is(err, store.ErrFenced) {
		t.Errorf("fence 6 published with %v", err)
	}
	if _, err := s.Begin(t.Context(), store.Spec{Key: storetest.Key("a", 0), Fence: 6}); !errors.Is(err, store.ErrFenced) {
		t.Errorf("fence 6 began without a table with %v", err)
	}
	a.Fence = 7
	if _, err := a.Publish(t.Context(), t, s); err != nil {
		t.Error(err)
	}
}

func TestManyWritersOfOneTableLoseNothing(t *testing.T) {
	t.Parallel()
	s, dir := folder(t, nil)
	failures := make(chan error, 8)
	for i := range 8 {
		go func() {
			other, err := files.Open(dir)
			if err == nil {
				defer func() { _ = other.Close() }()
				_, err = storetest.Attempt{
					Run: fmt.Sprint(i), Fence: 1, Spec: storetest.Spec(project.ModeAppend, storetest.Day(i)), Rows: [][]any{storetest.Row(i, 24*i, "UA", 1)},
				}.Publish(t.Context(), t, other)
			}
			failures <- err
		}()
	}
	for range 8 {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
	if _, rows, err := read(t, s, store.Request{Table: storetest.Table}); err != nil || len(rows) != 8 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	leftovers, err := filepath.Glob(filepath.Join(dir, "raw", "flights", "*", "*.partial"))
	if err != nil || len(leftovers) > 0 {
		t.Errorf("left over: %v, %v", leftovers, err)
	}
}

func TestSeveralGlobsAreOneRead(t *testing.T) {
	t.Parallel()
	s, _ := folder(t, map[string]string{"in/b.csv": "a\n2\n", "in/a.csv": "a\n1\n", "in/c.csv": "a\n3\n"})
	some := func(globs ...string) (out []store.Files) {
		for _, g := range globs {
			out = append(out, store.Files{Glob: strings.TrimSuffix(g, "?"), Optional: strings.HasSuffix(g, "?")})
		}
		return out
	}
	reading, rows, err := read(t, s, store.Request{Files: some("in/b.csv", "in/none.csv?", "in/*.csv")})
	if want := []string{"in/b.csv", "in/a.csv", "in/c.csv"}; err != nil || !slices.Equal(reading.Sources, want) || len(rows) != 3 {
		t.Errorf("read %v and %v (%v), want %v, each file once", reading.Sources, rows, err, want)
	}
	for want, files := range map[string][]store.Files{
		"in/none.csv matches no file":            some("in/a.csv", "in/none.csv"),
		"matches any of in/x.csv and in/y.csv":   some("in/x.csv?", "in/y.csv?"),
		"matches any of in/x.csv … in/z.csv (3)": some("in/x.csv?", "in/y.csv?", "in/z.csv?"),
	} {
		if _, _, err := read(t, s, store.Request{Files: files}); !errors.Is(err, store.ErrAbsent) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v was answered with %v, want %q", files, err, want)
		}
	}
}
