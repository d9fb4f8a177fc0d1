// Package form holds the declarations that settings files are read by: a Go
// struct whose fields say key, type, default and meaning in their tags.
//
// One declaration serves three readers: Decode fills the struct strictly, Schema
// writes it as JSON Schema, and Reference as Markdown, so that the three cannot
// disagree. Tags of a field:
//
//	key      its key in the file; fields without one are flattened if they are structs
//	doc      one sentence for people
//	one_of   the values allowed, separated by commas
//	default  what holds where the key is missing, in words or as a value
//	fill     the kinds of value that {…} may name here, separated by commas; without it nothing is interpolated
//	is       what a text must be: name, table, zone, moment, cron, sql, cel
//	required the mapping has no meaning without the key; with kinds, a mapping of one of them
//	of       the kinds of mapping, by its key kind, that know the key; without it all do
//	short    the value may stand in place of the whole mapping
//	one      a list of one may be written without brackets
//	loose    numbers and truth values are taken as texts
//	rest     takes the keys that no other field names
//
// The package must not know what a setting is for.
package form

import (
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/source/tree"
)

// Value is a scalar with its place. Given is false where the file says nothing.
type Value[T any] struct {
	V     T
	Place problem.Place
	Given bool
	Node  *tree.Node
}

// The scalars of settings.
type (
	// Text is a setting that is a text.
	Text = Value[string]
	// Whole is a setting that is a whole number.
	Whole = Value[int64]
	// Flag is a setting that is true or false.
	Flag = Value[bool]
	// Duration is a setting that is a length of time.
	Duration = Value[time.Duration]
)

// Any is a value of any kind.
type Any = *tree.Node

// Mapping is embedded in every struct that stands for a mapping.
type Mapping struct {
	Place problem.Place
	Given bool
}

// Named is an entry of a mapping whose keys are the user's. A []Named is such a mapping.
type Named[T any] struct {
	Key  Text
	Item T
}

// named marks Named for reflection.
func (Named[T]) named() {}

type namedEntry interface{ named() }

// shape is a struct as its tags declare it.
type shape struct {
	name   string
	fields []field
	byKey  map[string]int
	keys   []string
	at     []int // index of the embedded Mapping
	short  int   // the field that may stand for the whole, or -1
	rest   int   // the field that takes other keys, or -1
}

type field struct {
	key      string
	doc      string
	def      string
	is       string
	fill     []string
	oneOf    []string
	required bool
	needed   []string // kinds that require it; empty: all
	of       []string // kinds that know it; empty: all
	one      bool
	loose    bool
	index    []int
	typ      reflect.Type
}

var (
	shapes      sync.Map // reflect.Type → *shape
	mappingType = reflect.TypeFor[Mapping]()
	anyType     = reflect.TypeFor[Any]()
	entryType   = reflect.TypeFor[namedEntry]()
)

func shapeOf(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	s := &shape{name: strings.ToLower(t.Name()[:1]) + t.Name()[1:], byKey: map[string]int{}, short: -1, rest: -1}
	s.collect(t, nil)
	for i, f := range s.fields {
		s.byKey[f.key] = i
		if f.key != "" {
			s.keys = append(s.keys, f.key)
		}
	}
	shapes.Store(t, s)
	return s
}

func (s *shape) collect(t reflect.Type, path []int) {
	for i := range t.NumField() {
		sf := t.Field(i)
		index := append(append([]int(nil), path...), i)
		if sf.Type == mappingType {
			if len(path) == 0 {
				s.at = index
			}
			continue
		}
		_, isRest := sf.Tag.Lookup("rest")
		key := sf.Tag.Get("key")
		if key == "" && !isRest {
			if sf.Anonymous {
				s.collect(sf.Type, index)
			}
			continue
		}
		f := field{
			key: key, doc: sf.Tag.Get("doc"), def: sf.Tag.Get("default"), is: sf.Tag.Get("is"),
			fill: split(sf.Tag.Get("fill")), oneOf: split(sf.Tag.Get("one_of")),
			required: has(sf.Tag, "required"), one: has(sf.Tag, "one"), loose: has(sf.Tag, "loose"),
			needed: split(sf.Tag.Get("required")), of: split(sf.Tag.Get("of")), index: index, typ: sf.Type,
		}
		if has(sf.Tag, "short") {
			s.short = len(s.fields)
		}
		if isRest {
			s.rest = len(s.fields)
		}
		s.fields = append(s.fields, f)
	}
}

// fits reports whether a mapping of a kind knows the key; every key fits a mapping without one.
func (f *field) fits(kind string) bool {
	return kind == "" || len(f.of) == 0 || slices.Contains(f.of, kind)
}

// requiredOf reports whether a mapping of a kind needs the key.
func (f *field) requiredOf(kind string) bool {
	return f.required && (len(f.needed) == 0 || slices.Contains(f.needed, kind))
}

// kinds are the values that the key kind may have, where other keys depend on it.
func (s *shape) kinds() []string {
	i, ok := s.byKey["kind"]
	if !ok || !slices.ContainsFunc(s.fields, func(f field) bool { return len(f.of) > 0 }) {
		return nil
	}
	return s.fields[i].oneOf
}

// keysOf are the keys that a mapping of a kind knows.
func (s *shape) keysOf(kind string) []string {
	var out []string
	for i := range s.fields {
		if f := &s.fields[i]; f.key != "" && f.fits(kind) {
			out = append(out, f.key)
		}
	}
	return out
}

func has(tag reflect.StructTag, name string) bool { _, ok := tag.Lookup(name); return ok }

func split(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// isScalar reports whether the type is a Value.
func isScalar(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && strings.HasPrefix(t.Name(), "Value[")
}

// Keys returns the keys that a declaration knows, in its order.
func Keys[T any]() []string { return shapeOf(reflect.TypeFor[T]()).keys }
