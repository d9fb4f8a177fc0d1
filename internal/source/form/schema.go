package form

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// Schemas collects the JSON Schema of declarations, each once, by name.
type Schemas struct {
	defs  map[string]any
	names map[reflect.Type]string
}

// Object is a JSON object of a schema; encoding/json sorts its keys.
type Object = map[string]any

// patterns of texts that are more than texts.
var textPatterns = map[string]string{
	"name":  `^[a-z][a-z0-9_]{0,62}$`,
	"table": `^([a-z][a-z0-9_]{0,62}:)?[A-Za-z_][A-Za-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*$`,
}

const durationPattern = `^([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$`

// Add adds the declaration of T and returns the reference to it.
func Add[T any](s *Schemas, name string) Object {
	if s.defs == nil {
		s.defs, s.names = Object{}, map[reflect.Type]string{}
	}
	return s.ref(reflect.TypeFor[T](), name)
}

// Definitions returns what was collected, by name.
func (s *Schemas) Definitions() Object { return s.defs }

func (s *Schemas) ref(t reflect.Type, name string) Object {
	if known, ok := s.names[t]; ok {
		return Object{"$ref": "#/$defs/" + known}
	}
	s.names[t] = name
	s.defs[name] = s.object(t)
	return Object{"$ref": "#/$defs/" + name}
}

func (s *Schemas) object(t reflect.Type) Object {
	shape := shapeOf(t)
	properties, required := Object{}, []string{}
	var rest any = false
	var short Object
	for i := range shape.fields {
		f := &shape.fields[i]
		one := s.field(f)
		if i == shape.short {
			short = s.field(f)
		}
		if i == shape.rest {
			rest = s.entry(f)
			continue
		}
		properties[f.key] = one
		if f.requiredOf("") {
			required = append(required, f.key)
		}
	}
	out := Object{"type": "object", "properties": properties, "additionalProperties": rest}
	if len(required) > 0 {
		out["required"] = required
	}
	if kinds := shape.kinds(); len(kinds) > 0 {
		out["allOf"] = shape.perKind(kinds)
	}
	if short != nil {
		return Object{"anyOf": []any{short, out}}
	}
	return out
}

// perKind says what a mapping of each kind must and must not hold.
func (s *shape) perKind(kinds []string) []any {
	var out []any
	for _, kind := range kinds {
		without, required := Object{}, []string{}
		for i := range s.fields {
			f := &s.fields[i]
			if !f.fits(kind) {
				without[f.key] = false
			}
			if f.requiredOf(kind) {
				required = append(required, f.key)
			}
		}
		out = append(out, Object{
			"if":   Object{"properties": Object{"kind": Object{"const": kind}}, "required": []string{"kind"}},
			"then": Object{"properties": without, "required": required},
		})
	}
	return out
}

// field is the schema of a field's value with its documentation.
func (s *Schemas) field(f *field) Object {
	out := s.value(f.typ, f)
	if _, isRef := out["$ref"]; isRef {
		out = Object{"allOf": []any{out}} // beside a $ref older editors read nothing
	}
	if f.doc != "" {
		out["description"] = f.doc
	}
	if f.def != "" {
		out["default"] = defaultOf(f)
	}
	if len(f.fill) > 0 {
		out["x-interpolated"] = f.fill
	}
	return out
}

func defaultOf(f *field) any {
	var v any
	if f.typ != reflect.TypeFor[Text]() && json.Unmarshal([]byte(f.def), &v) == nil {
		return v
	}
	return f.def
}

func (s *Schemas) value(t reflect.Type, f *field) Object {
	switch {
	case t == anyType:
		return Object{}
	case isScalar(t):
		return scalarSchema(t, f)
	case t.Kind() == reflect.Pointer:
		return s.ref(t.Elem(), shapeOf(t.Elem()).name)
	case t.Kind() == reflect.Struct:
		return s.ref(t, shapeOf(t).name)
	case t.Kind() == reflect.Slice && t.Elem().Implements(entryType):
		out := Object{"type": "object", "additionalProperties": s.entry(f)}
		if f.is == "name" {
			out["propertyNames"] = Object{"pattern": textPatterns["name"]}
		}
		return out
	}
	element := *f
	element.one = false
	item := s.value(t.Elem(), &element)
	list := Object{"type": "array", "items": item}
	if f.one {
		return Object{"anyOf": []any{item, list}}
	}
	return list
}

// entry is the schema of what stands under a key of the user's.
func (s *Schemas) entry(f *field) any {
	item, _ := f.typ.Elem().FieldByName("Item")
	element := *f
	if f.is == "name" {
		element.is = ""
	}
	return s.value(item.Type, &element)
}

func scalarSchema(t reflect.Type, f *field) Object {
	switch t {
	case reflect.TypeFor[Flag]():
		return Object{"type": "boolean"}
	case reflect.TypeFor[Whole]():
		return Object{"type": "integer", "minimum": 0}
	case reflect.TypeFor[Duration]():
		return Object{"type": "string", "pattern": durationPattern}
	}
	out := Object{"type": "string"}
	if f.loose {
		out["type"] = []string{"string", "number", "boolean"}
	}
	if len(f.oneOf) > 0 {
		out["enum"] = f.oneOf
	}
	if p := textPatterns[f.is]; p != "" && len(f.fill) == 0 {
		out["pattern"] = p
	}
	return out
}

// Markdown writes a table of every key of a declaration, nested ones below their
// mapping.
func Markdown[T any](b *strings.Builder) {
	fmt.Fprint(b, "| key | takes | default | meaning |\n|---|---|---|---|\n")
	markdown(b, reflect.TypeFor[T](), "", map[reflect.Type]bool{})
}

func markdown(b *strings.Builder, t reflect.Type, path string, seen map[reflect.Type]bool) {
	if seen[t] {
		return
	}
	seen[t] = true
	defer delete(seen, t)
	shape := shapeOf(t)
	for i := range shape.fields {
		f := &shape.fields[i]
		key := f.key
		if i == shape.rest {
			key = "*"
		}
		name := strings.TrimPrefix(path+"."+key, ".")
		takes, nested, below := takes(f)
		meaning := f.doc
		if len(f.of) > 0 {
			meaning = "For `" + strings.Join(f.of, "`, `") + "`: " + meaning
		}
		if f.requiredOf("") {
			meaning += " Required."
		} else if f.required {
			meaning += " Required of `" + strings.Join(f.needed, "`, `") + "`."
		}
		if len(f.fill) > 0 {
			meaning += " `{…}` may name " + list(f.fill) + "."
		}
		def := f.def
		if def != "" {
			def = "`" + def + "`"
			if strings.Contains(f.def, " ") {
				def = f.def
			}
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", name, takes, def, escape(meaning))
		if nested != nil {
			markdown(b, nested, name+below, seen)
		}
	}
}

func escape(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// takes says what a key takes, and the declaration that its value opens.
func takes(f *field) (text string, nested reflect.Type, below string) {
	t := f.typ
	switch {
	case t == anyType:
		return "any value", nil, ""
	case isScalar(t):
		return scalarWords(t, f), nil, ""
	case t.Kind() == reflect.Pointer || t.Kind() == reflect.Struct:
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		return mappingWords(t), t, ""
	case t.Elem().Implements(entryType):
		item, _ := t.Elem().FieldByName("Item")
		if item.Type == anyType || isScalar(item.Type) {
			return "mapping of names", nil, ""
		}
		return "mapping of names", item.Type, ".NAME"
	case isScalar(t.Elem()):
		words := "list of " + plural(scalarWords(t.Elem(), f))
		if f.one {
			words += ", or one"
		}
		return words, nil, ""
	}
	words := "list of mappings"
	if f.one {
		words += ", or one"
	}
	return words, t.Elem(), "[]"
}

func mappingWords(t reflect.Type) string {
	shape := shapeOf(t)
	if shape.short < 0 {
		return "mapping"
	}
	return "mapping, or its `" + shape.fields[shape.short].key + "` alone"
}

func plural(words string) string {
	if strings.HasPrefix(words, "`") {
		return words
	}
	return words + "s"
}

func scalarWords(t reflect.Type, f *field) string {
	switch {
	case t == reflect.TypeFor[Flag]():
		return "true or false"
	case t == reflect.TypeFor[Whole]():
		return "whole number"
	case t == reflect.TypeFor[Duration]():
		return "duration"
	case len(f.oneOf) > 0:
		return "`" + strings.Join(f.oneOf, "`, `") + "`"
	case f.is == "table", f.is == "cron", f.is == "moment", f.is == "zone":
		return map[string]string{"table": "table", "cron": "cron expression", "moment": "date or time", "zone": "time zone"}[f.is]
	}
	return "text"
}
