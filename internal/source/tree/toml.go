package tree

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/tidemill/tidemill/internal/core/problem"
)

func (n *Node) number(text string) {
	n.Kind, n.Text = Number, text
	plain := strings.ReplaceAll(text, "_", "")
	if i, err := strconv.ParseInt(plain, 0, 64); err == nil {
		n.value = i
		return
	}
	f, err := strconv.ParseFloat(plain, 64)
	if err != nil {
		n.Kind, n.value = Text, text
		return
	}
	n.value = f
}

// TOML reads a TOML document. A fault is reported as BadHeader: TOML stands in
// the settings block of a Python file and nowhere else.
func TOML(text string, locate Locate) (node *Node, found problem.List) {
	bad := func(line, column int, format string, args ...any) problem.List {
		return problem.List{problem.New(problem.BadHeader, locate(line, column), "", format, args...)}
	}
	if depth := strings.Count(text, "[") + strings.Count(text, "{"); depth > 1000 {
		return nil, bad(1, 1, "the block has more than 1,000 brackets")
	}
	defer func() {
		// The parser is foreign code that reads what people type.
		if r := recover(); r != nil {
			node, found = nil, bad(1, 1, "the TOML parser cannot read this: %v", r)
		}
	}()
	// The strict decoder checks what the bare parser does not: doubled keys and tables.
	var whole map[string]any
	if err := toml.Unmarshal([]byte(text), &whole); err != nil {
		if d, ok := errors.AsType[*toml.DecodeError](err); ok {
			line, column := d.Position()
			return nil, bad(max(line, 1), max(column, 1), "%s", strings.TrimPrefix(d.Error(), "toml: "))
		}
		return nil, bad(1, 1, "%s", strings.TrimPrefix(err.Error(), "toml: "))
	}
	t := &tomlReader{text: text, locate: locate}
	t.parser.Reset([]byte(text))
	root := &Node{Kind: Map, Place: locate(1, 1)}
	at := root
	for t.parser.NextExpression() {
		e := t.parser.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			at = t.table(root, e)
		case unstable.KeyValue:
			t.keyValue(at, e)
		default:
		}
	}
	if err := t.parser.Error(); err != nil {
		return nil, bad(1, 1, "%s", err)
	}
	return root, nil
}

type tomlReader struct {
	text   string
	locate Locate
	parser unstable.Parser
}

func (t *tomlReader) place(raw unstable.Range) problem.Place {
	line, column := position(t.text, int(raw.Offset))
	return t.locate(line, column)
}

// table returns the mapping that a [table] or [[table]] header opens.
func (t *tomlReader) table(root *Node, e *unstable.Node) *Node {
	at := root
	for keys := e.Key(); keys.Next(); {
		key := keys.Node()
		place := t.place(key.Raw)
		last := !key.Next().Valid()
		at = at.open(string(key.Data), place, last && e.Kind == unstable.ArrayTable)
	}
	return at
}

// open returns the mapping under a key; of a list its last element, or a new one.
func (n *Node) open(key string, place problem.Place, element bool) *Node {
	e, ok := n.Entry(key)
	if !ok {
		value := &Node{Kind: Map, Place: place}
		if element {
			value = &Node{Kind: List, Place: place}
		}
		e = Entry{Key: key, Place: place, Value: value}
		n.Entries = append(n.Entries, e)
	}
	if e.Value.Kind != List {
		return e.Value
	}
	if element || len(e.Value.Items) == 0 {
		e.Value.Items = append(e.Value.Items, &Node{Kind: Map, Place: place})
	}
	return e.Value.Items[len(e.Value.Items)-1]
}

func (t *tomlReader) keyValue(at *Node, e *unstable.Node) {
	value := e.Value()
	for keys := e.Key(); keys.Next(); {
		key := keys.Node()
		place := t.place(key.Raw)
		if key.Next().Valid() {
			at = at.open(string(key.Data), place, false)
			continue
		}
		at.Entries = append(at.Entries, Entry{Key: string(key.Data), Place: place, Value: t.value(value, place)})
	}
}

func (t *tomlReader) value(n *unstable.Node, key problem.Place) *Node {
	out := &Node{Place: key}
	if n.Raw.Length > 0 {
		out.Place = t.place(n.Raw)
	}
	switch n.Kind {
	case unstable.String:
		out.Kind, out.Text = Text, string(n.Data)
		out.value = out.Text
		raw := string(t.parser.Raw(n.Raw))
		out.Style = Quoted
		if strings.HasPrefix(raw, `"""`) || strings.HasPrefix(raw, `'''`) || utf8.RuneCountInString(raw) != utf8.RuneCountInString(out.Text)+2 {
			out.Style = Other
		}
	case unstable.Bool:
		out.Kind, out.Text = Bool, string(n.Data)
		out.value = out.Text == "true"
	case unstable.Integer, unstable.Float:
		out.number(string(n.Data))
	case unstable.Array:
		out.Kind, out.Style = List, Flow
		for items := n.Children(); items.Next(); {
			out.Items = append(out.Items, t.value(items.Node(), key))
		}
	case unstable.InlineTable:
		out.Kind, out.Style = Map, Flow
		for items := n.Children(); items.Next(); {
			t.keyValue(out, items.Node())
		}
	default: // dates and times
		out.Kind, out.Text = Text, string(n.Data)
		out.value = out.Text
	}
	return out
}
