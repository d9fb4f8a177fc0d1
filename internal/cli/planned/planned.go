// Package planned writes what a changed project would move as a table for people.
package planned

import (
	"fmt"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/cli/output"
	"github.com/tidemill/tidemill/internal/core/plan"
)

// Document is what programs are given.
type Document struct {
	Live string `json:"live"` // the bundle that the installation works by; empty where there is none
	plan.Plan
}

// Table writes a plan, one line for each thing that differs.
func Table(d Document) output.Table {
	out := output.Table{Columns: []string{"", "what", "where", "says"}, Values: d}
	add := func(change plan.Change, what, where, format string, args ...any) {
		mark := map[plan.Change]string{plan.Added: "+", plan.Removed: "-", plan.Changed: "~", plan.Fed: ">", "": "="}[change]
		out.Rows = append(out.Rows, []string{mark, what, where, fmt.Sprintf(format, args...)})
	}
	for _, p := range d.Pipelines {
		var says []string
		switch {
		case p.Change == plan.Added:
			says = append(says, p.Is)
		case p.Change == plan.Removed:
			says = append(says, p.Was)
		case p.Was != p.Is:
			says = append(says, p.Was+" → "+p.Is)
		}
		if len(p.Keys) > 0 {
			says = append(says, "changed: "+strings.Join(p.Keys, ", "))
		}
		moment := func(t time.Time) string { return t.In(p.Zone).Format("Mon 2006-01-02 15:04") }
		add(p.Change, "pipeline", p.Name, "%s", strings.Join(says, "; "))
		for _, due := range p.Due {
			add(due.Change, "due", p.Name, "%s for %s – %s", moment(due.At), moment(due.Window.Start), moment(due.Window.End))
		}
	}
	for _, t := range d.Tasks {
		var says []string
		if len(t.Keys) > 0 {
			says = append(says, "changed: "+strings.Join(t.Keys, ", "))
		}
		if len(t.From) > 0 {
			says = append(says, "rows of "+strings.Join(t.From, ", ")+" reach it")
		}
		if !t.Covered.Empty() {
			pipeline, _, _ := strings.Cut(t.Name, "/")
			from, to := written(t.Covered.Start.In(t.Zone)), written(t.Covered.End.In(t.Zone))
			says = append(says, fmt.Sprintf("%s – %s is there by the code before; anew: tidemill backfill %s --from %s --to %s", from, to, pipeline, from, to))
		}
		add(t.Change, "task", t.Name, "%s", strings.Join(says, "; "))
	}
	for _, t := range d.Tables {
		if len(t.Changes) == 0 {
			add(t.Change, "contract", t.Name, "%s", readBy(t.Readers))
		}
		for _, c := range t.Changes {
			says := []string{string(c.Impact), c.Subject + ": " + c.Message}
			if c.Impact.Consumers() {
				says = append(says, readBy(t.Readers))
			}
			add(t.Change, "contract", t.Name, "%s", strings.Join(says, "; "))
		}
	}
	return out
}

func readBy(names []string) string {
	if len(names) == 0 {
		return "nobody here reads it"
	}
	return "read by " + strings.Join(names, ", ")
}

// written is a moment as people type it: a date alone where a day begins.
func written(t time.Time) string {
	if h, m, s := t.Clock(); h+m+s == 0 && t.Nanosecond() == 0 {
		return t.Format(time.DateOnly)
	}
	return t.Format(time.RFC3339)
}
