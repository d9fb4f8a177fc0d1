package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/run"
)

// Report is one observation that may open an incident.
type Report struct {
	Environment string
	Kind        string // task_failed, backfill_failed, check_failed, contract_broken, late, stale, missed_slot, definition_error, worker_lost, notification_failed
	Severity    string // critical, error, warning, info
	Pipeline    string
	Task        string
	Backfill    string // whose failed runs are one incident, whatever their tasks and kinds
	Owner       string
	Run         string // or the slot PIPELINE@DUE that never became one; may be empty
	Window      commit.Window
	Summary     string
}

func (r Report) fingerprint() string {
	if r.Backfill != "" {
		return r.Environment + "/" + r.Pipeline + "/backfill:" + r.Backfill
	}
	return r.Environment + "/" + r.Pipeline + "/" + r.Task + "/" + r.Kind
}

// tell turns an effect into an incident and, on opening, an outbox row: both in
// the transaction of the state change (I6).
func (tx *Tx) tell(ref run.Ref, h run.Header, e run.Tell) error {
	kind := e.Kind
	if kind == "task_failed" {
		switch e.Fault {
		case fault.Refused:
			kind = "contract_broken"
		case fault.CheckFailed:
			kind = "check_failed"
		default: // the word fits
		}
	}
	r := Report{
		Environment: ref.Environment, Kind: kind, Severity: "error", Pipeline: h.Pipeline, Owner: h.Owner, Task: ref.Task,
		Run: ref.Run, Window: h.Window, Summary: e.Reason,
	}
	if e.Kind != "task_failed" { // a worker that is lost has nothing to do with what it worked for
		return tx.report(r)
	}
	if err := tx.queryRow(`SELECT backfill FROM run WHERE environment = $1 AND run = $2`, ref.Environment, ref.Run).Scan(&r.Backfill); err != nil {
		return err
	}
	if r.Backfill != "" {
		r.Kind = "backfill_failed"
	}
	return tx.report(r)
}

// Report records an observation outside of any attempt, such as a missed deadline.
func (l *Ledger) Report(ctx context.Context, r Report) error {
	return l.write(ctx, func(tx *Tx) error { return tx.report(r) })
}

func (tx *Tx) report(r Report) error {
	var id string
	err := tx.queryRow(`SELECT incident FROM incident WHERE environment = $1 AND fingerprint = $2 AND state <> 'resolved'`,
		r.Environment, r.fingerprint()).Scan(&id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		id = NewID(tx.now)
		task := r.Task
		if r.Backfill != "" {
			task = "" // it may be another one in each run
		}
		if err := tx.exec(`INSERT INTO incident (environment, incident, fingerprint, kind, severity, pipeline, task, owner, state, summary, opened_us, updated_us, backfill)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'open', $9, $10, $10, $11)`,
			r.Environment, id, r.fingerprint(), r.Kind, r.Severity, r.Pipeline, task, r.Owner, r.Summary, us(tx.now), r.Backfill); err != nil {
			return err
		}
		if err := tx.enqueue(r.Environment, id, "firing"); err != nil {
			return err
		}
	case err != nil:
		return err
	default:
		if err := tx.exec(`UPDATE incident SET updated_us = $3 WHERE environment = $1 AND incident = $2`, r.Environment, id, us(tx.now)); err != nil {
			return err
		}
	}
	if r.Run == "" {
		return nil
	}
	if err := tx.exec(`INSERT INTO incident_run (environment, incident, run, task, start_us, end_us, reason) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (environment, incident, run, task) DO UPDATE SET reason = excluded.reason, left_us = NULL`,
		r.Environment, id, r.Run, r.Task, us(r.Window.Start), us(r.Window.End), r.Summary); err != nil {
		return err
	}
	if r.Backfill != "" {
		return tx.sumUpBackfill(r.Environment, id)
	}
	return nil
}

// sumUpBackfill lets the incident of a backfill say how many windows are not made
// up for, and what was wrong with the first of them.
func (tx *Tx) sumUpBackfill(environment, id string) error {
	var failed int
	if err := tx.queryRow(`SELECT count(DISTINCT run) FROM incident_run WHERE environment = $1 AND incident = $2 AND left_us IS NULL`,
		environment, id).Scan(&failed); err != nil || failed == 0 {
		return err
	}
	var start, end int64
	var task, reason string
	if err := tx.queryRow(`SELECT start_us, end_us, task, reason FROM incident_run WHERE environment = $1 AND incident = $2 AND left_us IS NULL
		ORDER BY start_us, run, task LIMIT 1`, environment, id).Scan(&start, &end, &task, &reason); err != nil {
		return err
	}
	text := fmt.Sprintf("window %s failed: %s: %s", commit.Window{Start: at(start), End: at(end)}, task, reason)
	if failed > 1 {
		text = fmt.Sprintf("%d windows failed, the first %s: %s: %s", failed, commit.Window{Start: at(start), End: at(end)}, task, reason)
	}
	return tx.exec(`UPDATE incident SET summary = $3 WHERE environment = $1 AND incident = $2`, environment, id, text)
}

// recovered takes the runs whose window this success covers out of their
// incidents; the last one to leave resolves (PROTOCOLS §5).
func (tx *Tx) recovered(ref run.Ref, h run.Header) error {
	return tx.leave(ref.Environment, h.Pipeline, ref.Task, h.Window, "run "+ref.Run+" succeeded")
}

func (tx *Tx) leave(environment, pipeline, task string, w commit.Window, how string) error {
	type leaving struct{ incident, backfill string }
	rows, err := tx.query(`SELECT DISTINCT i.incident, i.backfill FROM incident i
			JOIN incident_run x ON x.environment = i.environment AND x.incident = i.incident AND x.left_us IS NULL
		WHERE i.environment = $1 AND i.pipeline = $2 AND i.state <> 'resolved' AND x.task = $3 AND x.start_us >= $4 AND x.end_us <= $5 ORDER BY i.incident`,
		environment, pipeline, task, us(w.Start), us(w.End))
	open, err := scanAll(rows, err, func(r *sql.Rows) (l leaving, err error) { return l, r.Scan(&l.incident, &l.backfill) })
	if err != nil {
		return err
	}
	for _, l := range open {
		if err := tx.exec(`UPDATE incident_run SET left_us = $6 WHERE environment = $1 AND incident = $2 AND left_us IS NULL
			AND task = $3 AND start_us >= $4 AND end_us <= $5`, environment, l.incident, task, us(w.Start), us(w.End), us(tx.now)); err != nil {
			return err
		}
		var remaining int
		if err := tx.queryRow(`SELECT count(*) FROM incident_run WHERE environment = $1 AND incident = $2 AND left_us IS NULL`,
			environment, l.incident).Scan(&remaining); err != nil {
			return err
		}
		switch {
		case remaining == 0:
			err = tx.resolve(environment, l.incident, how)
		case l.backfill != "":
			err = tx.sumUpBackfill(environment, l.incident)
		default:
			err = tx.sumUpMissed(environment, pipeline)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) resolve(environment, id, how string) error {
	n, err := tx.execCount(`UPDATE incident SET state = 'resolved', resolved_us = $3, updated_us = $3, resolution = $4
		WHERE environment = $1 AND incident = $2 AND state <> 'resolved'`, environment, id, us(tx.now), how)
	if err != nil || n == 0 {
		return err
	}
	return tx.enqueue(environment, id, "resolved")
}

// Resolve ends the open incident of a fingerprint, if there is one.
func (l *Ledger) Resolve(ctx context.Context, r Report, how string) error {
	return l.write(ctx, func(tx *Tx) error {
		var id string
		err := tx.queryRow(`SELECT incident FROM incident WHERE environment = $1 AND fingerprint = $2 AND state <> 'resolved'`,
			r.Environment, r.fingerprint()).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		return tx.resolve(r.Environment, id, how)
	})
}

// enqueue writes the outbox row of an incident's change; notify routes it to channels.
func (tx *Tx) enqueue(environment, incident, action string) error {
	id, err := tx.next("outbox")
	if err != nil {
		return err
	}
	tx.note.Outbox = true
	return tx.exec(`INSERT INTO outbox (id, environment, incident, action, channel, state, created_us, next_us, body)
		VALUES ($1, $2, $3, $4, '', 'new', $5, $5, '{}')`, id, environment, incident, action, us(tx.now))
}

// Notification is an outbox row: one message for one channel.
type Notification struct {
	ID          int64           `json:"id"`
	Environment string          `json:"environment"`
	Incident    string          `json:"incident"`
	Action      string          `json:"action"` // firing, resolved, test
	Channel     string          `json:"channel"`
	State       string          `json:"state"` // new (not routed), pending, sent, dead
	Attempts    int             `json:"attempts"`
	Created     time.Time       `json:"created"`
	Next        time.Time       `json:"next"`
	Sent        time.Time       `json:"sent,omitzero"`
	Answer      string          `json:"answer,omitempty"`
	Body        json.RawMessage `json:"body,omitempty"`
}

const notificationColumns = `id, environment, incident, action, channel, state, attempts, created_us, next_us, sent_us, answer, body`

func scanNotification(r *sql.Rows) (Notification, error) {
	var n Notification
	var created, next int64
	var sent sql.NullInt64
	var body string
	err := r.Scan(&n.ID, &n.Environment, &n.Incident, &n.Action, &n.Channel, &n.State, &n.Attempts, &created, &next, &sent, &n.Answer, &body)
	n.Created, n.Next, n.Sent, n.Body = at(created), at(next), optionalAt(sent), json.RawMessage(body)
	return n, err
}

// DueNotifications returns what waits to be routed or sent, oldest first.
func (l *Ledger) DueNotifications(ctx context.Context, most int) ([]Notification, error) {
	rows, err := l.reader.QueryContext(ctx, l.engine.Text(`SELECT `+notificationColumns+` FROM outbox
		WHERE state IN ('new', 'pending') AND next_us <= $1 ORDER BY id LIMIT $2`), us(l.Now()), most)
	return scanAll(rows, err, scanNotification)
}

// NextNotification is when the next one is due; zero: none waits.
func (l *Ledger) NextNotification(ctx context.Context) (time.Time, error) {
	var next sql.NullInt64
	err := l.reader.QueryRowContext(ctx, `SELECT min(next_us) FROM outbox WHERE state IN ('new', 'pending')`).Scan(&next)
	return optionalAt(next), err
}

// RouteNotification replaces an unrouted row by one row per channel, as one.
func (l *Ledger) RouteNotification(ctx context.Context, n Notification, bodies map[string]json.RawMessage, channels []string) error {
	return l.write(ctx, func(tx *Tx) error {
		changed, err := tx.execCount(`UPDATE outbox SET state = 'routed' WHERE id = $1 AND state = 'new'`, n.ID)
		if err != nil || changed == 0 {
			return err
		}
		for _, channel := range channels {
			id, err := tx.next("outbox")
			if err != nil {
				return err
			}
			if err := tx.exec(`INSERT INTO outbox (id, environment, incident, action, channel, state, created_us, next_us, body)
				VALUES ($1, $2, $3, $4, $5, 'pending', $6, $6, $7)`,
				id, n.Environment, n.Incident, n.Action, channel, us(tx.now), string(bodies[channel])); err != nil {
				return err
			}
			tx.note.Outbox = true
		}
		return nil
	})
}

// SettleNotification records tries, none where the message only waited: sent, dead, or pending until next.
func (l *Ledger) SettleNotification(ctx context.Context, id int64, state, answer string, next time.Time, tries int) error {
	return l.write(ctx, func(tx *Tx) error {
		sent := time.Time{}
		if state == "sent" {
			sent = tx.now
		}
		return tx.exec(`UPDATE outbox SET state = $2, answer = $3, next_us = $4, sent_us = $5, attempts = attempts + $6 WHERE id = $1`,
			id, state, answer, us(next), optionalUS(sent), tries)
	})
}

// Notifications lists what was or will be sent, about one cause or (empty) about all, the newest first.
func (l *Ledger) Notifications(ctx context.Context, environment, fingerprint string, most int) ([]Notification, error) {
	rows, err := l.reader.QueryContext(ctx, l.engine.Text(`SELECT `+notificationColumns+` FROM outbox
		WHERE environment = $1 AND channel <> '' AND ($2 = '' OR incident IN (SELECT incident FROM incident WHERE environment = $1 AND fingerprint = $2))
		ORDER BY id DESC LIMIT $3`), environment, fingerprint, most)
	return scanAll(rows, err, scanNotification)
}
