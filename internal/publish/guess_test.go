package publish_test

import (
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/publish"
)

// guessed are rows of text that look like these types: id, at, tail, delay.
func guessed(t *testing.T, id, at, tail, delay datatype.Kind, rows ...[]any) publish.Table {
	source := lines(t, rows...)
	for i, kind := range []datatype.Kind{id, at, tail, delay} {
		source.Inferred.Fields = append(source.Inferred.Fields, datatype.Field{Name: source.Schema.Fields[i].Name, Type: datatype.Of(kind)})
	}
	return publish.Table{Write: project.Write{Table: flights, Mode: project.ModeAppend}, Source: source}
}

const typesOf = "SELECT string_agg(data_type, ' ' ORDER BY column_index) FROM duckdb_columns() WHERE table_name = 'flights'"

func TestWithoutAContractTheFirstRowsMakeTheTypesAndTheTableKeepsThem(t *testing.T) {
	t.Parallel()
	s := open(t)
	first := guessed(t, datatype.Int64, datatype.TimestampTZ, datatype.String, datatype.Float64, day[0], []any{"7", nil, nil, "2.5"})
	if _, err := publish.Run(t.Context(), request(s, "a", 1, first)); err != nil {
		t.Fatal(err)
	}
	const types = "BIGINT TIMESTAMP WITH TIME ZONE VARCHAR DOUBLE"
	if got := rows(t, s, typesOf); got[0] != types {
		t.Errorf("the table has the types %s, want %s", got[0], types)
	}
	// Other rows look otherwise; what fits is read as the table has it, and what does not is refused with its place.
	second := guessed(t, datatype.Int64, datatype.String, datatype.Int64, datatype.String, []any{"8", nil, "0123", "4"}, []any{"9", nil, "5", "none"})
	_, err := publish.Run(t.Context(), request(s, "b", 2, second))
	if want := `day.csv:3 by the rule "delay.type": delay "none" is not a number; no contract says what delay is, so its type is float64, as in the table or in the first rows: write a contract`; !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), want) {
		t.Errorf("the load ended with %v, want %s", err, want)
	}
	third := guessed(t, datatype.Int64, datatype.String, datatype.Int64, datatype.Int64, []any{"8", nil, "0123", "4"})
	third.Write.AppendKeep = true
	if _, err := publish.Run(t.Context(), request(s, "c", 3, third)); err != nil {
		t.Fatal(err)
	}
	if got := rows(t, s, "SELECT tail, delay FROM raw.flights WHERE id = 8"); len(got) != 1 || got[0] != "0123|4" {
		t.Errorf("row 8 is %v, want 0123|4", got)
	}
	if got := rows(t, s, typesOf); got[0] != types {
		t.Errorf("the table now has the types %s, want %s", got[0], types)
	}
}

func TestACodeIsNotTakenForTheNumberThatTheFirstRowsSuggest(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"02134", "-01", "+49"} {
		table := guessed(t, datatype.Int64, datatype.String, datatype.String, datatype.Float64, []any{"90210", nil, nil, "1"}, []any{"1", nil, nil, code})
		_, err := publish.Run(t.Context(), request(open(t), "a", 1, table))
		if !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), `day.csv:3 by the rule "delay.type": delay "`+code+`" has a zero or a plus in front`) {
			t.Errorf("%s: %v", code, err)
		}
	}
}

func TestATableThatIsReplacedIsTypedAnew(t *testing.T) {
	t.Parallel()
	s := open(t)
	for i, kind := range []datatype.Kind{datatype.Int64, datatype.String, datatype.Float64} {
		table := guessed(t, kind, datatype.String, datatype.String, datatype.String, []any{"1", nil, nil, nil})
		table.Write.Mode = project.ModeReplace
		if _, err := publish.Run(t.Context(), request(s, string(rune('a'+i)), int64(i+1), table)); err != nil {
			t.Fatal(err)
		}
		if got, want := rows(t, s, typesOf)[0], []string{"BIGINT", "VARCHAR", "DOUBLE"}[i]; !strings.HasPrefix(got, want+" ") {
			t.Errorf("load %d made the types %s, want %s first", i, got, want)
		}
	}
}

func TestADigitThatADoubleWouldLoseIsRefused(t *testing.T) {
	t.Parallel()
	for text, lost := range map[string]bool{
		"9007199254740992": false, "9007199254740993": true, "0.1234567890123456789": true, "1e3": false, "nan": false, "0.1": false, "1.50": false,
	} {
		table := guessed(t, datatype.Int64, datatype.String, datatype.String, datatype.Float64, []any{"1", nil, nil, "1.5"}, []any{"2", nil, nil, text})
		_, err := publish.Run(t.Context(), request(open(t), "a", 1, table))
		if lost != fault.Is(err, fault.Refused) || !lost && err != nil ||
			lost && !strings.Contains(err.Error(), `day.csv:3 by the rule "delay.type": delay "`+text+`" has more digits than a float64 keeps`) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestAWordThatABooleanWouldLoseIsRefused(t *testing.T) {
	t.Parallel()
	for text, lost := range map[string]bool{"true": false, "FALSE": false, "y": true, "1": true, "no": true} {
		table := guessed(t, datatype.Int64, datatype.String, datatype.String, datatype.Bool, []any{"1", nil, nil, "true"}, []any{"2", nil, nil, text})
		_, err := publish.Run(t.Context(), request(open(t), "a", 1, table))
		if lost != fault.Is(err, fault.Refused) || !lost && err != nil ||
			lost && !strings.Contains(err.Error(), `delay "`+text+`" is neither true nor false, as in the other rows`) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestColumnsAreNamedAsTheTableAndTheKeysAre(t *testing.T) {
	t.Parallel()
	s := open(t)
	load := func(attempt int64, names ...string) {
		t.Helper()
		table := guessed(t, datatype.Int64, datatype.String, datatype.String, datatype.Float64, []any{"1", nil, "A", "2.5"})
		table.Write.Mode, table.Write.Keys = project.ModeMerge, []string{"id"}
		inferred := table.Source.Inferred
		for i, name := range names {
			inferred.Fields[i].Name = name
		}
		table.Source = named(t, names, []any{"1", nil, "A", "2.5"})
		table.Source.Inferred = inferred
		if _, err := publish.Run(t.Context(), request(s, string(rune('a'+attempt)), attempt, table)); err != nil {
			t.Fatal(err)
		}
	}
	load(1, "ID", "At", "Tail", "Delay")
	load(2, "Id", "AT", "tail", "delay")
	if got := rows(t, s, "SELECT string_agg(column_name, ' ' ORDER BY column_index) FROM duckdb_columns() WHERE table_name = 'flights' AND NOT starts_with(column_name, '_')"); got[0] != "id At Tail Delay" {
		t.Errorf("the columns are %s, want id At Tail Delay", got[0])
	}
	if got := rows(t, s, "SELECT count(*) FROM raw.flights"); got[0] != "1" {
		t.Errorf("%s rows of one key", got[0])
	}
}

func TestAQuietDayHasNoColumns(t *testing.T) {
	t.Parallel()
	s := open(t)
	quiet := guessed(t, datatype.Int64, datatype.String, datatype.String, datatype.Float64)
	quiet.Source, quiet.Write.AppendKeep = named(t, nil), true
	if _, err := publish.Run(t.Context(), request(s, "a", 1, quiet)); !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), "the source has no columns") {
		t.Errorf("without a table, the load ended with %v", err)
	}
	first := guessed(t, datatype.Int64, datatype.String, datatype.String, datatype.Float64, []any{"1", nil, nil, "1.5"})
	for i, table := range []publish.Table{first, quiet} {
		if _, err := publish.Run(t.Context(), request(s, string(rune('b'+i)), int64(2+i), table)); err != nil {
			t.Fatalf("load %d: %v", i, err)
		}
	}
	if got := rows(t, s, "SELECT delay FROM raw.flights"); len(got) != 1 || got[0] != "1.5" {
		t.Errorf("the table holds %v, want 1.5 alone", got)
	}
}
