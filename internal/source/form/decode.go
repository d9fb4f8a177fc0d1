package form

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/expr"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/source/tree"
)

// Reference is one {…} of an interpolated text.
type Reference struct {
	expr.Reference
	Place problem.Place
}

// Decoder collects what is wrong with the files it reads.
type Decoder struct {
	Problems   problem.List
	References []Reference
}

// Decode fills the struct that out points to from a mapping. A nil node is an
// empty file.
func (d *Decoder) Decode(n *tree.Node, file string, out any) {
	v := reflect.ValueOf(out).Elem()
	if n == nil {
		n = &tree.Node{Kind: tree.Map, Place: problem.Place{File: file, Line: 1, Column: 1}}
	}
	d.mapping(n, v, "the file")
}

func (d *Decoder) add(code problem.Code, at problem.Place, remedy, format string, args ...any) {
	d.Problems = append(d.Problems, problem.New(code, at, remedy, format, args...))
}

func (d *Decoder) wrong(n *tree.Node, what, wanted string) {
	if p, ok := n.Brace(); ok {
		d.Problems = append(d.Problems, p)
		return
	}
	got := string(n.Kind)
	switch n.Kind {
	case tree.Null:
		d.add(problem.WrongType, n.Place, fmt.Sprintf("write a %s or leave the key out", wanted), "%s has no value", what)
		return
	case tree.Number, tree.Bool:
		got = n.Text
	case tree.Text:
		got = fmt.Sprintf("%q", cut(n.Text))
	case tree.List, tree.Map:
		got = "a " + got
	}
	remedy := ""
	if wanted == "text" && (n.Kind == tree.Number || n.Kind == tree.Bool) {
		remedy = fmt.Sprintf("put it in quotes: %q", n.Text)
	}
	d.add(problem.WrongType, n.Place, remedy, "%s takes %s, not %s", what, article(wanted), got)
}

func article(noun string) string {
	if strings.HasPrefix(noun, "true") {
		return noun
	}
	return "a " + noun
}

func cut(text string) string {
	if len(text) > 60 {
		return text[:57] + "…"
	}
	return text
}

func (d *Decoder) mapping(n *tree.Node, v reflect.Value, what string) {
	s := shapeOf(v.Type())
	if s.at != nil {
		v.FieldByIndex(s.at).Set(reflect.ValueOf(Mapping{Place: n.Place, Given: true}))
	}
	if n.Kind != tree.Map {
		if s.short >= 0 && n.Kind != tree.Null {
			f := &s.fields[s.short]
			d.value(n, v.FieldByIndex(f.index), f, what)
			return
		}
		d.wrong(n, what, "mapping")
		return
	}
	if p, ok := n.Brace(); ok && s.rest < 0 {
		d.Problems = append(d.Problems, p)
		return
	}
	kind := ""
	if k := n.Get("kind"); k.Is(tree.Text) && slices.Contains(s.kinds(), k.Text) {
		kind = k.Text
	}
	for _, e := range n.Entries {
		i, ok := s.byKey[e.Key]
		switch {
		case ok && !s.fields[i].fits(kind):
			remedy := fmt.Sprintf("the keys of the kind %s are %s", kind, strings.Join(s.keysOf(kind), ", "))
			d.add(problem.UnknownKey, e.Place, remedy, "the kind %s has no key %q, which belongs to %s", kind, e.Key, list(s.fields[i].of))
		case ok && e.Key != "":
			f := &s.fields[i]
			d.value(e.Value, v.FieldByIndex(f.index), f, e.Key)
		case s.rest >= 0:
			f := &s.fields[s.rest]
			d.entry(e, v.FieldByIndex(f.index), f)
		default:
			d.unknown(e.Key, e.Place, s.keysOf(kind))
		}
	}
	for _, f := range s.fields {
		if _, ok := n.Entry(f.key); f.requiredOf(kind) && !ok {
			meaning, more, _ := strings.Cut(f.doc, ". ")
			if more != "" {
				meaning += "."
			}
			d.add(problem.MissingKey, n.Place, fmt.Sprintf("add %s: %s", f.key, meaning), "%s lacks the key %q", what, f.key)
		}
	}
}

func (d *Decoder) unknown(key string, at problem.Place, keys []string) {
	remedy := "the keys here are " + strings.Join(keys, ", ")
	if near := problem.Nearest(key, keys); near != "" {
		remedy = fmt.Sprintf("did you mean %q?", near)
	}
	d.add(problem.UnknownKey, at, remedy, "unknown key %q", key)
}

// value decodes a node into a field.
func (d *Decoder) value(n *tree.Node, v reflect.Value, f *field, what string) {
	t := v.Type()
	switch {
	case t == anyType:
		v.Set(reflect.ValueOf(n))
	case isScalar(t):
		d.scalar(n, v, f, what)
	case t.Kind() == reflect.Pointer:
		if n.Kind != tree.Null {
			v.Set(reflect.New(t.Elem()))
			d.mapping(n, v.Elem(), what)
		}
	case t.Kind() == reflect.Struct:
		if n.Kind != tree.Null {
			d.mapping(n, v, what)
		}
	case t.Kind() == reflect.Slice && t.Elem().Implements(entryType):
		if n.Kind == tree.Null {
			return
		}
		if n.Kind != tree.Map {
			d.wrong(n, what, "mapping")
			return
		}
		for _, e := range n.Entries {
			d.entry(e, v, f)
		}
	case t.Kind() == reflect.Slice:
		d.list(n, v, f, what)
	}
}

func (d *Decoder) list(n *tree.Node, v reflect.Value, f *field, what string) {
	items := n.Items
	switch {
	case n.Kind == tree.Null:
		return
	case n.Kind != tree.List && f.one:
		items = []*tree.Node{n}
	case n.Kind != tree.List:
		d.wrong(n, what, "list")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		element := *f
		element.one = false
		d.value(item, out.Index(i), &element, fmt.Sprintf("%s[%d]", what, i))
	}
	v.Set(out)
}

// entry appends one entry of a mapping whose keys are the user's.
func (d *Decoder) entry(e tree.Entry, v reflect.Value, f *field) {
	out := reflect.New(v.Type().Elem()).Elem()
	key := Text{V: e.Key, Place: e.Place, Given: true}
	out.FieldByName("Key").Set(reflect.ValueOf(key))
	element := *f
	if f.is == "name" {
		d.name(key)
		element.is = ""
	}
	d.value(e.Value, out.FieldByName("Item"), &element, e.Key)
	v.Set(reflect.Append(v, out))
}

func (d *Decoder) scalar(n *tree.Node, v reflect.Value, f *field, what string) {
	switch out := v.Addr().Interface().(type) {
	case *Text:
		d.text(n, out, f, what)
	case *Flag:
		if n.Kind != tree.Bool {
			d.wrong(n, what, "true or false")
			return
		}
		*out = Flag{V: n.Value() == true, Place: n.Place, Given: true, Node: n}
	case *Whole:
		number, ok := whole(n)
		if !ok {
			d.wrong(n, what, "whole number")
			return
		}
		if number < 0 {
			d.add(problem.BadValue, n.Place, "write 0 or more", "%s cannot be %d", what, number)
			return
		}
		*out = Whole{V: number, Place: n.Place, Given: true, Node: n}
	case *Duration:
		d.duration(n, out, what)
	}
}

func whole(n *tree.Node) (int64, bool) {
	if n.Kind != tree.Number {
		return 0, false
	}
	switch i := n.Value().(type) {
	case int64:
		return i, true
	case uint64:
		return int64(i), i < 1<<62
	}
	return 0, false
}

func (d *Decoder) duration(n *tree.Node, out *Duration, what string) {
	if n.Kind != tree.Text {
		if n.Kind == tree.Number {
			d.add(problem.BadDuration, n.Place, fmt.Sprintf("write a unit: %ss, %sm, %sh or %sd", n.Text, n.Text, n.Text, n.Text), "%s is a duration and needs a unit", what)
			return
		}
		d.wrong(n, what, "duration")
		return
	}
	value, err := calendar.ParseDuration(n.Text)
	if err != nil {
		at, remedy := n.Place, "write whole numbers with units, such as 90m, 6h or 2d"
		if p, ok := errors.AsType[*calendar.ParseError](err); ok {
			d.add(problem.BadDuration, n.At(p.Offset), Clause(p.Remedy), "%s: %q: %s", what, p.Text, p.Problem)
			return
		}
		d.add(problem.BadDuration, at, remedy, "%s: %s", what, err)
		return
	}
	*out = Duration{V: value, Place: n.Place, Given: true, Node: n}
}

func (d *Decoder) text(n *tree.Node, out *Text, f *field, what string) {
	loose := f.loose && (n.Kind == tree.Number || n.Kind == tree.Bool)
	if n.Kind != tree.Text && !loose {
		d.wrong(n, what, "text")
		return
	}
	*out = Text{V: n.Text, Place: n.Place, Given: true, Node: n}
	if strings.ContainsRune(n.Text, 0) {
		d.add(problem.BadValue, n.Place, "", "%s holds a NUL character", what)
	}
	if len(f.oneOf) > 0 && !slices.Contains(f.oneOf, n.Text) {
		remedy := "write " + list(f.oneOf)
		if near := problem.Nearest(n.Text, f.oneOf); near != "" {
			remedy = fmt.Sprintf("did you mean %q?", near)
		}
		d.add(problem.BadValue, n.Place, remedy, "%s cannot be %q", what, cut(n.Text))
		out.Given = false
		return
	}
	switch f.is {
	case "name":
		d.name(*out)
	case "zone":
		if _, err := time.LoadLocation(n.Text); err != nil || n.Text == "" || n.Text == "Local" {
			d.add(problem.BadZone, n.Place, "write an IANA name such as Europe/Berlin", "unknown time zone %q", cut(n.Text))
			out.Given, out.V = false, ""
		}
	case "moment", "table", "cron", "cel", "sql":
		if strings.TrimSpace(n.Text) == "" {
			d.add(problem.BadValue, n.Place, "", "%s is empty", what)
			out.Given = false
		}
	}
	d.interpolation(n, f, what)
}

func (d *Decoder) interpolation(n *tree.Node, f *field, what string) {
	if len(f.fill) == 0 {
		return
	}
	template, err := expr.ParseTemplate(n.Text)
	if err != nil {
		at := n.Place
		if s, ok := errors.AsType[*expr.SyntaxError](err); ok {
			at = n.At(s.Offset)
		}
		d.add(problem.BadInterpolation, at, "", "%s: %s", what, err)
		return
	}
	for _, r := range template.References() {
		at := n.At(r.Offset)
		if !slices.Contains(f.fill, r.Path[0]) {
			remedy := fmt.Sprintf("%s may name %s; write {{ for a brace", what, list(f.fill))
			d.add(problem.BadInterpolation, at, remedy, "{%s} names nothing that is known here", r.String())
			continue
		}
		d.References = append(d.References, Reference{r, at})
	}
}

var nameFormat = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// IsName reports whether a text can be a name of the user's.
func IsName(text string) bool { return nameFormat.MatchString(text) }

func (d *Decoder) name(t Text) {
	if !IsName(t.V) {
		d.add(problem.BadName, t.Place, "use a-z, 0-9 and _, beginning with a letter, at most 63 characters", "%q cannot be a name", cut(t.V))
	}
}

func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// Clause makes a sentence a part of one, as remedies are written.
func Clause(sentence string) string {
	sentence = strings.TrimSuffix(sentence, ".")
	first, size := utf8.DecodeRuneInString(sentence)
	return string(unicode.ToLower(first)) + sentence[size:]
}
