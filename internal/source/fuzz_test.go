package source_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/source"
)

// fuzzFile reads a project in which one file is anything. Reading must end with a
// result whose problems lie inside of the file, and whose plan survives JSON.
func fuzzFile(f *testing.F, name string, seeds ...string) {
	f.Helper()
	for _, pattern := range []string{"../../examples/flights/" + filepath.Dir(name) + "/*" + filepath.Ext(name), "../../examples/flights/pipelines/*/*" + filepath.Ext(name)} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, n := range names {
			text, err := os.ReadFile(n)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	dir := f.TempDir()
	put := func(t testing.TB, name string, text []byte) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(f, "tidemill.yaml", []byte("project: p\nsecrets: {s: \"env:S\"}\nstores:\n  landing: {kind: files, path: ./landing}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		put(t, name, text)
		r, err := source.Read(t.Context(), dir, source.Options{})
		if err != nil {
			t.Fatal(err)
		}
		lines := bytes.Count(text, []byte("\n")) + 1
		for _, p := range r.Problems {
			if p.File == name && (p.Line < 0 || p.Line > lines || p.Line > 0 && p.Column < 1) {
				t.Errorf("%s lies outside of %d lines", p.Error(), lines)
			}
			if strings.Contains(p.Message, "parser cannot read this") {
				t.Logf("%s", p.Message)
			}
		}
		first, err := json.Marshal(r.Project)
		if err != nil {
			t.Fatal(err)
		}
		var again project.Project
		if err := json.Unmarshal(first, &again); err != nil {
			t.Fatalf("%v in %s", err, first)
		}
		second, err := json.Marshal(again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(first), string(second)); diff != "" {
			t.Errorf("the plan does not survive JSON: %s", diff)
		}
	})
}

func FuzzTaskFile(f *testing.F) {
	fuzzFile(f, "pipelines/p/t.yaml",
		"move: {from: {window.start:%Y}/x, to: a.b}", "command: [a, {x}]\nafter: [&a b, *a]", "a: &x [*x]", "? [a]\n: b", "- - - - x",
		strings.Repeat("[", 100), strings.Repeat("- ", 100)+"x", "<<: {move: {from: a}}", "move: !!set {a}", "\tx: 1", "\xff: 1", "move: |\n  a\nb: >-\n c")
}

func FuzzPipelineFile(f *testing.F) {
	fuzzFile(f, "pipelines/p/pipeline.yaml", "schedule: {cron: \"0 6 * * *\", window: {unit: day, shift: -1}, start: 2013-01-01}", "params: {a: .inf, b: -.nan, c: 0x1f}")
}

func FuzzProjectFile(f *testing.F) {
	fuzzFile(f, "tidemill.yaml", "project: p\nenvironments: {prod: {stores: {warehouse: {kind: duckdb}}}}", "include: ['**', '[']")
}

func FuzzSQLHeader(f *testing.F) {
	fuzzFile(f, "pipelines/p/t.sql", "-- tidemill:\n--   mode: view\n\nSELECT 1;", "--tidemill: {feature: {keys: [a]}}\n--", "-- tidemill: x\n--y", "SELECT '\xff'", "SELECT '$$;$$' -- ;\n;", "/*;*/;", "$a$;$a$;--")
}

func FuzzPythonBlock(f *testing.F) {
	fuzzFile(f, "pipelines/p/t.py", "# /// script\n# dependencies = []\n# [tool.tidemill]\n# reads = [{table = \"a.b\", wait = \"none\"}]\n# promote.x = \"a > 1\"\n# ///\n",
		"# /// script\n# [[tool.x]]\n# a.b.c = '''x'''\n#\n# [tool.tidemill.params]\n# d = 1979-05-27\n# ///", "# /// script\n#x\n# ///", "# /// script\n# /// script\n# ///")
}

func FuzzContract(f *testing.F) {
	fuzzFile(f, "contracts/c.odcs.yaml", "apiVersion: v3.1.0\nkind: DataContract\nid: a\nversion: 1.0.0\nstatus: active\nschema: [{name: a, physicalName: p.t, properties: [{name: x, logicalType: integer, logicalTypeOptions: {minimum: .inf}}]}]")
}

func FuzzFeatureSet(f *testing.F) {
	fuzzFile(f, "features/s.yaml", "spine: SELECT 1\nkey: a\nat: b\nfeatures: [{table: a.b, on: a, take: b, default: {b: [1]}}, {expr: \"a\", as: c}]")
}

func FuzzCalendarFile(f *testing.F) {
	fuzzFile(f, "calendars/c.yaml", "weekend: none\nholidays: [2026-12-25, {date: 2026-12-24, name: x}]\ninclude: c", "weekend: [sunday, monday, tuesday, wednesday, thursday, friday, saturday]")
}

func FuzzHolidays(f *testing.F) {
	const begin, end = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:1\r\n", "\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
	fuzzFile(f, "calendars/c.ics", begin+"SUMMARY:Christmas\\, Day\r\nDTSTART;VALUE=DATE:20261225\r\nDTEND;VALUE=DATE:20261227\r\nRRULE:FREQ=YEARLY;COUNT=3\r\nEXDATE;VALUE=DATE:20271225"+end,
		begin+"DTSTART:20261225"+end, begin+"DTSTART;TZID=Europe/Berlin:20261225T100000\r\nSTATUS:CANCELLED"+end, begin+"DTSTART:20261225\r\nRRULE:FREQ=SECONDLY"+end,
		begin+"DTSTART:00000101\r\nRRULE:FREQ=DAILY;INTERVAL=0"+end, "BEGIN:VCALENDAR\n X", "END:VCALENDAR", begin+"DTSTART;VALUE=\"DATE"+end)
}

func FuzzTestFile(f *testing.F) {
	fuzzFile(f, "tests/p/t.yaml", "window: 2013-01-01\ngiven: {a.b: [{c: 1e400}]}\nexpect: []")
}
