package source_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/source"
)

// sound reads a project, written as one text archive, that must have no errors.
func sound(t *testing.T, archive, environment string) *source.Result {
	t.Helper()
	r := read(t, unpack(t, txtar.Parse([]byte(archive))), environment)
	for _, p := range r.Problems.Errors() {
		t.Errorf("%s", p.Error())
	}
	return r
}

func find(t *testing.T, r *source.Result, id string) *project.Task {
	t.Helper()
	pipeline, name, _ := strings.Cut(id, "/")
	for i := range r.Project.Pipelines {
		if r.Project.Pipelines[i].Name == pipeline {
			if one, ok := r.Project.Pipelines[i].Task(name); ok {
				return one
			}
		}
	}
	t.Fatalf("there is no task %s", id)
	return nil
}

// reads writes what a task reads, one word each: the name, with !wait, !feature,
// !external and the producer where they are set.
func reads(task *project.Task) []string {
	out := []string{}
	for _, r := range task.Reads {
		word := r.Set + r.Model
		if !r.Table.IsZero() {
			word = r.Table.String()
		}
		if r.Alias != "" {
			word += "@" + r.Alias
		}
		if r.Producer != "" {
			word += "<" + r.Producer
		}
		for name, is := range map[string]bool{"!wait": r.Wait, "!feature": r.Feature, "!external": r.External} {
			if is {
				word += name
			}
		}
		out = append(out, word)
	}
	slices.Sort(out)
	return out
}

const base = `
-- tidemill.yaml --
project: p
stores:
  landing: {kind: files, path: ./landing}
`

func TestTheNearestSettingWinsAndSaysWhereItIsFrom(t *testing.T) {
	t.Parallel()
	r := sound(t, base+`
defaults: {retries: 1, timeout: 30m, driver: venv, owner: data, overlap: skip, deadline: 2h}
-- pipelines/a/pipeline.yaml --
schedule: "@daily"
missed: {policy: latest, look_back: 2d}
defaults: {retries: 2, backoff: 10s}
-- pipelines/a/x.py --
# /// script
# [tool.tidemill]
# retries = 3
# ///
import tidemill
def f(run): pass
tidemill.main(f)
`, "")
	x := find(t, r, "a/x")
	if x.Retries != 3 || x.Backoff != 10*time.Second || x.Timeout != 30*time.Minute || x.Python.Driver != "venv" {
		t.Errorf("settings: %+v", x)
	}
	for name, want := range map[string]string{
		"retries": "task pipelines/a/x.py:3:13", "backoff": "pipeline pipelines/a/pipeline.yaml:3:33", "timeout": "project tidemill.yaml:5:33",
	} {
		o := x.Origins[name]
		if got := o.Level + " " + o.Place.String(); got != want {
			t.Errorf("%s is from %s, want %s", name, got, want)
		}
	}
	p := r.Project.Pipelines[0]
	if p.Owner != "data" || p.Overlap != project.OverlapSkip || p.Deadline != 2*time.Hour || p.Missed != (project.Missed{Policy: project.MissedLatest, LookBack: 48 * time.Hour}) {
		t.Errorf("pipeline: %+v", p)
	}
}

func TestEnvironmentsMergeMappingsAndReplaceListsAndStores(t *testing.T) {
	t.Parallel()
	const archive = `
-- tidemill.yaml --
project: p
timezone: UTC
secrets: {a: "env:A"}
stores:
  warehouse: {kind: duckdb, path: w.duckdb, external: ["ref.*"]}
  landing: {kind: files, path: ./landing}
defaults: {retries: 1, timeout: 1h}
alerts: {routes: [{when: "severity == 'error'", to: []}, {to: []}]}
environments:
  prod:
    timezone: Europe/Berlin
    secrets: {b: "file:/run/b"}
    stores:
      warehouse: {kind: postgres, dsn: "{secret.b}"}
    defaults: {retries: 5}
    alerts: {routes: [{to: []}]}
    schedules: {a: {every: 1h}}
-- pipelines/a/pipeline.yaml --
schedule: {cron: "@daily", window: day}
-- pipelines/a/x.sql --
-- tidemill:
--   reads: []
SELECT 1 AS x
`
	r := sound(t, archive, "prod")
	p := r.Project
	if p.Environment != "prod" || p.Timezone != "Europe/Berlin" || len(p.Secrets) != 2 || len(p.Alerts.Routes) != 1 {
		t.Errorf("%+v", p)
	}
	want := map[string]string{"landing": "files path", "warehouse": "postgres dsn"}
	for _, s := range p.Stores {
		if got := s.Kind + " " + strings.Join(slices.Sorted(maps.Keys(s.Settings)), " "); got != want[s.Name] || len(s.External) != 0 {
			t.Errorf("%s: %s %v, want %s", s.Name, got, s.External, want[s.Name])
		}
	}
	x := find(t, r, "a/x")
	if x.Retries != 5 || x.Timeout != time.Hour || p.Pipelines[0].Schedule.Every != time.Hour || p.Pipelines[0].Schedule.Cron != "" {
		t.Errorf("%+v, %+v", x, p.Pipelines[0].Schedule)
	}
	if r := sound(t, archive, ""); r.Project.Environment != source.Base || r.Project.Pipelines[0].Schedule.Window != project.UnitDay || len(r.Project.Alerts.Routes) != 2 {
		t.Errorf("base: %+v", r.Project)
	}
}

func TestACheckRunsAfterTheWriterAndBeforeOtherReaders(t *testing.T) {
	t.Parallel()
	r := sound(t, base+`
-- pipelines/a/flights.yaml --
move: {from: "landing:f.csv", to: raw.flights}
-- pipelines/a/hubs.yaml --
check: {table: raw.flights, rules: [{name: n, query: SELECT count(*) FROM raw.flights, mustBe: 1}]}
-- pipelines/a/late.yaml --
check: {table: raw.flights, rules: [{name: n, query: SELECT count(*) FROM raw.flights JOIN a.first USING (id), mustBe: 1, severity: warning}]}
-- pipelines/a/first.sql --
SELECT id FROM raw.flights
-- pipelines/a/second.sql --
SELECT id FROM a.first
-- pipelines/b/other.sql --
SELECT id FROM raw.flights
`, "")
	for id, want := range map[string]string{
		"a/flights": "", "a/hubs": "flights", "a/late": "first flights",
		// late needs first, so it cannot hold it back; hubs does.
		"a/first": "flights hubs", "a/second": "first", "b/other": "",
	} {
		if got := strings.Join(find(t, r, id).Upstream, " "); got != want {
			t.Errorf("%s follows %q, want %q", id, got, want)
		}
	}
}

func TestReadsKnowTheirProducerAndWhetherToWait(t *testing.T) {
	t.Parallel()
	r := sound(t, `
-- tidemill.yaml --
project: p
stores:
  warehouse: {kind: duckdb, path: w.duckdb, external: ["ref.*"]}
  landing: {kind: files, path: ./landing}
  pg: {kind: postgres, dsn: x, external: ["public.*"]}
-- pipelines/a/x.yaml --
move: {from: "landing:f.csv", to: Raw.Flights}
-- pipelines/a/out.yaml --
move: {from: raw.flights, to: landing:out.flights}
-- pipelines/a/back.yaml --
move: {from: landing:out.flights, to: raw.back}
-- pipelines/a/orders.yaml --
move: {from: pg:public.orders, to: raw.orders}
-- pipelines/a/query.yaml --
move: {from: pg, query: "SELECT * FROM public.orders WHERE at >= $window_start", to: raw.query}
-- pipelines/b/y.sql --
WITH q AS (SELECT * FROM RAW.FLIGHTS) SELECT * FROM q JOIN ref.codes USING (c) JOIN raw.flights__quarantine USING (c), b.y
-- pipelines/b/z.sql --
-- tidemill:
--   reads: [{table: raw.flights, wait: none}]
SELECT * FROM raw.flights JOIN raw.orders USING (c)
`, "")
	for id, want := range map[string][]string{
		"a/x": {}, "a/out": {"Raw.Flights<a/x"}, "a/back": {"landing:out.flights<a/out"},
		"a/orders": {"pg:public.orders!external"}, "a/query": {},
		"b/y": {"Raw.Flights<a/x!wait", "b.y<b/y", "raw.flights__quarantine<a/x!wait", "ref.codes!external"},
		"b/z": {"Raw.Flights<a/x", "raw.orders<a/orders!wait"},
	} {
		if diff := cmp.Diff(want, reads(find(t, r, id))); diff != "" {
			t.Errorf("%s: %s", id, diff)
		}
	}
	if m := find(t, r, "a/back").Move; m.FromStore != "landing" || m.FromTable.String() != "landing:out.flights" {
		t.Errorf("a table of the files store: %+v", m)
	}
	if m := find(t, r, "a/query").Move; m.FromStore != "pg" || m.From != "" || m.Query == "" {
		t.Errorf("a query: %+v", m)
	}
	if got := find(t, r, "a/back").Upstream; !slices.Equal(got, []string{"out"}) {
		t.Errorf("back follows %v", got)
	}
}

const features = base + `
-- pipelines/land/flights.yaml --
move: {from: "landing:f.csv", to: raw.flights}
-- pipelines/land/schedule.yaml --
move: {from: "landing:s.csv", to: raw.schedule}
-- pipelines/features/delay.sql --
-- tidemill:
--   feature: {keys: [carrier], event_time: seen, known_at: reported}
--   available_after: 15m
--   lookback: 1d

SELECT carrier, seen, reported, d FROM raw.flights
-- features/late.yaml --
params: {late_after: 30}
spine: SELECT id, carrier, asked FROM raw.schedule
key: id
at: asked
label: {sql: "SELECT id, d > $param_late_after AS late, reported FROM raw.flights", column: late, known_at: reported}
features:
- {table: features.delay, on: carrier, take: [d], ttl: 3d, default: {d: 0}}
- {expr: "hour(asked)", as: h}
-- pipelines/model/train.py --
# /// script
# [tool.tidemill]
# reads = ["features:late"]
# writes = ["model:late"]
# promote = {champion = "auc > 0.6"}
# ///
import tidemill
def train(run, rounds: int = 200, fast: bool = False, name: str = "x", rate: float = 0.1): pass
tidemill.main(train)
-- pipelines/model/score.py --
# /// script
# [tool.tidemill]
# reads = ["features:late", "model:late@champion"]
# writes = ["model.predictions"]
# ///
import tidemill
def score(run): pass
tidemill.main(score)
`

func TestAFeatureSetBringsItsTables(t *testing.T) {
	t.Parallel()
	r := sound(t, features, "")
	want := []string{
		"features.delay<features/delay!wait!feature", "late", "raw.flights<land/flights", "raw.schedule<land/schedule!wait",
	}
	if diff := cmp.Diff(want, normal(reads(find(t, r, "model/train")))); diff != "" {
		t.Error(diff)
	}
	if got := find(t, r, "model/score").Upstream; !slices.Equal(got, []string{"train"}) {
		t.Errorf("score follows %v", got)
	}
	s := r.Project.Sets[0]
	if s.Name != "late" || len(s.Features) != 2 || s.Features[0].TTL != 72*time.Hour || string(s.Features[0].Default["d"]) != "0" || len(s.Reads) != 2 {
		t.Errorf("%+v", s)
	}
}

// normal sorts the marks of a read, which come from a map.
func normal(words []string) []string {
	for i, w := range words {
		parts := strings.Split(w, "!")
		slices.SortFunc(parts[1:], func(a, b string) int { return strings.Compare(b, a) })
		words[i] = strings.Join(parts, "!")
	}
	slices.Sort(words)
	return words
}

func TestWhatIsWrittenHasModeKeysAndTimes(t *testing.T) {
	t.Parallel()
	r := sound(t, features+`
-- contracts/f.odcs.yaml --
apiVersion: v3.0.2
kind: DataContract
id: f
version: 1.0.0
status: active
schema:
- name: flights
  physicalName: raw.flights
  customProperties: [{property: tidemill.eventTime, value: day}]
  properties:
  - {name: id, logicalType: integer, primaryKey: true, primaryKeyPosition: 1}
  - {name: day, logicalType: date}
-- pipelines/land/merged.yaml --
move: {from: "landing:m.csv", to: raw.m, mode: merge, keys: [id], event_time: seen}
-- pipelines/land/appended.yaml --
move: {from: "landing:a.csv", mode: append, append: keep}
-- pipelines/land/several.py --
# /// script
# [tool.tidemill]
# mode = "append"
# writes = ["raw.one", {table = "raw.two", mode = "replace"}]
# ///
import tidemill
def f(run): pass
tidemill.main(f)
`, "")
	for id, want := range map[string][]project.Write{
		"land/flights":   {{Mode: project.ModeReplaceWindow, Keys: []string{"id"}, EventTime: "day"}},
		"land/schedule":  {{Mode: project.ModeReplace}},
		"land/merged":    {{Mode: project.ModeMerge, Keys: []string{"id"}, EventTime: "seen", Version: "seen"}},
		"land/appended":  {{Mode: project.ModeAppend, AppendKeep: true}},
		"land/several":   {{Mode: project.ModeAppend}, {Mode: project.ModeReplace}},
		"features/delay": {{Mode: project.ModeFeature, Keys: []string{"carrier"}, EventTime: "seen", KnownAt: "reported", AvailableAfter: 15 * time.Minute, Lookback: 24 * time.Hour}},
		"model/score":    {{Mode: project.ModeFeature, Keys: []string{"id"}, EventTime: "asked"}}, // predictions
		"model/train":    {},
	} {
		got := []project.Write{}
		for _, w := range find(t, r, id).Writes {
			w.Table, w.Place = project.Table{}, want[min(len(got), max(len(want)-1, 0))].Place
			got = append(got, w)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", id, diff)
		}
	}
	if got := find(t, r, "land/appended").Writes[0].Table.String(); got != "land.appended" {
		t.Errorf("a move without to: writes %s", got)
	}
	train := find(t, r, "model/train")
	if !slices.Equal(train.Models, []string{"late"}) || train.Python.Promote["champion"] == "" {
		t.Errorf("%+v", train)
	}
	var params []string
	for _, p := range train.Params {
		params = append(params, p.Name+" "+p.Type+" "+string(p.Default))
	}
	if diff := cmp.Diff([]string{"rounds integer 200", "fast boolean false", `name string "x"`, "rate number 0.1"}, params); diff != "" {
		t.Error(diff)
	}
}

func TestOneBrokenFileMakesNoFaultsOfOthers(t *testing.T) {
	t.Parallel()
	r := read(t, unpack(t, txtar.Parse([]byte(base+`
-- pipelines/a/x.yaml --
move: {from: "landing:f.csv", to: raw.flights
-- pipelines/b/y.sql --
SELECT * FROM raw.flights
-- pipelines/c/z.sql --
SELECT * FROM b.y
`))), "")
	if !slices.Equal(r.Broken, []string{"a"}) || len(r.Problems.Errors()) != 1 || len(r.Project.Pipelines) != 2 || r.Refused {
		t.Errorf("broken %v: %v", r.Broken, r.Problems)
	}
}

func TestTheBundleHoldsTheProjectAndNothingElse(t *testing.T) {
	t.Parallel()
	r := sound(t, base+`
include: [data/*.csv, docs/note.md]
-- pipelines/a/x.sql --
SELECT 1 AS x;
-- pipelines/a/_helper.py --
x = 1
-- pipelines/a/.hidden --
-- pipelines/a/__pycache__/x.pyc --
-- pipelines/a/README.md --
-- lib/tools/__init__.py --
-- contracts/_draft.yaml --
nothing: [
-- landing/f.csv --
-- .tidemill/ledger.db --
-- data/codes.csv --
-- docs/note.md --
-- docs/other.md --
-- notes.txt --
`, "")
	want := []string{
		"contracts/_draft.yaml", "data/codes.csv", "docs/note.md", "lib/tools/__init__.py", "pipelines/a/README.md",
		"pipelines/a/_helper.py", "pipelines/a/x.sql", "tidemill.yaml",
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(r.Files))); diff != "" {
		t.Error(diff)
	}
	if got := find(t, r, "a/x").SQL.Text; got != "SELECT 1 AS x\n" {
		t.Errorf("the last semicolon stands in the plan: %q", got)
	}
}

func TestAVariantIsTakenForItsEngineAlone(t *testing.T) {
	t.Parallel()
	const archive = base + `
  pg: {kind: postgres, dsn: x}
-- pipelines/a/x.sql --
SELECT 1 AS x
-- pipelines/a/x.postgres.sql --
SELECT 2 AS x
-- pipelines/a/y.sql --
-- tidemill:
--   writes: pg:a.y
--   reads: [pg:a.z]
SELECT x FROM a.z WHERE x ~* ALL (ARRAY(SELECT 1)) FETCH FIRST ROW WITH TIES
-- pipelines/a/y.postgres.sql --
SELECT 3 AS x
-- pipelines/a/z.sql --
-- tidemill:
--   writes: pg:a.z
SELECT 'a' AS x
`
	r := sound(t, archive, "")
	if x, y := find(t, r, "a/x"), find(t, r, "a/y"); x.SQL.Text != "SELECT 1 AS x\n" || y.SQL.Text != "SELECT 3 AS x\n" || y.File != "pipelines/a/y.postgres.sql" {
		t.Errorf("%+v, %+v", x.SQL, y.SQL)
	}
}

func TestTestsAreReadWithTheirRows(t *testing.T) {
	t.Parallel()
	r := sound(t, base+`
-- pipelines/a/x.sql --
-- tidemill:
--   params: {n: 1}
SELECT id + $param_n AS id FROM a.y
-- pipelines/a/y.sql --
SELECT 1 AS id
-- tests/a/x.yaml --
window: 2013-01-02
given: {a.y: [{id: 1, t: 2013-01-02T10:00:00Z, f: 1.50}]}
expect: []
-- tests/a/x/other.yaml --
params: {n: 5}
given: {a.y: []}
expect: [{id: null}]
`, "")
	if len(r.Tests) != 2 || r.Tests[0].Task != "x" || r.Tests[1].Task != "x" {
		t.Fatalf("%+v", r.Tests)
	}
	if got := string(r.Tests[0].Given[0].Rows[0]); got != `{"id":1,"t":"2013-01-02T10:00:00Z","f":1.50}` {
		t.Errorf("a row is %s", got)
	}
	if got := r.Tests[0].Window.String(); got != "2013-01-02T00:00:00Z/2013-01-03T00:00:00Z" {
		t.Errorf("the window is %s", got)
	}
	if string(r.Tests[1].Params["n"]) != "5" || string(r.Tests[1].Expect[0]) != `{"id":null}` {
		t.Errorf("%+v", r.Tests[1])
	}
}

func TestAReaderSeesEveryChangeAndNothingElse(t *testing.T) {
	t.Parallel()
	dir := unpack(t, txtar.Parse([]byte(base+"include: [extra/*.txt]\n-- extra/a.txt --\none\n-- pipelines/a/x.sql --\nSELECT 1 AS x\n")))
	reader := source.NewReader(dir, options(""))
	last, err := reader.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	next := func(same bool) *source.Result {
		t.Helper()
		r, err := reader.Read(t.Context())
		if err != nil || (r == last) != same {
			t.Fatalf("the same result: %v, %v; want %v", r == last, err, same)
		}
		last = r
		return r
	}
	put := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	next(true)
	put("pipelines/a/x.sql", "SELECT 2 AS x\n") // as long as before, within the same moment
	if got := find(t, next(false), "a/x").SQL.Text; got != "SELECT 2 AS x\n" {
		t.Errorf("the change was not seen: %s", got)
	}
	next(true)
	put("pipelines/a/y.sql", "SELECT x FROM a.x\n")
	if got := reads(find(t, next(false), "a/y")); len(got) != 1 {
		t.Errorf("a new file: %v", got)
	}
	put("extra/a.txt", "two\n")
	if got := string(next(false).Files["extra/a.txt"]); got != "two\n" {
		t.Errorf("an included file: %q", got)
	}
	put("extra/b.txt", "three\n")
	next(false)
	if err := os.Remove(filepath.Join(dir, "pipelines/a/x.sql")); err != nil {
		t.Fatal(err)
	}
	if r := next(false); !slices.Equal(r.Broken, []string{"a"}) {
		t.Errorf("a table lost its writer: broken %v", r.Broken)
	}
	next(true)
}

func TestQueueAllIsAnOverlapThatMayBeWritten(t *testing.T) {
	t.Parallel()
	r := sound(t, base+`
-- pipelines/a/pipeline.yaml --
schedule: "@daily"
overlap: queue_all
-- pipelines/a/x.yaml --
command: [true]
`, "")
	if got := r.Project.Pipelines[0].Overlap; got != project.OverlapQueueAll {
		t.Errorf("overlap is %q", got)
	}
}

func TestASpreadIsTheSchedulesOwnOrTheProjectsAndNeverLongerThanFromDueToDue(t *testing.T) {
	t.Parallel()
	r := sound(t, base+`
defaults: {spread: 30m}
-- pipelines/a/pipeline.yaml --
schedule: {cron: "0 6 * * *", spread: 5m}
-- pipelines/a/x.yaml --
command: [true]
-- pipelines/b/pipeline.yaml --
schedule: "@daily"
-- pipelines/b/x.yaml --
command: [true]
-- pipelines/c/pipeline.yaml --
schedule: {cron: "*/10 * * * *"}
-- pipelines/c/x.yaml --
command: [true]
-- pipelines/d/pipeline.yaml --
schedule: {every: 20m, spread: 0s}
-- pipelines/d/x.yaml --
command: [true]
-- pipelines/e/x.yaml --
command: [true]
`, "")
	want := map[string]time.Duration{"a": 5 * time.Minute, "b": 30 * time.Minute, "c": 10 * time.Minute, "d": 0, "e": 0}
	for _, pl := range r.Project.Pipelines {
		if pl.Schedule.Spread != want[pl.Name] {
			t.Errorf("%s is spread within %s, want %s", pl.Name, pl.Schedule.Spread, want[pl.Name])
		}
	}
}
