package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/door"
	"github.com/tidemill/tidemill/internal/format"
)

// rows is an answer of the warehouse: texts for people, JSON values for programs.
type rows struct {
	columns []string
	texts   [][]string
	values  []map[string]any
}

// ask runs a SELECT on a store and reads the whole answer, which is bounded by most rows.
func (s *session) ask(client *api.Client, store, query string, params map[string]json.RawMessage, most int) (rows, bool, error) {
	status, err := client.Status(s.ctx)
	if err != nil {
		return rows{}, false, err
	}
	answer, err := client.Door(s.ctx, "/v1/query", door.Query{Bundle: status.Bundle, Store: store, SQL: query, Params: params})
	if err != nil {
		return rows{}, false, err
	}
	defer func() { _ = answer.Close() }()
	schema, batches, err := format.ReadIPC(answer)
	if err != nil {
		return rows{}, false, err
	}
	var out rows
	for _, f := range schema.Fields() {
		out.columns = append(out.columns, f.Name)
	}
	for batch, err := range batches {
		if err != nil {
			return out, false, err
		}
		for row := range int(batch.NumRows()) {
			if most > 0 && len(out.texts) == most {
				return out, true, nil
			}
			texts, values := make([]string, len(out.columns)), map[string]any{}
			for i, c := range batch.Columns() {
				texts[i] = cellText(c, row)
				values[out.columns[i]] = cellValue(c, row)
			}
			out.texts, out.values = append(out.texts, texts), append(out.values, values)
		}
	}
	return out, false, nil
}

func cellText(c arrow.Array, row int) string {
	if c.IsNull(row) {
		return "NULL"
	}
	if t, ok := c.(*array.Timestamp); ok {
		unit := t.DataType().(*arrow.TimestampType)
		text := t.Value(row).ToTime(unit.Unit).UTC().Format("2006-01-02 15:04:05.999999")
		if unit.TimeZone != "" {
			text += "Z"
		}
		return text
	}
	return datatype.ValueText(c, row)
}

func cellValue(c arrow.Array, row int) any {
	if c.IsNull(row) {
		return nil
	}
	switch c := c.(type) {
	case *array.Timestamp:
		return strings.Replace(cellText(c, row), " ", "T", 1)
	case *array.String:
		return c.Value(row)
	case *array.Decimal128, *array.Decimal256:
		return json.Number(datatype.ValueText(c, row)) // JSON's numbers have as many digits as they need
	}
	return c.GetOneForMarshal(row)
}

type sqlCommand struct {
	Query string            `arg:"" help:"A SELECT; - reads it from standard input."`
	Store string            `help:"The store to ask; the warehouse without it."`
	Param map[string]string `help:"Bind $name: --param name=value." placeholder:"NAME=VALUE"`
	Most  int               `default:"1000" help:"At most so many rows; 0: all."`
}

// Run asks the warehouse.
func (c sqlCommand) Run(s *session) error {
	if c.Query == "-" {
		var b bytes.Buffer
		if _, err := b.ReadFrom(s.In); err != nil {
			return fault.New(fault.Invalid, "read the query: %w", err)
		}
		c.Query = b.String()
	}
	client, done, err := s.connect(needs{worker: true})
	if err != nil {
		return err
	}
	defer done()
	params := map[string]json.RawMessage{}
	for name, text := range c.Param {
		raw := json.RawMessage(text)
		if !json.Valid(raw) {
			raw, _ = json.Marshal(text)
		}
		params[name] = raw
	}
	out, cut, err := s.ask(client, c.Store, c.Query, params, c.Most)
	if err != nil {
		return err
	}
	if err := s.give(table{columns: out.columns, rows: out.texts, values: out.values}); err != nil {
		return err
	}
	if cut {
		s.say("only the first %d rows are shown; more with --most", c.Most)
	}
	return nil
}

type snapshotCommand struct {
	Path string `arg:"" help:"The file to write; it must not be there yet."`
}

// Run writes a copy of the warehouse.
func (c snapshotCommand) Run(s *session) error {
	path, err := filepath.Abs(c.Path)
	if err != nil {
		return fault.New(fault.Invalid, "path: %w", err)
	}
	client, done, err := s.connect(needs{worker: true})
	if err != nil {
		return err
	}
	defer done()
	status, err := client.Status(s.ctx)
	if err != nil {
		return err
	}
	answer, err := client.Door(s.ctx, "/v1/snapshot", door.Path{Bundle: status.Bundle, Path: path})
	if err != nil {
		return err
	}
	_ = answer.Close()
	s.say("%s is a copy that plain DuckDB opens", path)
	return nil
}

type quarantineCommand struct {
	List   quarantineListCommand   `cmd:"" default:"1" help:"Count refused rows by table and rule."`
	Show   quarantineShowCommand   `cmd:"" help:"Show the refused rows of a table."`
	Replay quarantineReplayCommand `cmd:"" help:"Send refused rows through today's contract again."`
}

type quarantineListCommand struct{}

// Run lists what lies in quarantine.
func (quarantineListCommand) Run(s *session) error {
	client, done, err := s.connect(needs{worker: true})
	if err != nil {
		return err
	}
	defer done()
	tables, _, err := s.ask(client, "", `SELECT table_schema, table_name FROM information_schema.tables
		WHERE ends_with(table_name, '__quarantine') ORDER BY ALL`, nil, 0)
	if err != nil {
		return err
	}
	out := table{columns: []string{"table", "rule", "rows", "first example", "value"}, values: []any{}}
	var values []map[string]any
	for _, t := range tables.texts {
		name := dialect.DuckDB.Table(t[0], t[1])
		counts, _, err := s.ask(client, "", fmt.Sprintf(`SELECT rule, count(*) AS "rows", arg_min(file || ':' || line, (file, line)) AS example, arg_min(value, (file, line)) AS value
			FROM %s GROUP BY rule ORDER BY "rows" DESC, rule`, name), nil, 0)
		if err != nil {
			return err
		}
		for i, row := range counts.texts {
			out.rows = append(out.rows, append([]string{t[0] + "." + strings.TrimSuffix(t[1], "__quarantine")}, row...))
			counts.values[i]["table"] = t[0] + "." + strings.TrimSuffix(t[1], "__quarantine")
			values = append(values, counts.values[i])
		}
	}
	out.values = values
	if len(out.rows) == 0 && s.output == "table" {
		s.say("nothing is in quarantine")
		return nil
	}
	return s.give(out)
}

type quarantineShowCommand struct {
	Table string `arg:"" help:"The table that refused the rows."`
	Rule  string `help:"Of this rule alone."`
	Most  int    `default:"50" help:"At most so many."`
}

// Run shows refused rows.
func (c quarantineShowCommand) Run(s *session) error {
	t, err := project.ParseTable(c.Table)
	if err != nil {
		return err
	}
	client, done, err := s.connect(needs{worker: true})
	if err != nil {
		return err
	}
	defer done()
	q := t.Quarantine()
	where, params := "", map[string]json.RawMessage{}
	if c.Rule != "" {
		where = " WHERE rule = $rule"
		params["rule"], _ = json.Marshal(c.Rule)
	}
	out, cut, err := s.ask(client, t.Store, fmt.Sprintf("SELECT rule, field, value, reason, file, line, original FROM %s%s ORDER BY file, line, rule",
		dialect.DuckDB.Table(q.Schema, q.Name), where), params, c.Most)
	if err != nil {
		return err
	}
	if err := s.give(table{columns: out.columns, rows: out.texts, values: out.values}); err != nil {
		return err
	}
	if cut {
		s.say("only the first %d rows are shown; more with --most", c.Most)
	}
	return nil
}

type quarantineReplayCommand struct {
	Table string `arg:"" help:"The table that refused the rows."`
	Rule  string `help:"Of this rule alone."`
}

// Run sends refused rows again: a run like any other.
func (c quarantineReplayCommand) Run(s *session) error {
	t, err := project.ParseTable(c.Table)
	if err != nil {
		return err
	}
	client, done, err := s.connect(needs{worker: true})
	if err != nil {
		return err
	}
	defer done()
	r, err := client.Replay(s.ctx, api.ReplayRequest{Table: t.String(), Rule: c.Rule, By: me()})
	if err != nil {
		return err
	}
	if r.ID == "" {
		s.say("nothing of %s is in quarantine", t)
		return nil
	}
	if r, err = s.followRun(client, r.ID); err != nil {
		return err
	}
	if err := s.give(taskTable(r)); err != nil {
		return err
	}
	return s.verdict(r)
}

type digestCommand struct {
	Tables []string `arg:"" optional:"" help:"The tables; without them every one that the project keeps, so no views."`
}

// tableDigest is one table's digest.
type tableDigest struct {
	Table  string `json:"table"`
	Digest string `json:"digest"`
	Rows   int64  `json:"rows"`
}

// Run prints digests.
func (c digestCommand) Run(s *session) error {
	if len(c.Tables) == 0 {
		p, err := s.project()
		if err != nil {
			return err
		}
		for _, pl := range p.Pipelines {
			for _, t := range pl.Tasks {
				for _, w := range t.Writes {
					if w.Mode != project.ModeView { // a view keeps no rows; its averages may differ in their last bit from one reading to the next
						c.Tables = append(c.Tables, w.Table.String())
					}
				}
			}
		}
		slices.Sort(c.Tables)
	}
	client, done, err := s.connect(needs{worker: true})
	if err != nil {
		return err
	}
	defer done()
	status, err := client.Status(s.ctx)
	if err != nil {
		return err
	}
	out := table{columns: []string{"table", "digest", "rows"}}
	var values []tableDigest
	for _, name := range c.Tables {
		t, err := project.ParseTable(name)
		if err != nil {
			return err
		}
		d, err := through[door.Digest](s, client, "/v1/digest", door.Table{Bundle: status.Bundle, Table: t})
		if err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
		values = append(values, tableDigest{t.String(), d.Digest, d.Rows})
		out.rows = append(out.rows, []string{t.String(), d.Digest, number(d.Rows)})
	}
	out.values = values
	return s.give(out)
}
