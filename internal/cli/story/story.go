// Package story tells everything that is known of one prediction: its score, the
// values that were used and when they became known, the loads behind them, and the
// model with its pin.
//
// Nothing in it is typed in by hand: it reads what attempts and publishes recorded.
package story

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/cli/answer"
	"github.com/tidemill/tidemill/internal/cli/output"
	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/door"
	"github.com/tidemill/tidemill/internal/training"
)

// Story is everything that is known of one prediction.
type Story struct {
	ID            string          `json:"id"`
	Table         string          `json:"table"`
	Row           map[string]any  `json:"row"`
	Contributions []Contribution  `json:"contributions,omitempty"`
	Model         api.Model       `json:"model"`
	Run           api.Run         `json:"run"`
	Used          []training.Used `json:"features"`
	Sources       []Load          `json:"sources,omitempty"`
}

// Contribution is what one feature added to the score.
type Contribution struct {
	Feature      string  `json:"feature"`
	Value        any     `json:"value"`
	Contribution float64 `json:"contribution"`
}

// Load is a load behind the values that were used: of a feature table, or of a
// table that its task read.
type Load struct {
	Table    string        `json:"table"`
	Window   commit.Window `json:"window"`
	Run      string        `json:"run"`
	Contract string        `json:"contract"`
	Sources  []string      `json:"sources"`
	Rows     int64         `json:"rows"`
	Refused  int64         `json:"quarantined"`
}

// Teller is what a story is collected with.
type Teller struct {
	Client  *api.Client
	Bundle  string
	Project *project.Project
	Model   func(ref string) (api.Model, error) // MODEL:VERSION
}

// Tell finds a prediction in the tables of the tasks that score, and tells its story.
func (t Teller) Tell(ctx context.Context, id string) (Story, error) {
	for _, pl := range t.Project.Pipelines {
		for _, task := range pl.Tasks {
			set := ""
			for _, r := range task.Reads {
				if r.Set != "" {
					set = r.Set
				}
			}
			if task.Kind != project.KindPython || set == "" {
				continue
			}
			for _, w := range task.Writes {
				one, err := t.tell(ctx, id, w.Table, set)
				if err == nil || !errors.Is(err, errNotHere) {
					return one, err
				}
			}
		}
	}
	return Story{}, fault.New(fault.NotFound, "no prediction has the id %s", id)
}

var errNotHere = fault.New(fault.NotFound, "not in this table")

// ask runs a SELECT on a store, and reads at most so many rows of the answer where most is not 0.
func (t Teller) ask(ctx context.Context, store, query string, params map[string]json.RawMessage, most int) (answer.Rows, error) {
	return answer.Ask(ctx, t.Client, door.Query{Bundle: t.Bundle, Store: store, SQL: query, Params: params}, most)
}

// tell collects the story of a prediction that lies in a table.
func (t Teller) tell(ctx context.Context, id string, table project.Table, set string) (Story, error) {
	out := Story{ID: id, Table: table.String()}
	raw, _ := json.Marshal(id)
	params := map[string]json.RawMessage{"id": raw}
	h := table.History()
	found, err := t.ask(ctx, table.Store, fmt.Sprintf(`SELECT p.*, c.run AS __run FROM %s p JOIN _tidemill.table_commit c ON c."table" = '%s' AND c.seq = p._seq
		WHERE prediction_id = $id AND NOT _deleted ORDER BY p._seq LIMIT 1`, dialect.DuckDB.Table(h.Schema, h.Name), name(table)), params, 1)
	if err != nil || len(found.Values) == 0 {
		return out, errNotHere // a table without predictions, or without this one
	}
	out.Row = found.Values[0]
	if out.Run, err = t.Client.Run(ctx, fmt.Sprint(out.Row["__run"])); err != nil {
		return out, fmt.Errorf("the run that scored %s: %w", id, err)
	}
	if out.Model, err = t.Model(fmt.Sprintf("%v:%v", out.Row["model"], out.Row["model_version"])); err != nil {
		return out, err
	}
	if err := out.contributions(ctx, t, table, params); err != nil {
		return out, err
	}
	if err := out.features(ctx, t, set); err != nil {
		return out, err
	}
	return out, out.loads(ctx, t)
}

func (o *Story) contributions(ctx context.Context, t Teller, table project.Table, params map[string]json.RawMessage) error {
	found, err := t.ask(ctx, table.Store, fmt.Sprintf(`SELECT feature, value, contribution FROM %s WHERE prediction_id = $id ORDER BY abs(contribution) DESC`,
		dialect.DuckDB.Table(table.Schema, table.Name+"__contributions")), params, 0)
	if err != nil {
		return nil //nolint:nilerr // the script did not ask for contributions: the rest of the story stands
	}
	for _, row := range found.Values {
		c, _ := row["contribution"].(float64)
		o.Contributions = append(o.Contributions, Contribution{fmt.Sprint(row["feature"]), row["value"], c})
	}
	return nil
}

// features repeats the join for this row, with the commits that the attempt read.
func (o *Story) features(ctx context.Context, t Teller, name string) error {
	row := door.Row{Bundle: t.Bundle, Set: name, Key: map[string]any{}, Vector: map[project.Table]int64{}}
	for _, set := range t.Project.Sets {
		if set.Name == name {
			for _, k := range append(slices.Clone(set.Key), set.At) {
				row.Key[k] = timeText(o.Row[k])
			}
		}
	}
	for _, task := range o.Run.Tasks {
		for _, a := range task.Attempts {
			for _, r := range a.Receipts {
				maps.Copy(row.Vector, r.Completion.Read)
			}
		}
	}
	var err error
	o.Used, err = answer.Through[[]training.Used](ctx, t.Client, "/v1/row", row)
	return err
}

// timeText writes an instant as the warehouse casts it to text.
func timeText(v any) any {
	if text, ok := v.(string); ok && strings.HasSuffix(text, "Z") && strings.Contains(text, "T") {
		return strings.Replace(strings.TrimSuffix(text, "Z"), "T", " ", 1) + "+00"
	}
	return v
}

// loads finds the loads behind the values: the commits that wrote them, and of
// each table that their tasks read the newest commit before that for the moment
// of the value.
func (o *Story) loads(ctx context.Context, t Teller) error {
	type load struct {
		table project.Table
		seq   int64
	}
	seen := map[load]bool{}
	for _, u := range o.Used {
		if u.Seq == 0 || seen[load{u.Table, u.Seq}] {
			continue
		}
		seen[load{u.Table, u.Seq}] = true
		read := []string{name(u.Table)}
		for _, pl := range t.Project.Pipelines {
			for _, task := range pl.Tasks {
				if slices.ContainsFunc(task.Writes, func(w project.Write) bool { return w.Table == u.Table }) {
					for _, r := range task.Reads {
						read = append(read, name(r.Table))
					}
				}
			}
		}
		params, err := json.Marshal(map[string]any{"feature": name(u.Table), "seq": u.Seq, "event": u.Event, "read": read})
		if err != nil {
			return fault.New(fault.Internal, "story: %w", err)
		}
		var bound map[string]json.RawMessage
		if err := json.Unmarshal(params, &bound); err != nil {
			return fault.New(fault.Internal, "story: %w", err)
		}
		found, err := t.ask(ctx, u.Table.Store, behind, bound, 0)
		if err != nil {
			return err
		}
		for _, row := range found.Values {
			one, err := loadOf(row)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(o.Sources, func(l Load) bool { return l.Table == one.Table && l.Run == one.Run }) {
				o.Sources = append(o.Sources, one)
			}
		}
	}
	return nil
}

// behind finds a feature's commit, and of each table that was read for it the
// commit that held the moment of the value.
const behind = `SELECT r."table", r.run, r.window_start, r.window_end, r.contract, r.evidence
FROM _tidemill.table_commit f JOIN _tidemill.table_commit r
  ON r."table" = f."table" AND r.seq = f.seq
  OR r."table" <> f."table" AND list_contains($read, r."table") AND r.committed_at <= f.committed_at
     AND (r.window_start IS NULL OR r.window_start <= $event::TIMESTAMPTZ AND r.window_end > $event::TIMESTAMPTZ)
WHERE f."table" = $feature AND f.seq = $seq
QUALIFY row_number() OVER (PARTITION BY r."table" ORDER BY r.seq DESC) = 1
ORDER BY r."table" = f."table" DESC, r."table"`

func loadOf(row map[string]any) (Load, error) {
	text := func(column string) string {
		v, _ := row[column].(string)
		return v
	}
	l := Load{Table: text("table"), Run: text("run"), Contract: text("contract")}
	var evidence commit.Evidence
	if err := json.Unmarshal([]byte(text("evidence")), &evidence); err != nil {
		return l, fault.New(fault.Internal, "evidence of %s: %w", l.Table, err)
	}
	l.Sources, l.Rows, l.Refused = evidence.Sources, evidence.Staged, evidence.Quarantined
	if text("window_start") != "" {
		var err error
		if l.Window, err = calendar.ParseWindow(text("window_start")+"/"+text("window_end"), time.UTC); err != nil {
			return l, fault.New(fault.Internal, "window of %s: %w", l.Table, err)
		}
	}
	return l, nil
}

// name is a table's name in the warehouse's own list of commits.
func name(t project.Table) string { return t.Schema + "." + t.Name }

// Print tells the story in lines that a person reads top to bottom.
func (o *Story) Print(w io.Writer, zone *time.Location) error {
	var b strings.Builder
	var key []string
	for _, k := range slices.Sorted(maps.Keys(o.Row)) {
		if !strings.HasPrefix(k, "_") && !strings.HasPrefix(k, "model") && k != "prediction" && k != "prediction_id" {
			key = append(key, fmt.Sprintf("%s %v", k, o.Row[k]))
		}
	}
	fmt.Fprintf(&b, "prediction %s in %s: %.4f\n", o.ID, o.Table, o.Row["prediction"])
	fmt.Fprintf(&b, "  for       %s\n", strings.Join(key, ", "))
	fmt.Fprintf(&b, "  scored    by run %s, window %s\n", o.Run.ID, o.Run.Window.Text(zone))
	metrics := []string{}
	for _, name := range slices.Sorted(maps.Keys(o.Model.Metrics)) {
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
			rows = append(rows, []string{"", fmt.Sprintf("%+.3f", c.Contribution), c.Feature, valueText(c.Value), known, from})
		}
		var text strings.Builder
		if err := output.Align(&text, []string{"           ", "adds", "feature", "value", "known at", "written by"}, rows); err != nil {
			return err
		}
		b.WriteString(text.String())
	}
	for _, l := range o.Sources {
		agreed := ""
		if l.Contract != "" {
			agreed = " under contract " + l.Contract
		}
		window := ""
		if !l.Window.IsZero() {
			window = ", window " + l.Window.Text(zone)
		}
		from := ""
		if len(l.Sources) > 0 {
			from = " from " + strings.Join(l.Sources, ", ")
		}
		fmt.Fprintf(&b, "  load      %s%s%s%s: %s rows, %s quarantined (run %s)\n", l.Table, window, from, agreed, output.Number(l.Rows), output.Number(l.Refused), l.Run)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// valueText is a feature's value; the bias has none.
func valueText(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}
