package gate_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/value"
	"github.com/tidemill/tidemill/internal/gate"
	"github.com/tidemill/tidemill/internal/kernel"
)

func operator(name string, v any) []contract.OperatorDocument {
	return []contract.OperatorDocument{{Name: name, Values: []any{v}}}
}

func custom(property string, v any) contract.CustomProperty {
	return contract.CustomProperty{Property: "tidemill." + property, Value: v}
}

// flights is a small contract with every verdict in it.
func flights(t *testing.T, more ...contract.CustomProperty) *contract.Table {
	t.Helper()
	doc := contract.Document{ID: "flights", Version: "1.2.0", Tables: []contract.TableDocument{{
		Name: "flights", PhysicalName: "raw.flights",
		CustomProperties: append([]contract.CustomProperty{custom("eventTime", "time_hour"), custom("onFail", "quarantine")}, more...),
		Properties: []contract.PropertyDocument{
			{Name: "time_hour", LogicalType: "timestamp", PrimaryKey: true, PrimaryKeyPosition: 1, Options: contract.OptionsDocument{Timezone: new(true)}},
			{Name: "flight", LogicalType: "integer", PrimaryKey: true, PrimaryKeyPosition: 2},
			{Name: "tailnum", LogicalType: "string", Options: contract.OptionsDocument{Pattern: "^N[0-9A-Z]{1,5}$"}, CustomProperties: []contract.CustomProperty{custom("onFail", "warn")}},
			{Name: "arr_time", LogicalType: "integer", Options: contract.OptionsDocument{Minimum: 0, Maximum: 2359}},
			{
				Name: "origin", LogicalType: "string", CustomProperties: []contract.CustomProperty{custom("onFail", "reject")},
				Quality: []contract.QualityDocument{{Metric: "invalidValues", Arguments: contract.ArgumentsDocument{ValidValues: []any{"EWR", "JFK"}}, Operators: operator("mustBe", 0)}},
			},
			{Name: "fare", PhysicalType: "DECIMAL(6,2)", LogicalType: "number", CustomProperties: []contract.CustomProperty{custom("onFail", "coerce")}},
			{Name: "note", LogicalType: "string", Options: contract.OptionsDocument{MaxLength: new(int64(4))}, CustomProperties: []contract.CustomProperty{custom("onFail", "coerce")}},
		},
		Quality: []contract.QualityDocument{{Name: "thin day", Metric: "rowCount", Operators: operator("mustBeGreaterThan", 500)}},
	}}}
	tables, problems := contract.Compile(doc, kernel.Outside())
	if len(problems) != 0 {
		t.Fatal(problems)
	}
	return &tables[0]
}

// rows builds a text batch; the text ~ is null. Lines begin at 2.
func rows(mem memory.Allocator, columns string, lines ...string) arrow.RecordBatch {
	names := strings.Split(columns, ",")
	b := array.NewRecordBuilder(mem, datatype.Text(names...).Arrow())
	defer b.Release()
	for i, line := range lines {
		for j, text := range strings.Split(line, ",") {
			if text == "~" {
				b.Field(j).AppendNull()
			} else {
				b.Field(j).(*array.StringBuilder).Append(text)
			}
		}
		b.Field(len(names)).(*array.StringBuilder).Append("flights/2013-01-01.csv")
		b.Field(len(names) + 1).(*array.Int64Builder).Append(int64(i + 2))
	}
	return b.NewRecordBatch()
}

// shown writes a batch as lines of values.
func shown(t testing.TB, batch arrow.RecordBatch, schema datatype.Schema) []string {
	t.Helper()
	if batch == nil {
		return nil
	}
	var lines []string
	for i := range int(batch.NumRows()) {
		var values []string
		for j, f := range schema.Fields {
			v := kernel.Value(batch.Column(j), i, f.Type)
			if v == nil {
				values = append(values, "~")
			} else {
				values = append(values, value.Text(v))
			}
		}
		lines = append(lines, strings.Join(values, ","))
	}
	return lines
}

func fromJSON(t *testing.T, mem memory.Allocator, schema datatype.Schema, text string) arrow.RecordBatch {
	t.Helper()
	batch, _, err := array.RecordFromJSON(mem, schema.Arrow(), strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

func checked(t *testing.T) *memory.CheckedAllocator {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	t.Cleanup(func() { mem.AssertSize(t, 0) })
	return mem
}

func open(t *testing.T, c gate.Config) *gate.Gate {
	t.Helper()
	g, err := gate.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

const header = "flight,time_hour,tailnum,arr_time,origin,fare,note"

func TestGoodRowsGoOnAndBadOnesAreSetAsideWithTheirReason(t *testing.T) {
	t.Parallel()
	mem := checked(t)
	g := open(t, gate.Config{Contract: flights(t), Source: datatype.Text(strings.Split(header, ",")...), Memory: mem})
	batch := rows(mem, header,
		"1,2013-01-01T10:00:00Z,N14228,830,EWR,12.50,ok",
		"2,2013-01-01T10:00:00Z,D942DN,2400,JFK,~,ok",
		"x,2013-01-01T10:00:00Z,D942DN,2400,JFK,1,ok",
		"4,~,D942DN,900,JFK,2.675,längere",
		"5,2013-01-01T05:00:00-05:00,D942DN,900,~,viel,äöüß!",
	)
	defer batch.Release()
	r, err := g.Check(batch)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	good := []string{"2013-01-01T10:00:00Z,1,N14228,830,EWR,12.5,ok", "2013-01-01T10:00:00Z,5,D942DN,900,~,~,äöüß"}
	if diff := cmp.Diff(good, shown(t, r.Good, g.Schema())); diff != "" {
		t.Error(diff)
	}
	aside := []string{
		`arr_time.range,arr_time,2400 is more than 2359,2400,flights/2013-01-01.csv,3,{"flight":"2","time_hour":"2013-01-01T10:00:00Z","tailnum":"D942DN","arr_time":"2400","origin":"JFK","fare":null,"note":"ok"},flights@1.2.0`,
		`flight.type,flight,"x" is not a number; fails arr_time.range too,x,flights/2013-01-01.csv,4,{"flight":"x","time_hour":"2013-01-01T10:00:00Z","tailnum":"D942DN","arr_time":"2400","origin":"JFK","fare":"1","note":"ok"},flights@1.2.0`,
		`time_hour.required,time_hour,is missing,~,flights/2013-01-01.csv,5,{"flight":"4","time_hour":null,"tailnum":"D942DN","arr_time":"900","origin":"JFK","fare":"2.675","note":"längere"},flights@1.2.0`,
	}
	if diff := cmp.Diff(aside, shown(t, r.Quarantine, gate.QuarantineSchema)); diff != "" {
		t.Error(diff)
	}
	got, err := g.Close()
	if err != nil {
		t.Fatal(err)
	}
	const file = "flights/2013-01-01.csv"
	want := gate.Summary{Read: 5, Passed: 2, Quarantined: 3, Coerced: 2, Warned: 1, Rules: []gate.RuleCount{
		{Rule: "arr_time.range", Field: "arr_time", Verdict: contract.Quarantine, Count: 2, Example: &gate.Example{File: file, Line: 3, Value: "2400", Reason: "2400 is more than 2359"}},
		{Rule: "fare.type", Field: "fare", Verdict: contract.Coerce, Count: 1, Example: &gate.Example{File: file, Line: 6, Value: "viel", Reason: `"viel" is not a number`}},
		{Rule: "flight.type", Field: "flight", Verdict: contract.Quarantine, Count: 1, Example: &gate.Example{File: file, Line: 4, Value: "x", Reason: `"x" is not a number`}},
		{Rule: "note.length", Field: "note", Verdict: contract.Coerce, Count: 1, Example: &gate.Example{File: file, Line: 6, Value: "äöüß!", Reason: `"äöüß!" has 5 characters, more than 4`}},
		{Rule: "tailnum.pattern", Field: "tailnum", Verdict: contract.Warn, Count: 1, Example: &gate.Example{File: file, Line: 6, Value: "D942DN", Reason: `"D942DN" does not match ^N[0-9A-Z]{1,5}$`}},
		{Rule: "time_hour.required", Field: "time_hour", Verdict: contract.Quarantine, Count: 1, Example: &gate.Example{File: file, Line: 5, Null: true, Reason: "is missing"}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := g.Check(batch); !fault.Is(err, fault.Internal) {
		t.Errorf("a closed gate checks: %v", err)
	}
}

func TestARejectedRowEndsTheLoadAndIsNamed(t *testing.T) {
	t.Parallel()
	mem := checked(t)
	g := open(t, gate.Config{Contract: flights(t), Source: datatype.Text(strings.Split(header, ",")...), Memory: mem})
	batch := rows(mem, header, "1,2013-01-01T10:00:00Z,N1,830,EWR,1,ok", "x,2013-01-01T10:00:00Z,N1,830,LGA,1,ok")
	defer batch.Release()
	r, err := g.Check(batch)
	want := `the contract flights@1.2.0 refused a row at flights/2013-01-01.csv:3 by the rule "origin.enum": origin "LGA" is none of EWR, JFK`
	if !fault.Is(err, fault.Refused) || err.Error() != want || r.Good != nil || r.Quarantine != nil {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestRowsOutsideTheWindowGetTheVerdictThatIsNearest(t *testing.T) {
	t.Parallel()
	day := time.Date(2013, 1, 1, 5, 0, 0, 0, time.UTC)
	lines := []string{"1,2013-01-01T04:59:59.999999Z,N1,1,EWR,1,x", "2,2013-01-01T05:00:00Z,N1,1,EWR,1,x", "3,2013-01-02T04:59:00Z,N1,1,EWR,1,x", "4,2013-01-02T05:00:00Z,N1,1,EWR,1,x"}
	for name, c := range map[string]struct {
		own    contract.Verdict
		table  *contract.Table
		passed int64
		aside  int64
		gone   int64
		fails  bool
	}{
		"the contract's default":   {"", flights(t), 2, 2, 0, false},
		"its own before that":      {contract.Drop, flights(t), 2, 0, 2, false},
		"a warning lets them pass": {contract.Warn, flights(t), 4, 0, 0, false},
		"else they are rejected":   {"", nil, 0, 0, 0, true},
	} {
		mem := checked(t)
		source := datatype.Text(strings.Split(header, ",")...)
		target := source.Visible()
		target.Fields = append([]datatype.Field(nil), target.Fields...)
		target.Fields[1].Type = datatype.Of(datatype.TimestampTZ)
		g := open(t, gate.Config{
			Contract: c.table, Source: source, Target: target, Memory: mem,
			Window: &gate.Window{Column: "time_hour", Start: day, End: day.AddDate(0, 0, 1), OnFail: c.own},
		})
		batch := rows(mem, header, lines...)
		r, err := g.Check(batch)
		batch.Release()
		if c.fails {
			want := `the table refused a row at flights/2013-01-01.csv:2 by the rule "outside_window": time_hour 2013-01-01T04:59:59.999999Z is not in the window 2013-01-01T05:00:00Z to 2013-01-02T05:00:00Z`
			if !fault.Is(err, fault.Refused) || err.Error() != want {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if s := g.Summary(); s.Passed != c.passed || s.Quarantined != c.aside || s.Dropped != c.gone || r.Good.NumRows() != c.passed {
			t.Errorf("%s: %+v", name, s)
		}
		r.Release()
	}
}

func TestADateIsInTheWindowByTheMidnightOfItsZone(t *testing.T) {
	t.Parallel()
	mem := checked(t)
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2013, 1, 1, 0, 0, 0, 0, zone)
	g := open(t, gate.Config{
		Source: datatype.Text("day"), Target: datatype.Schema{Fields: []datatype.Field{{Name: "day", Type: datatype.Of(datatype.Date)}}}, Memory: mem,
		Window: &gate.Window{Column: "day", Start: start, End: start.AddDate(0, 0, 1), Zone: zone, OnFail: contract.Drop},
	})
	batch := rows(mem, "day", "2012-12-31", "2013-01-01", "2013-01-02", "~")
	defer batch.Release()
	r, err := g.Check(batch)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	if diff := cmp.Diff([]string{"2013-01-01"}, shown(t, r.Good, g.Schema())); diff != "" {
		t.Error(diff)
	}
}

func TestTheErrorBudgetIsJudgedWhenAllRowsWereSeen(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		budget map[string]any
		want   string
	}{
		"within percent": {map[string]any{"percent": 50.0}, ""},
		"within rows":    {map[string]any{"rows": 1}, ""},
		"over percent":   {map[string]any{"percent": 49.9}, "1 of 2 rows (50.00 %) went to quarantine, and the error budget is 49.9 %"},
		"over rows":      {map[string]any{"rows": 0, "percent": 100}, "1 of 2 rows went to quarantine, and the error budget is 0 rows"},
	} {
		mem := checked(t)
		g := open(t, gate.Config{Contract: flights(t, custom("errorBudget", c.budget)), Source: datatype.Text(strings.Split(header, ",")...), Memory: mem})
		batch := rows(mem, header, "1,2013-01-01T10:00:00Z,N1,830,EWR,1,ok", "2,2013-01-01T10:00:00Z,N1,2400,EWR,1,ok")
		r, err := g.Check(batch)
		batch.Release()
		if err != nil {
			t.Fatal(err)
		}
		r.Release()
		s, err := g.Close()
		if s.Read != 2 || s.Quarantined != 1 {
			t.Errorf("%s: %+v", name, s)
		}
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		whole := "the contract flights@1.2.0 refuses the load: " + c.want + `; most by "arr_time.range" (1), such as 2400 is more than 2359 at flights/2013-01-01.csv:3`
		if !fault.Is(err, fault.Refused) || err.Error() != whole {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestColumnsBeyondTheContractAreRefusedIgnoredOrAdded(t *testing.T) {
	t.Parallel()
	source := datatype.Text("time_hour", "flight", "tailnum", "arr_time", "origin", "fare", "note", "tail_num")
	_, err := gate.New(gate.Config{Contract: flights(t), Source: source})
	want := `the source has columns that the contract flights@1.2.0 has not: "tail_num" (did you mean "tailnum"?); add them, or say tidemill.extraColumns: ignore`
	if !fault.Is(err, fault.Refused) || err.Error() != want {
		t.Errorf("%v", err)
	}
	for verdict, columns := range map[string]int{"ignore": 7, "add": 8} {
		mem := checked(t)
		g := open(t, gate.Config{Contract: flights(t, custom("extraColumns", verdict)), Source: source, Memory: mem})
		batch := rows(mem, strings.Join(source.Visible().Names(), ","), "2013-01-01T10:00:00Z,1,N1,1,EWR,1,x,N9")
		r, err := g.Check(batch)
		batch.Release()
		if err != nil {
			t.Fatal(err)
		}
		if len(g.Schema().Fields) != columns || int(r.Good.NumCols()) != columns {
			t.Errorf("%s: %v", verdict, g.Schema())
		}
		r.Release()
	}
}

func TestASourceWithoutARequiredColumnIsRefusedBeforeItIsRead(t *testing.T) {
	t.Parallel()
	_, err := gate.New(gate.Config{Contract: flights(t), Source: datatype.Text("flight", "origin")})
	if !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), `"time_hour": the source has no such column, and it is required`) || strings.Contains(err.Error(), "tailnum") {
		t.Errorf("%v", err)
	}
	mem := checked(t)
	g := open(t, gate.Config{Contract: flights(t), Source: datatype.Text("flight", "time_hour"), Memory: mem})
	batch := rows(mem, "flight,time_hour", "1,2013-01-01T10:00:00Z")
	defer batch.Release()
	r, err := g.Check(batch)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	if diff := cmp.Diff([]string{"2013-01-01T10:00:00Z,1,~,~,~,~,~"}, shown(t, r.Good, g.Schema())); diff != "" {
		t.Error(diff)
	}
}

func TestWithoutAContractColumnsPassAsTheyAre(t *testing.T) {
	t.Parallel()
	mem := checked(t)
	source := datatype.Schema{Fields: []datatype.Field{{Name: "a", Type: datatype.Of(datatype.Int64)}, {Name: "b", Type: datatype.ListOf(datatype.Of(datatype.String))}}}
	g := open(t, gate.Config{Source: source, Memory: mem, Ordinal: true})
	batch := fromJSON(t, mem, source, `[{"a": 1, "b": ["x", null]}, {"a": null, "b": null}]`)
	defer batch.Release()
	for start := range 2 {
		r, err := g.Check(batch)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{`1,["x",null]`, "~,~"}, shown(t, r.Good, g.Schema())); diff != "" {
			t.Error(diff)
		}
		last := r.Good.Column(2).(*array.Int64)
		if r.Good.ColumnName(2) != datatype.RowColumn || last.Value(0) != int64(2*start) || last.Value(1) != int64(2*start+1) {
			t.Errorf("positions %v", last)
		}
		r.Release()
	}
	if s, err := g.Close(); err != nil || s.Read != 4 || s.Passed != 4 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestCountsAreJudgedByTheGateAndTheRestIsLeftToTheStage(t *testing.T) {
	t.Parallel()
	doc := contract.Document{ID: "x", Version: "1", Tables: []contract.TableDocument{{
		Name: "x", PhysicalName: "raw.x", Properties: []contract.PropertyDocument{{
			Name: "x", LogicalType: "string", Unique: true,
			Quality: []contract.QualityDocument{
				{Name: "few nulls", Metric: "nullValues", Operators: operator("mustBeLessThan", 50), Unit: "percent"},
				{Name: "few odd", Metric: "invalidValues", Arguments: contract.ArgumentsDocument{Pattern: "^(?!b)"}, Operators: operator("mustBeLessOrEqualTo", 1), Severity: "warning"},
			},
		}},
		Quality: []contract.QualityDocument{{Name: "sum", Type: "sql", Query: "SELECT 1", Operators: operator("mustBe", 1)}},
	}}}
	tables, problems := contract.Compile(doc, kernel.Outside())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	mem := checked(t)
	g := open(t, gate.Config{Contract: &tables[0], Source: datatype.Text("x"), Memory: mem})
	var stage []string
	for _, c := range g.StageChecks() {
		stage = append(stage, c.Rule)
	}
	if diff := cmp.Diff([]string{"x.unique", "sum"}, stage); diff != "" {
		t.Error(diff)
	}
	batch := rows(mem, "x", "~", "~", "ba", "bb")
	defer batch.Release()
	r, err := g.Check(batch)
	if err != nil {
		t.Fatal(err)
	}
	r.Release()
	s, err := g.Close()
	want := `the contract x@1 refuses the load: the rule "few nulls": the number of nulls of x is 50 %, must be less than 50`
	if !fault.Is(err, fault.Refused) || err.Error() != want {
		t.Errorf("%v", err)
	}
	if len(s.Rules) != 2 || s.Rules[1].Rule != "few odd" || s.Rules[1].Count != 2 || s.Rules[1].Verdict != contract.Warn {
		t.Errorf("%+v", s)
	}
}

func TestQuarantinedRowsCanBeReadAgain(t *testing.T) {
	t.Parallel()
	mem := checked(t)
	source := datatype.Schema{Fields: []datatype.Field{
		{Name: "d", Type: datatype.DecimalOf(9, 3)},
		{Name: "t", Type: datatype.Of(datatype.TimestampTZ)},
		{Name: "f", Type: datatype.Of(datatype.Float64)},
		{Name: "l", Type: datatype.ListOf(datatype.Of(datatype.Int32))},
		{Name: "b", Type: datatype.Of(datatype.Bytes)},
		{Name: "n", Type: datatype.Of(datatype.Int64)},
	}}
	table := &contract.Table{ContractID: "x", Version: "1"}
	for _, f := range source.Fields {
		table.Fields = append(table.Fields, contract.Field{Field: f})
		table.Checks = append(table.Checks, contract.Check{Kind: contract.KindType, Rule: f.Name + ".type", Field: f.Name, Type: f.Type, OnFail: contract.Reject})
	}
	low := table.Checks[5]
	low.Kind, low.Rule, low.OnFail, low.Max = contract.KindRange, "n.range", contract.Quarantine, &contract.Bound{Value: "5"}
	strict := *table
	strict.Checks = append(append([]contract.Check(nil), table.Checks...), low)
	batch := fromJSON(t, mem, source, `[{"d": "1.250", "t": "2013-01-01T10:00:00.000001Z", "f": 0.1, "l": [1, null], "b": "AP8=", "n": 9}]`)
	defer batch.Release()
	want := shown(t, batch, source)
	r, err := open(t, gate.Config{Contract: &strict, Source: source, Memory: mem}).Check(batch)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	var original map[string]*string
	if err := json.Unmarshal([]byte(r.Quarantine.Column(6).(*array.String).Value(0)), &original); err != nil {
		t.Fatal(err)
	}
	again := array.NewRecordBuilder(mem, datatype.Text(source.Names()...).Arrow())
	defer again.Release()
	for i, name := range source.Names() {
		again.Field(i).(*array.StringBuilder).Append(*original[name])
	}
	again.Field(len(source.Fields)).AppendNull()
	again.Field(len(source.Fields) + 1).AppendNull()
	text := again.NewRecordBatch()
	defer text.Release()
	replayed, err := open(t, gate.Config{Contract: table, Source: datatype.Text(source.Names()...), Memory: mem}).Check(text)
	if err != nil {
		t.Fatal(err)
	}
	defer replayed.Release()
	if diff := cmp.Diff(want, shown(t, replayed.Good, source)); diff != "" {
		t.Error(diff)
	}
}

func TestEveryRowReadIsInExactlyOnePlace(t *testing.T) {
	t.Parallel()
	table := flights(t)
	for i := range table.Checks {
		if table.Checks[i].OnFail == contract.Reject {
			table.Checks[i].OnFail = contract.Quarantine
		}
	}
	source := datatype.Text(strings.Split(header, ",")...)
	cell := rapid.SampledFrom([]string{"1", "~", "x", "N1", "EWR", "2400", "2013-01-01T10:00:00Z", "2014-01-01T10:00:00Z", "langer Text", "2.675"})
	rapid.Check(t, func(t *rapid.T) {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		defer mem.AssertSize(t, 0)
		verdict := rapid.SampledFrom([]contract.Verdict{contract.Drop, contract.Quarantine, contract.Warn}).Draw(t, "window")
		start := time.Date(2013, 1, 1, 0, 0, 0, 0, time.UTC)
		g, err := gate.New(gate.Config{Contract: table, Source: source, Memory: mem, Ordinal: true, Window: &gate.Window{Column: "time_hour", Start: start, End: start.AddDate(0, 1, 0), OnFail: verdict}})
		if err != nil {
			t.Fatal(err)
		}
		var good, aside int64
		for range rapid.IntRange(1, 3).Draw(t, "batches") {
			var lines []string
			for range rapid.IntRange(0, 100).Draw(t, "rows") {
				var cells []string
				for range 7 {
					cells = append(cells, cell.Draw(t, "cell"))
				}
				if rapid.Bool().Draw(t, "sound") {
					cells = []string{"1", "2013-01-01T10:00:00Z", "N1", "5", "EWR", "1", "x"}
				}
				lines = append(lines, strings.Join(cells, ","))
			}
			batch := rows(mem, header, lines...)
			r, err := g.Check(batch)
			batch.Release()
			if err != nil {
				t.Fatal(err)
			}
			good += r.Good.NumRows()
			if r.Quarantine != nil {
				aside += r.Quarantine.NumRows()
			}
			r.Release()
		}
		s, err := g.Close()
		if err != nil || s.Read != s.Passed+s.Quarantined+s.Dropped || s.Passed != good || s.Quarantined != aside {
			t.Fatalf("%+v, %v; %d good, %d aside", s, err, good, aside)
		}
	})
}
