package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
)

// Run tests a store. Each test opens a place of its own.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for _, mode := range h.Modes {
		if mode == project.ModeView {
			continue // a view holds no rows: the stores that make one test it
		}
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			for _, test := range anyMode {
				if h.OneTable && test.tables > 1 {
					test.name, test.run = "a load of two tables is refused", refusesTwo
				}
				t.Run(test.name, func(t *testing.T) {
					t.Parallel()
					test.run(t, h.open(t), mode)
				})
			}
		})
	}
	for _, test := range ofMode {
		if h.has(test.mode) {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				test.run(t, h.open(t))
			})
		}
	}
	t.Run("values of every type arrive as they were", func(t *testing.T) {
		t.Parallel()
		h.types(t)
	})
}

type modeTest struct {
	name   string
	run    func(*testing.T, Opened, project.Mode)
	tables int // of one load, where it is not one
}

var anyMode = []modeTest{
	{name: "the first load makes the table", run: func(t *testing.T, s Opened, m project.Mode) {
		line := first(m).must(t, s)
		expect(t, s, firstRows...)
		expectRefused(t, s, 2)
		if line.Seq != 1 || line.Evidence.Inserted != 3 {
			t.Errorf("number %d with %d rows inserted, want 1 with 3", line.Seq, line.Evidence.Inserted)
		}
	}},
	{name: "a load without rows makes the table", run: func(t *testing.T, s Opened, m project.Mode) {
		a := first(m)
		a.Rows, a.Refused = nil, 0
		a.must(t, s)
		expect(t, s)
	}},
	{name: "another run of the window leaves the same table", run: func(t *testing.T, s Opened, m project.Mode) {
		first(m).must(t, s)
		a := first(m)
		a.Run, a.Fence = "r2", 2
		if line := a.must(t, s); line.Seq != 2 {
			t.Errorf("the second commit has number %d, want 2", line.Seq)
		}
		expect(t, s, firstRows...)
		expectRefused(t, s, 2)
	}},
	{name: "a wanted rerun of the run leaves what it loaded last", run: func(t *testing.T, s Opened, m project.Mode) {
		first(m).must(t, s)
		a := first(m)
		a.Generation, a.Fence, a.Refused = 1, 2, 1
		a.Rows = [][]any{Row(1, 1, "UA", 5), Row(2, 2, "é 飛", -1), Row(3, 3, "", 9)}
		a.must(t, s)
		expect(t, s, a.Rows...)
		expectRefused(t, s, 1)
	}},
	{name: "a retry after the commit finds the receipt", run: func(t *testing.T, s Opened, m project.Mode) {
		first(m).must(t, s)
		a := first(m)
		a.Fence = 2
		_, err := s.Begin(t.Context(), a.spec())
		published, ok := errors.AsType[*store.PublishedError](err)
		if !ok || len(published.Receipts) != 1 || published.Receipts[0].Fence != 1 {
			t.Fatalf("begin returned %v, want the receipt of fence 1", err)
		}
		expect(t, s, firstRows...)
	}},
	{name: "a stale attempt cannot begin", run: func(t *testing.T, s Opened, m project.Mode) {
		if receipt, err := s.CloseKey(t.Context(), Key("r1", 0), 7); receipt != nil || err != nil {
			t.Fatalf("closing a key without a commit: %v, %v", receipt, err)
		}
		if _, err := s.Begin(t.Context(), first(m).spec()); !errors.Is(err, store.ErrFenced) {
			t.Fatalf("begin returned %v, want ErrFenced", err)
		}
	}},
	{name: "a stale attempt cannot commit", run: func(t *testing.T, s Opened, m project.Mode) {
		load, manifest, err := first(m).Stage(t.Context(), t, s)
		if err != nil {
			t.Fatal(err)
		}
		second := first(m)
		second.Fence, second.Rows = 2, [][]any{Row(9, 9, "second", 9)}
		second.must(t, s)
		if _, err := load.Commit(t.Context(), manifest); err == nil {
			t.Fatal("the stale attempt has committed")
		}
		if err := load.Abort(t.Context()); err != nil {
			t.Fatal(err)
		}
		expect(t, s, second.Rows...)
	}},
	{name: "an attempt that was closed cannot commit", run: func(t *testing.T, s Opened, m project.Mode) {
		load, manifest, err := first(m).Stage(t.Context(), t, s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.CloseKey(t.Context(), Key("r1", 0), 2); err != nil {
			t.Fatal(err)
		}
		if _, err := load.Commit(t.Context(), manifest); !errors.Is(err, store.ErrFenced) {
			t.Fatalf("commit returned %v, want ErrFenced", err)
		}
		if err := load.Abort(t.Context()); err != nil {
			t.Fatal(err)
		}
		if rows := Read(t, s, Table); len(rows) > 0 {
			t.Errorf("the table has rows: %v", rows)
		}
	}},
	{name: "closing a committed key returns its receipt", run: func(t *testing.T, s Opened, m project.Mode) {
		first(m).must(t, s)
		receipt, err := s.CloseKey(t.Context(), Key("r1", 0), 9)
		if err != nil || receipt == nil || receipt.Fence != 1 {
			t.Fatalf("closing returned %v, %v", receipt, err)
		}
		receipts, err := s.Receipts(t.Context(), Key("none", 0), Key("r1", 0))
		if err != nil || len(receipts) != 1 {
			t.Fatalf("receipts returned %v, %v", receipts, err)
		}
		if diff := cmp.Diff(*receipt, receipts[0]); diff != "" {
			t.Errorf("two receipts of one commit:\n%s", diff)
		}
	}},
	{name: "an aborted load leaves nothing, and the attempt may begin again", run: func(t *testing.T, s Opened, m project.Mode) {
		load, _, err := first(m).Stage(t.Context(), t, s)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := load.Abort(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if rows := append(Read(t, s, Table), Read(t, s, Table.Quarantine())...); len(rows) > 0 {
			t.Errorf("something is left: %v", rows)
		}
		first(m).must(t, s)
		expect(t, s, firstRows...)
	}},
	{name: "evidence that does not add up is refused", run: func(t *testing.T, s Opened, m project.Mode) {
		load, manifest, err := first(m).Stage(t.Context(), t, s)
		if err != nil {
			t.Fatal(err)
		}
		manifest.Tables[0].Evidence.Read++
		manifest.Tables[0].Evidence.Staged++
		if _, err := load.Commit(t.Context(), manifest); err == nil {
			t.Fatal("a row is missing and the load was committed")
		}
		if err := load.Abort(t.Context()); err != nil {
			t.Fatal(err)
		}
		if rows := Read(t, s, Table); len(rows) > 0 {
			t.Errorf("the table has rows: %v", rows)
		}
	}},
	{name: "two tables and quarantine come in one commit", tables: 2, run: func(t *testing.T, s Opened, m project.Mode) {
		a, b := first(m), first(m)
		b.Spec.Table.Name = "others"
		load, err := s.Begin(t.Context(), store.Spec{
			Key: Key("r1", 0), Fence: 1, Run: store.Run{Pipeline: "land", Window: Day(0), Newest: true},
			Tables: []store.TableSpec{a.Spec, b.Spec},
		})
		if err != nil {
			t.Fatal(err)
		}
		batch, refused := Batch(t, Schema, firstRows...), Batch(t, store.QuarantineSchema(), refusedRows(a)...)
		defer batch.Release()
		defer refused.Release()
		manifest := commit.Manifest{Tables: append(a.Manifest().Tables, b.Manifest().Tables...)}
		for _, table := range []project.Table{a.Spec.Table, b.Spec.Table} {
			if err := errors.Join(load.Stage(t.Context(), table, batch), load.Quarantine(t.Context(), table, refused)); err != nil {
				t.Fatal(err)
			}
			if rows := Read(t, s, table); len(rows) > 0 {
				t.Errorf("staged rows can be seen: %v", rows)
			}
		}
		receipt, err := load.Commit(t.Context(), manifest)
		if err != nil || len(receipt.Tables) != 2 {
			t.Fatalf("commit returned %v, %v", receipt, err)
		}
		for _, table := range []project.Table{a.Spec.Table, b.Spec.Table} {
			if rows, refused := Read(t, s, table), Read(t, s, table.Quarantine()); len(rows) != 3 || len(refused) != 2 {
				t.Errorf("%s has %d rows and %d in quarantine, want 3 and 2", table, len(rows), len(refused))
			}
		}
	}},
	{name: "who reads during commits sees the old table or the new", run: func(t *testing.T, s Opened, m project.Mode) {
		publish := func(i int) error {
			a := first(m)
			a.Run, a.Fence, a.Rows = fmt.Sprint("r", i), int64(i), [][]any{Row(1, 1, fmt.Sprint("v", i), 1), Row(2, 2, fmt.Sprint("v", i), 2)}
			_, err := a.Publish(t.Context(), t, s)
			return err
		}
		if err := publish(1); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		var writer sync.WaitGroup
		writer.Go(func() {
			var err error
			for i := 2; i <= 8 && err == nil; i++ {
				err = publish(i)
			}
			done <- err
		})
		defer writer.Wait()
		for {
			if rows := Read(t, s, Table, "carrier"); len(rows) != 2 || rows[0] != rows[1] {
				t.Errorf("a reader saw %v", rows)
			}
			select {
			case err := <-done:
				if err != nil {
					t.Fatal(err)
				}
				return
			default:
			}
		}
	}},
	{name: "a load says what columns the table has", run: func(t *testing.T, s Opened, m project.Mode) {
		columns := func(run string) datatype.Schema {
			a := first(m)
			a.Run, a.Fence = run, 9
			load, err := s.Begin(t.Context(), a.spec())
			if err != nil {
				t.Fatal(err)
			}
			got, err := load.Columns(t.Context(), Table)
			if err := errors.Join(err, load.Abort(t.Context())); err != nil {
				t.Fatal(err)
			}
			return got
		}
		if got := columns("r0"); len(got.Fields) > 0 {
			t.Errorf("a table that is not there has the columns %s", got)
		}
		first(m).must(t, s)
		got, want := columns("r2"), slices.Clone(Schema.Fields)
		for i := range want { // whether a column is required is the contract's to say
			want[i].Required = i < len(got.Fields) && got.Fields[i].Required
		}
		if diff := cmp.Diff(want, got.Fields); diff != "" {
			t.Errorf("columns (-want +got):\n%s", diff)
		}
	}},
	{name: "a wider type and a new column are taken in, and a narrower one leaves the old", run: func(t *testing.T, s Opened, m project.Mode) {
		evolve(t, s, m)
	}},
}

func refusesTwo(t *testing.T, s Opened, m project.Mode) {
	a, b := first(m), first(m)
	b.Spec.Table.Name = "others"
	spec := a.spec()
	spec.Tables = append(spec.Tables, b.Spec)
	if _, err := s.Begin(t.Context(), spec); !fault.Is(err, fault.Invalid) {
		t.Errorf("a load of two tables was answered with %v", err)
	}
}

var firstRows = [][]any{Row(1, 1, "UA", 5), Row(2, 2, "é 飛", -1), {"3", "2013-01-01T03:00:00Z", nil, nil}}

func first(m project.Mode) Attempt {
	return Attempt{Run: "r1", Fence: 1, Spec: Spec(m, Day(0)), Live: true, Rows: firstRows, Refused: 2}
}
