package source

import (
	"maps"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/source/file"
	"github.com/tidemill/tidemill/internal/source/form"
)

func (v *version) buildMove(t *task) {
	m := t.parsed.Task.Move
	out := &project.Move{Place: m.Place, Query: file.Statement(m.Query.V)}
	t.out.Move = out
	out.Format = v.format(t, &m.Format)
	out.Missing = v.missing(t, m)
	if !m.From.Given {
		return
	}
	store, rest, ok := cutStore(m.From.V)
	if !ok && strings.ContainsAny(m.From.V, "/{*") {
		t.fail(v, problem.UnknownStore, m.From.Place, "write STORE:PATH", "from names no store")
		return
	}
	if !ok && !m.Query.Given {
		store, rest = project.Warehouse, m.From.V
	}
	if v.stores[store] == nil {
		t.fail(v, problem.UnknownStore, m.From.Place, suggest(store, slices.Sorted(maps.Keys(v.stores)), "write STORE:PATH, or STORE:schema.name of a table"), "unknown store %q", store)
		return
	}
	out.FromStore, out.From = store, rest
	kind := v.kind(store)
	switch {
	case m.Query.Given:
		if !kind.SQL && kind.Name != "" {
			t.fail(v, problem.BadSetting, m.Query.Place, "name files instead", "the store %s answers no queries", store)
		}
		if rest != "" {
			t.fail(v, problem.BadSetting, m.From.Place, "write the store's name alone", "from names %q beside a query", rest)
		}
	case kind.Files:
		v.sourcePath(t, m.From, rest)
	default:
		table, one := v.tableOf(store+":"+rest, m.From.Place)
		if one != nil {
			v.fail([]string{t.pipeline.name}, *one)
			return
		}
		out.FromTable = table
		if m.Format.Given {
			t.fail(v, problem.BadSetting, m.Format.Place, "remove it", "format has no meaning for a table")
		}
	}
}

// cutStore parts STORE:REST. A colon inside of braces is a format's.
func cutStore(text string) (store, rest string, ok bool) {
	store, rest, ok = strings.Cut(text, ":")
	if !ok {
		return text, "", form.IsName(text)
	}
	if !form.IsName(store) {
		return "", text, false
	}
	return store, rest, true
}

// sourcePath checks a path below the store's folder. It may turn out to be a
// table of the store that a task writes: see sourceTable.
func (v *version) sourcePath(t *task, from form.Text, rest string) {
	switch {
	case rest == "":
		t.fail(v, problem.BadValue, from.Place, "write STORE:PATH", "from names no file")
	case strings.HasPrefix(rest, "/"), slices.Contains(strings.Split(rest, "/"), ".."):
		t.fail(v, problem.BadPath, from.Place, "write a path below the store's folder", "%q leaves the store's folder", rest)
	}
}

// sourceTable turns the path of a files store into its table where a task writes that.
func (v *version) sourceTable(t *task) {
	m := t.out.Move
	if m == nil || !m.FromTable.IsZero() || m.From == "" || !v.kind(m.FromStore).Files {
		return
	}
	table, err := project.ParseTable(m.FromStore + ":" + m.From)
	if err == nil && len(v.writers[tableKey(table)]) > 0 {
		m.FromTable = table
	}
}

func (v *version) missing(t *task, m *file.Move) project.Missing {
	out := project.Missing{Policy: "fail"}
	in := &m.Missing
	if in.Policy.Given {
		out.Policy = in.Policy.V
	} else if !in.Wait.Given {
		t.origin("policy", project.Origin{Level: "default"})
	}
	switch {
	case in.Wait.Given && (!in.Policy.Given || in.Policy.V == "wait"):
		out.Policy, out.Wait = "wait", in.Wait.V
	case in.Wait.Given:
		t.fail(v, problem.BadSetting, in.Wait.Place, "keep one of them", "wait has no meaning with policy %s", in.Policy.V)
	case out.Policy == "wait":
		t.fail(v, problem.MissingKey, in.Place, "write {wait: 3h}", "missing does not say how long to wait")
	}
	return out
}

func (v *version) format(t *task, f *file.Format) project.Format {
	out := project.Format{Kind: f.Kind.V, Compression: f.Compression.V}
	kinds := []string{}
	if f.Kind.Given {
		kinds = append(kinds, f.Kind.V)
	}
	for _, one := range []struct {
		name string
		is   bool
	}{{"csv", f.CSV != nil}, {"json", f.JSON != nil}, {"parquet", f.Parquet != nil}} {
		if one.is && !slices.Contains(kinds, one.name) {
			kinds = append(kinds, one.name)
		}
	}
	if len(kinds) > 1 {
		t.fail(v, problem.BadValue, f.Place, "keep one of them", "the format is both %s and %s", kinds[0], kinds[1])
		return out
	}
	if len(kinds) == 1 {
		out.Kind = kinds[0]
	}
	if f.CSV != nil {
		out.CSV = v.csv(t, f.CSV)
	}
	return out
}

func (v *version) csv(t *task, c *file.CSV) project.CSVFormat {
	out := project.CSVFormat{
		Delimiter: c.Delimiter.V, Quote: c.Quote.V, Escape: c.Escape.V, Encoding: c.Encoding.V, Skip: int(c.Skip.V),
		Nulls: texts(c.Nulls), Columns: texts(c.Columns),
	}
	if c.Header.Given {
		header := c.Header.V
		out.Header = &header
	}
	marks := map[string]form.Text{"delimiter": c.Delimiter, "quote": c.Quote, "escape": c.Escape}
	if _, key, err := out.Marks(); err != nil {
		t.fail(v, problem.BadValue, marks[key].Place, `write one character, such as ";" or "\t"`, "%s: %s", key, err)
	}
	if c.Quote.Given && c.Quote.V == "" {
		t.fail(v, problem.BadValue, c.Quote.Place, "write none where the file has no quotes", "quote: it is empty")
	}
	return out
}
