package commit_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
)

func TestEvidenceMustAddUp(t *testing.T) {
	t.Parallel()
	good := commit.Evidence{Read: 10, Staged: 7, Quarantined: 2, Dropped: 1, Inserted: 3, Updated: 2, Unchanged: 1, Superseded: 1}
	if err := good.Check(); err != nil {
		t.Errorf("evidence that adds up is refused: %v", err)
	}
	for name, spoil := range map[string]func(*commit.Evidence){
		"a row lost on the way": func(e *commit.Evidence) { e.Read++ },
		"a row twice in stage":  func(e *commit.Evidence) { e.Staged++; e.Read++ },
		"a row not accounted":   func(e *commit.Evidence) { e.Updated-- },
	} {
		e := good
		spoil(&e)
		if err := e.Check(); !fault.Is(err, fault.Internal) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAReceiptSurvivesJSON(t *testing.T) {
	t.Parallel()
	want := commit.Receipt{
		Key:         commit.Key{Installation: "i", Environment: "base", Run: "r", Task: "land/flights", Generation: 2},
		Fence:       41,
		CommittedAt: time.Date(2013, 1, 2, 3, 4, 5, 6000, time.UTC),
		Tables: []commit.TableCommit{{
			Table: project.Table{Store: "warehouse", Schema: "raw", Name: "flights"}, Mode: project.ModeMerge, Seq: 7,
			Window:   commit.Window{Start: time.Unix(0, 0).UTC(), End: time.Unix(60, 0).UTC()},
			Evidence: commit.Evidence{Read: 1, Staged: 1, Inserted: 1, Rules: []commit.RuleHits{{Rule: "a.pattern", Verdict: "warn", Rows: 1}}},
		}},
		Completion: commit.Completion{Read: map[project.Table]int64{{Store: "pg", Schema: "a", Name: "b"}: 3}},
	}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got commit.Receipt
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("changed (-want +got):\n%s", d)
	}
}
