package duckdb

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
)

// Catalogs of the instance. The warehouse is attached, so that the views by
// which Arrow batches come in can lie in memory and never in the file.
const (
	warehouse = "__warehouse"
	scratch   = "memory"
	control   = warehouse + "._tidemill"
)

// Config says where the warehouse lies and what it may use.
type Config struct {
	Path        string           // of the file; its folder must exist
	MemoryBytes int64            // that the process may use; DuckDB gets 60 % of it. 0: DuckDB's choice
	TempDir     string           // for what does not fit into memory; empty: beside the file
	Threads     int              // 0: one per processor
	Clock       func() time.Time // the running clock; nil: time.Now
}

// Store is the open warehouse. It is safe for concurrent use.
type Store struct {
	db        *sql.DB
	connector *duckdb.Connector
	clock     func() time.Time
	opened    time.Time
	snapshots string
	held      *os.File // the lock
	locks     keyedLocks
	loads     atomic.Int64
	settled   settledKeys
}

var (
	_ store.Store   = (*Store)(nil)
	_ store.Source  = (*Store)(nil)
	_ store.Target  = (*Store)(nil)
	_ store.Queryer = (*Store)(nil)
	_ store.SQLLoad = (*load)(nil)
)

// Capabilities is what the warehouse does whole: everything.
func Capabilities() store.Capabilities {
	return store.Capabilities{
		Atomicity: store.Transaction, Source: true, SQL: true,
		Modes: []project.Mode{
			project.ModeReplace, project.ModeAppend, project.ModeReplaceWindow,
			project.ModeMerge, project.ModeFeature, project.ModeView,
		},
	}
}

// Open opens the warehouse, or creates it. A file that another process holds is
// an error of kind unavailable.
func Open(ctx context.Context, config Config) (*Store, error) {
	path, err := filepath.Abs(config.Path)
	if err != nil {
		return nil, fault.New(fault.Invalid, "warehouse path %q: %w", config.Path, err)
	}
	s := &Store{clock: config.Clock, snapshots: path + ".snapshots"}
	if s.clock == nil {
		s.clock = time.Now
	}
	config.Path, config.TempDir = path, cmp.Or(config.TempDir, path+".tmp")
	settings, err := s.settings(config)
	if err != nil {
		return nil, err
	}
	if s.held, err = hold(path); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(s.snapshots); err != nil {
		_ = s.held.Close()
		return nil, fault.New(fault.Unavailable, "removing unfinished snapshots: %w", err)
	}
	if s.connector, err = duckdb.NewConnector("", initialiser(ctx, settings)); err != nil {
		_ = s.held.Close()
		return nil, failed("starting DuckDB", err)
	}
	s.db = sql.OpenDB(s.connector)
	s.db.SetMaxIdleConns(4)
	s.opened = s.clock()
	if err := s.createControl(ctx); err != nil {
		_ = s.Close()
		return nil, fault.New(fault.Unavailable, "opening the warehouse %s: %w", config.Path, err)
	}
	// The file is ours now, so nobody uses what a killed process left behind.
	leftovers, _ := filepath.Glob(filepath.Join(config.TempDir, "duckdb_temp_*"))
	for _, file := range leftovers {
		_ = os.Remove(file)
	}
	return s, nil
}

// hold keeps a second instance away from the file. DuckDB's own lock is the
// process's: within the process it would let a second one in.
func hold(path string) (*os.File, error) {
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "opening the warehouse %s: %w", path, err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, fault.New(fault.Unavailable, "the warehouse %s is open already, here or in another process: %w", path, err)
	}
	return lock, nil
}

func (s *Store) settings(config Config) ([]string, error) {
	literal := func(text string) string {
		quoted, err := dialect.DuckDB.Literal(text)
		if err != nil {
			return "NULL"
		}
		return quoted
	}
	settings := []string{
		"SET autoinstall_known_extensions = false",
		"SET autoload_known_extensions = false",
		"SET allow_community_extensions = false",
		"SET GLOBAL TimeZone = 'UTC'",
		// A table that a transaction has just made counts as empty for the planner: it
		// would join a whole spine row by row.
		"SET GLOBAL asof_loop_join_threshold = 0",
		"SET temp_directory = " + literal(config.TempDir),
		"ATTACH " + literal(config.Path) + " AS " + warehouse,
		"SET allowed_directories = [" + literal(s.snapshots) + "]",
		"SET enable_external_access = false",
	}
	if config.MemoryBytes < 0 || config.Threads < 0 {
		return nil, fault.New(fault.Invalid, "memory and threads of the warehouse must not be negative")
	}
	if config.MemoryBytes > 0 {
		// DuckDB's resident memory overshoots its limit by some 40 %.
		settings = append(settings, fmt.Sprintf("SET memory_limit = '%dB'", config.MemoryBytes*6/10))
	}
	if config.Threads > 0 {
		settings = append(settings, fmt.Sprintf("SET threads = %d", config.Threads))
	}
	return append(settings, "SET lock_configuration = true"), nil
}

// initialiser returns what each new connection runs: the settings once, and the
// warehouse as the place where names are looked up.
func initialiser(ctx context.Context, settings []string) func(driver.ExecerContext) error {
	var mu sync.Mutex
	done := false
	return func(conn driver.ExecerContext) error {
		mu.Lock()
		defer mu.Unlock()
		if !done {
			for _, statement := range settings {
				if _, err := conn.ExecContext(ctx, statement, nil); err != nil {
					return err
				}
			}
			done = true
		}
		_, err := conn.ExecContext(context.Background(), "USE "+warehouse, nil)
		return err
	}
}

// Close settles what is known of past commits and closes the file. Loads and
// queries must have ended.
func (s *Store) Close() error {
	err := s.flushSettled(context.Background())
	if closing := s.db.Close(); err == nil {
		err = closing
	}
	for _, part := range []io.Closer{s.connector, s.held} {
		if closing := part.Close(); err == nil {
			err = closing
		}
	}
	return err
}

// Dialect is DuckDB's.
func (s *Store) Dialect() dialect.Dialect { return dialect.DuckDB }

func (s *Store) createControl(ctx context.Context) error {
	q, err := s.session(ctx)
	if err != nil {
		return err
	}
	defer q.close()
	for _, statement := range []string{
		"CREATE SCHEMA IF NOT EXISTS " + control,
		"CREATE TABLE IF NOT EXISTS " + control + `.publish_key (
			key VARCHAR PRIMARY KEY, fence BIGINT NOT NULL, committed BOOLEAN NOT NULL,
			settled BOOLEAN NOT NULL, receipt VARCHAR, updated TIMESTAMPTZ NOT NULL)`,
		"CREATE TABLE IF NOT EXISTS " + control + `.table_state (
			"table" VARCHAR PRIMARY KEY, seq BIGINT NOT NULL, shape VARCHAR NOT NULL)`,
		"CREATE TABLE IF NOT EXISTS " + control + `.table_commit (
			"table" VARCHAR NOT NULL, seq BIGINT NOT NULL, key VARCHAR NOT NULL, origin VARCHAR NOT NULL,
			generation INTEGER NOT NULL, run VARCHAR NOT NULL, task VARCHAR NOT NULL, mode VARCHAR NOT NULL,
			kind VARCHAR NOT NULL, window_start TIMESTAMPTZ, window_end TIMESTAMPTZ, "rows" BIGINT NOT NULL,
			contract VARCHAR, evidence VARCHAR NOT NULL, committed_at TIMESTAMPTZ, known_at TIMESTAMPTZ,
			PRIMARY KEY ("table", seq))`,
	} {
		if _, err := q.exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}
