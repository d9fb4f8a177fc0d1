// Package source_test measures how long a large project takes to read: whole,
// with nothing known of it, and after one file changed.
//
//	go test ./bench/source -bench . -benchtime 3x
//
// The bars (DESIGN §3): 10,000 task files in at most 2 s, one changed file in at
// most 100 ms, on two cores. Benchmarks report; they never fail on time.
package source_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/lineage"
	"github.com/tidemill/tidemill/internal/lineage/duckparse"
	"github.com/tidemill/tidemill/internal/lineage/pyread"
	"github.com/tidemill/tidemill/internal/source"
)

const childArgument = "duckparse-child"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == childArgument {
		if err := duckparse.Serve(os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const (
	pipelines = 500
	perFolder = 20
)

func write(b *testing.B, path, text string) {
	b.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
}

// project writes 10,000 tasks: of each twenty, eight moves, ten SELECTs over them
// and one another, a check and a Python task.
func project(b *testing.B) string {
	dir := b.TempDir()
	write(b, filepath.Join(dir, "tidemill.yaml"), "project: large\nstores:\n  landing: {kind: files, path: ./landing}\n")
	for p := range pipelines {
		folder := filepath.Join(dir, fmt.Sprintf("pipelines/p%03d", p))
		write(b, folder+"/pipeline.yaml", "owner: team\nschedule: {cron: \"0 6 * * *\", window: day, start: 2020-01-01}\nmissed: all\n")
		for i := range 8 {
			write(b, fmt.Sprintf("%s/m%d.yaml", folder, i), fmt.Sprintf("move:\n  from: \"landing:p%03d/m%d/{window.start:%%Y-%%m-%%d}.csv*\"\n  to: raw.p%03d_m%d\n  mode: append\n  format: {csv: {header: true, nulls: [\"\"]}}\n  missing: {wait: 3h}\nretries: 2\n", p, i, p, i))
		}
		for i := range 10 {
			other := min((p+i)%pipelines, p)
			write(b, fmt.Sprintf("%s/s%d.sql", folder, i), fmt.Sprintf("-- tidemill:\n--   mode: append\n--   timeout: 10m\n\n-- A task of pipeline %d.\nWITH recent AS (\n  SELECT id, seen, amount FROM raw.p%03d_m%d WHERE seen >= $window_start AND seen < $window_end\n)\nSELECT r.id, r.seen, sum(r.amount) OVER w AS total, count(*) OVER w AS n\nFROM recent AS r LEFT JOIN raw.p%03d_m%d AS o USING (id)\nWINDOW w AS (PARTITION BY r.id ORDER BY r.seen RANGE BETWEEN INTERVAL 7 DAY PRECEDING AND CURRENT ROW)\n", p, p, i%8, other, (i+1)%8))
		}
		write(b, folder+"/c.yaml", fmt.Sprintf("check:\n  table: raw.p%03d_m0\n  rules:\n  - name: some rows\n    query: SELECT count(*) FROM raw.p%03d_m0 WHERE seen >= $window_start\n    mustBeGreaterThan: %d\n", p, p, p))
		write(b, folder+"/y.py", fmt.Sprintf("# /// script\n# requires-python = \">=3.11\"\n# dependencies = [\"pandas\"]\n# [tool.tidemill]\n# reads = [\"p%03d.s0\"]\n# writes = [\"p%03d.y\"]\n# ///\nimport tidemill\n\n\ndef task(run, rounds: int = 200, rate: float = 0.05):\n    run.write(\"p%03d.y\", run.sql(\"SELECT * FROM p%03d.s0\"))\n\n\nif __name__ == \"__main__\":\n    tidemill.main(task)\n", p, p, p, p))
	}
	// Older than a moment ago, as files of a project are.
	old := time.Now().Add(-time.Hour)
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(path, old, old)
	})
	if err != nil {
		b.Fatal(err)
	}
	return dir
}

func options(file string) (source.Options, *duckparse.Client) {
	client := duckparse.NewClient(os.Args[0], childArgument)
	return source.Options{Lineage: lineage.NewCache(client, file), Signatures: pyread.Reader{}}, client
}

func check(b *testing.B, r *source.Result, err error) {
	b.Helper()
	if err != nil || len(r.Problems.Errors()) > 0 || len(r.Project.Pipelines) != pipelines {
		b.Fatalf("%v; %d errors", err, len(r.Problems.Errors()))
	}
}

// BenchmarkCold knows nothing: every file is parsed, every text of SQL and Python.
func BenchmarkCold(b *testing.B) {
	dir := project(b)
	for b.Loop() {
		o, client := options("")
		r, err := source.Read(b.Context(), dir, o)
		check(b, r, err)
		_ = client.Close()
	}
}

// BenchmarkWarm is a new process over a project whose SQL was parsed before.
func BenchmarkWarm(b *testing.B) {
	dir, file := project(b), filepath.Join(b.TempDir(), "lineage.json")
	o, client := options(file)
	r, err := source.Read(b.Context(), dir, o)
	check(b, r, err)
	_ = client.Close()
	for b.Loop() {
		o, client := options(file)
		r, err := source.Read(b.Context(), dir, o)
		check(b, r, err)
		_ = client.Close()
	}
}

// BenchmarkOneChange reads again after one file changed.
func BenchmarkOneChange(b *testing.B) {
	dir := project(b)
	o, client := options("")
	defer func() { _ = client.Close() }()
	reader := source.NewReader(dir, o)
	r, err := reader.Read(b.Context())
	check(b, r, err)
	n := 0
	for b.Loop() {
		n++
		write(b, filepath.Join(dir, "pipelines/p000/s0.sql"), fmt.Sprintf("SELECT id, %d AS n FROM raw.p000_m0\n", n))
		r, err := reader.Read(b.Context())
		check(b, r, err)
	}
}
