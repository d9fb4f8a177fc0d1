package publish_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/pattern"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/gate"
	"github.com/tidemill/tidemill/internal/publish"
	"github.com/tidemill/tidemill/internal/store"
	"github.com/tidemill/tidemill/internal/store/duckdb"
	"github.com/tidemill/tidemill/internal/store/storetest"
)

func open(t *testing.T) *duckdb.Store {
	t.Helper()
	s, err := duckdb.Open(t.Context(), duckdb.Config{Path: filepath.Join(t.TempDir(), "warehouse.duckdb"), Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

var flights = project.Table{Store: project.Warehouse, Schema: "raw", Name: "flights"}

// agreement is a contract with rules of every verdict.
func agreement(checks ...contract.Check) *contract.Table {
	text, number, instant := datatype.Of(datatype.String), datatype.Of(datatype.Int64), datatype.Of(datatype.TimestampTZ)
	fields := []datatype.Field{
		{Name: "id", Type: number, Required: true},
		{Name: "at", Type: instant, Required: true},
		{Name: "tail", Type: text},
		{Name: "delay", Type: number},
	}
	c := &contract.Table{
		Name: "raw.flights", ContractID: "flights", Version: "1.0.0", Key: []string{"id"}, EventTime: "at",
		ExtraColumns: contract.ExtraRefuse, OnFail: contract.Quarantine,
	}
	for _, f := range fields {
		c.Fields = append(c.Fields, contract.Field{Field: f, OnFail: contract.Quarantine})
		c.Checks = append(c.Checks, contract.Check{Kind: contract.KindType, Rule: f.Name + ".type", Field: f.Name, Type: f.Type, OnFail: contract.Quarantine})
	}
	most := contract.Bound{Value: "1000"}
	c.Checks = append(
		c.Checks,
		contract.Check{Kind: contract.KindRequired, Rule: "id.required", Field: "id", Type: number, OnFail: contract.Reject},
		contract.Check{Kind: contract.KindPattern, Rule: "tail.pattern", Field: "tail", Type: text, OnFail: contract.Quarantine, Pattern: &pattern.Pattern{Text: "^N[0-9]+$", RE2: "^N[0-9]+$"}},
		contract.Check{Kind: contract.KindRange, Rule: "delay.range", Field: "delay", Type: number, OnFail: contract.Warn, Max: &most},
		contract.Check{Kind: contract.KindKey, Rule: "key", Fields: []string{"id"}, OnFail: contract.Quarantine},
	)
	c.Checks = append(c.Checks, checks...)
	return c
}

// lines are a text source: id, at, tail, delay.
func lines(t *testing.T, rows ...[]any) *publish.Source {
	return named(t, []string{"id", "at", "tail", "delay"}, rows...)
}

// named are rows of text whose four columns have these names.
func named(t *testing.T, names []string, rows ...[]any) *publish.Source {
	schema := datatype.Text(names...)
	full := make([][]any, len(rows))
	for i, row := range rows {
		full[i] = append(slices.Clone(row), "day.csv", fmt.Sprint(i+2))
	}
	batch := storetest.Batch(t, schema, full...)
	return publish.From(&store.Reading{
		Schema: schema, Text: true, Stable: true, Sources: []string{"day.csv"},
		Batches: func(yield func(arrow.RecordBatch, error) bool) { yield(batch, nil) },
	})
}

func request(target store.Target, run string, fence int64, tables ...publish.Table) publish.Request {
	return publish.Request{
		Target: target, Key: storetest.Key(run, 0), Fence: fence, Tables: tables,
		Run:        store.Run{Pipeline: "land", Window: storetest.Day(0), Newest: true, Live: true},
		Completion: commit.Completion{Metrics: map[string]float64{"x": 1}},
	}
}

func write(m project.Mode) project.Write {
	return project.Write{Table: flights, Mode: m, EventTime: "at"}
}

var day = [][]any{
	{"1", "2013-01-01T01:00:00Z", "N1", "5"},
	{"2", "2013-01-01T02:00:00Z", "D942DN", "5"},
	{"3", "2013-01-01T03:00:00Z", nil, "2000"},
	{"4", "2013-01-01T04:00:00Z", "N4", "no number"},
	{"5", "2013-01-02T04:00:00Z", "N5", "1"},
}

func rows(t *testing.T, s *duckdb.Store, query string) []string {
	t.Helper()
	_, batches, err := s.Query(t.Context(), dialect.Statement{SQL: query})
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for batch, err := range batches {
		if err != nil {
			t.Fatal(err)
		}
		for i := range int(batch.NumRows()) {
			values := make([]string, batch.NumCols())
			for c := range values {
				values[c] = batch.Column(c).ValueStr(i)
			}
			out = append(out, strings.Join(values, "|"))
		}
	}
	return out
}

func TestAMovePutsEachRowInOnePlace(t *testing.T) {
	t.Parallel()
	s := open(t)
	outcome, err := publish.Run(t.Context(), request(s, "a", 1, publish.Table{Write: write(project.ModeReplaceWindow), Contract: agreement(), Source: lines(t, day...)}))
	if err != nil {
		t.Fatal(err)
	}
	e := outcome.Receipt.Tables[0].Evidence
	if e.Read != 5 || e.Staged != 2 || e.Quarantined != 3 || e.Inserted != 2 || e.Warned != 1 {
		t.Errorf("evidence %+v", e)
	}
	if diff := cmp.Diff([]string{"1|N1", "3|(null)"}, rows(t, s, "SELECT id, tail FROM raw.flights ORDER BY id")); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	want := []string{"outside_window|6|flights@1.0.0", "tail.pattern|3|flights@1.0.0", "delay.type|5|flights@1.0.0"}
	slices.Sort(want)
	if diff := cmp.Diff(want, rows(t, s, "SELECT rule, line, contract FROM raw.flights__quarantine ORDER BY rule")); diff != "" {
		t.Errorf("quarantine (-want +got):\n%s", diff)
	}
	if len(outcome.Tables[0].Refused) != 3 || outcome.Receipt.Completion.Metrics["x"] != 1 {
		t.Errorf("outcome %+v", outcome)
	}
}

func TestASelectIsJudgedAsAMoveIs(t *testing.T) {
	t.Parallel()
	typed := `SELECT * FROM (VALUES (1::BIGINT, TIMESTAMPTZ '2013-01-01 01:00:00Z', 'N1', 5::BIGINT), (2, '2013-01-01 02:00:00Z', 'D942DN', 5),
		(3, '2013-01-01 03:00:00Z', NULL, 2000), (5, '2013-01-02 04:00:00Z', 'N5', 1)) v(id, "at", tail, delay)`
	// A text that must become a number keeps the SELECT from being pushed down.
	gated := strings.Replace(typed, "SELECT *", "SELECT id, \"at\", tail, delay::VARCHAR AS delay", 1)
	var quarantined [][]string
	var evidence []commit.Evidence
	for _, text := range []string{typed, gated} {
		s := open(t)
		outcome, err := publish.Run(t.Context(), request(s, "a", 1, publish.Table{Write: write(project.ModeReplaceWindow), Contract: agreement(), Select: text}))
		if err != nil {
			t.Fatal(err)
		}
		e := outcome.Receipt.Tables[0].Evidence
		if e.Read != 4 || e.Staged != 2 || e.Quarantined != 2 || e.Warned != 1 {
			t.Errorf("evidence %+v", e)
		}
		evidence = append(evidence, e)
		quarantined = append(quarantined, rows(t, s, "SELECT rule, field, reason, value, original, contract FROM raw.flights__quarantine ORDER BY rule"))
	}
	if diff := cmp.Diff(quarantined[0], quarantined[1]); diff != "" {
		t.Errorf("quarantine of the pushed and of the gated SELECT:\n%s", diff)
	}
	if diff := cmp.Diff(evidence[0], evidence[1]); diff != "" {
		t.Errorf("evidence of the pushed and of the gated SELECT:\n%s", diff)
	}
}

func TestARefusedLoadPublishesNothingAndTellsWhatItRefused(t *testing.T) {
	t.Parallel()
	least, one := "5", int64(1)
	tests := []struct {
		name    string
		change  func(*contract.Table)
		rows    [][]any
		words   string
		refused int
	}{
		{"a rejected row", func(*contract.Table) {}, [][]any{day[1], {nil, "2013-01-01T01:00:00Z", "N1", "5"}}, "id.required", 0},
		{"too few rows", func(c *contract.Table) {
			c.Checks = append(c.Checks, contract.Check{Kind: contract.KindRowCount, Rule: "thin day", Operator: contract.MustBeGreaterThan, Operands: []string{least}, OnFail: contract.Reject})
		}, day, "thin day", 3},
		{"the budget", func(c *contract.Table) { c.ErrorBudget.Rows = &one }, day, "error budget", 3},
		{"an SQL rule", func(c *contract.Table) {
			c.Checks = append(c.Checks, contract.Check{
				Kind: contract.KindSQL, Rule: "sum", Query: "SELECT sum(delay) FROM ${object} WHERE \"at\" < $window_end", Operator: contract.MustBe, Operands: []string{"7"}, OnFail: contract.Reject,
			})
		}, day, "sum", 3},
		{"equal keys that are rejected", func(c *contract.Table) {
			for i := range c.Checks {
				if c.Checks[i].Kind == contract.KindKey {
					c.Checks[i].OnFail = contract.Reject
				}
			}
		}, [][]any{day[0], day[0]}, "key", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			c := agreement()
			test.change(c)
			r := request(s, "a", 1, publish.Table{Write: write(project.ModeReplaceWindow), Contract: c, Source: lines(t, test.rows...)})
			r.Params = []dialect.Param{{Name: "window_end", Value: storetest.Day(0).End}}
			outcome, err := publish.Run(t.Context(), r)
			if !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), test.words) {
				t.Fatalf("the load was answered with %v", err)
			}
			if got := len(outcome.Tables[0].Refused); got != test.refused {
				t.Errorf("%d refused rows are told, want %d", got, test.refused)
			}
			if _, err := s.Read(t.Context(), store.Request{Table: flights}); !errors.Is(err, store.ErrAbsent) {
				t.Errorf("the table is there: %v", err)
			}
			if receipts, err := s.Receipts(t.Context(), r.Key); err != nil || len(receipts) > 0 {
				t.Errorf("receipts %v, %v", receipts, err)
			}
		})
	}
}

func TestEqualKeysAndValuesAreSettled(t *testing.T) {
	t.Parallel()
	twice := [][]any{day[0], {"1", "2013-01-01T01:30:00Z", "N9", "6"}, {"7", "2013-01-01T01:30:00Z", "N7", "6"}, {"8", "2013-01-01T01:30:00Z", "N7", "6"}}
	t.Run("the last of a stable source wins", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		outcome, err := publish.Run(t.Context(), request(s, "a", 1, publish.Table{Write: write(project.ModeReplaceWindow), Contract: agreement(), Source: lines(t, twice...)}))
		if err != nil {
			t.Fatal(err)
		}
		if e := outcome.Receipt.Tables[0].Evidence; e.Superseded != 1 || e.Inserted != 3 {
			t.Errorf("evidence %+v", e)
		}
		if got := rows(t, s, "SELECT tail FROM raw.flights WHERE id = 1"); len(got) != 1 || got[0] != "N9" {
			t.Errorf("the row is %v", got)
		}
	})
	t.Run("without positions all go to quarantine, and count against the budget", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		source, c, none := lines(t, twice...), agreement(), int64(0)
		source.Stable = false
		r := request(s, "a", 1, publish.Table{Write: write(project.ModeReplaceWindow), Contract: c, Source: source})
		c.ErrorBudget.Rows = &none
		if _, err := publish.Run(t.Context(), r); !fault.Is(err, fault.Refused) {
			t.Fatalf("the load was answered with %v", err)
		}
		c.ErrorBudget.Rows = nil
		r.Tables[0].Source, r.Fence = lines(t, twice...), 2
		r.Tables[0].Source.Stable = false
		outcome, err := publish.Run(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if e := outcome.Receipt.Tables[0].Evidence; e.Quarantined != 2 || e.Inserted != 2 {
			t.Errorf("evidence %+v", e)
		}
	})
	t.Run("a value that must be unique sets all its rows aside", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		unique := contract.Check{Kind: contract.KindUnique, Rule: "tail.unique", Field: "tail", Fields: []string{"tail"}, Type: datatype.Of(datatype.String), OnFail: contract.Quarantine}
		outcome, err := publish.Run(t.Context(), request(s, "a", 1, publish.Table{Write: write(project.ModeReplaceWindow), Contract: agreement(unique), Source: lines(t, twice...)}))
		if err != nil {
			t.Fatal(err)
		}
		if e := outcome.Receipt.Tables[0].Evidence; e.Quarantined != 2 || e.Superseded != 1 || e.Inserted != 1 {
			t.Errorf("evidence %+v", e)
		}
		if got := rows(t, s, "SELECT DISTINCT rule, value FROM raw.flights__quarantine"); len(got) != 1 || got[0] != "tail.unique|N7" {
			t.Errorf("quarantine %v", got)
		}
	})
}

func TestARetryFindsTheReceiptAndRunsNothing(t *testing.T) {
	t.Parallel()
	s := open(t)
	table := publish.Table{Write: write(project.ModeAppend), Contract: agreement(), Source: lines(t, day...)}
	first, err := publish.Run(t.Context(), request(s, "a", 1, table))
	if err != nil || first.Found {
		t.Fatal(first.Found, err)
	}
	table.Source = &publish.Source{Schema: table.Source.Schema, Feed: func(context.Context, func(context.Context, arrow.RecordBatch) error) error {
		t.Error("the source was read again")
		return nil
	}}
	again, err := publish.Run(t.Context(), request(s, "a", 2, table))
	if err != nil || !again.Found {
		t.Fatal(again.Found, err)
	}
	if diff := cmp.Diff(first.Receipt, again.Receipt); diff != "" {
		t.Errorf("two receipts of one commit:\n%s", diff)
	}
	if _, err := s.CloseKey(t.Context(), storetest.Key("c", 0), 9); err != nil {
		t.Fatal(err)
	}
	if _, err := publish.Run(t.Context(), request(s, "c", 8, table)); !errors.Is(err, store.ErrFenced) {
		t.Fatalf("a stale attempt was answered with %v", err)
	}
}

// unsure loses the answer of a commit, before or after it took place.
type unsure struct {
	store.Target
	before bool
	closed int // answers of CloseKey that are lost first
}

type unsureLoad struct {
	store.SQLLoad
	before bool
}

func (u *unsure) Begin(ctx context.Context, spec store.Spec) (store.Load, error) {
	load, err := u.Target.Begin(ctx, spec)
	if err != nil {
		return nil, err
	}
	return unsureLoad{load.(store.SQLLoad), u.before}, nil
}

func (u *unsure) CloseKey(ctx context.Context, key commit.Key, fence int64) (*commit.Receipt, error) {
	if u.closed > 0 {
		u.closed--
		return nil, errors.New("connection reset")
	}
	return u.Target.CloseKey(ctx, key, fence)
}

func (l unsureLoad) Commit(ctx context.Context, m commit.Manifest) (commit.Receipt, error) {
	lost := fault.New(fault.Unknown, "connection reset during commit")
	if !l.before {
		if _, err := l.SQLLoad.Commit(ctx, m); err != nil {
			return commit.Receipt{}, err
		}
	}
	return commit.Receipt{}, lost
}

func TestAnUnknownOutcomeIsSettledByTheReceipt(t *testing.T) {
	t.Parallel()
	s := open(t)
	table := publish.Table{Write: write(project.ModeAppend), Contract: agreement(), Source: lines(t, day...)}
	outcome, err := publish.Run(t.Context(), request(&unsure{Target: s, closed: 2}, "a", 1, table))
	if err != nil || outcome.Found || len(outcome.Receipt.Tables) != 1 {
		t.Fatalf("a commit that took place: %+v, %v", outcome, err)
	}
	table.Source = lines(t, day...)
	if _, err := publish.Run(t.Context(), request(&unsure{Target: s, before: true}, "b", 2, table)); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("a commit that did not take place: %v", err)
	}
	if got := rows(t, s, "SELECT count(*) FROM raw.flights"); got[0] != "3" {
		t.Errorf("the table has %v rows, want 3", got)
	}
}

func TestAViewIsPublishedWithTheOtherTables(t *testing.T) {
	t.Parallel()
	s := open(t)
	view := project.Write{Table: project.Table{Store: project.Warehouse, Schema: "raw", Name: "late"}, Mode: project.ModeView}
	if _, err := publish.Run(t.Context(), request(s, "a", 1, publish.Table{Write: write(project.ModeAppend), Contract: agreement(), Source: lines(t, day...)})); err != nil {
		t.Fatal(err)
	}
	if _, err := publish.Run(t.Context(), request(s, "b", 2, publish.Table{Write: view, Select: "SELECT id FROM raw.flights WHERE delay > 10; -- late"})); err != nil {
		t.Fatal(err)
	}
	if got := rows(t, s, "SELECT id FROM raw.late"); len(got) != 1 || got[0] != "3" {
		t.Errorf("the view shows %v", got)
	}
}

// plainTarget hides that the engine knows SQL.
type plainTarget struct{ store.Target }

type plainLoad struct{ store.Load }

func (p plainTarget) Begin(ctx context.Context, spec store.Spec) (store.Load, error) {
	load, err := p.Target.Begin(ctx, spec)
	if err != nil {
		return nil, err
	}
	return plainLoad{load}, nil
}

func TestAStoreWithoutSQLIsHeldToTheSameRules(t *testing.T) {
	t.Parallel()
	s := open(t)
	c := agreement(
		contract.Check{Kind: contract.KindRowCount, Rule: "rows", Operator: contract.MustBe, Operands: []string{"3"}, OnFail: contract.Reject},
		contract.Check{Kind: contract.KindDuplicateValues, Rule: "tails", Fields: []string{"tail"}, Operator: contract.MustBeLessThan, Operands: []string{"1"}, OnFail: contract.Warn},
	)
	same := [][]any{day[0], {"6", "2013-01-01T01:00:00Z", "N1", "5"}, {"7", "2013-01-01T01:00:00Z", nil, "5"}}
	outcome, err := publish.Run(t.Context(), request(plainTarget{s}, "a", 1, publish.Table{Write: write(project.ModeAppend), Contract: c, Source: lines(t, same...)}))
	if err != nil {
		t.Fatal(err)
	}
	want := []commit.CheckResult{
		{Name: "rows", Severity: "error", Passed: true, Observed: "3", Expected: "mustBe 3"},
		{Name: "tails", Severity: "warning", Passed: false, Observed: "1", Expected: "mustBeLessThan 1"},
	}
	if diff := cmp.Diff(want, outcome.Receipt.Completion.Checks); diff != "" {
		t.Errorf("checks (-want +got):\n%s", diff)
	}
	c.Checks = append(c.Checks, contract.Check{Kind: contract.KindSQL, Rule: "q", Query: "SELECT 1", Operator: contract.MustBe, Operands: []string{"1"}, OnFail: contract.Reject})
	if _, err := publish.Run(t.Context(), request(plainTarget{s}, "b", 2, publish.Table{Write: write(project.ModeAppend), Contract: c, Source: lines(t, same...)})); !fault.Is(err, fault.Invalid) {
		t.Errorf("an SQL rule without SQL was answered with %v", err)
	}
}

func TestTheGateAndTheStoresAgreeOnQuarantine(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(gate.QuarantineSchema.Names(), store.QuarantineSchema().Names()); diff != "" {
		t.Errorf("columns of the gate and of the seam:\n%s", diff)
	}
	for i, f := range store.QuarantineSchema().Fields {
		if !f.Type.Equal(gate.QuarantineSchema.Fields[i].Type) {
			t.Errorf("column %s is a %s and a %s", f.Name, f.Type, gate.QuarantineSchema.Fields[i].Type)
		}
	}
}

func TestReplayPlacesRowsInTheirOwnWindow(t *testing.T) {
	t.Parallel()
	s := open(t)
	two := [][]any{day[0], day[1], {"6", "2013-01-01T02:00:00Z", "N6", "no number"}}
	strict, none := agreement(), int64(2)
	strict.ErrorBudget.Rows = &none
	strict.Checks = append(strict.Checks, contract.Check{Kind: contract.KindRowCount, Rule: "rows", Operator: contract.MustBe, Operands: []string{"1"}, OnFail: contract.Reject})
	table := publish.Table{Write: write(project.ModeReplaceWindow), Contract: strict, Source: lines(t, two...)}
	if _, err := publish.Run(t.Context(), request(s, "a", 1, table)); err != nil {
		t.Fatal(err)
	}
	ids := rows(t, s, "SELECT _id FROM raw.flights__quarantine ORDER BY line")
	loose := agreement()
	none = 0
	loose.ErrorBudget = strict.ErrorBudget
	loose.Checks = slices.DeleteFunc(loose.Checks, func(c contract.Check) bool { return c.Kind == contract.KindPattern })
	table.Contract, table.Replays, table.Source = loose, ids, lines(t, two[1], two[2])
	replay := request(s, "replay", 2, table)
	replay.Run.Window, replay.Run.Live = commit.Window{}, false
	outcome, err := publish.Run(t.Context(), replay)
	if err != nil {
		t.Fatal(err)
	}
	if e := outcome.Receipt.Tables[0].Evidence; e.Inserted != 1 || e.Quarantined != 1 || e.Deleted != 0 {
		t.Errorf("evidence %+v", e)
	}
	if got := rows(t, s, "SELECT id FROM raw.flights ORDER BY id"); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("the table holds %v", got)
	}
	// What was refused again is still a row of its day: a run of the day replaces it.
	if got := rows(t, s, "SELECT rule, _window_start = TIMESTAMPTZ '2013-01-01', _window_end = TIMESTAMPTZ '2013-01-02' FROM raw.flights__quarantine"); !slices.Equal(got, []string{"delay.type|true|true"}) {
		t.Errorf("quarantine holds %v", got)
	}
	none = 3
	table.Contract, table.Replays, table.Source = loose, nil, lines(t, two...)
	if _, err := publish.Run(t.Context(), request(s, "b", 3, table)); err != nil {
		t.Fatal(err)
	}
	if got := rows(t, s, "SELECT (SELECT count(*) FROM raw.flights), (SELECT count(*) FROM raw.flights__quarantine)"); got[0] != "2|1" {
		t.Errorf("after a run of the day: %v", got)
	}
}
