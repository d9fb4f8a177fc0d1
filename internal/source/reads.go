package source

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/source/file"
	"github.com/tidemill/tidemill/internal/source/form"
)

// query is a text of SQL with the way from its bytes to places in the file.
type query struct {
	text         string
	placeholders []string
	answers      map[string]project.Lineage
	at           func(offset int) problem.Place
}

func (f *entry) query(t form.Text) query {
	return query{t.V, dialect.Statement{SQL: t.V}.Placeholders(), f.answers, func(offset int) problem.Place { return t.Node.At(offset) }}
}

func queryOfFile(f *entry) query {
	text := f.parsed.Task.SQL
	return query{text, f.parsed.Task.Placeholders, f.answers, func(offset int) problem.Place {
		before := text[:min(max(offset, 0), len(text))]
		return problem.Place{
			File: f.Path, Line: strings.Count(before, "\n") + 1,
			Column: utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1,
		}
	}}
}

// systemSchemas hold what an engine says of itself.
var systemSchemas = []string{"information_schema", "pg_catalog"}

// parsedSQL returns the tables of a query that runs in a store, and what is
// wrong with it. It reports params that nobody declared. Declared says that
// reads: names the tables, so that another engine's SQL need not be readable.
func (v *version) parsedSQL(q query, store string, params []project.Param, declared bool) ([]found, problem.List) {
	var out []found
	var bad problem.List
	for _, name := range q.placeholders {
		if one := unknownPlaceholder(q, name, params); one != nil {
			bad = append(bad, *one)
		}
	}
	answer, ok := q.answers[q.text]
	if !ok {
		return nil, bad
	}
	if f := answer.Fault; f != nil {
		foreign := v.kind(store).Name != "duckdb"
		if foreign && declared {
			return nil, bad
		}
		at := q.at(max(f.Offset, 0))
		if f.Offset < 0 {
			at = q.at(file.CodeStart(q.text))
		}
		remedy := ""
		if foreign {
			remedy = "declare reads: in the header, since the parser does not know this engine's SQL"
		}
		switch f.Kind {
		case project.FaultSelect:
			bad = append(bad, problem.New(problem.NotASelect, at, "write one SELECT", "%s", f.Message))
		case project.FaultFunction:
			bad = append(bad, problem.New(problem.OutsideFunction, at, "load the data with a move and read its table", "%s", f.Message))
		case project.FaultSyntax, project.FaultParser:
			bad = append(bad, problem.New(problem.BadSQL, at, remedy, "%s", f.Message))
		}
		return nil, bad
	}
	for _, t := range answer.Tables {
		at := q.at(t.Offset)
		switch {
		case slices.Contains(systemSchemas, strings.ToLower(t.Schema)):
		case t.Catalog != "":
			bad = append(bad, problem.New(problem.BadTable, at, "write schema.name; rows of another store come with a move", "%s.%s.%s names a database: SQL reads the store that it runs in", t.Catalog, t.Schema, t.Name))
		default:
			text := t.Name
			if t.Schema != "" {
				text = t.Schema + "." + t.Name
			}
			table, one := v.tableOf(store+":"+text, at)
			if one != nil {
				bad = append(bad, problem.New(problem.BadTable, at, "write schema.name", "%q is not a table name", text))
				continue
			}
			out = append(out, found{table, at})
		}
	}
	return out, bad
}

// unknownPlaceholder reports a $name that a run would not bind.
func unknownPlaceholder(q query, name string, params []project.Param) *problem.Problem {
	if name == "window_start" || name == "window_end" {
		return nil
	}
	var known []string
	for _, p := range params {
		known = append(known, "param_"+p.Name)
	}
	if slices.Contains(known, name) {
		return nil
	}
	at := q.at(max(strings.Index(q.text, "$"+name), 0))
	known = append(known, "window_start", "window_end")
	p := problem.New(problem.UnknownParam, at, suggest(name, known, "declare it under params: as NAME and write $param_NAME"), "nothing is bound to $%s", name)
	return &p
}

// buildReads settles what a task reads.
func (v *version) buildReads(t *task) {
	if t.unread {
		return
	}
	in := &t.parsed.Task
	declared := map[string]bool{} // tables under reads:
	for _, r := range in.Common.Reads {
		v.declaredRead(t, r, declared)
	}
	store := project.Warehouse
	if len(t.out.Writes) > 0 {
		store = t.out.Writes[0].Table.Store
	}
	switch in.Kind {
	case project.KindSQL:
		v.variant(t, store)
		tables, bad := v.parsedSQL(queryOfFile(t.file), store, t.out.Params, len(in.Common.Reads) > 0)
		v.queryReads(t, tables, bad, declared)
		v.viewParams(t)
	case project.KindCheck:
		v.addRead(t, found{t.out.Check.Table, in.Check.Table.Place}, readOptions{})
		for _, r := range in.Check.Rules {
			if r.Query.Given && !t.out.Check.Table.IsZero() {
				tables, bad := v.parsedSQL(t.file.query(r.Query), t.out.Check.Table.Store, t.out.Params, len(in.Common.Reads) > 0)
				v.queryReads(t, tables, bad, declared)
			}
		}
	case project.KindMove:
		if !t.out.Move.FromTable.IsZero() {
			v.addRead(t, found{t.out.Move.FromTable, in.Move.From.Place}, readOptions{})
		}
		if in.Move.Query.Given {
			q := t.file.query(in.Move.Query)
			for _, name := range q.placeholders {
				if one := unknownPlaceholder(q, name, t.out.Params); one != nil {
					v.fail([]string{t.pipeline.name}, *one)
				}
			}
		}
	case project.KindPython, project.KindCommand:
	}
}

func (v *version) queryReads(t *task, tables []found, bad problem.List, declared map[string]bool) {
	v.fail([]string{t.pipeline.name}, bad...)
	for _, f := range tables {
		if !declared[tableKey(f.table)] {
			v.addRead(t, f, readOptions{})
		}
	}
}

// variant takes the text for the target's engine where there is one.
func (v *version) variant(t *task, store string) {
	if f := t.variants[v.kind(store).Name]; f != nil {
		_, bad := file.SQLSettings(f.Path, string(f.Data))
		v.fail([]string{t.pipeline.name}, bad...)
		t.out.SQL.Text = file.Statement(string(f.Data))
		t.out.File = f.Path
	}
}

// viewParams refuses a view that depends on a run.
func (v *version) viewParams(t *task) {
	if len(t.out.Writes) == 0 || t.out.Writes[0].Mode != project.ModeView {
		return
	}
	q := queryOfFile(t.file)
	for _, name := range q.placeholders {
		at := q.at(max(strings.Index(q.text, "$"+name), 0))
		t.fail(v, problem.BadValue, at, "choose another mode, or write the view without it", "a view is there between runs and cannot depend on $%s", name)
	}
}

func (v *version) declaredRead(t *task, r file.Read, declared map[string]bool) {
	if !r.Table.Given {
		return
	}
	options := readOptions{noWait: r.Wait.V == "none", declared: true}
	if name, ok := strings.CutPrefix(r.Table.V, setPrefix); ok {
		v.readSet(t, name, r.Table.Place, options)
		return
	}
	if name, ok := strings.CutPrefix(r.Table.V, modelPrefix); ok {
		v.readModel(t, name, r.Table.Place, options)
		return
	}
	if table, ok := v.table(t, r.Table); ok {
		declared[tableKey(table)] = true
		v.addRead(t, found{table, r.Table.Place}, options)
	}
}

func (v *version) readModel(t *task, text string, at problem.Place, options readOptions) {
	name, alias, aliased := strings.Cut(text, "@")
	switch {
	case aliased && !form.IsName(alias):
		t.fail(v, problem.BadName, at, "write model:NAME@ALIAS", "%q cannot be an alias", alias)
		return
	case len(v.models[name]) == 0 && !v.mentioned(modelPrefix+name):
		t.fail(v, problem.UnknownModel, at, suggest(name, slices.Sorted(maps.Keys(v.models)), "write it with a Python task: writes = [\"model:"+name+"\"]"), "nobody trains the model %q", name)
		return
	}
	one := read{Read: project.Read{Model: name, Alias: alias, Place: at}, loose: options.noWait}
	if w := v.models[name]; len(w) > 0 {
		one.Producer = w[0].id
	}
	t.reads = append(t.reads, one)
}

type readOptions struct {
	noWait   bool
	feature  bool
	label    bool
	declared bool
}

// addRead adds a table to what a task reads, once.
func (v *version) addRead(t *task, f found, o readOptions) {
	if f.table.IsZero() {
		return
	}
	one := read{Read: project.Read{Table: f.table, Feature: o.feature, Place: f.place}, loose: o.noWait}
	writer, known := v.producer(f.table)
	switch {
	case writer != nil:
		one.Producer = writer.id
		one.Table = f.table
		for _, w := range writer.out.Writes {
			if tableKey(w.Table) == tableKey(f.table) {
				one.Table = w.Table // in the writer's spelling
			}
		}
		one.Wait = writer.pipeline != t.pipeline && !o.noWait && !o.label
	case v.external(f.table):
		one.External = true
	case !known:
		t.fail(v, problem.UnknownTable, f.place, v.tableRemedy(f.table), "no task writes %s", f.table)
		return
	}
	for i := range t.reads {
		r := &t.reads[i]
		if r.Table == one.Table && r.Feature == one.Feature {
			r.Wait = r.Wait || one.Wait
			r.loose = r.loose && one.loose
			return
		}
	}
	t.reads = append(t.reads, one)
}

// producer returns the task that writes a table, or the table that a reserved
// name belongs to. Known is true also where a file that cannot be read names it.
func (v *version) producer(table project.Table) (writer *task, known bool) {
	if w := v.writers[tableKey(table)]; len(w) > 0 {
		return w[0], true
	}
	for _, suffix := range reservedSuffixes {
		base := table
		if name, ok := strings.CutSuffix(strings.ToLower(table.Name), suffix); ok {
			base.Name = table.Name[:len(name)]
			if w := v.writers[tableKey(base)]; len(w) > 0 {
				return w[0], true
			}
		}
	}
	return nil, v.mentioned(table.String())
}

// mentioned reports whether a task file that cannot be read names something: its
// fault must not make faults of others.
func (v *version) mentioned(text string) bool {
	text = strings.ToLower(text)
	for _, p := range v.pipelines {
		for _, t := range p.tasks {
			if !t.unread {
				continue
			}
			if strings.ToLower(t.pipeline.name+"."+t.parsed.Name) == text || strings.Contains(strings.ToLower(string(t.file.Data)), text) {
				return true
			}
		}
	}
	return false
}

func (v *version) tableRemedy(table project.Table) string {
	store := v.stores[table.Store]
	if store == nil {
		return ""
	}
	otherwise := "write it with a task, or let external: of the store " + cmp.Or(store.Name, project.Warehouse) + " match it"
	return suggest(table.String(), v.tables(), otherwise)
}
