package ledger

import (
	"context"
	"slices"
	"time"
)

// pruneBatch is how many runs leave in one transaction: others wait for it.
const pruneBatch = 200

// What may leave the history: what ended before $2. Kept whatever their age are
// runs that something still rests on:
//
//   - an incident that they are open in,
//   - a backfill that goes on and counts them,
//   - a model version or a pin, whose story they are part of,
//   - the newest window of a pipeline that succeeded: an older one that is run
//     again must know that it is not the newest (PROTOCOLS §3.9).
//
// Slots stay: backfills reuse their windows. So does what tables cover.
const (
	oldRuns = ` FROM run r WHERE r.environment = $1 AND r.ended_us < $2 AND r.state IN ('succeeded', 'failed', 'cancelled')
		AND r.run NOT IN (SELECT x.run FROM incident_run x JOIN incident i ON i.environment = x.environment AND i.incident = x.incident
			WHERE i.environment = $1 AND i.state <> 'resolved')
		AND r.backfill NOT IN (SELECT backfill FROM backfill WHERE environment = $1 AND ended_us IS NULL)
		AND r.run NOT IN (SELECT run FROM model WHERE environment = $1)
		AND r.run NOT IN (SELECT run FROM pin WHERE environment = $1)
		AND (r.state <> 'succeeded' OR EXISTS (SELECT 1 FROM run n WHERE n.environment = r.environment AND n.pipeline = r.pipeline
			AND n.start_us >= r.start_us AND n.state = 'succeeded' AND n.end_us > r.end_us))`
	oldIncidents = ` FROM incident i WHERE i.environment = $1 AND i.state = 'resolved' AND i.resolved_us < $2
		AND i.incident NOT IN (SELECT incident FROM outbox WHERE environment = $1 AND state IN ('new', 'pending'))`
)

// Pruned counts what left the history, or would.
type Pruned struct {
	Runs      int `json:"runs"`
	Incidents int `json:"incidents"`
}

// Prunable counts what Prune would take out.
func (l *Ledger) Prunable(ctx context.Context, environment string, before time.Time) (Pruned, error) {
	var p Pruned
	err := l.reader.QueryRowContext(ctx, l.engine.Text(`SELECT count(*)`+oldRuns), environment, us(before)).Scan(&p.Runs)
	if err == nil {
		err = l.reader.QueryRowContext(ctx, l.engine.Text(`SELECT count(*)`+oldIncidents), environment, us(before)).Scan(&p.Incidents)
	}
	return p, err
}

// Prune takes runs and incidents that ended before a time out of the history,
// with their tasks, attempts, events, values and messages. It works in small
// transactions, so that nothing else waits for long, and can be repeated.
func (l *Ledger) Prune(ctx context.Context, environment string, before time.Time) (Pruned, error) {
	var p Pruned
	var err error
	if p.Runs, err = l.pruneAll(ctx, environment, before, "run", `SELECT r.run`+oldRuns+` ORDER BY r.run`,
		`DELETE FROM run WHERE environment = $1 AND run = $2 AND ended_us < $3 AND state IN ('succeeded', 'failed', 'cancelled')`,
		"task", "attempt", "event", "value", "edge", "wait", "task_limit"); err != nil {
		return p, err
	}
	if p.Incidents, err = l.pruneAll(ctx, environment, before, "incident", `SELECT i.incident`+oldIncidents+` ORDER BY i.incident`,
		`DELETE FROM incident WHERE environment = $1 AND incident = $2 AND resolved_us < $3`, "incident_run", "outbox"); err != nil {
		return p, err
	}
	return p, l.write(ctx, func(tx *Tx) error { return tx.pruneRest(environment, before) })
}

// pruneAll deletes what ids lists, if it is still as old as it was, and its rows
// in other tables.
func (l *Ledger) pruneAll(ctx context.Context, environment string, before time.Time, key, ids, remove string, tables ...string) (int, error) {
	rows, err := l.reader.QueryContext(ctx, l.engine.Text(ids), environment, us(before))
	old, err := scanAll(rows, err, scanText)
	if err != nil {
		return 0, err
	}
	count := 0
	for part := range slices.Chunk(old, pruneBatch) {
		gone := 0
		err := l.write(ctx, func(tx *Tx) error {
			gone = 0
			for _, id := range part {
				if key == "run" {
					if err := tx.keepSuccesses(environment, id); err != nil {
						return err
					}
				}
				n, err := tx.execCount(remove, environment, id, us(before))
				if err != nil {
					return err
				}
				if n == 0 { // it was begun again meanwhile
					continue
				}
				gone++
				for _, table := range tables {
					if err := tx.exec(`DELETE FROM `+table+` WHERE environment = $1 AND `+key+` = $2`, environment, id); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return count, err
		}
		count += gone
	}
	return count, nil
}

// keepSuccesses turns what after_previous asks of a run into intervals, which
// outlive it: those of windows that touch are one row.
func (tx *Tx) keepSuccesses(environment, id string) error {
	h, err := tx.header(environment, id)
	if err != nil {
		return err
	}
	rows, err := tx.query(`SELECT DISTINCT task FROM task WHERE environment = $1 AND run = $2 AND state IN ('succeeded', 'accepted') ORDER BY task`, environment, id)
	tasks, err := scanAll(rows, err, scanText)
	if err != nil || !h.Window.Start.Before(h.Window.End) {
		return err
	}
	for _, task := range tasks {
		if _, err := tx.cover(environment, PreviousTarget(h.Pipeline, task), h.Window); err != nil {
			return err
		}
	}
	return nil
}

// pruneRest takes out backfills without a run, and sessions that nothing names.
func (tx *Tx) pruneRest(environment string, before time.Time) error {
	if err := tx.exec(`DELETE FROM backfill WHERE environment = $1 AND ended_us < $2
		AND NOT EXISTS (SELECT 1 FROM run r WHERE r.environment = backfill.environment AND r.backfill = backfill.backfill)`,
		environment, us(before)); err != nil {
		return err
	}
	return tx.exec(`DELETE FROM session WHERE state = 'ended' AND ended_us < $1
		AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.session = session.session)`, us(before))
}
