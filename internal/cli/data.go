package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/cli/answer"
	"github.com/tidemill/tidemill/internal/cli/output"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/door"
)

// ask runs a SELECT on a store and reads the answer, at most so many rows of it where most is not 0.
func (s *session) ask(store, query string, params map[string]json.RawMessage, most int) (answer.Rows, error) {
	return answer.Ask(s.ctx, s.client, door.Query{Bundle: s.status.Bundle, Store: store, SQL: query, Params: params}, most)
}

// giveRows writes an answer, and says where it is not whole. NULL is a word for
// people and an empty field in CSV.
func (s *session) giveRows(r answer.Rows) error {
	if s.output == "csv" {
		for i, row := range r.Texts {
			for c, name := range r.Columns {
				if r.Values[i][name] == nil {
					row[c] = ""
				}
			}
		}
	}
	if err := s.give(output.Table{Columns: r.Columns, Rows: r.Texts, Values: r.Values}); err != nil {
		return err
	}
	if r.Cut {
		s.say("only the first %d rows are shown; more with --most", len(r.Texts))
	}
	return nil
}

// glances are what DuckDB answers with rows and yet calls no SELECT.
var glances = regexp.MustCompile(`(?i)^\s*(describe|show|summarize)\s`)

type sqlCommand struct {
	Query string            `arg:"" help:"A SELECT, or DESCRIBE, SUMMARIZE or SHOW TABLES of the warehouse; - reads it from standard input."`
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
	if c.Store == "" && glances.MatchString(c.Query) {
		c.Query = "SELECT * FROM (" + strings.TrimRight(c.Query, "; \t\r\n") + ")"
	}
	if _, err := s.connect(needs{worker: true}); err != nil {
		return err
	}
	params := map[string]json.RawMessage{}
	for name, text := range c.Param {
		raw := json.RawMessage(text)
		if !json.Valid(raw) {
			raw, _ = json.Marshal(text)
		}
		params[name] = raw
	}
	out, err := s.ask(c.Store, c.Query, params, c.Most)
	if err != nil {
		return err
	}
	return s.giveRows(out)
}

type snapshotCommand struct {
	Path string `arg:"" help:"The file to write; it must not be there yet."`
}

// Run writes a copy of the warehouse.
func (c snapshotCommand) Run(s *session, client warehouse) error {
	path, err := filepath.Abs(c.Path)
	if err != nil {
		return fault.New(fault.Invalid, "path: %w", err)
	}
	answer, err := client.Door(s.ctx, "/v1/snapshot", door.Path{Bundle: s.status.Bundle, Path: path})
	if err != nil {
		return err
	}
	_ = answer.Close()
	return s.done(writtenFile{path}, "%s is a copy that plain DuckDB opens", path)
}

// writtenFile is a file that a command wrote.
type writtenFile struct {
	Path string `json:"path"`
}

type quarantineCommand struct {
	List   quarantineListCommand   `cmd:"" default:"1" help:"Count refused rows by table and rule."`
	Show   quarantineShowCommand   `cmd:"" help:"Show the refused rows of a table."`
	Replay quarantineReplayCommand `cmd:"" help:"Send refused rows through today's contract again."`
}

type quarantineListCommand struct{}

// Run lists what lies in quarantine.
func (quarantineListCommand) Run(s *session, _ warehouse) error {
	tables, err := s.quarantines(project.Warehouse)
	if err != nil {
		return err
	}
	out := output.Table{Columns: []string{"table", "rule", "rows", "first example", "value"}}
	var values []map[string]any
	for _, t := range tables {
		q := t.Quarantine()
		counts, err := s.ask(t.Store, fmt.Sprintf(`SELECT rule, count(*) AS "rows", arg_min(file || ':' || line, (file, line)) AS example, arg_min(value, (file, line)) AS value
			FROM %s GROUP BY rule ORDER BY "rows" DESC, rule`, dialect.DuckDB.Table(q.Schema, q.Name)), nil, 0)
		if err != nil {
			return err
		}
		for i, row := range counts.Texts {
			out.Rows = append(out.Rows, append([]string{t.String()}, row...))
			counts.Values[i]["table"] = t.String()
			values = append(values, counts.Values[i])
		}
	}
	out.Values = values
	if len(out.Rows) == 0 && s.output == "table" {
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
	if _, err := s.connect(needs{worker: true}); err != nil {
		return err
	}
	if err := s.hasQuarantine(t); err != nil {
		return err
	}
	q := t.Quarantine()
	where, params := "", map[string]json.RawMessage{}
	if c.Rule != "" {
		where = " WHERE rule = $rule"
		params["rule"], _ = json.Marshal(c.Rule)
	}
	out, err := s.ask(t.Store, fmt.Sprintf("SELECT rule, field, value, reason, file, line, original FROM %s%s ORDER BY file, line, rule",
		dialect.DuckDB.Table(q.Schema, q.Name), where), params, c.Most)
	if err != nil {
		return err
	}
	return s.giveRows(out)
}

// hasQuarantine refuses a table of which nothing was ever put into quarantine.
func (s *session) hasQuarantine(t project.Table) error {
	tables, err := s.quarantines(t.Store)
	if err != nil {
		return err
	}
	var names []string
	for _, q := range tables {
		if q.Schema == t.Schema && q.Name == t.Name {
			return nil
		}
		names = append(names, q.String())
	}
	return fault.New(fault.NotFound, "nothing of %s was ever put into quarantine%s", t, problem.Suggest(t.String(), names))
}

// quarantines lists the tables of a store that have refused rows.
func (s *session) quarantines(store string) ([]project.Table, error) {
	found, err := s.ask(store, `SELECT table_schema, table_name FROM information_schema.tables
		WHERE right(table_name, 12) = '__quarantine' ORDER BY table_schema, table_name`, nil, 0)
	var out []project.Table
	for _, row := range found.Texts {
		out = append(out, project.Table{Store: store, Schema: row[0], Name: strings.TrimSuffix(row[1], "__quarantine")})
	}
	return out, err
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
	if _, err := s.connect(needs{worker: true}); err != nil {
		return err
	}
	r, err := s.client.Replay(s.ctx, api.ReplayRequest{Table: t.String(), Rule: c.Rule, By: me()})
	if err != nil {
		return err
	}
	if r.ID == "" {
		return s.done(r, "nothing of %s is in quarantine", t)
	}
	return s.finish(r.ID)
}

type digestCommand struct {
	Tables []string `arg:"" optional:"" help:"The tables; without them every one that the project keeps in a database, so no views."`
}

// tableDigest is one table's digest; a table that was not written yet has none.
type tableDigest struct {
	Table   string `json:"table"`
	Digest  string `json:"digest"`
	Rows    int64  `json:"rows"`
	Written bool   `json:"written"`
}

// Run prints digests.
func (c digestCommand) Run(s *session) error {
	p, err := s.project()
	if err != nil {
		return err
	}
	if len(c.Tables) == 0 {
		c.Tables = slices.DeleteFunc(p.Written(true), func(name string) bool { // files have no digest of rows
			return slices.ContainsFunc(p.Stores, func(s project.Store) bool { return s.Kind == "files" && strings.HasPrefix(name, s.Name+":") })
		}) // a view keeps no rows; its averages may differ in their last bit from one reading to the next
	}
	if _, err := s.connect(needs{worker: true}); err != nil {
		return err
	}
	out := output.Table{Columns: []string{"table", "digest", "rows"}}
	var values []tableDigest
	for _, name := range c.Tables {
		t, err := project.ParseTable(name)
		if err != nil {
			return err
		}
		d, err := answer.Through[door.Digest](s.ctx, s.client, "/v1/digest", door.Table{Bundle: s.status.Bundle, Table: t})
		switch known := p.Written(false); {
		case err == nil:
			values = append(values, tableDigest{t.String(), d.Digest, d.Rows, true})
			out.Rows = append(out.Rows, []string{t.String(), d.Digest, s.number(d.Rows)})
		case !fault.Is(err, fault.NotFound):
			return fmt.Errorf("%s: %w", t, err)
		case !slices.Contains(known, t.String()):
			return fault.New(fault.NotFound, "there is no table %s%s", t, problem.Suggest(t.String(), known))
		default:
			values = append(values, tableDigest{Table: t.String()})
			out.Rows = append(out.Rows, []string{t.String(), "not written yet", ""})
		}
	}
	out.Values = values
	return s.give(out)
}
