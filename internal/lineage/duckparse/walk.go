// Package duckparse reads SQL with DuckDB's own parser, in a child process.
//
// A text is parsed and never run: the parser is asked for the tree of the text,
// in an engine without files and without extensions, in a process that is killed
// when it hangs. A text that harms the parser harms one answer.
package duckparse

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/internal/core/project"
)

// harmless are the table functions that read nothing outside of the text.
var harmless = []string{"range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree", "values"}

// read makes a lineage of the parser's own description of a text.
func read(tree string) project.Lineage {
	var parsed struct {
		Error      bool             `json:"error"`
		Kind       string           `json:"error_type"`
		Message    string           `json:"error_message"`
		Position   string           `json:"position"`
		Statements []map[string]any `json:"statements"`
	}
	d := json.NewDecoder(strings.NewReader(tree))
	d.UseNumber() // places that are not known are 2^64-1
	if err := d.Decode(&parsed); err != nil {
		return refused(project.FaultParser, "the parser's answer cannot be read: "+err.Error(), -1)
	}
	if parsed.Error {
		at, err := strconv.Atoi(parsed.Position)
		if err != nil {
			at = -1
		}
		if parsed.Kind == "not implemented" {
			return refused(project.FaultSelect, "the text is not a SELECT", at)
		}
		return refused(project.FaultSyntax, parsed.Message, at)
	}
	if len(parsed.Statements) != 1 {
		return refused(project.FaultSelect, "the text holds "+strconv.Itoa(len(parsed.Statements))+" statements; a task is one SELECT", -1)
	}
	w := walker{params: map[string]bool{}}
	w.walk(parsed.Statements[0], nil)
	if w.fault != nil {
		return project.Lineage{Fault: w.fault}
	}
	out := project.Lineage{Tables: w.tables}
	for name := range w.params {
		out.Params = append(out.Params, name)
	}
	slices.Sort(out.Params)
	return out
}

func refused(kind project.FaultKind, message string, at int) project.Lineage {
	return project.Lineage{Fault: &project.LineageFault{Kind: kind, Message: message, Offset: at}}
}

type walker struct {
	tables []project.TableName
	params map[string]bool
	fault  *project.LineageFault
}

// walk goes through a tree with the names that WITH has introduced on the way.
func (w *walker) walk(v any, scope []string) {
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			w.walk(one, scope)
		}
	case map[string]any:
		w.node(v, scope)
	}
}

func (w *walker) node(n map[string]any, scope []string) {
	scope = w.with(n, scope)
	switch n["type"] {
	case "BASE_TABLE":
		w.table(n, scope)
	case "TABLE_FUNCTION":
		w.function(n)
	}
	if n["class"] == "PARAMETER" {
		if name, ok := n["identifier"].(string); ok {
			w.params[name] = true
		}
	}
	keys := make([]string, 0, len(n))
	for k := range n {
		if k != "cte_map" {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		w.walk(n[k], scope)
	}
}

// with walks the queries of a WITH clause, each of which sees those before it and
// itself, and returns the scope of what follows.
func (w *walker) with(n map[string]any, scope []string) []string {
	ctes, ok := n["cte_map"].(map[string]any)
	if !ok {
		return scope
	}
	list, _ := ctes["map"].([]any)
	for _, one := range list {
		entry, ok := one.(map[string]any)
		if !ok {
			continue
		}
		name, _ := entry["key"].(string)
		inner := append(slices.Clone(scope), strings.ToLower(name))
		w.walk(entry["value"], inner)
		scope = inner
	}
	return scope
}

func (w *walker) table(n map[string]any, scope []string) {
	text := func(key string) string { s, _ := n[key].(string); return s }
	t := project.TableName{Catalog: text("catalog_name"), Schema: text("schema_name"), Name: text("table_name"), Offset: place(n)}
	if t.Schema == "" && slices.Contains(scope, strings.ToLower(t.Name)) {
		return
	}
	w.tables = append(w.tables, t)
}

func (w *walker) function(n map[string]any) {
	call, _ := n["function"].(map[string]any)
	name, _ := call["function_name"].(string)
	if w.fault == nil && !slices.Contains(harmless, strings.ToLower(name)) {
		w.fault = &project.LineageFault{Kind: project.FaultFunction, Message: name + "() reads outside of the store", Offset: place(n)}
	}
}

func place(n map[string]any) int {
	number, ok := n["query_location"].(json.Number)
	if !ok {
		return -1
	}
	at, err := strconv.Atoi(number.String())
	if err != nil {
		return -1
	}
	return at
}
