package contract_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/problem"
)

var outside = contract.Outside{Zone: time.LoadLocation}

func at(line int) contract.Position {
	return contract.Position{Place: problem.Place{File: "contracts/x.odcs.yaml", Line: line, Column: 3}}
}

func custom(property string, v any) []contract.CustomProperty {
	return []contract.CustomProperty{{Property: "tidemill." + property, Value: v, Position: at(90)}}
}

func operator(name string, values ...any) []contract.OperatorDocument {
	return []contract.OperatorDocument{{Name: name, Values: values}}
}

// flights is the contract of the format reference.
func flights() contract.Document {
	zoned := contract.OptionsDocument{Timezone: new(true)}
	return contract.Document{
		Position: at(1), ID: "flights", Version: "1.0.0", Status: "active", Team: "airline-data",
		Tables: []contract.TableDocument{{
			Position: at(8), Name: "flights", PhysicalName: "raw.flights",
			CustomProperties: append(append(custom("eventTime", "time_hour"), custom("onFail", "quarantine")...),
				custom("errorBudget", map[string]any{"percent": 0.5})...),
			Properties: []contract.PropertyDocument{
				{Position: at(15), Name: "time_hour", LogicalType: "timestamp", Required: true, PrimaryKey: true, PrimaryKeyPosition: 1, Options: zoned},
				{Position: at(16), Name: "carrier", LogicalType: "string", Required: true, PrimaryKey: true, PrimaryKeyPosition: 2},
				{Position: at(17), Name: "flight", LogicalType: "integer", Required: true, PrimaryKey: true, PrimaryKeyPosition: 3},
				{Position: at(18), Name: "tailnum", LogicalType: "string", Options: contract.OptionsDocument{Pattern: "^N[0-9A-Z]{1,5}$"}, CustomProperties: custom("onFail", "warn")},
				{Position: at(19), Name: "arr_time", LogicalType: "integer", Options: contract.OptionsDocument{Minimum: uint64(0), Maximum: uint64(2359)}},
				{Position: at(20), Name: "origin", LogicalType: "string", Quality: []contract.QualityDocument{{
					Metric: "invalidValues", Arguments: contract.ArgumentsDocument{ValidValues: []any{"EWR", "JFK", "LGA"}},
					Operators: operator("mustBe", uint64(0)), CustomProperties: custom("onFail", "reject"),
				}}},
			},
			Quality: []contract.QualityDocument{{Name: "thin day", Metric: "rowCount", Operators: operator("mustBeGreaterThan", uint64(500)), Severity: "warning"}},
		}},
		SLA: []contract.SLADocument{{Property: "latency", Value: uint64(30), Unit: "h", Element: "flights.time_hour"}},
	}
}

func compileOne(t *testing.T, doc contract.Document) contract.Table {
	t.Helper()
	tables, problems := contract.Compile(doc, outside)
	if len(tables) != 1 || len(problems) != 0 {
		t.Fatalf("%d tables; problems: %v", len(tables), problems)
	}
	return tables[0]
}

func TestTheContractOfTheReferenceCompiles(t *testing.T) {
	t.Parallel()
	table := compileOne(t, flights())
	var got []string
	for _, c := range table.Checks {
		got = append(got, fmt.Sprintf("%s %s %s", c.Rule, c.Kind, c.OnFail))
	}
	want := []string{
		"time_hour.type type quarantine", "time_hour.required required quarantine",
		"carrier.type type quarantine", "carrier.required required quarantine",
		"flight.type type quarantine", "flight.required required quarantine",
		"tailnum.type type quarantine", "tailnum.pattern pattern warn",
		"arr_time.type type quarantine", "arr_time.range range quarantine",
		"origin.type type quarantine", "origin.enum enum reject",
		"key key quarantine", "thin day row_count warn", "time_hour.freshness freshness warn",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if table.Name != "raw.flights" || table.EventTime != "time_hour" || *table.ErrorBudget.Percent != 0.5 || table.Reference() != "flights@1.0.0" {
		t.Errorf("%+v", table)
	}
	if diff := cmp.Diff([]string{"time_hour", "carrier", "flight"}, table.Key); diff != "" {
		t.Error(diff)
	}
	wantSchema := "time_hour timestamptz!, carrier string!, flight int64!, tailnum string, arr_time int64, origin string"
	if got := table.Schema().String(); got != wantSchema {
		t.Errorf("schema %s, want %s", got, wantSchema)
	}
}

func TestACompiledTableTravelsAsJSON(t *testing.T) {
	t.Parallel()
	want := compileOne(t, flights())
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got contract.Table
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// one returns a contract of one table with the property.
func one(p contract.PropertyDocument) contract.Document {
	if p.Name == "" {
		p.Name = "x"
	}
	p.Position = at(15)
	return contract.Document{
		ID: "x", Version: "1.0.0",
		Tables: []contract.TableDocument{{Position: at(8), Name: "x", PhysicalName: "raw.x", Properties: []contract.PropertyDocument{p}}},
	}
}

func TestTheStrongestSayingDecidesTheType(t *testing.T) {
	t.Parallel()
	options := func(format string) contract.OptionsDocument { return contract.OptionsDocument{Format: format} }
	for _, c := range []struct {
		property contract.PropertyDocument
		want     string
		from     contract.TypeOrigin
	}{
		{contract.PropertyDocument{LogicalType: "number", PhysicalType: "DECIMAL(9,3)", CustomProperties: append(custom("precision", uint64(12)), custom("scale", uint64(2))...)}, "decimal(12,2)", contract.FromCustom},
		{contract.PropertyDocument{LogicalType: "number", PhysicalType: "DECIMAL(38,18)"}, "decimal(38,18)", contract.FromPhysical},
		{contract.PropertyDocument{LogicalType: "string", PhysicalType: "VARCHAR(20)"}, "string(20)", contract.FromPhysical},
		{contract.PropertyDocument{LogicalType: "string", PhysicalType: "NVARCHAR2(20)"}, "string", contract.FromLogical},
		{contract.PropertyDocument{LogicalType: "integer", Options: options("i16")}, "int16", contract.FromLogical},
		{contract.PropertyDocument{LogicalType: "integer"}, "int64", contract.FromLogical},
		{contract.PropertyDocument{LogicalType: "number"}, "float64", contract.FromLogical},
		{contract.PropertyDocument{LogicalType: "string", Options: options("uuid")}, "uuid", contract.FromLogical},
		{contract.PropertyDocument{LogicalType: "timestamp", PhysicalType: "timestamptz"}, "timestamptz", contract.FromPhysical},
		{contract.PropertyDocument{LogicalType: "timestamp", Options: contract.OptionsDocument{Timezone: new(false), DefaultTimezone: "Europe/Berlin"}}, "timestamp", contract.FromLogical},
		{contract.PropertyDocument{LogicalType: "object"}, "json(object)", contract.FromLogical},
		{contract.PropertyDocument{LogicalType: "array"}, "json(array)", contract.FromLogical},
		{contract.PropertyDocument{LogicalType: "object", PhysicalType: "jsonb"}, "json(object)", contract.FromPhysical},
		{contract.PropertyDocument{LogicalType: "string", PhysicalType: "jsonb"}, "json", contract.FromPhysical},
		{contract.PropertyDocument{LogicalType: "array", Items: &contract.PropertyDocument{LogicalType: "object"}}, "list<json(object)>", contract.FromLogical},
		{contract.PropertyDocument{LogicalType: "array", Items: &contract.PropertyDocument{LogicalType: "object", Properties: []contract.PropertyDocument{{Name: "a", LogicalType: "date", Required: true}}}}, "list<struct<a date>>", contract.FromLogical},
	} {
		f := compileOne(t, one(c.property)).Fields[0]
		if f.Type.String() != c.want || f.TypeFrom != c.from {
			t.Errorf("%+v: %s from %s, want %s from %s", c.property, f.Type, f.TypeFrom, c.want, c.from)
		}
	}
}

func TestWhatCannotBeJudgedIsAProblemWhereItStands(t *testing.T) {
	t.Parallel()
	number := contract.PropertyDocument{LogicalType: "number"}
	quality := func(q contract.QualityDocument) contract.Document {
		q.Position = at(40)
		p := contract.PropertyDocument{LogicalType: "string", Quality: []contract.QualityDocument{q}}
		return one(p)
	}
	option := func(logical string, o contract.OptionsDocument) contract.Document {
		o.Position = at(50)
		return one(contract.PropertyDocument{LogicalType: logical, Options: o})
	}
	table := func(properties ...contract.CustomProperty) contract.Document {
		d := one(number)
		d.Tables[0].CustomProperties = properties
		return d
	}
	invalid := contract.ArgumentsDocument{ValidValues: []any{"a"}}
	for name, c := range map[string]struct {
		doc  contract.Document
		want problem.Code
	}{
		"no table":             {contract.Document{Tables: []contract.TableDocument{{Name: "x", Properties: []contract.PropertyDocument{{Name: "a", LogicalType: "date"}}}}}, problem.MissingKey},
		"misspelt own key":     {table(custom("onfail", "warn")...), problem.UnknownKey},
		"own key misplaced":    {table(custom("precision", uint64(3))...), problem.BadSetting},
		"bad verdict":          {table(custom("onFail", "quarentine")...), problem.BadValue},
		"bad budget":           {table(custom("errorBudget", map[string]any{"percent": 120.0})...), problem.BadBudget},
		"budget key":           {table(custom("errorBudget", map[string]any{"percents": 1.0})...), problem.BadBudget},
		"bad duration":         {table(custom("availableAfter", "soon")...), problem.BadDuration},
		"bad zone":             {table(custom("defaultTimezone", "Europe/Berlino")...), problem.BadZone},
		"event time missing":   {table(custom("eventTime", "y")...), problem.UnknownColumn},
		"event time no time":   {table(custom("eventTime", "x")...), problem.BadValue},
		"feature without key":  {table(append(custom("feature", true), custom("eventTime", "x")...)...), problem.NoKey},
		"naive timestamp":      {one(contract.PropertyDocument{LogicalType: "timestamp"}), problem.NaiveTimestamp},
		"bare decimal":         {one(contract.PropertyDocument{LogicalType: "number", PhysicalType: "numeric"}), problem.BadType},
		"type against type":    {one(contract.PropertyDocument{LogicalType: "integer", PhysicalType: "text"}), problem.BadType},
		"no type":              {one(contract.PropertyDocument{}), problem.MissingKey},
		"reserved name":        {one(contract.PropertyDocument{Name: "_seq", LogicalType: "date"}), problem.BadName},
		"unknown metric":       {quality(contract.QualityDocument{Metric: "freshness", Operators: operator("mustBe", 0)}), problem.UnknownRule},
		"custom rule":          {quality(contract.QualityDocument{Type: "custom"}), problem.UnknownRule},
		"no condition":         {quality(contract.QualityDocument{Metric: "nullValues"}), problem.UnknownRule},
		"misspelt condition":   {quality(contract.QualityDocument{Metric: "nullValues", Operators: operator("mustBeLess", 5)}), problem.UnknownKey},
		"two for between":      {quality(contract.QualityDocument{Metric: "nullValues", Operators: operator("mustBeBetween", 5)}), problem.BadValue},
		"row count of a field": {quality(contract.QualityDocument{Metric: "rowCount", Operators: operator("mustBe", 0)}), problem.UnknownRule},
		"unit":                 {quality(contract.QualityDocument{Metric: "nullValues", Operators: operator("mustBe", 0), Unit: "permille"}), problem.BadValue},
		"unknown argument":     {quality(contract.QualityDocument{Metric: "invalidValues", Arguments: contract.ArgumentsDocument{ValidValues: []any{"a"}, Unknown: []string{"x"}}, Operators: operator("mustBe", 0)}), problem.UnknownKey},
		"count to quarantine":  {quality(contract.QualityDocument{Metric: "invalidValues", Arguments: invalid, Operators: operator("mustBeLessThan", 5), CustomProperties: custom("onFail", "quarantine")}), problem.BadValue},
		"sql without a query":  {quality(contract.QualityDocument{Type: "sql", Operators: operator("mustBe", 0)}), problem.MissingKey},
		"bad pattern":          {option("string", contract.OptionsDocument{Pattern: "(?i)a"}), problem.BadPattern},
		"pattern of a number":  {option("number", contract.OptionsDocument{Pattern: "a"}), problem.BadPattern},
		"length of a number":   {option("number", contract.OptionsDocument{MinLength: new(int64(1))}), problem.BadValue},
		"range of a text":      {option("string", contract.OptionsDocument{Minimum: 1}), problem.BadValue},
		"empty range":          {option("integer", contract.OptionsDocument{Minimum: 5, Maximum: 3}), problem.BadValue},
		"bound that is none":   {option("date", contract.OptionsDocument{Minimum: "2013-02-30"}), problem.BadValue},
		"bad format":           {option("date", contract.OptionsDocument{Format: "yy"}), problem.BadType},
		"unique items":         {option("array", contract.OptionsDocument{UniqueItems: true}), problem.UnknownRule},
		"rule inside a value":  {one(contract.PropertyDocument{LogicalType: "array", Items: &contract.PropertyDocument{LogicalType: "string", Options: contract.OptionsDocument{Pattern: "a"}}}), problem.UnknownRule},
		"sla of no table": {func() contract.Document {
			d := one(number)
			d.SLA = []contract.SLADocument{{Property: "latency", Element: "y.z"}}
			return d
		}(), problem.UnknownTable},
		"sla unit": {func() contract.Document {
			d := one(contract.PropertyDocument{LogicalType: "date"})
			d.SLA = []contract.SLADocument{{Property: "latency", Element: "x.x", Value: 3, Unit: "fortnight"}}
			return d
		}(), problem.BadDuration},
	} {
		_, problems := contract.Compile(c.doc, outside)
		found := false
		for _, p := range problems {
			found = found || p.Code == c.want
		}
		if !found {
			t.Errorf("%s: %v, want %s", name, problems, c.want)
		}
	}
}

func TestAMisspeltKeyIsSuggested(t *testing.T) {
	t.Parallel()
	d := one(contract.PropertyDocument{LogicalType: "number"})
	d.Tables[0].CustomProperties = custom("erorBudget", map[string]any{})
	_, problems := contract.Compile(d, outside)
	if len(problems) != 1 || !strings.Contains(problems[0].Remedy, "tidemill.errorBudget") || problems[0].Line != 90 {
		t.Errorf("%+v", problems)
	}
}

func TestABrokenTableDoesNotHideAnother(t *testing.T) {
	t.Parallel()
	d := flights()
	d.Tables = append(d.Tables, contract.TableDocument{Name: "other", PhysicalName: "raw.flights"})
	tables, problems := contract.Compile(d, outside)
	if len(tables) != 1 || tables[0].Name != "raw.flights" {
		t.Errorf("%d tables", len(tables))
	}
	codes := make(map[problem.Code]bool)
	for _, p := range problems {
		codes[p.Code] = true
	}
	if !codes[problem.DuplicateBinding] || !codes[problem.MissingKey] {
		t.Errorf("%v", problems)
	}
}

func TestVerdictsAreTakenFromTheNearestThatHasAMeaning(t *testing.T) {
	t.Parallel()
	p := contract.PropertyDocument{
		LogicalType: "string", Required: true, Unique: true,
		Options:          contract.OptionsDocument{MaxLength: new(int64(3))},
		CustomProperties: custom("onFail", "coerce"),
		Quality: []contract.QualityDocument{
			{Name: "few nulls", Metric: "nullValues", Operators: operator("mustBeLessThan", 5), Unit: "percent"},
			{Name: "no n/a", Metric: "missingValues", Arguments: contract.ArgumentsDocument{MissingValues: []any{"n/a", nil}}, Operators: operator("mustBe", 0), Severity: "info"},
		},
	}
	d := one(p)
	d.Tables[0].CustomProperties = custom("onFail", "quarantine")
	got := make(map[string]contract.Verdict)
	for _, c := range compileOne(t, d).Checks {
		got[c.Rule] = c.OnFail
	}
	want := map[string]contract.Verdict{
		"x.type": contract.Coerce, "x.length": contract.Coerce, // the column's
		"x.required": contract.Quarantine, "x.unique": contract.Quarantine, // they cannot coerce: the table's
		"few nulls": contract.Reject, // a count can neither coerce nor quarantine
		"no n/a":    contract.Warn,   // by its severity
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
