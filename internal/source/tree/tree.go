// Package tree holds what a settings file says, from YAML or TOML alike, as
// nodes that know where they stand.
//
// It guarantees that every node and key has a place, that reading any text ends,
// in bounded time and depth, with nodes or problems and never with a panic, and
// that keys keep the order in which they were written. It gives values no
// meaning: which keys there are is the business of form.
package tree

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/core/problem"
)

// Kind is a kind of node.
type Kind string

// The kinds.
const (
	Null   Kind = "nothing"
	Bool   Kind = "true or false"
	Number Kind = "number"
	Text   Kind = "text"
	List   Kind = "list"
	Map    Kind = "mapping"
)

// Style is how a node was written.
type Style int

// The styles.
const (
	Plain   Style = iota
	Quoted        // on one line, between quotes
	Literal       // a block whose lines are kept
	Other         // offsets in the value say nothing about places in the file
	Flow          // a list or mapping in brackets or braces
)

// Node is a value of a settings file.
type Node struct {
	Kind    Kind
	Text    string // of a scalar: a text without its quotes, a number as it was written
	Place   problem.Place
	Style   Style
	Items   []*Node // of a list
	Entries []Entry // of a mapping
	indent  int     // of a literal block, in characters
	value   any     // of a scalar
}

// Entry is a key of a mapping with its value.
type Entry struct {
	Key   string
	Place problem.Place // of the key
	Value *Node
}

// Locate turns a place in the parsed text, line and column from 1, into one in the file.
type Locate func(line, column int) problem.Place

// In locates places of a text that is a whole file.
func In(file string) Locate {
	return func(line, column int) problem.Place { return problem.Place{File: file, Line: line, Column: column} }
}

// maxNodes bounds what aliases may blow a file up to.
const maxNodes = 200_000

// Entry returns the entry of a key.
func (n *Node) Entry(key string) (Entry, bool) {
	if n == nil {
		return Entry{}, false
	}
	for _, e := range n.Entries {
		if e.Key == key {
			return e, true
		}
	}
	return Entry{}, false
}

// Get returns the value of a key, or nil.
func (n *Node) Get(key string) *Node {
	e, _ := n.Entry(key)
	return e.Value
}

// Is reports whether the node is there and of the kind.
func (n *Node) Is(k Kind) bool { return n != nil && n.Kind == k }

// Value returns nil, bool, int64, uint64, float64, string, []any or map[string]any.
func (n *Node) Value() any {
	switch {
	case n == nil || n.Kind == Null:
		return nil
	case n.Kind == List:
		out := make([]any, len(n.Items))
		for i, item := range n.Items {
			out[i] = item.Value()
		}
		return out
	case n.Kind == Map:
		out := make(map[string]any, len(n.Entries))
		for _, e := range n.Entries {
			out[e.Key] = e.Value.Value()
		}
		return out
	}
	return n.value
}

// JSON returns the value as JSON: numbers with the digits that were written
// where JSON knows them so, keys in their order.
func (n *Node) JSON() json.RawMessage {
	var b bytes.Buffer
	n.write(&b)
	return b.Bytes()
}

func (n *Node) write(b *bytes.Buffer) {
	switch {
	case n == nil || n.Kind == Null:
		b.WriteString("null")
	case n.Kind == List:
		b.WriteByte('[')
		for i, item := range n.Items {
			if i > 0 {
				b.WriteByte(',')
			}
			item.write(b)
		}
		b.WriteByte(']')
	case n.Kind == Map:
		b.WriteByte('{')
		for i, e := range n.Entries {
			if i > 0 {
				b.WriteByte(',')
			}
			writeScalar(b, e.Key)
			b.WriteByte(':')
			e.Value.write(b)
		}
		b.WriteByte('}')
	case n.Kind == Number && json.Valid([]byte(n.Text)):
		b.WriteString(n.Text)
	default:
		writeScalar(b, n.value)
	}
}

// writeScalar writes a scalar; infinities and NaN, which JSON lacks, become texts.
func writeScalar(b *bytes.Buffer, v any) {
	encoder := json.NewEncoder(b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		_ = encoder.Encode(strconv.FormatFloat(v.(float64), 'g', -1, 64))
	}
	b.Truncate(b.Len() - 1) // the line feed that Encode adds
}

// At returns the place of a byte of the text, as near as the style allows.
func (n *Node) At(offset int) problem.Place {
	if n == nil {
		return problem.Place{}
	}
	offset = min(max(offset, 0), len(n.Text))
	before := n.Text[:offset]
	at := n.Place
	switch n.Style {
	case Plain, Quoted:
		if strings.ContainsRune(before, '\n') {
			return at
		}
		at.Column += utf8.RuneCountInString(before)
		if n.Style == Quoted {
			at.Column++
		}
	case Literal:
		lines := strings.Count(before, "\n")
		at.Line += 1 + lines
		at.Column = n.indent + 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
	case Other, Flow:
	}
	return at
}

// Merge lays a mapping over another: mappings merge key by key, anything else
// replaces, and a key for which whole says true is replaced as one. The path
// names the keys from the root.
func Merge(base, over *Node, whole func(path []string) bool) *Node {
	return merge(base, over, whole, nil)
}

func merge(base, over *Node, whole func([]string) bool, path []string) *Node {
	if !base.Is(Map) || !over.Is(Map) || len(path) > 0 && whole(path) {
		return over
	}
	out := *base
	out.Entries = slices.Clone(base.Entries)
	for _, e := range over.Entries {
		i := slices.IndexFunc(out.Entries, func(b Entry) bool { return b.Key == e.Key })
		if i < 0 {
			out.Entries = append(out.Entries, e)
			continue
		}
		e.Value = merge(out.Entries[i].Value, e.Value, whole, append(slices.Clone(path), e.Key))
		out.Entries[i] = e
	}
	return &out
}

// duplicates reports keys that stand twice, and keeps the first of each.
func (n *Node) duplicates(found *problem.List) {
	seen := make(map[string]problem.Place, len(n.Entries))
	n.Entries = slices.DeleteFunc(n.Entries, func(e Entry) bool {
		first, twice := seen[e.Key]
		if !twice {
			seen[e.Key] = e.Place
			return false
		}
		p := problem.New(problem.DuplicateKey, e.Place, "remove one of them", "the key %q is given twice", e.Key)
		p.Related = []problem.Note{{Place: first, Message: "first given here"}}
		*found = append(*found, p)
		return true
	})
}
