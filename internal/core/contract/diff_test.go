package contract_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/contract"
)

func TestDiffSaysWhomAChangeBreaks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*contract.Document)
		want   []contract.Change
	}{
		"nothing":       {func(*contract.Document) {}, nil},
		"a place alone": {func(d *contract.Document) { d.Tables[0].Properties[3].Line = 77 }, nil},
		"a new column": {func(d *contract.Document) {
			d.Tables[0].Properties = append(d.Tables[0].Properties, contract.PropertyDocument{Name: "dest", LogicalType: "string"})
		}, []contract.Change{{Impact: contract.Safe, Subject: "dest", Message: "a column is new"}}},
		"a column less": {
			func(d *contract.Document) { d.Tables[0].Properties = d.Tables[0].Properties[:5] },
			[]contract.Change{{Impact: contract.BreaksBoth, Subject: "origin", Message: "the column is gone"}},
		},
		"a wider range": {
			func(d *contract.Document) { d.Tables[0].Properties[4].Options.Maximum = 2400 },
			[]contract.Change{{Impact: contract.BreaksConsumers, Subject: "arr_time.range", Message: "the rule's content changed"}},
		},
		"a tighter enum": {func(d *contract.Document) {
			d.Tables[0].Properties[5].Quality[0].Arguments.ValidValues = []any{"JFK"}
		}, []contract.Change{{Impact: contract.BreaksProducers, Subject: "origin.enum", Message: "the rule's content changed"}}},
		"a harder verdict": {
			func(d *contract.Document) { d.Tables[0].Properties[3].CustomProperties = nil },
			[]contract.Change{{Impact: contract.BreaksProducers, Subject: "tailnum.pattern", Message: "the verdict was warn and is quarantine"}},
		},
		"a narrower type": {
			func(d *contract.Document) { d.Tables[0].Properties[4].Options.Format = "i16" },
			[]contract.Change{{Impact: contract.BreaksProducers, Subject: "arr_time", Message: "the type was int64 and is int16"}},
		},
		"a rule gone": {
			func(d *contract.Document) { d.Tables[0].Quality = nil },
			[]contract.Change{{Impact: contract.BreaksConsumers, Subject: "thin day", Message: "the rule is gone"}},
		},
		"null allowed": {
			func(d *contract.Document) {
				d.Tables[0].Properties[1].Required = false
				d.Tables[0].Properties[1].PrimaryKey = false
			},
			[]contract.Change{
				{Impact: contract.BreaksConsumers, Subject: "carrier", Message: "the column may be null now"},
				{Impact: contract.BreaksBoth, Subject: "key", Message: "the key was time_hour, carrier, flight and is time_hour, flight"},
			},
		},
	} {
		next := flights()
		c.change(&next)
		got := contract.Diff(compileOne(t, flights()), compileOne(t, next))
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
