package read

import (
	"context"
	"database/sql"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/ledger/engine"
)

// Incident is something wrong for somebody, from its opening to its end.
type Incident struct {
	Environment string        `json:"environment"`
	ID          string        `json:"id"`
	Fingerprint string        `json:"fingerprint"` // environment/pipeline/task/kind, never a run; or environment/pipeline/backfill
	Kind        string        `json:"kind"`
	Severity    string        `json:"severity"`
	Pipeline    string        `json:"pipeline"`
	Task        string        `json:"task,omitempty"`
	Backfill    string        `json:"backfill,omitempty"` // whose runs it lists
	Owner       string        `json:"owner,omitempty"`
	State       string        `json:"state"` // open, acknowledged, resolved
	Summary     string        `json:"summary"`
	Opened      time.Time     `json:"opened"`
	Updated     time.Time     `json:"updated"`
	Resolved    time.Time     `json:"resolved,omitzero"`
	Resolution  string        `json:"resolution,omitempty"`
	Runs        []IncidentRun `json:"runs,omitempty"`
}

// IncidentRun is a failed run that belongs to an incident until a success covers its window.
type IncidentRun struct {
	Run    string        `json:"run"`
	Task   string        `json:"task,omitempty"`
	Window commit.Window `json:"window"`
	Reason string        `json:"reason"`
	Left   time.Time     `json:"left,omitzero"`
}

// Incidents lists incidents with their runs, the newest first.
func (q *Reader) Incidents(ctx context.Context, environment string, resolvedToo bool) ([]Incident, error) {
	return q.incidents(ctx, `environment = $1 AND ($2 = 1 OR state <> 'resolved')`, environment, flag(resolvedToo))
}

// Incident returns an incident with its runs.
func (q *Reader) Incident(ctx context.Context, environment, id string) (Incident, error) {
	list, err := q.incidents(ctx, `environment = $1 AND incident = $2`, environment, id)
	if err == nil && len(list) == 0 {
		err = fault.New(fault.NotFound, "no incident %q", id)
	}
	if err != nil {
		return Incident{}, err
	}
	return list[0], nil
}

func (q *Reader) incidents(ctx context.Context, where string, args ...any) ([]Incident, error) {
	rows, err := q.query(ctx, `SELECT environment, incident, fingerprint, kind, severity, pipeline, task, owner, state, summary,
			opened_us, updated_us, resolved_us, resolution, backfill
		FROM incident WHERE `+where+` ORDER BY opened_us DESC, incident DESC`, args...)
	list, err := engine.All(rows, err, func(r *sql.Rows) (Incident, error) {
		var i Incident
		var opened, updated int64
		var resolved sql.NullInt64
		err := r.Scan(&i.Environment, &i.ID, &i.Fingerprint, &i.Kind, &i.Severity, &i.Pipeline, &i.Task, &i.Owner, &i.State, &i.Summary,
			&opened, &updated, &resolved, &i.Resolution, &i.Backfill)
		i.Opened, i.Updated, i.Resolved = engine.At(opened), engine.At(updated), engine.OptionalAt(resolved)
		return i, err
	})
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].Runs, err = q.incidentRuns(ctx, list[i].Environment, list[i].ID); err != nil {
			return nil, err
		}
	}
	return list, err
}

func (q *Reader) incidentRuns(ctx context.Context, environment, id string) ([]IncidentRun, error) {
	rows, err := q.query(ctx, `SELECT run, task, start_us, end_us, reason, left_us FROM incident_run
		WHERE environment = $1 AND incident = $2 ORDER BY start_us, run, task`, environment, id)
	return engine.All(rows, err, func(r *sql.Rows) (IncidentRun, error) {
		var i IncidentRun
		var start, end int64
		var left sql.NullInt64
		err := r.Scan(&i.Run, &i.Task, &start, &end, &i.Reason, &left)
		i.Window, i.Left = commit.Window{Start: engine.At(start), End: engine.At(end)}, engine.OptionalAt(left)
		return i, err
	})
}
