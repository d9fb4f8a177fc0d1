package read

import (
	"context"
	"database/sql"
	"errors"

	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/ledger/engine"
)

// LimitInfo is how much there is of a limited thing.
type LimitInfo struct {
	Name     string
	Capacity int
	Used     int
	Waiting  int // tasks in its queue
}

// Limits lists the limits of the live version.
func (q *Reader) Limits(ctx context.Context, environment string) ([]LimitInfo, error) {
	rows, err := q.query(ctx, `SELECT name, capacity, used,
			(SELECT count(*) FROM ready r WHERE r.environment = l.environment AND r.held = l.name)
		FROM limits l WHERE environment = $1 AND capacity >= 0 ORDER BY name`, environment)
	return engine.All(rows, err, func(r *sql.Rows) (LimitInfo, error) {
		var i LimitInfo
		return i, r.Scan(&i.Name, &i.Capacity, &i.Used, &i.Waiting)
	})
}

// HeldBack returns the limit in whose queue a task stands, and who holds it; empty
// where it stands in none.
func (q *Reader) HeldBack(ctx context.Context, ref run.Ref) (name string, holders []run.Ref, err error) {
	err = q.db.QueryRowContext(ctx, q.engine.Text(`SELECT held FROM ready WHERE environment = $1 AND run = $2 AND task = $3 AND idx = $4`),
		ref.Environment, ref.Run, ref.Task, ref.Index).Scan(&name)
	if err != nil || name == "" {
		if errors.Is(err, sql.ErrNoRows) {
			err = nil
		}
		return "", nil, err
	}
	rows, err := q.query(ctx, `SELECT t.environment, t.run, t.task, t.idx FROM task_limit n
			JOIN task t ON t.environment = n.environment AND t.run = n.run AND t.task = n.task
		WHERE n.environment = $1 AND n.name = $2 AND t.state IN ('claimed', 'running', 'cancelling') ORDER BY t.run, t.task, t.idx`, ref.Environment, name)
	holders, err = engine.All(rows, err, func(r *sql.Rows) (run.Ref, error) {
		var t run.Ref
		return t, r.Scan(&t.Environment, &t.Run, &t.Task, &t.Index)
	})
	return name, holders, err
}
