package endtoend_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/ledger"
)

func TestATableThatIsTooOldIsToldWhetherOrNotAnythingRuns(t *testing.T) {
	f := folder{t, t.TempDir()}
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(f.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("tidemill.yaml", "project: fresh\nstores: {landing: {kind: files, path: ./landing}}\n")
	write("contracts/readings.odcs.yaml", `apiVersion: v3.1.0
kind: DataContract
id: readings
version: 1.0.0
status: active
schema:
- name: readings
  physicalName: raw.readings
  properties:
  - {name: at, logicalType: timestamp, required: true, logicalTypeOptions: {timezone: true}}
  - {name: value, logicalType: number}
slaProperties: [{property: latency, value: 2, unit: d, element: readings.at}]
`)
	// Due once a year: nothing but the clock can tell.
	write("pipelines/land/pipeline.yaml", "owner: meters\nschedule: {cron: \"0 0 1 1 *\"}\n")
	write("pipelines/land/readings.yaml", "move: {from: \"landing:readings.csv\", to: raw.readings, mode: append}\n")
	load := func(at time.Time) {
		write("landing/readings.csv", "at,value\n"+at.UTC().Format(time.RFC3339)+",1\n")
		f.must("run", "land")
	}
	judged := func(want int) (open []ledger.Incident) {
		t.Helper()
		server := f.start()
		defer f.down(server)
		f.await("the judgement", func() bool {
			open = ask[[]ledger.Incident](f, "incidents")
			return len(open) == want
		})
		return open
	}
	load(time.Now().Add(-72 * time.Hour))
	open := judged(1)
	if open[0].Kind != "stale" || open[0].Pipeline != "land" || open[0].Task != "readings" || open[0].Owner != "meters" {
		t.Fatalf("the incidents are %+v", open)
	}
	load(time.Now().Add(-time.Hour))
	judged(0)
}
