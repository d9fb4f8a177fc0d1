package postgres_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
	"github.com/tidemill/tidemill/internal/store/postgres"
	"github.com/tidemill/tidemill/internal/store/storetest"
	"github.com/tidemill/tidemill/internal/testserver"
)

func schemaOf(fields ...datatype.Field) datatype.Schema { return datatype.Schema{Fields: fields} }

func field(name string, t datatype.Type) datatype.Field { return datatype.Field{Name: name, Type: t} }

// begin begins a load of one table with the columns given.
func begin(t *testing.T, s *postgres.Store, run string, mode project.Mode, schema datatype.Schema) store.SQLLoad {
	t.Helper()
	load, err := s.Begin(t.Context(), store.Spec{
		Key: storetest.Key(run, 0), Fence: 1, Run: store.Run{Pipeline: "p", Newest: true},
		Tables: []store.TableSpec{{Table: storetest.Table, Schema: schema, Mode: mode, Stable: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = load.Abort(t.Context()) })
	return load.(store.SQLLoad)
}

func TestASelectFillsTheStageWhereItsValuesFit(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	wanted := schemaOf(
		field("i", datatype.Of(datatype.Int16)), field("d", datatype.DecimalOf(5, 2)), field("t", datatype.Type{Kind: datatype.String, Length: 3}),
		field("f", datatype.Of(datatype.Float64)), field("r", datatype.Of(datatype.Float32)), field("x", datatype.Of(datatype.String)),
	)
	load := begin(t, s, "a", project.ModeReplace, wanted)
	for _, bad := range []string{
		"SELECT 40000 AS i", "SELECT 1.5::numeric AS i", "SELECT 'NaN'::float8 AS i", "SELECT 1.234::numeric AS d", "SELECT 1000::int8 AS d", "SELECT 'Infinity'::float8 AS d",
		"SELECT 'abcd'::text AS t", "SELECT 9007199254740993 AS f", "SELECT 0.1::float8 AS r", "SELECT 1e300::float8 AS r", "SELECT 1e-300::float8 AS r", "SELECT 16777217 AS r", "SELECT 9223372036854775807 AS r",
	} {
		if n, err := load.Fill(t.Context(), storetest.Table, dialect.Statement{SQL: bad}); !fault.Is(err, fault.Failed) || !strings.Contains(err.Error(), "fit") {
			t.Errorf("%s staged %d rows, %v", bad, n, err)
		}
	}
	for _, bad := range []string{"SELECT 1 AS other", "SELECT 1 AS i, 2 AS i", "SELECT true AS i", "SELECT '\\x00'::bytea AS x"} {
		if n, err := load.Fill(t.Context(), storetest.Table, dialect.Statement{SQL: bad}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s staged %d rows, %v", bad, n, err)
		}
	}
	for _, good := range []string{
		"SELECT 7::int2 AS i, 1.25::numeric(5,2) AS d, 'abc'::varchar(3) AS t, 0.1::float8 AS f, 0.1::real AS r, 'x'::text AS x",
		"SELECT 7.0::numeric AS i, 1.2500::numeric AS d, 'abc'::text AS t, 9007199254740992 AS f, 'NaN'::float8 AS r, 12 AS x ORDER BY 1;",
		"SELECT 7::float8 AS i, 1.25::float8 AS d, 'abc'::char(3) AS t, 0.1::numeric AS f, 0.5::float8 AS r, '00112233-4455-6677-8899-aabbccddeeff'::uuid AS x -- end",
		"SELECT NULL::int AS i, NULL::numeric AS d, NULL::text AS t, NULL::int8 AS f, NULL::float8 AS r, NULL::text AS x",
	} {
		if n, err := load.Fill(t.Context(), storetest.Table, dialect.Statement{SQL: good}); n != 1 || err != nil {
			t.Errorf("%s staged %d rows, %v", good, n, err)
		}
	}
	batches, err := load.Query(t.Context(), dialect.Statement{SQL: "SELECT i, d, t, f, r, x FROM " + load.Staged(storetest.Table) + " ORDER BY __staged"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := texts(batches)
	want := []string{
		"7|1.25|abc|0.1|0.1|x", "7|1.25|abc|9.007199254740992e+15|NaN|12", "7|1.25|abc|0.1|0.5|00112233-4455-6677-8899-aabbccddeeff", "(null)|(null)|(null)|(null)|(null)|(null)",
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("staged, %v (-want +got):\n%s", err, diff)
	}
}

func TestALoadRunsNothingButSelects(t *testing.T) {
	t.Parallel()
	s, conn := open(t, "CREATE TABLE public.t (a int)", "INSERT INTO public.t VALUES (1)", "CREATE SEQUENCE public.s")
	load := begin(t, s, "a", project.ModeReplace, schemaOf(field("a", datatype.Of(datatype.Int32))))
	for _, text := range writes {
		statement := dialect.Statement{SQL: text}
		if n, err := load.Fill(t.Context(), storetest.Table, statement); err == nil {
			t.Errorf("%q staged %d rows", text, n)
		}
		if _, err := load.Query(t.Context(), statement); err == nil {
			t.Errorf("%q was run", text)
		}
	}
	unchanged(t, conn)
	if n, err := load.Fill(t.Context(), storetest.Table, dialect.Statement{SQL: "SELECT a FROM public.t WHERE a = $n", Params: []dialect.Param{{Name: "n", Value: int64(1)}}}); n != 1 || err != nil {
		t.Errorf("after all that a SELECT staged %d rows, %v", n, err)
	}
}

func TestWhatIsReadFromTheStageMayBeStaged(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	schema := schemaOf(field("a", datatype.Of(datatype.Int32)))
	load := begin(t, s, "a", project.ModeReplace, schema)
	if _, err := load.Fill(t.Context(), storetest.Table, dialect.Statement{SQL: "SELECT n AS a FROM generate_series(1, 20000) AS n"}); err != nil {
		t.Fatal(err)
	}
	batches, err := load.Query(t.Context(), dialect.Statement{SQL: "SELECT a FROM " + load.Staged(storetest.Table)})
	if err != nil {
		t.Fatal(err)
	}
	read := int64(0)
	for batch, err := range batches {
		if err != nil {
			t.Fatal(err)
		}
		read += batch.NumRows()
		if err := load.Stage(t.Context(), storetest.Table, batch); err != nil {
			t.Fatal(err)
		}
	}
	gone, err := load.Discard(t.Context(), storetest.Table, "a > 10")
	if read != 20_000 || gone != 39_980 || err != nil {
		t.Errorf("%d rows were read and %d removed, %v", read, gone, err)
	}
}

// write publishes rows as a run of their day.
func write(t *testing.T, s *postgres.Store, run string, mode project.Mode, rows ...[]any) error {
	t.Helper()
	a := storetest.Attempt{Run: run, Fence: 1, Spec: storetest.Spec(mode, storetest.Day(0)), Live: true, Rows: rows}
	_, err := a.Publish(t.Context(), t, s)
	return err
}

func TestWhatOthersBuiltOnATableStays(t *testing.T) {
	t.Parallel()
	s, conn := open(t, "CREATE ROLE reader_of_tables")
	if err := write(t, s, "a", project.ModeReplace, storetest.Row(1, 1, "UA", 1)); err != nil {
		t.Fatal(err)
	}
	run(t, conn, "CREATE VIEW public.theirs AS SELECT id FROM raw.flights", "GRANT SELECT ON raw.flights TO reader_of_tables", "CREATE INDEX theirs_too ON raw.flights (carrier)")
	if err := write(t, s, "b", project.ModeReplace, storetest.Row(2, 1, "AA", 1), storetest.Row(3, 1, "AA", 1)); err != nil {
		t.Fatal(err)
	}
	var seen, grants, indexes int
	if err := conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM public.theirs), (SELECT count(*) FROM information_schema.role_table_grants WHERE grantee = 'reader_of_tables'),
		(SELECT count(*) FROM pg_indexes WHERE indexname = 'theirs_too')`).Scan(&seen, &grants, &indexes); err != nil {
		t.Fatal(err)
	}
	if seen != 2 || grants != 1 || indexes != 1 {
		t.Errorf("their view has %d rows, there are %d grants and %d indexes", seen, grants, indexes)
	}
	a := storetest.Attempt{Run: "c", Fence: 1, Spec: storetest.Spec(project.ModeReplace, storetest.Day(0)), Rows: [][]any{{"x"}}}
	a.Spec.Schema, a.Spec.EventTime = schemaOf(field("id", datatype.Of(datatype.String))), ""
	if _, err := a.Publish(t.Context(), t, s); !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), "depend") {
		t.Errorf("a column on which a view depends became another with %v", err)
	}
	run(t, conn, "DROP VIEW public.theirs")
	a.Fence = 2
	if _, err := a.Publish(t.Context(), t, s); err != nil {
		t.Error(err)
	}
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM information_schema.role_table_grants WHERE grantee = 'reader_of_tables'").Scan(&grants); err != nil || grants != 1 {
		t.Errorf("after the change of columns there are %d grants, %v", grants, err)
	}
}

func TestATableChangesItsShapeWhereNoRowGetsLost(t *testing.T) {
	t.Parallel()
	s, conn := open(t, "CREATE SCHEMA raw", "CREATE VIEW raw.theirs AS SELECT 1 AS n", "CREATE MATERIALIZED VIEW raw.kept AS SELECT 1 AS n")
	for i, mode := range []project.Mode{project.ModeReplaceWindow, project.ModeAppend, project.ModeReplaceWindow} {
		if err := write(t, s, fmt.Sprint("run", i), mode, storetest.Row(i, 1, "UA", 1)); err != nil {
			t.Fatalf("%s: %v", mode, err)
		}
	}
	view := storetest.Attempt{Run: "view", Fence: 1, Spec: storetest.Spec(project.ModeView, storetest.Day(0)), Select: "SELECT 1 AS n"}
	if _, err := view.Publish(t.Context(), t, s); !fault.Is(err, fault.Refused) {
		t.Errorf("a table with rows became a view with %v", err)
	}
	for _, name := range []string{"theirs", "kept"} {
		a := storetest.Attempt{Run: name, Fence: 1, Spec: storetest.Spec(project.ModeReplace, storetest.Day(0)), Rows: [][]any{storetest.Row(1, 1, "UA", 1)}}
		a.Spec.Table.Name = name
		if _, err := a.Publish(t.Context(), t, s); !fault.Is(err, fault.Refused) {
			t.Errorf("raw.%s was written to with %v", name, err)
		}
	}
	view.Spec.Table.Name = "own"
	for i, text := range []string{"SELECT 1 AS n", "SELECT 2 AS n, 'x'::text AS more", "SELECT true AS other"} {
		view.Run, view.Select = fmt.Sprint("own", i), text
		if _, err := view.Publish(t.Context(), t, s); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	var other bool
	if err := conn.QueryRow(t.Context(), "SELECT other FROM raw.own").Scan(&other); err != nil || !other {
		t.Errorf("the view answers %v, %v", other, err)
	}
}

func TestDigestsAreOfRowsAndNotOfTheirOrder(t *testing.T) {
	t.Parallel()
	s, _ := open(t, "CREATE TABLE public.a AS SELECT 1 AS n, 0.0::float8 AS f, NULL::text AS t UNION ALL SELECT 2, 0.1, '1:x'",
		"CREATE TABLE public.b AS SELECT 2 AS n, 0.1::float8 AS f, '1:x'::text AS t UNION ALL SELECT 1, '-0'::float8, NULL",
		"CREATE TABLE public.c AS SELECT 1 AS n, 0.0::float8 AS f, ''::text AS t UNION ALL SELECT 2, 0.1, '1:x'")
	digests := map[string]string{}
	for _, name := range []string{"a", "b", "c"} {
		digest, rows, err := s.Digest(t.Context(), project.Table{Schema: "public", Name: name})
		if err != nil || rows != 2 {
			t.Fatalf("%d rows, %v", rows, err)
		}
		digests[name] = digest
	}
	if digests["a"] != digests["b"] || digests["a"] == digests["c"] {
		t.Errorf("digests %v", digests)
	}
	if _, _, err := s.Digest(t.Context(), project.Table{Schema: "public", Name: "none"}); !errors.Is(err, store.ErrAbsent) {
		t.Errorf("no table has the digest %v", err)
	}
}

func TestPublishesOfOneTableAreNumberedWithoutHoles(t *testing.T) {
	t.Parallel()
	address := testserver.Database(t)
	var all sync.WaitGroup
	failures := make(chan error, 8)
	for i := range 8 { // each a process of its own, as far as the database can tell
		all.Go(func() {
			s, err := postgres.Open(t.Context(), address)
			if err == nil {
				spec := storetest.Spec(project.ModeAppend, storetest.Day(i))
				_, err = storetest.Attempt{Run: fmt.Sprint(i), Fence: 1, Spec: spec, Rows: [][]any{storetest.Row(i, 24*i, "UA", 1)}}.Publish(t.Context(), t, s)
				err = errors.Join(err, s.Close())
			}
			failures <- err
		})
	}
	all.Wait()
	close(failures)
	for err := range failures {
		if err != nil {
			t.Error(err)
		}
	}
	s, err := postgres.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	_, rows, err := read(t.Context(), s, `SELECT min(seq) AS low, max(seq) AS high, count(*) AS n, bool_and(late) AS ordered
		FROM (SELECT seq, committed_at >= coalesce(lag(committed_at) OVER (ORDER BY seq), committed_at) AS late FROM _tidemill.table_commit) AS c`)
	if err != nil || len(rows) != 1 || rows[0] != "1|8|8|true" {
		t.Errorf("numbers %v, %v", rows, err)
	}
}

// lossy is a way to the server that breaks at COMMIT: before the server has it, or after.
type lossy struct {
	net.Listener
	server string
	after  bool
	broken sync.Once
}

func (l *lossy) serve() {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		go l.pass(client)
	}
}

func (l *lossy) pass(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", l.server)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	publishing, mute := false, make(chan struct{})
	go func() {
		buffer := make([]byte, 64<<10)
		for {
			n, err := server.Read(buffer)
			if err != nil {
				return
			}
			select {
			case <-mute:
				_ = client.Close() // once the server has answered, its COMMIT is done
				return
			default:
			}
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		publishing = publishing || bytes.Contains(buffer[:n], []byte("committed = true"))
		breaks := false
		if publishing && bytes.Contains(buffer[:n], []byte("commit\x00")) {
			l.broken.Do(func() { breaks = true })
		}
		if breaks && !l.after {
			return
		}
		if breaks {
			close(mute)
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
		if breaks {
			_, _ = io.Copy(io.Discard, client)
			return
		}
	}
}

func TestALostAnswerToCommitIsAnUnknownOutcomeThatTheKeySettles(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprint("the server had it: ", after), func(t *testing.T) {
			t.Parallel()
			address, err := url.Parse(testserver.Database(t))
			if err != nil {
				t.Fatal(err)
			}
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = listener.Close() }()
			way := &lossy{Listener: listener, server: address.Host, after: after}
			go way.serve()
			address.Host = listener.Addr().String()
			s, err := postgres.Open(t.Context(), address.String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			err = write(t, s, "a", project.ModeReplace, storetest.Row(1, 1, "UA", 1))
			if !fault.Is(err, fault.Unknown) {
				t.Fatalf("publish returned %v", err)
			}
			receipt, err := s.CloseKey(t.Context(), storetest.Key("a", 0), 1)
			if err != nil || (receipt != nil) != after {
				t.Fatalf("the key says %v, %v", receipt, err)
			}
			found, err := s.Read(t.Context(), store.Request{Table: storetest.Table})
			if (err == nil) != after {
				t.Fatalf("the table is %v, %v", found, err)
			}
		})
	}
}
