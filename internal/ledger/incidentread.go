package ledger

import (
	"context"
	"database/sql"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
)

// Incidents lists incidents with their runs, the newest first.
func (l *Ledger) Incidents(ctx context.Context, environment string, resolvedToo bool) ([]Incident, error) {
	return l.incidents(ctx, `environment = $1 AND ($2 = 1 OR state <> 'resolved')`, environment, flag(resolvedToo))
}

// Incident returns an incident with its runs.
func (l *Ledger) Incident(ctx context.Context, environment, id string) (Incident, error) {
	list, err := l.incidents(ctx, `environment = $1 AND incident = $2`, environment, id)
	if err == nil && len(list) == 0 {
		err = fault.New(fault.NotFound, "no incident %q", id)
	}
	if err != nil {
		return Incident{}, err
	}
	return list[0], nil
}

func (l *Ledger) incidents(ctx context.Context, where string, args ...any) ([]Incident, error) {
	rows, err := l.reader.QueryContext(ctx, l.engine.Text(`SELECT environment, incident, fingerprint, kind, severity, pipeline, task, owner, state, summary,
			opened_us, updated_us, resolved_us, resolution, backfill
		FROM incident WHERE `+where+` ORDER BY opened_us DESC, incident DESC`), args...)
	list, err := scanAll(rows, err, func(r *sql.Rows) (Incident, error) {
		var i Incident
		var opened, updated int64
		var resolved sql.NullInt64
		err := r.Scan(&i.Environment, &i.ID, &i.Fingerprint, &i.Kind, &i.Severity, &i.Pipeline, &i.Task, &i.Owner, &i.State, &i.Summary,
			&opened, &updated, &resolved, &i.Resolution, &i.Backfill)
		i.Opened, i.Updated, i.Resolved = at(opened), at(updated), optionalAt(resolved)
		return i, err
	})
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].Runs, err = l.incidentRuns(ctx, list[i].Environment, list[i].ID); err != nil {
			return nil, err
		}
	}
	return list, err
}

func (l *Ledger) incidentRuns(ctx context.Context, environment, id string) ([]IncidentRun, error) {
	rows, err := l.reader.QueryContext(ctx, l.engine.Text(`SELECT run, task, start_us, end_us, reason, left_us FROM incident_run
		WHERE environment = $1 AND incident = $2 ORDER BY start_us, run, task`), environment, id)
	return scanAll(rows, err, func(r *sql.Rows) (IncidentRun, error) {
		var i IncidentRun
		var start, end int64
		var left sql.NullInt64
		err := r.Scan(&i.Run, &i.Task, &start, &end, &i.Reason, &left)
		i.Window, i.Left = commit.Window{Start: at(start), End: at(end)}, optionalAt(left)
		return i, err
	})
}

// Notifications lists what was or will be sent, about one cause or (empty) about all, the newest first.
func (l *Ledger) Notifications(ctx context.Context, environment, fingerprint string, most int) ([]Notification, error) {
	rows, err := l.reader.QueryContext(ctx, l.engine.Text(`SELECT `+notificationColumns+` FROM outbox
		WHERE environment = $1 AND channel <> '' AND ($2 = '' OR incident IN (SELECT incident FROM incident WHERE environment = $1 AND fingerprint = $2))
		ORDER BY id DESC LIMIT $3`), environment, fingerprint, most)
	return scanAll(rows, err, scanNotification)
}
