package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/door"
	"github.com/tidemill/tidemill/internal/training"
)

// tell collects the story of a prediction that lies in a table.
func tell(s *session, client *api.Client, p *project.Project, id string, t project.Table, setName string) (story, error) {
	out := story{ID: id, Table: t.String()}
	raw, _ := json.Marshal(id)
	params := map[string]json.RawMessage{"id": raw}
	h := t.History()
	found, _, err := s.ask(client, t.Store, fmt.Sprintf(`SELECT p.*, c.run AS __run FROM %s p JOIN _tidemill.table_commit c ON c."table" = '%s' AND c.seq = p._seq
		WHERE prediction_id = $id AND NOT _deleted ORDER BY p._seq LIMIT 1`, dialect.DuckDB.Table(h.Schema, h.Name), t.Schema+"."+t.Name), params, 1)
	if err != nil || len(found.values) == 0 {
		return out, errNotHere // a table without predictions, or without this one
	}
	out.Row = found.values[0]
	if out.Run, err = client.Run(s.ctx, fmt.Sprint(out.Row["__run"])); err != nil {
		return out, err
	}
	if out.Model, err = s.model(client, fmt.Sprintf("%v:%v", out.Row["model"], out.Row["model_version"])); err != nil {
		return out, err
	}
	if err := out.contributions(s, client, t, params); err != nil {
		return out, err
	}
	if err := out.features(s, client, p, setName); err != nil {
		return out, err
	}
	return out, out.loads(s, client)
}

func (o *story) contributions(s *session, client *api.Client, t project.Table, params map[string]json.RawMessage) error {
	found, _, err := s.ask(client, t.Store, fmt.Sprintf(`SELECT feature, value, contribution FROM %s WHERE prediction_id = $id ORDER BY abs(contribution) DESC`,
		dialect.DuckDB.Table(t.Schema, t.Name+"__contributions")), params, 0)
	if err != nil {
		return nil //nolint:nilerr // the script did not ask for contributions: the rest of the story stands
	}
	for _, row := range found.values {
		c, _ := row["contribution"].(float64)
		o.Contributions = append(o.Contributions, contribution{fmt.Sprint(row["feature"]), row["value"], c})
	}
	return nil
}

// features repeats the join for this row, with the commits that the attempt read.
func (o *story) features(s *session, client *api.Client, p *project.Project, setName string) error {
	status, err := client.Status(s.ctx)
	if err != nil {
		return err
	}
	row := door.Row{Bundle: status.Bundle, Set: setName, Key: map[string]any{}, Vector: map[project.Table]int64{}}
	for _, set := range p.Sets {
		if set.Name == setName {
			for _, k := range append(slices.Clone(set.Key), set.At) {
				row.Key[k] = timeText(o.Row[k])
			}
		}
	}
	for _, t := range o.Run.Tasks {
		for _, a := range t.Attempts {
			for _, r := range a.Receipts {
				for table, seq := range r.Completion.Read {
					row.Vector[table] = seq
				}
			}
		}
	}
	o.Used, err = through[[]training.Used](s, client, "/v1/row", row)
	return err
}

// timeText writes an instant as the warehouse casts it to text.
func timeText(v any) any {
	if text, ok := v.(string); ok && strings.HasSuffix(text, "Z") && strings.Contains(text, "T") {
		return strings.Replace(strings.TrimSuffix(text, "Z"), "T", " ", 1) + "+00"
	}
	return v
}

// loads finds the loads behind the values: the runs that wrote them.
func (o *story) loads(s *session, client *api.Client) error {
	seen := map[string]bool{}
	for _, u := range o.Used {
		which := u.Run + " " + u.Table.String()
		if u.Run == "" || seen[which] {
			continue
		}
		seen[which] = true
		r, err := client.Run(s.ctx, u.Run)
		if err != nil {
			return err
		}
		for _, t := range r.Tasks {
			for _, a := range t.Attempts {
				for _, receipt := range a.Receipts {
					for _, c := range receipt.Tables {
						if c.Table.String() == u.Table.String() {
							o.Sources = append(o.Sources, sourceLoad{
								Table: c.Table.String(), Window: c.Window, Run: r.ID, Contract: c.Contract, Sources: c.Evidence.Sources,
								Rows: c.Evidence.Staged, Refused: c.Evidence.Quarantined,
							})
						}
					}
				}
			}
		}
	}
	return nil
}

// print tells the story in lines that a person reads top to bottom.
func (o story) print(s *session) error {
	if s.output == "json" {
		return s.give(table{values: o})
	}
	var b strings.Builder
	var key []string
	for _, k := range sortedKeys(o.Row) {
		if !strings.HasPrefix(k, "_") && !strings.HasPrefix(k, "model") && k != "prediction" && k != "prediction_id" {
			key = append(key, fmt.Sprintf("%s %v", k, o.Row[k]))
		}
	}
	fmt.Fprintf(&b, "prediction %s in %s: %.4f\n", o.ID, o.Table, o.Row["prediction"])
	fmt.Fprintf(&b, "  for       %s\n", strings.Join(key, ", "))
	fmt.Fprintf(&b, "  scored    by run %s, window %s\n", o.Run.ID, o.Run.Window)
	metrics := []string{}
	for _, name := range sortedKeys(o.Model.Metrics) {
		metrics = append(metrics, fmt.Sprintf("%s %.3f", name, o.Model.Metrics[name]))
	}
	fmt.Fprintf(&b, "  model     %s:%d (%s), %s, trained by run %s on pin %s\n", o.Model.Name, o.Model.Version, strings.Join(o.Model.Aliases, ", "), strings.Join(metrics, ", "), o.Model.Run, o.Model.Pin)
	if len(o.Contributions) > 0 {
		b.WriteString("  because   (contribution to the score's log-odds, the largest first)\n")
		var rows [][]string
		for n, c := range o.Contributions {
			if n == 12 {
				break
			}
			known, from := "", ""
			for _, u := range o.Used {
				if u.Feature == c.Feature && u.Seq > 0 {
					known, from = u.KnownAt, fmt.Sprintf("%s commit %d, run %s", u.Table, u.Seq, u.Run)
				}
			}
			rows = append(rows, []string{"", fmt.Sprintf("%+.3f", c.Contribution), c.Feature, fmt.Sprint(c.Value), known, from})
		}
		var text strings.Builder
		if err := writeTable(&text, []string{"           ", "adds", "feature", "value", "known at", "written by"}, rows); err != nil {
			return err
		}
		b.WriteString(text.String())
	}
	for _, l := range o.Sources {
		agreed := ""
		if l.Contract != "" {
			agreed = " under contract " + l.Contract
		}
		from := ""
		if len(l.Sources) > 0 {
			from = " from " + strings.Join(l.Sources, ", ")
		}
		fmt.Fprintf(&b, "  load      %s, window %s%s%s: %s rows, %s quarantined (run %s)\n", l.Table, l.Window, from, agreed, number(l.Rows), number(l.Refused), l.Run)
	}
	_, err := fmt.Fprint(s.Out, b.String())
	return err
}
