package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
)

// control is the schema of the control tables.
const control = "_tidemill"

// engine is the SQL of this package.
var engine = dialect.PostgreSQL

// settings make a session independent of what the server, the database or the
// role have set. Keepalives free the locks of a client that vanished.
const settings = `
	SET client_encoding = 'UTF8'; SET standard_conforming_strings = on; SET client_min_messages = warning;
	SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'iso_8601'; SET bytea_output = 'hex'; SET extra_float_digits = 1;
	SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off;
	SET idle_in_transaction_session_timeout = 0;
	SET tcp_keepalives_idle = 60; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 6`

// connectTimeout bounds one try to connect where the connection string says nothing.
const connectTimeout = 30 * time.Second

// Store is an open database. It is safe for concurrent use.
type Store struct {
	pool   *pgxpool.Pool   // for short statements
	config *pgx.ConnConfig // for loads and reads, which hold a connection each

	mu       sync.Mutex
	prepared bool // the control tables are there
}

var (
	_ store.Store   = (*Store)(nil)
	_ store.Source  = (*Store)(nil)
	_ store.Target  = (*Store)(nil)
	_ store.Queryer = (*Store)(nil)
	_ store.SQLLoad = (*load)(nil)
)

// Capabilities is what a PostgreSQL database does whole.
func Capabilities() store.Capabilities {
	return store.Capabilities{
		Atomicity: store.Transaction, Source: true, SQL: true,
		Modes: []project.Mode{project.ModeReplace, project.ModeAppend, project.ModeReplaceWindow, project.ModeMerge, project.ModeView},
	}
}

// Open connects to a database. The connection string is a URL or key=value pairs.
func Open(ctx context.Context, dsn string) (*Store, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		// The parser's own words may repeat the text, password included.
		return nil, fault.New(fault.Invalid, "the dsn is no PostgreSQL connection string; write postgres://user:password@host:5432/database, "+
			"with the special characters of a password as %%XX, or host=… dbname=… user=… password=…")
	}
	c := config.ConnConfig
	c.DefaultQueryExecMode = pgx.QueryExecModeDescribeExec // no cached plan outlives a change of a table
	c.StatementCacheCapacity, c.DescriptionCacheCapacity = 0, 0
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "tidemill"
	}
	config.AfterConnect = prepareSession
	s := &Store{config: c.Copy()}
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, unreachable(ctx, err)
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		s.pool.Close()
		return nil, unreachable(ctx, err)
	}
	conn.Release()
	return s, nil
}

func prepareSession(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, settings)
	return err
}

// Close ends the connections. Loads and reads must have ended.
func (s *Store) Close() error {
	s.pool.Close()
	return nil
}

// Dialect is PostgreSQL's.
func (s *Store) Dialect() dialect.Dialect { return engine }

// connect opens a connection of one's own.
func (s *Store) connect(ctx context.Context) (*session, error) {
	conn, err := pgx.ConnectConfig(ctx, s.config.Copy())
	if err != nil {
		return nil, unreachable(ctx, err)
	}
	q := &session{conn}
	if err := prepareSession(ctx, conn); err != nil {
		q.close()
		return nil, failed(ctx, "preparing the session", err)
	}
	return q, nil
}

// with runs do on a connection of the pool.
func (s *Store) with(ctx context.Context, do func(q *session) error) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return unreachable(ctx, err)
	}
	defer conn.Release()
	return do(&session{conn.Conn()})
}

// controlLock keeps processes from making the control tables at once.
const controlLock = 0x7469_6465_6d69

var controlTables = []string{
	"CREATE SCHEMA IF NOT EXISTS " + control,
	"CREATE TABLE IF NOT EXISTS " + control + `.publish_key (
		key text PRIMARY KEY, fence bigint NOT NULL, committed boolean NOT NULL, receipt text, updated timestamptz NOT NULL)`,
	"CREATE TABLE IF NOT EXISTS " + control + `.table_state (
		"table" text PRIMARY KEY, seq bigint NOT NULL, shape text NOT NULL)`,
	"CREATE TABLE IF NOT EXISTS " + control + `.table_commit (
		"table" text NOT NULL, seq bigint NOT NULL, key text NOT NULL, origin text NOT NULL,
		generation integer NOT NULL, run text NOT NULL, task text NOT NULL, mode text NOT NULL,
		kind text NOT NULL, window_start timestamptz, window_end timestamptz, "rows" bigint NOT NULL,
		contract text, evidence text NOT NULL, committed_at timestamptz NOT NULL,
		PRIMARY KEY ("table", seq))`,
}

// prepare makes the control tables where they are not there yet. A database that
// is only read never gets them.
func (s *Store) prepare(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.prepared {
		return nil
	}
	err := s.with(ctx, func(q *session) error {
		found, err := q.count(ctx, "SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = 'table_commit'", control)
		if err != nil || found > 0 {
			return err
		}
		return q.transact(ctx, func() error {
			if _, err := q.exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(controlLock)); err != nil {
				return err
			}
			return q.execAll(ctx, controlTables...)
		}, nil)
	})
	s.prepared = err == nil
	return failed(ctx, "making the control tables", err)
}
