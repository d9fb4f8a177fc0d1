package endtoend_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAManualServerReadsTheProjectAgainAndStartsNothing edits a project whose
// schedule is due each second.
func TestAManualServerReadsTheProjectAgainAndStartsNothing(t *testing.T) {
	f := project(t, map[string]string{
		"tidemill.yaml":             "project: p\n",
		"pipelines/a/pipeline.yaml": "schedule: {every: 1s}\n",
		"pipelines/a/x.yaml":        "command: [echo, first]\n",
	})
	server := f.up()
	defer f.down(server)
	before, _ := f.status()
	if err := os.WriteFile(filepath.Join(f.dir, "pipelines/a/x.yaml"), []byte("command: [echo, second]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	f.await("the edited project", func() bool {
		now, ok := f.status()
		return ok && now.Bundle != before.Bundle
	})
	f.must("run", "a")
	runs := strings.Count(f.must("runs", "a", "--output", "csv"), "\n") - 1
	if log := f.must("logs", f.newest("a"), "x"); !strings.Contains(log, "second") || runs != 1 {
		t.Errorf("%d runs, and the one says\n%s", runs, log)
	}
}
