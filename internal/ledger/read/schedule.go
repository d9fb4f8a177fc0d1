package read

import (
	"context"
	"database/sql"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/slot"
	"github.com/tidemill/tidemill/internal/ledger/engine"
)

// PipelineInfo is what the ledger knows of a pipeline.
type PipelineInfo struct {
	Pipeline   string
	Bundle     string // empty: the live project has no such pipeline
	Paused     bool
	PausedBy   string
	PausedNote string
	PausedAt   time.Time
	Mark       time.Time
	Wake       time.Time
}

// Pipelines lists the pipelines that an environment has or had.
func (q *Reader) Pipelines(ctx context.Context, environment string) ([]PipelineInfo, error) {
	rows, err := q.query(ctx, `SELECT pipeline, bundle, paused, paused_by, paused_note, paused_us, mark_us, wake_us
		FROM pipeline WHERE environment = $1 ORDER BY pipeline`, environment)
	return engine.All(rows, err, func(r *sql.Rows) (PipelineInfo, error) {
		var p PipelineInfo
		var paused int
		var pausedAt, mark, wake sql.NullInt64
		err := r.Scan(&p.Pipeline, &p.Bundle, &paused, &p.PausedBy, &p.PausedNote, &pausedAt, &mark, &wake)
		p.Paused, p.PausedAt, p.Mark, p.Wake = paused != 0, engine.OptionalAt(pausedAt), engine.OptionalAt(mark), engine.OptionalAt(wake)
		return p, err
	})
}

// SlotInfo is a slot with its run.
type SlotInfo struct {
	slot.Slot
	Run string
}

// Slots lists the newest slots of a pipeline, the newest first.
func (q *Reader) Slots(ctx context.Context, environment, pipeline string, most int) ([]SlotInfo, error) {
	rows, err := q.query(ctx, `SELECT due_us, start_us, end_us, state, reason, first_us, into_us, schedule, run FROM slot
		WHERE environment = $1 AND pipeline = $2 ORDER BY due_us DESC LIMIT $3`, environment, pipeline, most)
	return engine.All(rows, err, func(r *sql.Rows) (SlotInfo, error) {
		var i SlotInfo
		var due, start, end int64
		var first, into sql.NullInt64
		err := r.Scan(&due, &start, &end, &i.State, &i.Reason, &first, &into, &i.Schedule, &i.Run)
		i.Due, i.Window = engine.At(due), calendar.Window{Start: engine.At(start), End: engine.At(end)}
		i.First, i.Into = engine.OptionalAt(first), engine.OptionalAt(into)
		return i, err
	})
}

// RecordedWindows lists the windows that slots of a pipeline settled within a range, in order; backfills reuse them.
func (q *Reader) RecordedWindows(ctx context.Context, environment, pipeline string, within commit.Window) ([]calendar.Window, error) {
	rows, err := q.query(ctx, `SELECT due_us, start_us, end_us, state, reason, first_us, into_us, schedule FROM slot
		WHERE environment = $1 AND pipeline = $2 AND start_us < $4 AND end_us > $3 AND first_us IS NULL ORDER BY start_us`,
		environment, pipeline, within.Start.UnixMicro(), within.End.UnixMicro())
	slots, err := engine.All(rows, err, ScanSlot)
	var out []calendar.Window
	for _, s := range slots {
		if s.OwnsWindow() {
			out = append(out, s.Window)
		}
	}
	return out, err
}

// OpenRun is a scheduled run that has not ended and is not known to be late.
type OpenRun struct {
	RunRef
	Pipeline string
	Due      time.Time
	Window   commit.Window
}

// Overdue lists the scheduled runs that have not ended and belong to no incident of kind late.
func (q *Reader) Overdue(ctx context.Context, environment string) ([]OpenRun, error) {
	rows, err := q.query(ctx, `SELECT r.environment, r.run, r.pipeline, r.due_us, r.start_us, r.end_us FROM run r
		WHERE r.environment = $1 AND r.state IN ('queued', 'running') AND r.kind = 'scheduled' AND r.due_us IS NOT NULL
			AND NOT EXISTS (SELECT 1 FROM incident_run x JOIN incident i ON i.environment = x.environment AND i.incident = x.incident
				WHERE x.environment = r.environment AND x.run = r.run AND i.kind = 'late')
		ORDER BY r.due_us`, environment)
	return engine.All(rows, err, func(r *sql.Rows) (OpenRun, error) {
		var o OpenRun
		var due, start, end int64
		err := r.Scan(&o.Environment, &o.Run, &o.Pipeline, &due, &start, &end)
		o.Due, o.Window = engine.At(due), commit.Window{Start: engine.At(start), End: engine.At(end)}
		return o, err
	})
}

// LiveBundle returns the bundle that was activated last; empty where there was none.
func (q *Reader) LiveBundle(ctx context.Context, environment string) (string, error) {
	var hash sql.NullString
	err := q.db.QueryRowContext(ctx, q.engine.Text(`SELECT max(bundle) FROM pipeline WHERE environment = $1 AND bundle <> ''`), environment).Scan(&hash)
	return hash.String, err
}

// ScanSlot reads due, start, end, state, reason, first, into and schedule of a slot.
func ScanSlot(r *sql.Rows) (slot.Slot, error) {
	var s slot.Slot
	var due, start, end int64
	var first, into sql.NullInt64
	err := r.Scan(&due, &start, &end, &s.State, &s.Reason, &first, &into, &s.Schedule)
	s.Due, s.Window = engine.At(due), calendar.Window{Start: engine.At(start), End: engine.At(end)}
	s.First, s.Into = engine.OptionalAt(first), engine.OptionalAt(into)
	return s, err
}
