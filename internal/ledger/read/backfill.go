package read

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/core/slot"
	"github.com/tidemill/tidemill/internal/ledger/engine"
)

// BackfillInfo is a backfill as people ask for it.
type BackfillInfo struct {
	ID          string
	Pipeline    string
	Range       commit.Window
	Chunk       string
	Concurrency int
	Direction   slot.Direction
	Reprocess   slot.Reprocess
	State       run.State
	Paused      bool
	PausedBy    string
	PausedNote  string
	PausedAt    time.Time
	Created     time.Time
	CreatedBy   string
	Ended       time.Time
	Runs        map[run.State]int
}

const backfillColumns = `environment, backfill, pipeline, start_us, end_us, chunk, concurrency, direction, reprocess, state,
	paused, paused_by, paused_note, paused_us, created_us, created_by, ended_us`

func scanBackfill(r *sql.Rows) (BackfillInfo, error) {
	b := BackfillInfo{Runs: map[run.State]int{}}
	var environment string
	var start, end, created int64
	var held int
	var paused, ended sql.NullInt64
	err := r.Scan(&environment, &b.ID, &b.Pipeline, &start, &end, &b.Chunk, &b.Concurrency, &b.Direction, &b.Reprocess, &b.State,
		&held, &b.PausedBy, &b.PausedNote, &paused, &created, &b.CreatedBy, &ended)
	b.Range, b.Created, b.Ended = commit.Window{Start: engine.At(start), End: engine.At(end)}, engine.At(created), engine.OptionalAt(ended)
	b.Paused, b.PausedAt = held != 0 && !b.State.Terminal(), engine.OptionalAt(paused)
	return b, err
}

// Backfills lists backfills, the newest first.
func (q *Reader) Backfills(ctx context.Context, environment string) ([]BackfillInfo, error) {
	rows, err := q.query(ctx, `SELECT `+backfillColumns+` FROM backfill WHERE environment = $1 ORDER BY created_us DESC, backfill DESC`, environment)
	return q.counted(ctx, environment, rows, err)
}

// Backfill returns a backfill. The id may be shortened to any unique end or beginning.
func (q *Reader) Backfill(ctx context.Context, environment, id string) (BackfillInfo, error) {
	if id == "" || strings.ContainsAny(id, "%_") { // they stand for anything in LIKE, and in no id
		return BackfillInfo{}, fault.New(fault.NotFound, "no backfill %q", id)
	}
	rows, err := q.query(ctx, `SELECT `+backfillColumns+` FROM backfill
		WHERE environment = $1 AND (backfill = $2 OR backfill LIKE $3 OR backfill LIKE $4) ORDER BY CASE WHEN backfill = $2 THEN 0 ELSE 1 END LIMIT 3`,
		environment, id, id+"%", "%"+id)
	found, err := q.counted(ctx, environment, rows, err)
	switch {
	case err != nil:
		return BackfillInfo{}, err
	case len(found) == 0:
		return BackfillInfo{}, fault.New(fault.NotFound, "no backfill %q", id)
	case len(found) > 1 && found[0].ID != id:
		return BackfillInfo{}, fault.New(fault.Conflict, "%q names more than one backfill: %s, %s", id, found[0].ID, found[1].ID)
	}
	return found[0], nil
}

// counted reads backfills and counts the runs of each.
func (q *Reader) counted(ctx context.Context, environment string, rows *sql.Rows, err error) ([]BackfillInfo, error) {
	list, err := engine.All(rows, err, scanBackfill)
	for i := range list {
		rows, err := q.query(ctx, `SELECT state, count(*) FROM run WHERE environment = $1 AND backfill = $2 GROUP BY state`, environment, list[i].ID)
		if _, err := engine.All(rows, err, func(r *sql.Rows) (struct{}, error) {
			var state run.State
			var n int
			err := r.Scan(&state, &n)
			list[i].Runs[state] = n
			return struct{}{}, err
		}); err != nil {
			return nil, err
		}
	}
	return list, err
}

// FailedRun is a run of a backfill that failed, with its first error.
type FailedRun struct {
	Run    string
	Window commit.Window
	Task   string
	Reason string
}

// FailedRuns lists the failed runs of a backfill in the order of their windows.
func (q *Reader) FailedRuns(ctx context.Context, environment, backfill string, most int) ([]FailedRun, error) {
	rows, err := q.query(ctx, `SELECT r.run, r.start_us, r.end_us, t.task, t.reason FROM run r
			JOIN task t ON t.environment = r.environment AND t.run = r.run AND t.state = 'failed'
		WHERE r.environment = $1 AND r.backfill = $2 AND r.state = 'failed'
			AND NOT EXISTS (SELECT 1 FROM task e WHERE e.environment = t.environment AND e.run = t.run AND e.state = 'failed'
				AND (e.ended_us < t.ended_us OR e.ended_us = t.ended_us AND e.task < t.task))
		ORDER BY r.start_us, r.run LIMIT $3`, environment, backfill, most)
	return engine.All(rows, err, func(r *sql.Rows) (FailedRun, error) {
		var f FailedRun
		var start, end int64
		err := r.Scan(&f.Run, &start, &end, &f.Task, &f.Reason)
		f.Window = commit.Window{Start: engine.At(start), End: engine.At(end)}
		return f, err
	})
}

// PastRuns lists the runs of a pipeline for any part of a range, but replays of
// quarantined rows, which bring no window.
func (q *Reader) PastRuns(ctx context.Context, environment, pipeline string, within commit.Window) ([]slot.Past, error) {
	rows, err := q.query(ctx, `SELECT run, start_us, end_us, state, ended_us FROM run
		WHERE environment = $1 AND pipeline = $2 AND start_us < $4 AND end_us > $3 AND kind <> 'replay' ORDER BY start_us, run`,
		environment, pipeline, within.Start.UnixMicro(), within.End.UnixMicro())
	return engine.All(rows, err, func(r *sql.Rows) (slot.Past, error) {
		var p slot.Past
		var start, end int64
		var state run.State
		var ended sql.NullInt64
		err := r.Scan(&p.Run, &start, &end, &state, &ended)
		p.Window, p.Ended, p.Outcome = commit.Window{Start: engine.At(start), End: engine.At(end)}, engine.OptionalAt(ended), slot.OutcomeOpen
		switch state {
		case run.Succeeded:
			p.Outcome = slot.OutcomeSucceeded
		case run.Failed:
			p.Outcome = slot.OutcomeFailed
		case run.Cancelled:
			p.Outcome = slot.OutcomeCancelled
		case run.Queued, run.Running:
		}
		return p, err
	})
}
