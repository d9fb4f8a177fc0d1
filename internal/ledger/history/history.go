// Package history holds the events of a ledger against the invariants that it
// can show (reliability I1 to I6). It reads, and changes nothing.
package history

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/ledger"
)

// Finding is the verdict on one invariant of the history.
type Finding struct {
	Invariant  string   `json:"invariant"`
	Statement  string   `json:"statement"`
	Checked    int64    `json:"checked"`
	Count      int      `json:"violations"`
	Violations []string `json:"examples,omitempty"` // the first ten
}

// Add counts a violation and keeps the first ten.
func (f *Finding) Add(format string, args ...any) {
	f.Count++
	if len(f.Violations) < 10 {
		f.Violations = append(f.Violations, fmt.Sprintf(format, args...))
	}
}

// Verify reads the event history of an environment and states each invariant
// that it can show.
func Verify(ctx context.Context, l *ledger.Ledger, environment string) ([]Finding, error) {
	slots := Finding{Invariant: "I1", Statement: "a slot has at most one run"}
	if err := verifySlots(ctx, l, environment, &slots); err != nil {
		return nil, err
	}
	stale := Finding{Invariant: "I2", Statement: "an attempt's event counts only under the newest epoch"}
	numbers := Finding{Invariant: "I3", Statement: "attempt numbers grow by one per start"}
	final := Finding{Invariant: "I4", Statement: "an ended task changes only by a rerun or a person's word"}
	if err := verifyEvents(ctx, l, environment, &stale, &numbers, &final); err != nil {
		return nil, err
	}
	success := Finding{Invariant: "I5", Statement: "what succeeded has a receipt for every table, and its evidence adds up"}
	if err := verifySuccess(ctx, l, environment, &success); err != nil {
		return nil, err
	}
	alerts := Finding{Invariant: "I6", Statement: "every incident was put into the outbox when it opened, and again when it was resolved"}
	if err := verifyAlerts(ctx, l, environment, &alerts); err != nil {
		return nil, err
	}
	return []Finding{slots, stale, numbers, final, success, alerts}, nil
}

func verifySlots(ctx context.Context, l *ledger.Ledger, environment string, f *Finding) error {
	return l.Each(ctx, `SELECT pipeline, due_us, count(*) FROM run
		WHERE environment = $1 AND kind = 'scheduled' AND due_us IS NOT NULL GROUP BY pipeline, due_us ORDER BY pipeline, due_us`, func(r *sql.Rows) error {
		var pipeline string
		var due int64
		var n int
		err := r.Scan(&pipeline, &due, &n)
		f.Checked++
		if n > 1 {
			f.Add("%s has %d runs for the slot due %s", pipeline, n, time.UnixMicro(due).UTC())
		}
		return err
	}, environment)
}

// historyOf follows one task through its events.
type historyOf struct {
	epoch   int64
	attempt int
	state   run.TaskState
}

func verifyEvents(ctx context.Context, l *ledger.Ledger, environment string, stale, numbers, final *Finding) error {
	tasks := map[run.Ref]historyOf{}
	return l.Each(ctx, `SELECT seq, run, task, idx, attempt, epoch, name, was, became FROM event WHERE environment = $1 ORDER BY seq`, func(r *sql.Rows) error {
		ref := run.Ref{Environment: environment}
		var seq, epoch int64
		var attempt int
		var name string
		var was, became run.TaskState
		if err := r.Scan(&seq, &ref.Run, &ref.Task, &ref.Index, &attempt, &epoch, &name, &was, &became); err != nil {
			return err
		}
		before, known := tasks[ref]
		stale.Checked++
		numbers.Checked++
		final.Checked++
		if known {
			if epoch < before.epoch {
				stale.Add("event %d (%s of %s) is under epoch %d, after epoch %d", seq, name, ref, epoch, before.epoch)
			}
			if attempt != before.attempt && attempt != before.attempt+1 {
				numbers.Add("event %d (%s of %s) is of attempt %d, after attempt %d", seq, name, ref, attempt, before.attempt)
			}
			if was != before.state {
				final.Add("event %d (%s of %s) begins at %s, the one before it ended at %s", seq, name, ref, was, before.state)
			}
		}
		aside := name == "rerun" || name == "accepted" || name == "skip_requested"
		if was.Terminal() && !aside {
			final.Add("event %d (%s of %s) changes the ended state %s to %s", seq, name, ref, was, became)
		}
		tasks[ref] = historyOf{epoch, attempt, became}
		return nil
	}, environment)
}

func verifySuccess(ctx context.Context, l *ledger.Ledger, environment string, f *Finding) error {
	attempts, err := successes(ctx, l, environment)
	if err != nil {
		return err
	}
	for _, a := range attempts {
		f.Checked++
		for _, receipt := range a.Result.Receipts {
			for _, t := range receipt.Tables {
				if err := t.Evidence.Check(); err != nil {
					f.Add("%s attempt %d, table %s: %v", a.Ref, a.Attempt, t.Table, err)
				}
			}
		}
	}
	return l.Each(ctx, `SELECT t.run, t.task FROM task t WHERE t.environment = $1 AND t.state = 'succeeded'
		AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.environment = t.environment AND a.run = t.run AND a.task = t.task AND a.idx = t.idx
			AND (a.state = 'succeeded' OR a.state = 'lost' OR a.state = 'cancelled'))`, func(r *sql.Rows) error {
		var id, task string
		err := r.Scan(&id, &task)
		f.Add("%s/%s succeeded without an attempt", id, task)
		return err
	}, environment)
}

// successes lists the successful attempts of an environment.
func successes(ctx context.Context, l *ledger.Ledger, environment string) ([]ledger.AttemptInfo, error) {
	var runs []string
	err := l.Each(ctx, `SELECT DISTINCT run FROM attempt WHERE environment = $1 AND state = 'succeeded' ORDER BY run`, func(r *sql.Rows) error {
		var id string
		err := r.Scan(&id)
		runs = append(runs, id)
		return err
	}, environment)
	if err != nil {
		return nil, err
	}
	var out []ledger.AttemptInfo
	for _, id := range runs {
		list, err := l.Attempts(ctx, ledger.RunRef{Environment: environment, Run: id}, "")
		if err != nil {
			return nil, err
		}
		for _, a := range list {
			if a.State == "succeeded" {
				out = append(out, a)
			}
		}
	}
	return out, nil
}

// Receipts lists the receipts that the history names, to be held against the stores.
func Receipts(ctx context.Context, l *ledger.Ledger, environment string) ([]commit.Receipt, error) {
	attempts, err := successes(ctx, l, environment)
	var out []commit.Receipt
	for _, a := range attempts {
		out = append(out, a.Result.Receipts...)
	}
	return out, err
}

// StoreFinding is the verdict on the stores, before any of them was looked at.
func StoreFinding() Finding {
	return Finding{Invariant: "I7", Statement: "every receipt of the history lies in its store, word for word where it matters"}
}

// OfStore returns the receipts of loads into a store.
func OfStore(receipts []commit.Receipt, store string) []commit.Receipt {
	var out []commit.Receipt
	for _, r := range receipts {
		if len(r.Tables) > 0 && r.Tables[0].Seq > 0 && r.Tables[0].Table.Store == store {
			out = append(out, r)
		}
	}
	return out
}

// CompareReceipts holds receipts of the history against those that a store has, by key.
func CompareReceipts(f *Finding, store string, list []commit.Receipt, there map[string]commit.Receipt) {
	for _, r := range list {
		f.Checked++
		other, ok := there[r.Key.String()]
		switch {
		case !ok:
			f.Add("the store %s lost the receipt of %s", store, r.Key)
		case other.Fence != r.Fence || len(other.Tables) != len(r.Tables):
			f.Add("the receipt of %s is of fence %d in the history and of %d in the store %s", r.Key, r.Fence, other.Fence, store)
		default:
			for i := range r.Tables {
				if r.Tables[i].Seq != other.Tables[i].Seq || r.Tables[i].Evidence.Staged != other.Tables[i].Evidence.Staged {
					f.Add("the receipt of %s differs from the store's for %s", r.Key, r.Tables[i].Table)
				}
			}
		}
	}
}

func verifyAlerts(ctx context.Context, l *ledger.Ledger, environment string, f *Finding) error {
	return l.Each(ctx, `SELECT i.incident, i.state,
			(SELECT count(*) FROM outbox o WHERE o.incident = i.incident AND o.action = 'firing' AND o.channel = ''),
			(SELECT count(*) FROM outbox o WHERE o.incident = i.incident AND o.action = 'resolved' AND o.channel = '')
		FROM incident i WHERE i.environment = $1`, func(r *sql.Rows) error {
		var id, state string
		var firing, resolved int
		err := r.Scan(&id, &state, &firing, &resolved)
		f.Checked++
		wanted := 0
		if state == "resolved" {
			wanted = 1
		}
		if firing != 1 || resolved != wanted {
			f.Add("incident %s (%s) has %d messages for its opening and %d for its end", id, state, firing, resolved)
		}
		return err
	}, environment)
}

// Published lists the tables that were ever published.
func Published(ctx context.Context, l *ledger.Ledger, environment string) (tables []string, err error) {
	err = l.Each(ctx, `SELECT DISTINCT target FROM published WHERE environment = $1 AND target NOT LIKE 'task:%' ORDER BY target`, func(r *sql.Rows) error {
		var name string
		err := r.Scan(&name)
		tables = append(tables, name)
		return err
	}, environment)
	return tables, err
}
