package duckparse

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/internal/core/project"
)

// tree is what the parser answers.
type tree struct {
	Error      bool   `json:"error"`
	Type       string `json:"error_type"`
	Message    string `json:"error_message"`
	Position   string `json:"position"`
	Statements []struct {
		Node   map[string]any `json:"node"`
		Params []struct {
			Key string `json:"key"`
		} `json:"named_param_map"`
	} `json:"statements"`
}

// read turns the parser's tree into tables.
func read(text, answer string) project.Lineage {
	var t tree
	if err := json.Unmarshal([]byte(answer), &t); err != nil {
		return bad(project.FaultParser, -1, "the parser's answer cannot be read: %s", err)
	}
	switch {
	case t.Error && t.Type == "not implemented":
		return bad(project.FaultSelect, -1, "the text is not a SELECT")
	case t.Error:
		at, err := strconv.Atoi(t.Position)
		if err != nil || at < 0 || at > len(text) {
			at = -1
		}
		return bad(project.FaultSyntax, at, "%s", firstLine(t.Message))
	case len(t.Statements) != 1:
		return bad(project.FaultSelect, -1, "the text holds %d statements; a task is one SELECT", len(t.Statements))
	}
	w := &walker{text: text}
	w.node(t.Statements[0].Node, nil)
	if w.fault != nil {
		return project.Lineage{Fault: w.fault}
	}
	out := project.Lineage{Tables: w.tables}
	for _, p := range t.Statements[0].Params {
		out.Params = append(out.Params, p.Key)
	}
	slices.Sort(out.Params)
	slices.SortStableFunc(out.Tables, func(a, b project.TableName) int { return a.Offset - b.Offset })
	return out
}

// harmless are table functions that make rows of their arguments alone.
var harmless = []string{
	"generate_series", "generate_subscripts", "json_each", "json_tree", "range", "repeat", "repeat_row", "unnest",
}

type walker struct {
	text   string
	tables []project.TableName
	fault  *project.LineageFault
}

// scope are the names that WITH gives, in lower case.
type scope struct {
	name  string
	outer *scope
}

func (s *scope) has(name string) bool {
	for ; s != nil; s = s.outer {
		if s.name == name {
			return true
		}
	}
	return false
}

func (w *walker) node(n map[string]any, names *scope) {
	switch n["type"] {
	case "BASE_TABLE":
		w.table(n, names)
	case "TABLE_FUNCTION":
		w.function(n)
	case "RECURSIVE_CTE_NODE":
		names = &scope{strings.ToLower(text(n, "cte_name")), names}
	}
	// The names of WITH are seen by what stands behind them, and by the query itself.
	if ctes, ok := n["cte_map"].(map[string]any); ok {
		list, _ := ctes["map"].([]any)
		for _, one := range list {
			cte, _ := one.(map[string]any)
			w.value(cte["value"], names)
			names = &scope{strings.ToLower(text(cte, "key")), names}
		}
	}
	for key, v := range n {
		if key != "cte_map" {
			w.value(v, names)
		}
	}
}

func (w *walker) value(v any, names *scope) {
	switch v := v.(type) {
	case map[string]any:
		w.node(v, names)
	case []any:
		for _, one := range v {
			w.value(one, names)
		}
	}
}

func text(n map[string]any, key string) string {
	s, _ := n[key].(string)
	return s
}

// at is the place of a node, or -1.
func (w *walker) at(n map[string]any) int {
	at, ok := n["query_location"].(float64)
	if !ok || at < 0 || at > float64(len(w.text)) {
		return -1
	}
	return int(at)
}

func (w *walker) table(n map[string]any, names *scope) {
	t := project.TableName{
		Catalog: text(n, "catalog_name"), Schema: text(n, "schema_name"), Name: text(n, "table_name"), Offset: w.at(n),
	}
	if t.Schema == "" && t.Catalog == "" && names.has(strings.ToLower(t.Name)) {
		return
	}
	w.tables = append(w.tables, t)
}

func (w *walker) function(n map[string]any) {
	f, _ := n["function"].(map[string]any)
	name := strings.ToLower(text(f, "function_name"))
	if slices.Contains(harmless, name) || w.fault != nil && w.fault.Offset <= w.at(n) {
		return
	}
	w.fault = &project.LineageFault{
		Kind: project.FaultFunction, Offset: w.at(n),
		Message: name + "() reads outside of the store",
	}
}
