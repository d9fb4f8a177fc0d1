package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
)

var ofMode = []struct {
	name string
	mode project.Mode
	run  func(*testing.T, Opened)
}{
	{"replace refuses a window older than the one that is there", project.ModeReplace, func(t *testing.T, s Opened) {
		a := Attempt{Run: "new", Fence: 1, Spec: Spec(project.ModeReplace, Day(3)), Rows: firstRows}
		a.must(t, s)
		old := Attempt{Run: "old", Fence: 2, Spec: Spec(project.ModeReplace, Day(1)), Older: true, Rows: [][]any{Row(7, 30, "old", 0)}}
		if _, err := old.Publish(t.Context(), t, s); !fault.Is(err, fault.Conflict) {
			t.Fatalf("the older window was answered with %v", err)
		}
		expect(t, s, firstRows...)
	}},
	{"append adds windows and repeats one", project.ModeAppend, func(t *testing.T, s Opened) {
		days := [][][]any{{Row(1, 1, "UA", 1)}, {Row(2, 25, "UA", 2)}, {Row(3, 49, "UA", 3)}}
		for n, rows := range days {
			Attempt{Run: string(rune('a' + n)), Fence: int64(n + 1), Spec: Spec(project.ModeAppend, Day(n)), Rows: rows}.must(t, s)
		}
		again := Attempt{Run: "again", Fence: 9, Spec: Spec(project.ModeAppend, Day(1)), Rows: [][]any{Row(2, 25, "AA", 2), Row(4, 26, "AA", 4)}}
		if line := again.must(t, s); line.Evidence.Deleted != 1 || line.Evidence.Inserted != 2 || line.Seq != 4 {
			t.Errorf("number %d with evidence %+v", line.Seq, line.Evidence)
		}
		expect(t, s, Row(1, 1, "UA", 1), Row(3, 49, "UA", 3), Row(2, 25, "AA", 2), Row(4, 26, "AA", 4))
	}},
	{"append repeats the days of a wide run", project.ModeAppend, func(t *testing.T, s Opened) {
		for n := range 2 {
			Attempt{Run: string(rune('a' + n)), Fence: int64(n + 1), Spec: Spec(project.ModeAppend, Day(n)), Rows: [][]any{Row(n, 24*n, "UA", 1)}}.must(t, s)
		}
		wide := commit.Window{Start: Day(0).Start, End: Day(1).End}
		Attempt{Run: "wide", Fence: 9, Spec: Spec(project.ModeAppend, wide), Rows: [][]any{Row(0, 0, "UA", 1), Row(1, 24, "UA", 1)}}.must(t, s)
		expect(t, s, Row(0, 0, "UA", 1), Row(1, 24, "UA", 1))
	}},
	{"append may be told to keep what it appended", project.ModeAppend, func(t *testing.T, s Opened) {
		a := Attempt{Run: "a", Fence: 1, Spec: Spec(project.ModeAppend, Day(0)), Rows: [][]any{Row(1, 1, "UA", 1)}}
		a.Spec.AppendKeep = true
		a.must(t, s)
		a.Run, a.Fence = "b", 2
		a.must(t, s)
		expect(t, s, Row(1, 1, "UA", 1), Row(1, 1, "UA", 1))
	}},
	{"replace_window leaves other windows alone", project.ModeReplaceWindow, func(t *testing.T, s Opened) {
		for n, id := range []int{1, 2, 3} {
			Attempt{Run: string(rune('a' + n)), Fence: int64(n + 1), Spec: Spec(project.ModeReplaceWindow, Day(n)), Rows: [][]any{Row(id, 24*n, "UA", 1)}, Refused: 1}.must(t, s)
		}
		again := Attempt{Run: "again", Fence: 9, Spec: Spec(project.ModeReplaceWindow, Day(1)), Rows: [][]any{Row(8, 24, "AA", 2)}}
		if line := again.must(t, s); line.Evidence.Deleted != 1 {
			t.Errorf("evidence %+v", line.Evidence)
		}
		expect(t, s, Row(1, 0, "UA", 1), Row(3, 48, "UA", 1), Row(8, 24, "AA", 2))
		expectRefused(t, s, 2)
	}},
	{"replace_window takes exactly its window and lookback", project.ModeReplaceWindow, func(t *testing.T, s Opened) {
		Attempt{Run: "a", Fence: 1, Spec: Spec(project.ModeReplaceWindow, Day(0)), Rows: [][]any{Row(1, 10, "UA", 1), Row(2, 23, "UA", 1)}}.must(t, s)
		late := Attempt{Run: "b", Fence: 2, Spec: Spec(project.ModeReplaceWindow, Day(1)), Rows: [][]any{Row(3, 22, "UA", 2), Row(4, 24, "UA", 1)}}
		late.Spec.Lookback = 2 * time.Hour
		late.must(t, s)
		expect(t, s, Row(1, 10, "UA", 1), Row(3, 22, "UA", 2), Row(4, 24, "UA", 1))
		for _, hour := range []int{21, 48} {
			out := Attempt{Run: "c", Fence: int64(hour), Spec: late.Spec, Rows: [][]any{Row(9, hour, "UA", 1)}}
			if _, err := out.Publish(t.Context(), t, s); !fault.Is(err, fault.Refused) {
				t.Errorf("a row at hour %d was answered with %v", hour, err)
			}
		}
		expect(t, s, Row(1, 10, "UA", 1), Row(3, 22, "UA", 2), Row(4, 24, "UA", 1))
	}},
	{"merge inserts, updates, and leaves equal rows", project.ModeMerge, func(t *testing.T, s Opened) {
		Attempt{Run: "a", Fence: 1, Spec: Spec(project.ModeMerge, Day(0)), Rows: firstRows}.must(t, s)
		b := Attempt{Run: "b", Fence: 2, Spec: Spec(project.ModeMerge, Day(1)), Rows: [][]any{
			Row(2, 2, "é 飛", 7), {"3", "2013-01-01T03:00:00Z", nil, nil}, Row(4, 4, "AA", 4), Row(4, 4, "AA", 5),
		}}
		got := b.must(t, s).Evidence
		want := commit.Evidence{Read: 4, Staged: 4, Inserted: 1, Updated: 1, Unchanged: 1, Superseded: 1}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("evidence (-want +got):\n%s", diff)
		}
		expect(t, s, Row(1, 1, "UA", 5), Row(2, 2, "é 飛", 7), []any{"3", "2013-01-01T03:00:00Z", nil, nil}, Row(4, 4, "AA", 5))
	}},
	{"merge never lets an older version overwrite a newer one", project.ModeMerge, func(t *testing.T, s Opened) {
		spec := Spec(project.ModeMerge, Day(1))
		spec.Version = "at"
		Attempt{Run: "a", Fence: 1, Spec: spec, Rows: [][]any{Row(1, 30, "new", 1), Row(2, 30, "new", 1)}}.must(t, s)
		old := spec
		old.Window = Day(0)
		b := Attempt{Run: "b", Fence: 2, Spec: old, Older: true, Rows: [][]any{Row(1, 3, "old", 1), Row(2, 31, "newer", 1), Row(2, 4, "old", 1), Row(3, 3, "old", 1)}}
		got := b.must(t, s).Evidence
		want := commit.Evidence{Read: 4, Staged: 4, Inserted: 1, Updated: 1, Superseded: 2}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("evidence (-want +got):\n%s", diff)
		}
		expect(t, s, Row(1, 30, "new", 1), Row(2, 31, "newer", 1), Row(3, 3, "old", 1))
	}},
	{"of equal keys without stable positions all go to quarantine", project.ModeMerge, func(t *testing.T, s Opened) {
		spec := Spec(project.ModeMerge, Day(0))
		spec.Stable = false
		a := Attempt{Run: "a", Fence: 1, Spec: spec, Rows: [][]any{Row(1, 1, "x", 1), Row(1, 1, "y", 1), Row(2, 2, "z", 1)}}
		got := a.must(t, s).Evidence
		if got.Staged != 1 || got.Quarantined != 2 || got.Inserted != 1 || len(got.Rules) != 1 || got.Rules[0].Rule != "flights.key" || got.Rules[0].Rows != 2 {
			t.Errorf("evidence %+v", got)
		}
		expect(t, s, Row(2, 2, "z", 1))
		expectRefused(t, s, 2)
	}},
	{"who admits the evidence may refuse what equal keys quarantine", project.ModeMerge, func(t *testing.T, s Opened) {
		spec := Spec(project.ModeMerge, Day(0))
		spec.Stable = false
		spec.Admit = func(e commit.Evidence) error {
			return fault.New(fault.Refused, "%d rows are too many", e.Quarantined)
		}
		a := Attempt{Run: "a", Fence: 1, Spec: spec, Rows: [][]any{Row(1, 1, "x", 1), Row(1, 1, "y", 1)}}
		if _, err := a.Publish(t.Context(), t, s); !fault.Is(err, fault.Refused) {
			t.Fatalf("publish returned %v", err)
		}
		if rows := Read(t, s, Table); len(rows) > 0 {
			t.Errorf("the table has rows: %v", rows)
		}
	}},
	{"closing a key waits out a publish in flight", project.ModeMerge, func(t *testing.T, s Opened) {
		type answer struct {
			receipt *commit.Receipt
			err     error
		}
		closing := make(chan answer, 1)
		spec := Spec(project.ModeMerge, Day(0))
		spec.Stable = false
		spec.Admit = func(commit.Evidence) error { // the commit is in the middle of its work
			go func() {
				receipt, err := s.CloseKey(t.Context(), Key("a", 0), 9)
				closing <- answer{receipt, err}
			}()
			return nil
		}
		a := Attempt{Run: "a", Fence: 1, Spec: spec, Rows: [][]any{Row(1, 1, "x", 1), Row(1, 1, "y", 1), Row(2, 2, "z", 1)}}
		_, err := a.Publish(t.Context(), t, s)
		closed := <-closing
		switch {
		case closed.err != nil:
			t.Fatal(closed.err)
		case err == nil && closed.receipt == nil:
			t.Error("the commit took place, and whoever closed its key was told that it did not")
		case errors.Is(err, store.ErrFenced) && closed.receipt == nil: // the commit came too late: as good
		case err != nil:
			t.Error(err)
		}
	}},
	{"a feature table keeps what it was", project.ModeFeature, featureHistory},
	{"a quarantined row is placed again, once", project.ModeReplaceWindow, replay},
}

func featureHistory(t *testing.T, s Opened) {
	Attempt{Run: "a", Fence: 1, Live: true, Spec: Spec(project.ModeFeature, Day(0)), Rows: firstRows}.must(t, s)
	b := Attempt{Run: "b", Fence: 2, Live: true, Spec: Spec(project.ModeFeature, Day(0)), Rows: [][]any{firstRows[0], Row(2, 2, "é 飛", 0), Row(4, 4, "AA", 4)}}
	got := b.must(t, s).Evidence
	want := commit.Evidence{Read: 3, Staged: 3, Inserted: 1, Updated: 1, Unchanged: 1, Deleted: 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("evidence (-want +got):\n%s", diff)
	}
	expect(t, s, b.Rows...)
	history := Read(t, s, Table.History(), "id", "_seq", "_known_at", "_deleted")
	if diff := cmp.Diff([]string{"1|1|NULL|false", "2|1|NULL|false", "2|2|NULL|false", "3|1|NULL|false", "3|2|NULL|true", "4|2|NULL|false"}, history); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	// A row that comes back is there again, and a wide run changes nothing.
	c := Attempt{Run: "c", Fence: 3, Live: true, Spec: Spec(project.ModeFeature, Day(0)), Rows: [][]any{firstRows[0], Row(2, 2, "é 飛", 0), firstRows[2], Row(4, 4, "AA", 4)}}
	if got := c.must(t, s).Evidence; got.Inserted != 1 || got.Unchanged != 3 {
		t.Errorf("evidence %+v", got)
	}
	expect(t, s, c.Rows...)
}

func replay(t *testing.T, s Opened) {
	a := Attempt{Run: "a", Fence: 1, Spec: Spec(project.ModeReplaceWindow, Day(0)), Rows: [][]any{Row(1, 1, "UA", 1)}, Refused: 2}
	a.must(t, s)
	ids := Read(t, s, Table.Quarantine(), "_id")
	if len(ids) != 2 || ids[0] == ids[1] {
		t.Fatalf("the ids are %v", ids)
	}
	b := Attempt{Run: "replay", Fence: 2, Spec: a.Spec, Rows: [][]any{Row(2, 2, "UA", 2)}}
	b.Spec.Keys, b.Spec.Replays = []string{"id"}, ids[:1]
	b.must(t, s)
	expect(t, s, Row(1, 1, "UA", 1), Row(2, 2, "UA", 2))
	if left := Read(t, s, Table.Quarantine(), "_id"); len(left) != 1 || left[0] != ids[1] {
		t.Errorf("in quarantine are %v, want %s", left, ids[1])
	}
	again := b
	again.Run, again.Fence = "again", 3
	if _, err := again.Publish(t.Context(), t, s); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second replay was answered with %v", err)
	}
	expect(t, s, Row(1, 1, "UA", 1), Row(2, 2, "UA", 2))
}

// evolve loads a second day with another schema.
func evolve(t *testing.T, s Opened, m project.Mode) {
	narrow := datatype.Schema{Fields: []datatype.Field{
		{Name: "id", Type: datatype.Of(datatype.Int32)}, {Name: "at", Type: datatype.Of(datatype.TimestampTZ)},
	}}
	Attempt{Run: "a", Fence: 1, Live: true, Spec: with(Spec(m, Day(0)), narrow), Rows: [][]any{{"1", "2013-01-01T01:00:00Z"}}}.must(t, s)
	wide := Attempt{Run: "b", Fence: 2, Live: true, Spec: Spec(m, Day(1)), Rows: [][]any{{"5000000000", "2013-01-02T01:00:00Z", "UA", "1.5"}}}
	wide.must(t, s)
	rows := [][]any{{"1", "2013-01-01T01:00:00Z", nil, nil}, wide.Rows[0]}
	if m == project.ModeReplace {
		rows = rows[1:]
	}
	expect(t, s, rows...)
	if m == project.ModeReplace {
		return // the whole table is new: any schema will do
	}
	text := Spec(m, Day(2))
	text.Schema = datatype.Schema{Fields: []datatype.Field{{Name: "id", Type: datatype.Of(datatype.Bool)}, Schema.Fields[1]}}
	bad := Attempt{Run: "c", Fence: 3, Live: true, Spec: text, Rows: [][]any{{"true", "2013-01-03T01:00:00Z"}}}
	if _, err := bad.Publish(t.Context(), t, s); !fault.Is(err, fault.Refused) {
		t.Errorf("a number that becomes a truth value was answered with %v", err)
	}
	expect(t, s, rows...)
}

func with(s store.TableSpec, schema datatype.Schema) store.TableSpec {
	s.Schema = schema
	return s
}
