package contract

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/problem"
)

// Impact says whom a change of a contract breaks.
type Impact string

// The impacts.
const (
	Safe            Impact = "safe"
	BreaksConsumers Impact = "consumer-breaking" // who reads the table may get less, or other values, than before
	BreaksProducers Impact = "producer-breaking" // data that passed may be refused
	BreaksBoth      Impact = "consumer-breaking and producer-breaking"
)

// Consumers reports whether who reads the table is broken.
func (i Impact) Consumers() bool { return i == BreaksConsumers || i == BreaksBoth }

// Change is one difference between two versions of a contract.
type Change struct {
	Impact  Impact `json:"impact"`
	Subject string `json:"subject"` // the column, rule or setting
	Message string `json:"message"`
}

// Diff lists what changed from one version of a table's contract to the next:
// columns in their order, then the table's settings, then rules.
func Diff(old, next Table) []Change {
	d := differ{}
	for _, f := range old.Fields {
		if next.Index(f.Name) < 0 {
			impact := BreaksConsumers
			if next.ExtraColumns == ExtraRefuse {
				impact = BreaksBoth
			}
			d.add(impact, f.Name, "the column is gone")
		}
	}
	for _, f := range next.Fields {
		if i := old.Index(f.Name); i >= 0 {
			d.field(old.Fields[i], f)
			continue
		}
		if f.Required {
			d.add(BreaksProducers, f.Name, "a required column is new")
		} else {
			d.add(Safe, f.Name, "a column is new")
		}
	}
	d.settings(old, next)
	d.checks(old, next)
	return d.changes
}

type differ struct{ changes []Change }

func (d *differ) add(impact Impact, subject, format string, args ...any) {
	d.changes = append(d.changes, Change{Impact: impact, Subject: subject, Message: fmt.Sprintf(format, args...)})
}

// addIf adds a change from one text to another where they differ.
func (d *differ) addIf(impact Impact, subject, what, old, next string) {
	if old != next {
		d.add(impact, subject, "%s was %s and is %s", what, orNone(old), orNone(next))
	}
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

func (d *differ) field(old, next Field) {
	if !old.Type.Equal(next.Type) {
		d.add(typeImpact(old.Type, next.Type), next.Name, "the type was %s and is %s", old.Type, next.Type)
	}
	switch {
	case next.Required && !old.Required:
		d.add(BreaksProducers, next.Name, "the column is required now")
	case old.Required && !next.Required:
		d.add(BreaksConsumers, next.Name, "the column may be null now")
	}
	d.addIf(BreaksBoth, next.Name, "the default time zone", old.Zone, next.Zone)
	d.addIf(BreaksProducers, next.Name, "the format", old.Format, next.Format)
	d.addIf(Safe, next.Name, "the classification", old.Classification, next.Classification)
}

// typeImpact: readers break where the new type holds values that the old could
// not, writers where it holds fewer.
func typeImpact(old, next datatype.Type) Impact {
	forward, _ := datatype.Compare(old, next)
	back, _ := datatype.Compare(next, old)
	wider := forward == datatype.Widened || forward == datatype.Exact
	narrower := back == datatype.Widened || back == datatype.Exact
	switch {
	case wider && narrower:
		return Safe
	case wider:
		return BreaksConsumers
	case narrower:
		return BreaksProducers
	}
	return BreaksBoth
}

func (d *differ) settings(old, next Table) {
	d.addIf(BreaksConsumers, "name", "the table", old.Name, next.Name)
	d.addIf(BreaksBoth, "key", "the key", strings.Join(old.Key, ", "), strings.Join(next.Key, ", "))
	d.addIf(BreaksConsumers, "event time", "the event time", old.EventTime, next.EventTime)
	d.addIf(BreaksConsumers, "known at", "the known time", old.KnownAt, next.KnownAt)
	d.addIf(BreaksConsumers, "feature", "feature", fmt.Sprint(old.Feature), fmt.Sprint(next.Feature))
	d.addIf(BreaksConsumers, "available after", "the delay", old.AvailableAfter.String(), next.AvailableAfter.String())
	if old.ExtraColumns != next.ExtraColumns {
		impact := Safe
		if next.ExtraColumns == ExtraRefuse {
			impact = BreaksProducers
		}
		d.add(impact, "extra columns", "extra columns were to %s and are to %s", old.ExtraColumns, next.ExtraColumns)
	}
	if !reflect.DeepEqual(old.ErrorBudget, next.ErrorBudget) {
		d.add(budgetImpact(old.ErrorBudget, next.ErrorBudget), "error budget", "the error budget changed")
	}
	d.addIf(Safe, "team", "the team", old.Team, next.Team)
}

func budgetImpact(old, next ErrorBudget) Impact {
	if tighter(old.Rows, next.Rows) || tighter(old.Percent, next.Percent) {
		return BreaksProducers
	}
	return BreaksConsumers
}

func tighter[N int64 | float64](old, next *N) bool {
	return next != nil && (old == nil || *next < *old)
}

// checks compares rules by name. The checks of types, and of nulls, follow from
// the columns and were compared there.
func (d *differ) checks(old, next Table) {
	for _, c := range old.Checks {
		if i := ruleIndex(next.Checks, c.Rule); i < 0 && !followsFromColumn(c) && next.has(c.Field) {
			d.add(BreaksConsumers, c.Rule, "the rule is gone")
		}
	}
	for _, c := range next.Checks {
		i := ruleIndex(old.Checks, c.Rule)
		switch {
		case i < 0 && c.OnFail == Warn:
			d.add(Safe, c.Rule, "a rule is new, and only warns")
		case i < 0 && !followsFromColumn(c) && old.has(c.Field):
			d.add(BreaksProducers, c.Rule, "a rule is new")
		case i >= 0:
			d.check(old.Checks[i], c)
		}
	}
}

// has reports whether the column is there; the empty one is the table itself.
func (t *Table) has(column string) bool { return column == "" || t.Index(column) >= 0 }

func followsFromColumn(c Check) bool {
	return c.Kind == KindType || c.Kind == KindRequired || c.Kind == KindKey
}

func ruleIndex(checks []Check, rule string) int {
	return slices.IndexFunc(checks, func(c Check) bool { return c.Rule == rule })
}

func (d *differ) check(old, next Check) {
	if old.OnFail != next.OnFail {
		impact := BreaksConsumers
		if severityOf(next.OnFail) > severityOf(old.OnFail) {
			impact = BreaksProducers
		}
		d.add(impact, next.Rule, "the verdict was %s and is %s", old.OnFail, next.OnFail)
	}
	a, b := old, next
	for _, c := range []*Check{&a, &b} {
		// What the columns were compared by, and where things stand, is no change of the rule.
		c.OnFail, c.Place, c.Type, c.Zone, c.Format = Pass, problem.Place{}, datatype.Type{}, "", ""
		if c.Kind == KindKey {
			c.Fields = nil
		}
	}
	if !reflect.DeepEqual(a, b) {
		d.add(contentImpact(old, next), next.Rule, "the rule's content changed")
	}
}

// severityOf orders verdicts by how much they refuse.
func severityOf(v Verdict) int {
	return slices.Index([]Verdict{Warn, Coerce, Quarantine, Reject}, v)
}

// contentImpact tells a looser rule from a tighter one, where that is plain.
func contentImpact(old, next Check) Impact {
	switch {
	case old.Kind != next.Kind:
		return BreaksBoth
	case next.Kind == KindEnum:
		return impactOf(contains(next.Values, old.Values), contains(old.Values, next.Values))
	case next.Kind == KindForbidden:
		return impactOf(contains(old.Values, next.Values), contains(next.Values, old.Values))
	case next.Kind == KindRange && old.Type.Equal(next.Type):
		return impactOf(next.admits(old), old.admits(next))
	case next.Kind == KindLength:
		return impactOf(longer(next, old), longer(old, next))
	case next.Kind == KindFreshness && next.Within < old.Within:
		return BreaksProducers
	case next.Kind == KindFreshness:
		return BreaksConsumers
	}
	return BreaksBoth
}

func impactOf(looser, tighter bool) Impact {
	switch {
	case looser && tighter:
		return Safe
	case looser:
		return BreaksConsumers
	case tighter:
		return BreaksProducers
	}
	return BreaksBoth
}

func contains(all, some []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

// admits reports whether every value in the range of o is in the range of c.
func (c Check) admits(o Check) bool {
	low := c.Min == nil || o.Min != nil && !c.tighter(c.Min, o.Min, 1)
	high := c.Max == nil || o.Max != nil && !c.tighter(c.Max, o.Max, -1)
	return low && high
}

// longer reports whether every length that b admits is one that a admits.
func longer(a, b Check) bool {
	low := a.MinLength == nil || b.MinLength != nil && *b.MinLength >= *a.MinLength
	high := a.MaxLength == nil || b.MaxLength != nil && *b.MaxLength <= *a.MaxLength
	return low && high
}
