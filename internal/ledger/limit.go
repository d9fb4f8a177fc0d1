package ledger

import (
	"database/sql"
	"maps"
	"slices"

	"github.com/tidemill/tidemill/internal/core/run"
)

// Need is how much of a limited thing an attempt of a task holds while it runs.
type Need struct {
	Limit  string // pool:NAME, store:NAME or pipeline:NAME
	Amount int
}

// headStart is how many turns a task of priority 1 stands before one of priority 0
// that became ready with it. Turns grow with what is started, so that a task of low
// priority is overtaken by this many starts at most: that is its ageing.
const headStart = 1000

// turnOf gives a task that became ready its place among all that wait, which never
// changes. Each pipeline takes turns from where it stands, or from where the work
// stands if it had nothing to do: so one with ten thousand tasks does not hold up
// another with one (start-time fair queuing: Goyal, Vin, Cheng 1996). What was
// claimed before, and was lost or is tried again, had its turn: it is next.
func (tx *Tx) turnOf(h run.Header, t run.Task) (int64, error) {
	now, err := tx.counter("turn")
	if err != nil || t.Epoch > 0 {
		return now - int64(t.Priority)*headStart, err
	}
	own := "turn of " + h.Environment + "/" + h.Pipeline
	next, err := tx.counter(own)
	if err != nil {
		return 0, err
	}
	start := max(now, next)
	tx.counters[own] = start + 1
	return start - int64(t.Priority)*headStart, nil
}

// started notes that the work has come to a turn.
func (tx *Tx) started(turn int64, priority int) error {
	now, err := tx.counter("turn")
	tx.counters["turn"] = max(now, turn+int64(priority)*headStart)
	return err
}

// setLimits makes the capacities of the live version those of the ledger. A limit
// that is there no more is without limit, and keeps its count: what runs gives back
// what it took.
func (tx *Tx) setLimits(environment string, limits map[string]int) error {
	if err := tx.exec(`UPDATE limits SET capacity = -1 WHERE environment = $1`, environment); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		if err := tx.exec(`INSERT INTO limits (environment, name, capacity, used) SELECT $1, $2, $3,
				(SELECT coalesce(sum(n.amount), 0) FROM task_limit n JOIN task t ON t.environment = n.environment AND t.run = n.run AND t.task = n.task
				 WHERE n.environment = $1 AND n.name = $2 AND t.state IN ('claimed', 'running', 'cancelling'))
			ON CONFLICT (environment, name) DO UPDATE SET capacity = excluded.capacity`, environment, name, limits[name]); err != nil {
			return err
		}
	}
	rows, err := tx.query(`SELECT name FROM limits WHERE environment = $1 ORDER BY name`, environment)
	names, err := scanAll(rows, err, scanText)
	for _, name := range names {
		if err == nil {
			err = tx.admit(environment, name)
		}
	}
	return err
}

// full returns a limit that has no room for a task, or in whose queue others stand
// before it; empty where none does.
func (tx *Tx) full(ref run.Ref, turn int64) (name string, err error) {
	// Locked in one order, so that two servers do not wait for each other.
	rows, err := tx.query(`SELECT l.name, l.capacity, l.used, n.amount FROM limits l
			JOIN task_limit n ON n.environment = l.environment AND n.name = l.name
		WHERE n.environment = $1 AND n.run = $2 AND n.task = $3 AND l.capacity >= 0 ORDER BY l.name`+tx.ledger.engine.ForUpdate, ref.Environment, ref.Run, ref.Task)
	type room struct {
		name                   string
		capacity, used, amount int64
	}
	all, err := scanAll(rows, err, func(r *sql.Rows) (room, error) {
		var one room
		return one, r.Scan(&one.name, &one.capacity, &one.used, &one.amount)
	})
	for _, one := range all {
		if one.used+one.amount > one.capacity {
			return one.name, nil
		}
		var before int
		if err := tx.queryRow(`SELECT count(*) FROM (SELECT 1 FROM ready WHERE environment = $1 AND held = $2 AND turn < $3 LIMIT 1) AS q`,
			ref.Environment, one.name, turn).Scan(&before); err != nil {
			return "", err
		}
		if before > 0 {
			return one.name, nil
		}
	}
	return "", err
}

// hold moves a task into the queue of a limit. Others of its limits may have room
// that it does not take now: whoever stands in their queues is looked at.
func (tx *Tx) hold(ref run.Ref, name string) error {
	if tx.parked == nil {
		tx.parked = map[run.Ref]bool{}
	}
	tx.parked[ref] = true
	if err := tx.exec(`UPDATE ready SET held = $5 WHERE environment = $1 AND run = $2 AND task = $3 AND idx = $4`,
		ref.Environment, ref.Run, ref.Task, ref.Index, name); err != nil {
		return err
	}
	rows, err := tx.query(`SELECT name FROM task_limit WHERE environment = $1 AND run = $2 AND task = $3 AND name <> $4 ORDER BY name`, ref.Environment, ref.Run, ref.Task, name)
	others, err := scanAll(rows, err, scanText)
	for _, other := range others {
		if err == nil {
			err = tx.admit(ref.Environment, other)
		}
	}
	return err
}

// take counts what an attempt holds from now on (1), or gives it back (-1).
func (tx *Tx) take(ref run.Ref, sign int) error {
	rows, err := tx.query(`SELECT name, amount FROM task_limit WHERE environment = $1 AND run = $2 AND task = $3 ORDER BY name`, ref.Environment, ref.Run, ref.Task)
	needs, err := scanAll(rows, err, func(r *sql.Rows) (Need, error) {
		var n Need
		return n, r.Scan(&n.Limit, &n.Amount)
	})
	for _, n := range needs {
		if err == nil {
			err = tx.exec(`UPDATE limits SET used = used + $3 WHERE environment = $1 AND name = $2`, ref.Environment, n.Limit, sign*n.Amount)
		}
		if err == nil && sign < 0 {
			err = tx.admit(ref.Environment, n.Limit)
		}
	}
	return err
}

// admit moves as many tasks out of the queue of a limit as it may have room for,
// the first ones. Nothing is sorted again. Those that this transaction put there
// stay: two limits with a little room each would send them to and fro.
func (tx *Tx) admit(environment, name string) error {
	var capacity, used int64
	if err := tx.queryRow(`SELECT capacity, used FROM limits WHERE environment = $1 AND name = $2`, environment, name).Scan(&capacity, &used); err != nil {
		return err
	}
	most := capacity - used
	if capacity < 0 {
		most = 1 << 30
	}
	if most <= 0 {
		return nil
	}
	rows, err := tx.query(`SELECT run, task, idx FROM ready WHERE environment = $1 AND held = $2 ORDER BY turn, run, task, idx LIMIT $3`,
		environment, name, most+int64(len(tx.parked)))
	queue, err := scanAll(rows, err, func(r *sql.Rows) (run.Ref, error) {
		ref := run.Ref{Environment: environment}
		return ref, r.Scan(&ref.Run, &ref.Task, &ref.Index)
	})
	for _, ref := range queue {
		if err != nil || most == 0 {
			return err
		}
		if tx.parked[ref] {
			continue
		}
		most--
		err = tx.exec(`UPDATE ready SET held = '' WHERE environment = $1 AND run = $2 AND task = $3 AND idx = $4`, environment, ref.Run, ref.Task, ref.Index)
		if tx.note.Offered.IsZero() || tx.now.Before(tx.note.Offered) {
			tx.note.Offered = tx.now
		}
	}
	return err
}

// withdraw takes a task from where claims look for work. Who stands behind it in a
// queue may have room that it had not.
func (tx *Tx) withdraw(ref run.Ref, limited bool) error {
	held := ""
	if limited {
		if err := tx.queryRow(`SELECT coalesce(max(held), '') FROM ready WHERE environment = $1 AND run = $2 AND task = $3 AND idx = $4`,
			ref.Environment, ref.Run, ref.Task, ref.Index).Scan(&held); err != nil {
			return err
		}
	}
	err := tx.exec(`DELETE FROM ready WHERE environment = $1 AND run = $2 AND task = $3 AND idx = $4`, ref.Environment, ref.Run, ref.Task, ref.Index)
	if err == nil && held != "" {
		err = tx.admit(ref.Environment, held)
	}
	return err
}
