// Package odcs reads contract files in the Open Data Contract Standard: it
// validates them with the standard's own JSON Schema, and turns them into the
// document that core/contract compiles.
//
// It guarantees that every complaint of the schema has the place in the file that
// it is about. What a contract means is not decided here.
//
// The schema (odcs-json-schema-v3.1.0.json) is that of the Bitol project, under
// the Apache License 2.0.
package odcs

import (
	"bytes"
	_ "embed"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/source/tree"
)

//go:embed odcs-json-schema-v3.1.0.json
var schemaText []byte

var compiled = sync.OnceValues(func() (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemaText))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("odcs.json", doc); err != nil {
		return nil, err
	}
	return c.Compile("odcs.json")
})

// Read validates a contract file and returns its document. The document holds
// what could be read even where there are problems.
func Read(n *tree.Node, file string) (contract.Document, problem.List) {
	if !n.Is(tree.Map) {
		at := problem.Place{File: file, Line: 1, Column: 1}
		return contract.Document{}, problem.List{problem.New(problem.BadContract, at, "begin with apiVersion: v3.1.0 and kind: DataContract", "the file holds no contract")}
	}
	if p, ok := version(n); !ok {
		return document(n), problem.List{p}
	}
	schema, err := compiled()
	if err != nil {
		return contract.Document{}, problem.List{problem.New(problem.BadContract, n.Place, "", "the standard's schema cannot be read: %s", err)}
	}
	var found problem.List
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(n.JSON()))
	if err != nil {
		return contract.Document{}, problem.List{problem.New(problem.BadContract, n.Place, "", "%s", err)}
	}
	if m, ok := instance.(map[string]any); ok && m["apiVersion"] != nil {
		m["apiVersion"] = "v3.1.0" // any patch of 3.0 and 3.1 is judged by this schema
	}
	if err := schema.Validate(instance); err != nil {
		if v, ok := err.(*jsonschema.ValidationError); ok { //nolint:errorlint // Validate returns it bare
			for _, leaf := range causes(leaves(v)) {
				found = append(found, complaint(n, leaf))
			}
		} else {
			found = append(found, problem.New(problem.BadContract, n.Place, "", "%s", err))
		}
	}
	return document(n), found
}

// version accepts 3.0.x and 3.1.x before the schema lists every version there is.
func version(n *tree.Node) (problem.Problem, bool) {
	v := n.Get("apiVersion")
	if v == nil {
		return problem.Problem{}, true // the schema says it
	}
	if v.Is(tree.Text) && (strings.HasPrefix(v.Text, "v3.0.") || strings.HasPrefix(v.Text, "v3.1.")) {
		return problem.Problem{}, true
	}
	return problem.New(problem.BadContract, v.Place, "write v3.1.0", "apiVersion %q is not supported; 3.0 and 3.1 are", v.Text), false
}

// leaves returns the complaints that say something: of alternatives, those of
// the one that came closest.
func leaves(v *jsonschema.ValidationError) []*jsonschema.ValidationError {
	if len(v.Causes) == 0 {
		return []*jsonschema.ValidationError{v}
	}
	switch v.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf:
		return closest(v.Causes)
	}
	var out []*jsonschema.ValidationError
	for _, c := range v.Causes {
		out = append(out, leaves(c)...)
	}
	return out
}

// keys are the names that the standard gives a meaning anywhere.
var keys = sync.OnceValue(func() []string {
	found := map[string]bool{}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if properties, ok := v["properties"].(map[string]any); ok {
				for name := range properties {
					found[name] = true
				}
			}
			for _, one := range v {
				walk(one)
			}
		case []any:
			for _, one := range v {
				walk(one)
			}
		}
	}
	if doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemaText)); err == nil {
		walk(doc)
	}
	return slices.Sorted(maps.Keys(found))
})

// causes leaves out what only follows: where one key of an object is wrong, the
// schema counts none of its keys as looked at, and refuses each.
func causes(all []*jsonschema.ValidationError) []*jsonschema.ValidationError {
	var out []*jsonschema.ValidationError
	for _, l := range all {
		if _, refused := l.ErrorKind.(*kind.FalseSchema); refused && len(l.InstanceLocation) > 0 {
			if _, known := slices.BinarySearch(keys(), l.InstanceLocation[len(l.InstanceLocation)-1]); known {
				continue
			}
		}
		out = append(out, l)
	}
	if len(out) == 0 {
		return all
	}
	return out
}

func closest(alternatives []*jsonschema.ValidationError) []*jsonschema.ValidationError {
	var best []*jsonschema.ValidationError
	bestDepth := -1
	for _, a := range alternatives {
		got := leaves(a)
		depth := 0
		for _, l := range got {
			depth = max(depth, len(l.InstanceLocation))
		}
		if depth > bestDepth || depth == bestDepth && len(got) < len(best) {
			best, bestDepth = got, depth
		}
	}
	return best
}

func complaint(root *tree.Node, v *jsonschema.ValidationError) problem.Problem {
	at, path := root.Place, "the contract"
	node := root
	for i, step := range v.InstanceLocation {
		switch {
		case node.Is(tree.List):
			index, err := strconv.Atoi(step)
			if err != nil || index >= len(node.Items) {
				node = nil
				break
			}
			node = node.Items[index]
		default:
			node = node.Get(step)
		}
		if node == nil {
			break
		}
		at = node.Place
		if i == len(v.InstanceLocation)-1 {
			path = strings.Join(v.InstanceLocation, ".")
		}
	}
	const ours = "keys of our own stand in customProperties as tidemill.NAME"
	text, remedy := v.ErrorKind.LocalizedString(message.NewPrinter(language.English)), ""
	switch k := v.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		if node != nil && len(k.Properties) > 0 {
			slices.Sort(k.Properties)
			if e, ok := node.Entry(k.Properties[0]); ok {
				at = e.Place
			}
			remedy = meant(k.Properties[0], keys(), ours)
		}
	case *kind.FalseSchema:
		text = "the standard has no such key here"
		if n := len(v.InstanceLocation); n > 0 {
			remedy = meant(v.InstanceLocation[n-1], keys(), ours)
		}
	case *kind.Enum:
		var names []string
		for _, want := range k.Want {
			if name, ok := want.(string); ok {
				names = append(names, name)
			}
		}
		if got, ok := k.Got.(string); ok {
			remedy = meant(got, names, "")
		}
	}
	return problem.New(problem.BadContract, at, remedy, "%s: %s", path, text)
}

// meant asks for the nearest word, if one is near.
func meant(word string, candidates []string, otherwise string) string {
	if near := problem.Nearest(word, candidates); near != "" {
		return "did you mean " + near + "?"
	}
	return otherwise
}

// TableNames returns the tables that a text, readable or not, seems to bind.
func TableNames(text []byte) []string {
	var out []string
	for line := range strings.Lines(string(text)) {
		_, after, ok := strings.Cut(line, "physicalName:")
		if !ok {
			continue
		}
		name := strings.Trim(strings.TrimSpace(after), `"'},`)
		name, _, _ = strings.Cut(name, " ")
		name = strings.Trim(name, `"'},`)
		if strings.Contains(name, ".") {
			out = append(out, name)
		}
	}
	return out
}

// str returns a text; other scalars as they were written.
func str(n *tree.Node) string {
	if n == nil || n.Kind == tree.List || n.Kind == tree.Map || n.Kind == tree.Null {
		return ""
	}
	return n.Text
}

func flag(n *tree.Node) bool { return n.Is(tree.Bool) && n.Value() == true }

func count(n *tree.Node) *int64 {
	if !n.Is(tree.Number) {
		return nil
	}
	switch v := n.Value().(type) {
	case int64:
		return &v
	case uint64:
		w := int64(min(v, 1<<62))
		return &w
	case float64:
		if w := int64(v); float64(w) == v {
			return &w
		}
	}
	return nil
}

func items(n *tree.Node) []*tree.Node {
	if !n.Is(tree.List) {
		return nil
	}
	return n.Items
}

// value is what contract takes: uint64 only where int64 does not hold it.
func value(n *tree.Node) any { return plain(n.Value()) }

func plain(v any) any {
	switch v := v.(type) {
	case uint64:
		if v < 1<<63 {
			return int64(v)
		}
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = plain(v[k])
		}
	}
	return v
}
