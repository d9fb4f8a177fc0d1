package source

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/source/file"
	"github.com/tidemill/tidemill/internal/source/form"
)

func (s *set) bad(code problem.Code, at problem.Place, remedy, format string, args ...any) {
	s.found = append(s.found, problem.New(code, at, remedy, format, args...))
}

// buildSets settles the feature sets.
func (v *version) buildSets() {
	for _, name := range slices.Sorted(maps.Keys(v.sets)) {
		s := v.sets[name]
		if !form.IsName(name) {
			s.bad(problem.BadName, problem.Place{File: s.file.Path}, "rename the file: a-z, 0-9 and _, beginning with a letter", "%q cannot be a feature set's name", name)
		}
		if !s.parsed.Unread {
			v.buildSet(s)
		}
	}
}

func (v *version) buildSet(s *set) {
	in := &s.parsed.Set
	var bad problem.List
	s.out.Params, bad = file.Params(in.Params)
	s.found = append(s.found, bad...)
	s.out.Spine, s.out.Key, s.out.At = file.Statement(in.Spine.V), texts(in.Key), in.At.V
	s.out.Place = problem.Place{File: s.file.Path, Line: 1, Column: 1}
	if in.Spine.Given {
		s.spine, bad = v.parsedSQL(s.file.query(in.Spine), project.Warehouse, s.out.Params, false)
		s.found = append(s.found, bad...)
	}
	if l := in.Label; l != nil {
		s.out.Label = &project.Label{SQL: file.Statement(l.SQL.V), Column: l.Column.V, KnownAt: l.KnownAt.V}
		if l.SQL.Given {
			s.label, bad = v.parsedSQL(s.file.query(l.SQL), project.Warehouse, s.out.Params, false)
			s.found = append(s.found, bad...)
		}
	}
	for _, f := range slices.Concat(s.spine, s.label) {
		v.setTable(s, f)
		if !slices.Contains(s.out.Reads, f.table) {
			s.out.Reads = append(s.out.Reads, f.table)
		}
	}
	columns := map[string]problem.Place{}
	for i := range in.Features {
		v.buildFeature(s, &in.Features[i], columns)
	}
}

// setTable checks that somebody writes a table.
func (v *version) setTable(s *set, f found) {
	writer, known := v.producer(f.table)
	if writer == nil && !known && !v.external(f.table) {
		s.bad(problem.UnknownTable, f.place, v.tableRemedy(f.table), "no task writes %s", f.table)
	}
}

func (v *version) buildFeature(s *set, in *file.SetFeature, columns map[string]problem.Place) {
	out := project.Feature{TTL: in.TTL.V, Place: in.Place}
	column := func(name string, at problem.Place) {
		if first, twice := columns[name]; twice {
			p := problem.New(problem.DuplicateKey, at, "take one of them under another name", "the set has two columns %q", name)
			p.Related = []problem.Note{{Place: first, Message: "the other one"}}
			s.found = append(s.found, p)
		}
		columns[name] = at
	}
	switch {
	case in.Table.Given == in.Expr.Given:
		s.bad(problem.MissingKey, in.Place, "write {table, on, take} or {expr, as}", "a feature takes either a table or an expr")
		return
	case in.Expr.Given:
		if !in.As.Given {
			s.bad(problem.MissingKey, in.Place, "add as: NAME", "the expression has no name")
		}
		if in.On != nil || in.Take != nil || in.TTL.Given || in.Default != nil {
			s.bad(problem.BadSetting, in.Place, "remove it", "on, take, ttl and default have no meaning beside expr")
		}
		out.Expr, out.As = in.Expr.V, in.As.V
		column(in.As.V, in.As.Place)
		v.expression(s, in.Expr)
		s.out.Features = append(s.out.Features, out)
		return
	}
	table, one := v.tableOf(in.Table.V, in.Table.Place)
	if one != nil {
		s.found = append(s.found, *one)
		return
	}
	out.Table, out.On, out.Take = table, texts(in.On), texts(in.Take)
	if len(in.On) == 0 || len(in.Take) == 0 {
		s.bad(problem.MissingKey, in.Place, "add on: [KEY] and take: [COLUMN]", "the feature does not say what to take, or by which key")
	}
	for _, c := range in.Take {
		column(c.V, c.Place)
	}
	for _, d := range in.Default {
		if !slices.Contains(out.Take, d.Key.V) {
			s.bad(problem.UnknownColumn, d.Key.Place, suggest(d.Key.V, out.Take, "name a column that is taken"), "the default is for %q, which is not taken", d.Key.V)
		}
		if file.TypeOf(d.Item) == "" {
			s.bad(problem.WrongType, d.Item.Place, "write a number, a text, true or false", "the default of %s cannot be a %s", d.Key.V, d.Item.Kind)
		}
		if out.Default == nil {
			out.Default = map[string]json.RawMessage{}
		}
		out.Default[d.Key.V] = d.Item.JSON()
	}
	v.featureTable(s, in, table)
	s.out.Features = append(s.out.Features, out)
}

// featureTable checks that a table is a feature table, and that on: names its keys.
func (v *version) featureTable(s *set, in *file.SetFeature, table project.Table) {
	v.setTable(s, found{table, in.Table.Place})
	writer, _ := v.producer(table)
	if writer == nil {
		return
	}
	for _, w := range writer.out.Writes {
		if tableKey(w.Table) != tableKey(table) {
			continue
		}
		if w.Mode != project.ModeFeature {
			s.bad(problem.BadValue, in.Table.Place, "add feature: {keys, event_time} to the task "+writer.id, "%s is no feature table: nobody could say what of it was known when", table)
			return
		}
		for _, on := range in.On {
			if !slices.Contains(w.Keys, on.V) {
				s.bad(problem.UnknownColumn, on.Place, suggest(on.V, w.Keys, "its keys are "+strings.Join(w.Keys, ", ")), "%q is no key of %s", on.V, table)
			}
		}
		if len(in.On) > 0 && len(in.On) < len(w.Keys) {
			s.bad(problem.BadValue, in.Place, "its keys are "+strings.Join(w.Keys, ", "), "on: names %d of the %d keys of %s", len(in.On), len(w.Keys), table)
		}
		b, ok := v.contract(table)
		for _, c := range in.Take {
			if ok && b.table != nil && b.table.Index(c.V) < 0 && b.table.ExtraColumns != "add" {
				s.bad(problem.UnknownColumn, c.Place, suggest(c.V, b.table.Schema().Names(), ""), "the contract of %s has no column %q", table, c.V)
			}
		}
	}
}

// expression checks that an SQL expression is one.
func (v *version) expression(s *set, text form.Text) {
	q := query{file.ExprPrefix + text.V + file.ExprSuffix, dialect.Statement{SQL: text.V}.Placeholders(), s.file.answers, func(offset int) problem.Place { return text.Node.At(offset - len(file.ExprPrefix)) }}
	tables, bad := v.parsedSQL(q, project.Warehouse, s.out.Params, false)
	s.found = append(s.found, bad...)
	if len(tables) > 0 {
		s.bad(problem.BadValue, tables[0].place, "join it in the spine", "an expression sees the spine alone and reads no table")
	}
}

// readSet adds a set and its tables to what a task reads.
func (v *version) readSet(t *task, name string, at problem.Place, o readOptions) {
	s := v.sets[name]
	if s == nil {
		t.fail(v, problem.UnknownSet, at, suggest(name, slices.Sorted(maps.Keys(v.sets)), "write it as features/"+name+".yaml"), "there is no feature set %q", name)
		return
	}
	v.mu.Lock()
	s.users = append(s.users, t.pipeline.name)
	v.mu.Unlock()
	t.reads = append(t.reads, read{Read: project.Read{Set: name, Place: at}, loose: o.noWait})
	add := func(f found, options readOptions) {
		writer, known := v.producer(f.table)
		if writer != nil || known || v.external(f.table) { // else it is the set's own problem
			v.addRead(t, f, options)
		}
	}
	for _, f := range s.spine {
		add(f, readOptions{noWait: o.noWait})
	}
	for _, f := range s.out.Features {
		if !f.Table.IsZero() {
			add(found{f.Table, f.Place}, readOptions{noWait: o.noWait, feature: true})
		}
	}
	for _, f := range s.label {
		add(f, readOptions{noWait: o.noWait, label: true})
	}
}

// setProblems says whom the problems of feature sets disable: who reads them.
func (v *version) setProblems() {
	for _, name := range slices.Sorted(maps.Keys(v.sets)) {
		s := v.sets[name]
		slices.Sort(s.users)
		v.fail(slices.Compact(s.users), s.found...)
	}
}
