// Package read answers what people and programs ask of the ledger: runs with
// their tasks, attempts, what tables cover, backfills, pipelines and slots,
// incidents, model versions, limits.
//
// It reads only what is committed, and never waits for a writer.
package read

import (
	"context"
	"database/sql"
	"encoding/json"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/ledger/engine"
)

// Reader asks an open ledger. It is safe for concurrent use.
type Reader struct {
	db     *sql.DB
	engine engine.Engine
}

// New returns a reader of an open database.
func New(db *sql.DB, e engine.Engine) *Reader { return &Reader{db, e} }

// query runs a SELECT in the engine's own words.
func (q *Reader) query(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	return q.db.QueryContext(ctx, q.engine.Text(text), args...)
}

// RunRef names a run.
type RunRef struct{ Environment, Run string }

// Wait is a part of time that a target (a table, or task:PIPELINE/TASK) must cover first.
type Wait struct {
	Target string
	Window commit.Window
}

// RunInfo is a run as people ask for it.
type RunInfo struct {
	RunRef
	Pipeline    string
	Bundle      string
	FirstBundle string // the code that it began with; after a rerun with the code of now, Bundle is another
	Kind        string
	Backfill    string
	Due         time.Time
	Window      commit.Window
	Params      json.RawMessage
	State       run.State
	Open, Bad   int
	CancelBy    string
	CreatedBy   string
	Created     time.Time
	Began       time.Time
	Ended       time.Time
	Tasks       []TaskInfo // only where one run is asked for
}

// TaskInfo is a task of a run as people ask for it.
type TaskInfo struct {
	Name       string
	Index      int
	State      run.TaskState
	Generation int
	Attempt    int
	Failures   int
	Losses     int
	Retries    int
	Waiting    int
	Upstream   []string // tasks it follows
	ReadyAt    time.Time
	Reason     string
	Kind       fault.Kind
	Session    string
	Began      time.Time
	Ended      time.Time
	Waits      []Wait // windows that have not come yet
}

// Each runs a SELECT over the ledger's own tables, for those who judge the
// history as a whole, and hands over row after row.
func (q *Reader) Each(ctx context.Context, query string, take func(*sql.Rows) error, args ...any) error {
	rows, err := q.query(ctx, query, args...)
	_, err = engine.All(rows, err, func(r *sql.Rows) (struct{}, error) { return struct{}{}, take(r) })
	return err
}

const runColumns = `environment, run, pipeline, bundle, first_bundle, kind, backfill, due_us, start_us, end_us, params, state, open, bad,
	cancel_by, created_by, created_us, began_us, ended_us`

func scanRun(r *sql.Rows) (RunInfo, error) {
	var i RunInfo
	var due, began, ended sql.NullInt64
	var start, end, created int64
	var params string
	err := r.Scan(&i.Environment, &i.Run, &i.Pipeline, &i.Bundle, &i.FirstBundle, &i.Kind, &i.Backfill, &due, &start, &end, &params, &i.State, &i.Open, &i.Bad,
		&i.CancelBy, &i.CreatedBy, &created, &began, &ended)
	i.Due, i.Began, i.Ended, i.Created = engine.OptionalAt(due), engine.OptionalAt(began), engine.OptionalAt(ended), engine.At(created)
	i.Window, i.Params = commit.Window{Start: engine.At(start), End: engine.At(end)}, json.RawMessage(params)
	return i, err
}

// RunFilter narrows a list of runs.
type RunFilter struct {
	Environment string
	Pipeline    string // empty: all
	State       run.State
	Backfill    string
	Most        int // newest first

	NoBackfills bool // runs of no backfill alone
}

// Runs lists runs, the newest first.
func (q *Reader) Runs(ctx context.Context, f RunFilter) ([]RunInfo, error) {
	if f.Most <= 0 {
		f.Most = 50
	}
	rows, err := q.query(ctx, `SELECT `+runColumns+` FROM run
		WHERE environment = $1 AND ($2 = '' OR pipeline = $2) AND ($3 = '' OR state = $3) AND ($4 = '' OR backfill = $4)
			AND ($6 = 0 OR backfill = '')
		ORDER BY created_us DESC, start_us DESC, run DESC LIMIT $5`, f.Environment, f.Pipeline, string(f.State), f.Backfill, f.Most, flag(f.NoBackfills))
	return engine.All(rows, err, scanRun)
}

// Run returns a run with its tasks. The id may be shortened to any unique end or beginning.
func (q *Reader) Run(ctx context.Context, ref RunRef) (RunInfo, error) {
	if strings.ContainsAny(ref.Run, "%_") { // they stand for anything in LIKE, and in no id
		return RunInfo{}, fault.New(fault.NotFound, "no run %q", ref.Run)
	}
	rows, err := q.query(ctx, `SELECT `+runColumns+` FROM run
		WHERE environment = $1 AND (run = $2 OR run LIKE $3 OR run LIKE $4) ORDER BY CASE WHEN run = $2 THEN 0 ELSE 1 END LIMIT 3`,
		ref.Environment, ref.Run, ref.Run+"%", "%"+ref.Run)
	found, err := engine.All(rows, err, scanRun)
	switch {
	case err != nil:
		return RunInfo{}, err
	case len(found) == 0 || ref.Run == "":
		return RunInfo{}, fault.New(fault.NotFound, "no run %q", ref.Run)
	case len(found) > 1 && found[0].Run != ref.Run:
		return RunInfo{}, fault.New(fault.Conflict, "%q names more than one run: %s, %s", ref.Run, found[0].Run, found[1].Run)
	}
	info := found[0]
	info.Tasks, err = q.tasks(ctx, info.RunRef)
	return info, err
}

func (q *Reader) tasks(ctx context.Context, ref RunRef) ([]TaskInfo, error) {
	rows, err := q.query(ctx, `SELECT task, idx, state, generation, attempt, failures, losses, retries, waiting, ready_us,
			reason, kind, session, began_us, ended_us
		FROM task WHERE environment = $1 AND run = $2 ORDER BY coalesce(began_us, 9223372036854775807), task, idx`, ref.Environment, ref.Run)
	tasks, err := engine.All(rows, err, func(r *sql.Rows) (TaskInfo, error) {
		var t TaskInfo
		var ready, began, ended sql.NullInt64
		err := r.Scan(&t.Name, &t.Index, &t.State, &t.Generation, &t.Attempt, &t.Failures, &t.Losses, &t.Retries, &t.Waiting, &ready,
			&t.Reason, &t.Kind, &t.Session, &began, &ended)
		t.ReadyAt, t.Began, t.Ended = engine.OptionalAt(ready), engine.OptionalAt(began), engine.OptionalAt(ended)
		return t, err
	})
	if err != nil {
		return nil, err
	}
	edges, err := q.edgesOf(ctx, ref)
	if err != nil {
		return nil, err
	}
	waits, err := q.waitsOf(ctx, ref)
	if err != nil {
		return nil, err
	}
	for i := range tasks {
		tasks[i].Upstream = edges[tasks[i].Name]
		tasks[i].Waits = waits[tasks[i].Name]
	}
	return tasks, nil
}

func (q *Reader) edgesOf(ctx context.Context, ref RunRef) (map[string][]string, error) {
	rows, err := q.query(ctx, `SELECT task, next FROM edge WHERE environment = $1 AND run = $2 ORDER BY next, task`, ref.Environment, ref.Run)
	list, err := engine.All(rows, err, func(r *sql.Rows) ([2]string, error) {
		var e [2]string
		return e, r.Scan(&e[0], &e[1])
	})
	out := map[string][]string{}
	for _, e := range list {
		out[e[1]] = append(out[e[1]], e[0])
	}
	return out, err
}

func (q *Reader) waitsOf(ctx context.Context, ref RunRef) (map[string][]Wait, error) {
	rows, err := q.query(ctx, `SELECT task, target, start_us, end_us FROM wait WHERE environment = $1 AND run = $2 ORDER BY task, target`, ref.Environment, ref.Run)
	type named struct {
		task string
		Wait
	}
	list, err := engine.All(rows, err, func(r *sql.Rows) (named, error) {
		var n named
		var start, end int64
		err := r.Scan(&n.task, &n.Target, &start, &end)
		n.Window = commit.Window{Start: engine.At(start), End: engine.At(end)}
		return n, err
	})
	out := map[string][]Wait{}
	for _, n := range list {
		out[n.task] = append(out[n.task], n.Wait)
	}
	return out, err
}

// AttemptInfo is one attempt as people ask for it.
type AttemptInfo struct {
	run.Ref
	Attempt    int
	Generation int
	Epoch      int64
	Session    string
	State      string
	Kind       fault.Kind
	Reason     string
	Began      time.Time
	Ended      time.Time
	Result     run.Result
}

// Attempts lists the attempts of a run in the order they began; task may be empty.
func (q *Reader) Attempts(ctx context.Context, ref RunRef, task string) ([]AttemptInfo, error) {
	rows, err := q.query(ctx, `SELECT environment, run, task, idx, attempt, generation, epoch, session, state, kind, reason,
			began_us, ended_us, result
		FROM attempt WHERE environment = $1 AND run = $2 AND ($3 = '' OR task = $3) ORDER BY began_us, task, idx, attempt`, ref.Environment, ref.Run, task)
	return engine.All(rows, err, func(r *sql.Rows) (AttemptInfo, error) {
		var a AttemptInfo
		var began int64
		var ended sql.NullInt64
		var result string
		if err := r.Scan(&a.Environment, &a.Run, &a.Task, &a.Index, &a.Attempt, &a.Generation, &a.Epoch, &a.Session, &a.State, &a.Kind, &a.Reason,
			&began, &ended, &result); err != nil {
			return a, err
		}
		a.Began, a.Ended = engine.At(began), engine.OptionalAt(ended)
		return a, json.Unmarshal([]byte(result), &a.Result)
	})
}

// Published lists what a target covers, merged and in order.
func (q *Reader) Published(ctx context.Context, environment, target string) ([]commit.Window, error) {
	rows, err := q.query(ctx, `SELECT start_us, end_us FROM published WHERE environment = $1 AND target = $2 ORDER BY start_us`, environment, target)
	return engine.All(rows, err, func(r *sql.Rows) (commit.Window, error) {
		var start, end int64
		err := r.Scan(&start, &end)
		return commit.Window{Start: engine.At(start), End: engine.At(end)}, err
	})
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}
