// Package ledger keeps what happened and what is due: all SQL on our own
// tables, one text for SQLite and PostgreSQL.
//
// Step alone changes the state of runs and tasks. It loads a task and its run's
// header, asks run.Apply, and commits the guarded rows, the event and whatever
// must leave the process in one transaction (PROTOCOLS §2.6). A lost race is
// run.ErrStale and changes nothing. Writers that wait share one transaction;
// nobody waits for a timer.
//
// The package must not launch anything, open a warehouse or read project files.
package ledger

import (
	"context"
	"database/sql"
	"embed"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/ledger/engine"
	"github.com/tidemill/tidemill/internal/ledger/read"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Note tells whoever waits that something changed, after the change is committed.
type Note struct {
	Offered time.Time // a task can be claimed from then on; zero: none
	Stops   []StopOrder
	Outbox  bool // a notification waits
	Slots   bool // a pipeline's next slot may have changed
	Ended   []RunRef
}

// StopOrder asks a worker session to stop the attempt that holds an epoch.
type StopOrder struct {
	Session string
	Epoch   int64
}

// What is only read lies in ledger/read, and has these names for all others.
type (
	// RunRef names a run.
	RunRef = read.RunRef
	// RunFilter narrows a list of runs.
	RunFilter = read.RunFilter
	// RunInfo is a run as people ask for it.
	RunInfo = read.RunInfo
	// TaskInfo is a task of a run as people ask for it.
	TaskInfo = read.TaskInfo
	// AttemptInfo is one attempt as people ask for it.
	AttemptInfo = read.AttemptInfo
	// BackfillInfo is a backfill as people ask for it.
	BackfillInfo = read.BackfillInfo
	// FailedRun is a run of a backfill that failed, with its first error.
	FailedRun = read.FailedRun
	// ModelInfo is a model version as people ask for it.
	ModelInfo = read.ModelInfo
	// Incident is something wrong for somebody, from its opening to its end.
	Incident = read.Incident
	// IncidentRun is a failed run that belongs to an incident.
	IncidentRun = read.IncidentRun
	// PipelineInfo is what the ledger knows of a pipeline.
	PipelineInfo = read.PipelineInfo
	// SlotInfo is a slot with its run.
	SlotInfo = read.SlotInfo
	// OpenRun is a scheduled run that has not ended and is not known to be late.
	OpenRun = read.OpenRun
	// LimitInfo is how much there is of a limited thing.
	LimitInfo = read.LimitInfo
	// Wait is a part of time that a target must cover first.
	Wait = read.Wait
)

// Ledger is an open ledger. It is safe for concurrent use.
type Ledger struct {
	Now    func() time.Time // the wall clock; replaced only by tests of clock jumps
	Notify func(Note)       // called after a commit; must not block

	*read.Reader

	engine  engine.Engine
	writer  *sql.DB // one connection
	reader  *sql.DB
	file    string // of SQLite; empty where a server keeps it
	install string
	trouble atomic.Pointer[string]

	mu      sync.Mutex
	waiting []*request
	turn    chan struct{} // held by the writer that commits for all who wait

	prepared map[string]*sql.Stmt // of the writer; guarded by turn
}

// Open opens the ledger at a location, which is the path of a SQLite file or a
// postgres:// address, and brings its schema up to date.
func Open(ctx context.Context, location string) (*Ledger, error) {
	kind := kindOf(location)
	writer, reader, err := kind.Open(location)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "open the ledger: %w", err)
	}
	l := &Ledger{
		Now: time.Now, Notify: func(Note) {},
		Reader: read.New(reader, kind), engine: kind, writer: writer, reader: reader, turn: make(chan struct{}, 1),
		prepared: map[string]*sql.Stmt{},
	}
	if !strings.Contains(location, "://") {
		l.file = location
	}
	if err := l.prepare(ctx); err != nil {
		_ = l.Close()
		return nil, l.unwritten(err)
	}
	return l, nil
}

// Look opens a ledger to be read as it is, beside a server that may have it open.
// Nothing is migrated or written.
func Look(location string) (*Ledger, error) {
	kind := kindOf(location)
	writer, reader, err := kind.Open(location)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "open the ledger: %w", err)
	}
	return &Ledger{Reader: read.New(reader, kind), engine: kind, writer: writer, reader: reader}, nil
}

func kindOf(location string) engine.Engine {
	if strings.HasPrefix(location, "postgres://") || strings.HasPrefix(location, "postgresql://") {
		return engine.Postgres
	}
	return engine.SQLite
}

func (l *Ledger) prepare(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fault.New(fault.Internal, "read migrations: %w", err)
	}
	provider, err := goose.NewProvider(l.engine.Goose, l.writer, files, goose.WithVerbose(false))
	if err != nil {
		return fault.New(fault.Unavailable, "open the ledger: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fault.New(fault.Unavailable, "bring the ledger's schema up to date: %w", err)
	}
	return l.write(ctx, func(tx *Tx) error {
		var id string
		err := tx.queryRow(`SELECT id FROM installation`).Scan(&id)
		if err == nil {
			l.install = id
			return nil
		}
		l.install = NewID(tx.now)
		return tx.exec(`INSERT INTO installation (id, created_us) VALUES ($1, $2)`, l.install, us(tx.now))
	})
}

// Installation is the id of this ledger, part of every publish key.
func (l *Ledger) Installation() string { return l.install }

// Close closes the ledger's connections.
func (l *Ledger) Close() error {
	for _, s := range l.prepared {
		_ = s.Close()
	}
	err := l.writer.Close()
	if e := l.reader.Close(); err == nil {
		err = e
	}
	return err
}

// us is a time as the ledger stores it: int64 microseconds, UTC.
func us(t time.Time) int64 { return t.UnixMicro() }

// optionalUS is us, with NULL for the zero time.
func optionalUS(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixMicro(), Valid: !t.IsZero()}
}

// at is the time that the ledger stored.
func at(us int64) time.Time { return engine.At(us) }

func optionalAt(us sql.NullInt64) time.Time { return engine.OptionalAt(us) }

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}
