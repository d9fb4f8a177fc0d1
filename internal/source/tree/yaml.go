package tree

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/tidemill/tidemill/internal/core/problem"
)

// maxDepth bounds how deep a file may nest: the parser recurses.
const maxDepth = 64

// YAML reads one YAML document. The node is nil where the text is empty or
// cannot be read.
func YAML(text string, locate Locate) (node *Node, found problem.List) {
	locate = within(locate, strings.Count(text, "\n")+1)
	bad := func(line, column int, format string, args ...any) problem.List {
		return problem.List{problem.New(problem.BadYAML, locate(line, column), "", format, args...)}
	}
	if !utf8.ValidString(text) {
		line, column := position(text, strings.IndexFunc(text, func(r rune) bool { return r == utf8.RuneError }))
		return nil, bad(line, column, "the file is not UTF-8")
	}
	defer func() {
		// The parser is foreign code that reads what people type.
		if r := recover(); r != nil {
			node, found = nil, bad(1, 1, "the YAML parser cannot read this: %v", r)
		}
	}()
	tokens := lexer.Tokenize(text)
	if t := tooDeep(tokens); t != nil {
		return nil, bad(t.Position.Line, t.Position.Column, "nested deeper than %d levels", maxDepth)
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, syntax(text, err, locate)
	}
	var documents []*ast.DocumentNode
	for _, d := range file.Docs {
		if d.Body != nil {
			documents = append(documents, d)
		}
	}
	if len(documents) == 0 {
		return nil, nil
	}
	if len(documents) > 1 {
		at := documents[1].Body.GetToken().Position
		return nil, bad(at.Line, at.Column, "a second document begins here; a file holds one")
	}
	c := &converter{locate: locate, lines: strings.Split(text, "\n"), anchors: map[string]*Node{}}
	node = c.node(documents[0].Body)
	return node, c.found
}

// within keeps places on lines that editors count: to YAML a carriage return
// alone ends a line as well.
func within(locate Locate, lines int) Locate {
	return func(line, column int) problem.Place { return locate(min(line, lines), column) }
}

// tooDeep returns the first token nested too deep, before any parser recurses.
func tooDeep(tokens token.Tokens) *token.Token {
	flow, run, line := 0, 0, 0
	for _, t := range tokens {
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow = max(flow-1, 0)
		case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType:
			if t.Position.Line != line {
				run, line = 0, t.Position.Line
			}
			run++
		default:
		}
		if flow > maxDepth || run > maxDepth || t.Position != nil && t.Position.IndentLevel > maxDepth {
			return t
		}
	}
	return nil
}

// unquoted is a text that begins with an interpolation but has no quotes.
var unquoted = regexp.MustCompile(`^([^#'"{]*?[:,\[-]\s+|\s*)(\{[A-Za-z_][A-Za-z0-9_.]*(?::%[^'"]*)?\}.*)$`)

func syntax(text string, err error, locate Locate) problem.List {
	var s *yaml.SyntaxError
	if !errors.As(err, &s) || s.Token == nil || s.Token.Position == nil {
		return problem.List{problem.New(problem.BadYAML, locate(1, 1), "", "%s", firstLine(err.Error()))}
	}
	line, column := s.Token.Position.Line, s.Token.Position.Column
	lines := strings.Split(text, "\n")
	if line >= 1 && line <= len(lines) {
		if m := unquoted.FindStringSubmatch(strings.TrimRight(lines[line-1], "\r")); m != nil {
			at := locate(line, utf8.RuneCountInString(m[1])+1)
			return problem.List{braceProblem(at, m[2])}
		}
	}
	remedy := ""
	if strings.Contains(s.Message, "tab character") {
		remedy = "indent with spaces"
	}
	return problem.List{problem.New(problem.BadYAML, locate(line, column), remedy, "%s", firstLine(s.Message))}
}

func braceProblem(at problem.Place, value string) problem.Problem {
	value = strings.TrimSpace(value)
	return problem.New(problem.UnquotedBrace, at, fmt.Sprintf("write %q", value), "the value begins with an unquoted {, which YAML reads as a mapping")
}

// Brace reports a mapping that is an interpolation without quotes.
func (n *Node) Brace() (problem.Problem, bool) {
	if !n.Is(Map) || n.Style != Flow || len(n.Entries) != 1 {
		return problem.Problem{}, false
	}
	e := n.Entries[0]
	text := e.Key
	switch {
	case e.Value.Is(Text) && strings.HasPrefix(e.Value.Text, "%"):
		text += ":" + e.Value.Text
	case !e.Value.Is(Null):
		return problem.Problem{}, false
	}
	if !strings.Contains(e.Key, ".") {
		return problem.Problem{}, false
	}
	return braceProblem(n.Place, "{"+text+"}"), true
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

func position(text string, offset int) (line, column int) {
	before := text[:min(max(offset, 0), len(text))]
	return strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
}

type converter struct {
	locate  Locate
	lines   []string
	anchors map[string]*Node
	nodes   int
	depth   int
	found   problem.List
}

func (c *converter) place(t *token.Token) problem.Place {
	if t == nil || t.Position == nil {
		return c.locate(1, 1)
	}
	return c.locate(t.Position.Line, t.Position.Column)
}

func (c *converter) add(at problem.Place, remedy, format string, args ...any) *Node {
	c.found = append(c.found, problem.New(problem.BadYAML, at, remedy, format, args...))
	return &Node{Kind: Null, Place: at}
}

func (c *converter) node(n ast.Node) *Node {
	c.depth++
	defer func() { c.depth-- }()
	at := c.place(n.GetToken())
	c.nodes++
	if c.nodes > maxNodes || c.depth > 2*maxDepth {
		if c.nodes == maxNodes+1 || c.depth == 2*maxDepth+1 {
			return c.add(at, "", "the file is too large or nested too deep")
		}
		return &Node{Kind: Null, Place: at}
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		return c.mapping(at, n)
	case *ast.MappingValueNode:
		return c.entries(&Node{Kind: Map, Place: c.place(n.Key.GetToken())}, []*ast.MappingValueNode{n})
	case *ast.SequenceNode:
		out := &Node{Kind: List, Place: at}
		if n.IsFlowStyle {
			out.Style = Flow
		}
		for _, v := range n.Values {
			out.Items = append(out.Items, c.node(v))
		}
		return out
	case *ast.AnchorNode:
		out := c.node(n.Value)
		c.anchors[n.Name.GetToken().Value] = out
		return out
	case *ast.AliasNode:
		name := n.Value.GetToken().Value
		target, ok := c.anchors[name]
		if !ok {
			return c.add(at, "", "no anchor named %q stands before this alias", name)
		}
		if c.nodes += target.size(); c.nodes > maxNodes {
			return c.add(at, "", "aliases make the file too large")
		}
		return target
	case *ast.TagNode:
		return c.add(at, "leave the tag out", "tags such as %s are not read", n.GetToken().Value)
	}
	return c.scalar(at, n)
}

func (n *Node) size() int {
	total := 1
	for _, i := range n.Items {
		total += i.size()
	}
	for _, e := range n.Entries {
		total += e.Value.size()
	}
	return total
}

func (c *converter) mapping(at problem.Place, n *ast.MappingNode) *Node {
	out := &Node{Kind: Map, Place: at}
	if n.IsFlowStyle {
		out.Style = Flow
	} else if len(n.Values) > 0 {
		out.Place = c.place(n.Values[0].Key.GetToken())
	}
	return c.entries(out, n.Values)
}

func (c *converter) entries(out *Node, values []*ast.MappingValueNode) *Node {
	var merged []Entry
	for _, v := range values {
		key := v.Key.GetToken()
		at := c.place(key)
		if m, ok := v.Key.(*ast.MappingKeyNode); ok {
			key = m.Value.GetToken()
		}
		var value *Node
		if v.Value == nil {
			value = &Node{Kind: Null, Place: at}
		} else {
			value = c.node(v.Value)
		}
		if v.Key.IsMergeKey() {
			merged = append(merged, c.merged(value, at)...)
			continue
		}
		out.Entries = append(out.Entries, Entry{Key: key.Value, Place: at, Value: value})
	}
	out.duplicates(&c.found)
	for _, e := range merged {
		if _, ok := out.Entry(e.Key); !ok {
			out.Entries = append(out.Entries, e)
		}
	}
	return out
}

// merged returns what << brings in.
func (c *converter) merged(value *Node, at problem.Place) []Entry {
	switch value.Kind {
	case Map:
		return value.Entries
	case List:
		var out []Entry
		for _, i := range value.Items {
			out = append(out, i.Entries...)
		}
		return out
	default:
		c.add(at, "", "<< takes a mapping")
		return nil
	}
}

var exponent = regexp.MustCompile(`^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$`)

func (c *converter) scalar(at problem.Place, n ast.Node) *Node {
	out := &Node{Place: at, Kind: Text}
	switch n := n.(type) {
	case *ast.NullNode:
		out.Kind = Null
	case *ast.BoolNode:
		out.Kind, out.value, out.Text = Bool, n.Value, n.GetToken().Value
	case *ast.IntegerNode:
		out.Kind, out.value, out.Text = Number, n.Value, n.GetToken().Value
	case *ast.FloatNode:
		out.Kind, out.value, out.Text = Number, n.Value, n.GetToken().Value
	case *ast.InfinityNode:
		out.Kind, out.value, out.Text = Number, n.Value, n.GetToken().Value
	case *ast.NanNode:
		out.Kind, out.value, out.Text = Number, n.GetValue(), n.GetToken().Value
	case *ast.StringNode:
		c.text(out, n)
	case *ast.LiteralNode:
		out.Text = n.Value.Value
		out.Style = Other
		if line := n.GetToken().Position.Line; strings.HasPrefix(n.GetToken().Value, "|") {
			out.Style = Literal
			if line < len(c.lines) {
				content := c.lines[line]
				out.indent = len(content) - len(strings.TrimLeft(content, " "))
				out.indent += c.locate(line+1, 1).Column - 1
			}
		}
		out.value = out.Text
	default:
		return c.add(at, "", "the value cannot be read")
	}
	return out
}

func (c *converter) text(out *Node, n *ast.StringNode) {
	out.Text, out.value = n.Value, n.Value
	t := n.GetToken()
	switch t.Type {
	case token.SingleQuoteType, token.DoubleQuoteType:
		out.Style = Quoted
		if strings.ContainsRune(strings.Trim(t.Origin, " \n\t"), '\n') || strings.ContainsRune(t.Origin, '\\') {
			out.Style = Other
		}
	default:
		if strings.ContainsRune(strings.TrimSpace(t.Origin), '\n') {
			out.Style = Other
		}
		if exponent.MatchString(n.Value) {
			out.number(n.Value)
		}
	}
}
