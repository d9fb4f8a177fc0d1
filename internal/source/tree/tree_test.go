package tree_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/source/tree"
)

// print writes a node as `place kind text`, one line each, keys before values.
func print(n *tree.Node) string {
	var b strings.Builder
	var walk func(n *tree.Node, indent string)
	walk = func(n *tree.Node, indent string) {
		if n == nil {
			b.WriteString(indent + "no node\n")
			return
		}
		fmt.Fprintf(&b, "%s%d:%d %s %q\n", indent, n.Place.Line, n.Place.Column, n.Kind, n.Text)
		for _, i := range n.Items {
			walk(i, indent+"- ")
		}
		for _, e := range n.Entries {
			fmt.Fprintf(&b, "%s%d:%d %s:\n", indent, e.Place.Line, e.Place.Column, e.Key)
			walk(e.Value, indent+"  ")
		}
	}
	walk(n, "")
	return b.String()
}

func TestYAMLAndTOMLOfTheSameMeaningMakeTheSameTree(t *testing.T) {
	t.Parallel()
	y, found := tree.YAML("a: 1\nb: [x, true]\nc:\n  d: 1.5\n", tree.In("f"))
	if len(found) > 0 {
		t.Fatal(found)
	}
	o, found := tree.TOML("a = 1\nb = [\"x\", true]\n[c]\nd = 1.5\n", tree.In("f"))
	if len(found) > 0 {
		t.Fatal(found)
	}
	want := `{"a":1,"b":["x",true],"c":{"d":1.5}}`
	if string(y.JSON()) != want || string(o.JSON()) != want {
		t.Errorf("YAML %s\nTOML %s", y.JSON(), o.JSON())
	}
}

func TestEveryNodeKnowsItsPlace(t *testing.T) {
	t.Parallel()
	y, _ := tree.YAML("ä: {b: 'x'}\nl:\n- 1\n- k: v\n", tree.In("f"))
	want := `1:1 mapping ""
1:1 ä:
  1:4 mapping ""
  1:5 b:
    1:8 text "x"
2:1 l:
  3:1 list ""
  - 3:3 number "1"
  - 4:3 mapping ""
  - 4:3 k:
  -   4:6 text "v"
`
	if diff := cmp.Diff(want, print(y)); diff != "" {
		t.Error(diff)
	}
	o, _ := tree.TOML("a.b = [1,\n  { c = 'x' }]\n[[t]]\nd = 2020-01-01\n[[t]]\n", tree.In("f"))
	want = `1:1 mapping ""
1:1 a:
  1:1 mapping ""
  1:3 b:
    1:3 list ""
    - 1:8 number "1"
    - 2:3 mapping ""
    - 2:5 c:
    -   2:9 text "x"
3:3 t:
  3:3 list ""
  - 3:3 mapping ""
  - 4:1 d:
  -   4:5 text "2020-01-01"
  - 5:3 mapping ""
`
	if diff := cmp.Diff(want, print(o)); diff != "" {
		t.Error(diff)
	}
}

func TestBytesOfATextAreFoundInTheFile(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a: SELECT é FRM x":                     "1:13", // of FRM
		"a: 'SELECT FRM x'":                     "1:12",
		"a: \"SELECT FRM\"":                     "1:12",
		"a: |\n  SELECT é,\n    x\n  FRM":       "4:3",
		"a:\n  b: |\n      SELECT\n      FRM x": "4:7",
		"a: \"x\\n FRM\"":                       "1:4", // an escape moves columns: the value's place is all that is known
		"a: >\n  SELECT\n  FRM":                 "1:4",
	} {
		n, found := tree.YAML(text, tree.In("f"))
		if len(found) > 0 {
			t.Errorf("%q: %v", text, found)
			continue
		}
		v := n.Get("a")
		if v.Is(tree.Map) {
			v = v.Get("b")
		}
		at := v.At(strings.Index(v.Text, "FRM"))
		if got := fmt.Sprintf("%d:%d", at.Line, at.Column); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestWhatCannotBeReadIsAProblem(t *testing.T) {
	t.Parallel()
	bomb := "a: &a [x, x, x, x, x, x, x, x, x]\n"
	for i := 'b'; i < 'k'; i++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c, ", i-1), 9), ", "))
	}
	for name, text := range map[string]string{
		"a bracket":          "a: [1",
		"two documents":      "a: 1\n---\nb: 2\n",
		"a tag":              "a: !!set {b}",
		"an unknown alias":   "a: *b",
		"an alias to itself": "a: &a [*a]",
		"flow too deep":      strings.Repeat("[", 200) + strings.Repeat("]", 200),
		"blocks too deep":    strings.Repeat("- ", 200) + "x",
		"many aliases":       bomb,
		"a merge of a text":  "a: {<<: x}",
		"not UTF-8":          "a: \xff",
	} {
		_, found := tree.YAML(text, tree.In("f"))
		if len(found) == 0 || found[0].Code != problem.BadYAML || found[0].Line == 0 {
			t.Errorf("%s: %v", name, found)
		}
	}
	for name, text := range map[string]string{
		"a bracket": "a = [1", "a doubled key": "a = 1\na = 2", "a doubled table": "[a]\n[a]", "no value": "a =",
		"many brackets": "a = " + strings.Repeat("[", 2000),
	} {
		if n, found := tree.TOML(text, tree.In("f")); len(found) == 0 || n != nil {
			t.Errorf("TOML with %s: %v", name, found)
		}
	}
}

func TestAliasesAndMergesAreRead(t *testing.T) {
	t.Parallel()
	n, found := tree.YAML("base: &b {x: 1, y: 2}\na: {<<: *b, y: 3}\nb: {<<: [*b, {z: 4}]}\nc: *b\n", tree.In("f"))
	if len(found) > 0 {
		t.Fatal(found)
	}
	if got := string(n.JSON()); got != `{"base":{"x":1,"y":2},"a":{"y":3,"x":1},"b":{"x":1,"y":2,"z":4},"c":{"x":1,"y":2}}` {
		t.Error(got)
	}
}

func TestScalarsKeepWhatWasWritten(t *testing.T) {
	t.Parallel()
	n, _ := tree.YAML("[1.50, 1e3, 0x1F, yes, 'no', ~, .inf, 18446744073709551615, 2013-01-01, 12:30, -0]", tree.In("f"))
	if got := string(n.JSON()); got != `[1.50,1e3,31,"yes","no",null,"+Inf",18446744073709551615,"2013-01-01","12:30",-0]` {
		t.Error(got)
	}
}

func TestOverlaysMergeMappingsAndReplaceTheRest(t *testing.T) {
	t.Parallel()
	base, _ := tree.YAML("a: {x: 1, y: {z: 2}}\nl: [1, 2]\ns: {w: {k: 1, p: 2}}\n", tree.In("f"))
	over, _ := tree.YAML("a: {y: {q: 3}, n: 4}\nl: [3]\ns: {w: {k: 5}}\n", tree.In("f"))
	merged := tree.Merge(base, over, func(path []string) bool { return len(path) == 2 && path[0] == "s" })
	if got := string(merged.JSON()); got != `{"a":{"x":1,"y":{"z":2,"q":3},"n":4},"l":[3],"s":{"w":{"k":5}}}` {
		t.Error(got)
	}
	if got := string(base.JSON()); got != `{"a":{"x":1,"y":{"z":2}},"l":[1,2],"s":{"w":{"k":1,"p":2}}}` {
		t.Errorf("the base was changed: %s", got)
	}
}

func FuzzYAML(f *testing.F) {
	for _, s := range []string{"a: {b: [1, 'x']}", "a: &a [*a]", "? a\n: b", "<<: {a: b}", "a: |\n  b\n", "- - - a", "!!x y", "%a\n---", "\"\\x", "{a: b}: c", "\r\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, found := tree.YAML(text, tree.In("f"))
		for _, p := range found {
			if p.Line < 1 || p.Line > strings.Count(text, "\n")+1 {
				t.Errorf("line %d of %q", p.Line, text)
			}
		}
		_ = n.JSON()
		if n.Is(tree.Text) {
			n.At(len(n.Text) + 5)
		}
	})
}

func FuzzTOML(f *testing.F) {
	for _, s := range []string{"a.b = [1, {c = 'x'}]", "[[a]]\nb = 1979-05-27", "a = \"\"\"\nx\"\"\"", "a = 0x1F", "[a.b]\n[a]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, _ := tree.TOML(text, tree.In("f"))
		_ = n.JSON()
	})
}
