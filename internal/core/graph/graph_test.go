package graph_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/core/graph"
	"github.com/tidemill/tidemill/internal/core/project"
)

// of makes a graph of words such as "a>b"; a word without > is a node alone.
func of(words string) *graph.Graph {
	g := &graph.Graph{}
	for w := range strings.FieldsSeq(words) {
		if from, to, ok := strings.Cut(w, ">"); ok {
			g.Arrow(from, to)
			continue
		}
		g.Node(w)
	}
	return g
}

func TestOrderAndLevelsDoNotDependOnTheOrderOfArrows(t *testing.T) {
	t.Parallel()
	want := [][]string{{"a", "z"}, {"b", "c"}, {"d"}}
	for _, words := range []string{"a>b a>c b>d c>d z", "z c>d b>d a>c a>b a>b"} {
		g := of(words)
		if diff := cmp.Diff(want, g.Levels()); diff != "" {
			t.Errorf("%s: %s", words, diff)
		}
		if got := strings.Join(g.Order(), ""); got != "azbcd" {
			t.Errorf("%s: order %s", words, got)
		}
	}
}

func TestAncestorsAndDescendants(t *testing.T) {
	t.Parallel()
	g := of("a>b b>c x>c c>d")
	if got := g.Descendants("b"); !slices.Equal(got, []string{"c", "d"}) {
		t.Errorf("after b: %v", got)
	}
	if got := g.Ancestors("c"); !slices.Equal(got, []string{"a", "b", "x"}) {
		t.Errorf("before c: %v", got)
	}
	if !g.Reaches("a", "d") || g.Reaches("d", "a") || g.Reaches("a", "none") || g.Reaches("none", "a") {
		t.Error("who reaches whom is wrong")
	}
	if got := g.Before("c"); !slices.Equal(got, []string{"b", "x"}) || g.After("d") != nil || g.After("none") != nil {
		t.Errorf("beside c: %v", got)
	}
}

func TestEachKnotGivesOneShortestCycle(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]string{
		"a>b b>c":                     "",
		"b>a a>b":                     "a b a",
		"a>a b>a":                     "a a",
		"c>d d>e e>c c>x x>d q>c e>y": "c d e c",
		"a>b b>c c>d d>a c>b":         "b c b",
		"z>y y>z b>a a>b b>z":         "a b a, y z y",
	} {
		var got []string
		for _, c := range of(words).Cycles() {
			got = append(got, strings.Join(c, " "))
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: %q, want %q", words, got, want)
		}
	}
}

func TestAGraphHasAnOrderExactlyIfItHasNoCycle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 9).Draw(t, "nodes")
		node := rapid.Custom(func(t *rapid.T) string { return fmt.Sprint(rapid.IntRange(0, n-1).Draw(t, "n")) })
		g := &graph.Graph{}
		type arrow struct{ from, to string }
		var arrows []arrow
		for range rapid.IntRange(0, 14).Draw(t, "arrows") {
			a := arrow{node.Draw(t, "from"), node.Draw(t, "to")}
			arrows = append(arrows, a)
			g.Arrow(a.from, a.to)
		}
		order, cycles := g.Order(), g.Cycles()
		if (len(order) == len(g.Nodes())) != (len(cycles) == 0) {
			t.Fatalf("%v: order %v, cycles %v", arrows, order, cycles)
		}
		for _, a := range arrows {
			from, to := slices.Index(order, a.from), slices.Index(order, a.to)
			if from >= 0 && to >= 0 && from >= to {
				t.Fatalf("%v: the arrow %v points back in %v", arrows, a, order)
			}
		}
		for _, c := range cycles {
			for i := range len(c) - 1 {
				if !slices.Contains(arrows, arrow{c[i], c[i+1]}) {
					t.Fatalf("%v: %v is no cycle", arrows, c)
				}
			}
		}
	})
}

func TestArrowsOfAProjectCrossPipelines(t *testing.T) {
	t.Parallel()
	g := graph.Of(&project.Project{Pipelines: []project.Pipeline{
		{Name: "land", Tasks: []project.Task{{Name: "flights"}}},
		{Name: "score", Tasks: []project.Task{
			{Name: "score", Upstream: []string{"prepare"}, Reads: []project.Read{{Producer: "land/flights", Wait: true}}},
			{Name: "prepare"},
		}},
	}})
	if got := g.Ancestors("score/score"); !slices.Equal(got, []string{"land/flights", "score/prepare"}) {
		t.Errorf("before score: %v", got)
	}
}
