// Package graph holds arrows between tasks: their order, cycles, levels, what
// lies before and after a task, and what changed between two project versions.
//
// Every answer is in a fixed order, whatever the order in which nodes and arrows
// came. It must not know where arrows come from.
package graph

import (
	"maps"
	"slices"
)

// Graph is a set of nodes with arrows between them. The zero Graph is empty.
type Graph struct {
	after  map[string]map[string]bool // node → nodes that follow
	before map[string]map[string]bool
}

// Node adds a node.
func (g *Graph) Node(name string) {
	if g.after == nil {
		g.after, g.before = map[string]map[string]bool{}, map[string]map[string]bool{}
	}
	if g.after[name] == nil {
		g.after[name], g.before[name] = map[string]bool{}, map[string]bool{}
	}
}

// Arrow says that to follows from. An arrow from a node to itself is a cycle.
func (g *Graph) Arrow(from, to string) {
	g.Node(from)
	g.Node(to)
	g.after[from][to] = true
	g.before[to][from] = true
}

// Nodes returns every node, sorted.
func (g *Graph) Nodes() []string { return slices.Sorted(maps.Keys(g.after)) }

// After returns the nodes that follow a node directly, sorted.
func (g *Graph) After(node string) []string { return slices.Sorted(maps.Keys(g.after[node])) }

// Before returns the nodes that a node follows directly, sorted.
func (g *Graph) Before(node string) []string { return slices.Sorted(maps.Keys(g.before[node])) }

// Descendants returns every node that a node leads to, sorted, without itself
// unless it lies on a cycle.
func (g *Graph) Descendants(node string) []string { return reach(g.after, node) }

// Ancestors returns every node that leads to a node, sorted.
func (g *Graph) Ancestors(node string) []string { return reach(g.before, node) }

// Reaches reports whether a path of arrows leads from one node to another.
func (g *Graph) Reaches(from, to string) bool {
	return slices.Contains(reach(g.after, from), to)
}

func reach(arrows map[string]map[string]bool, node string) []string {
	seen := map[string]bool{}
	open := []string{node}
	for len(open) > 0 {
		n := open[len(open)-1]
		open = open[:len(open)-1]
		for next := range arrows[n] {
			if !seen[next] {
				seen[next] = true
				open = append(open, next)
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// Levels returns the nodes by their distance from the beginning: every arrow
// leads from a level to a later one. Nodes on or behind a cycle are left out.
func (g *Graph) Levels() [][]string {
	waiting := make(map[string]int, len(g.before))
	var level []string
	for n, b := range g.before {
		waiting[n] = len(b)
		if len(b) == 0 {
			level = append(level, n)
		}
	}
	var out [][]string
	for len(level) > 0 {
		slices.Sort(level)
		out = append(out, level)
		var next []string
		for _, n := range level {
			for a := range g.after[n] {
				if waiting[a]--; waiting[a] == 0 {
					next = append(next, a)
				}
			}
		}
		level = next
	}
	return out
}

// Order returns the nodes so that every arrow points forward. Nodes on or behind
// a cycle are left out.
func (g *Graph) Order() []string { return slices.Concat(g.Levels()...) }

// Cycles returns one shortest cycle of each knot of nodes that wait for each
// other. A cycle begins with its smallest name, which also ends it.
func (g *Graph) Cycles() [][]string {
	var out [][]string
	for _, knot := range g.knots() {
		if c := g.shortest(knot); c != nil {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, slices.Compare)
	return out
}

// knots returns the strongly connected components that hold a cycle.
func (g *Graph) knots() [][]string {
	ordered := make(map[string]bool)
	for _, n := range g.Order() {
		ordered[n] = true
	}
	var rest []string
	for _, n := range g.Nodes() {
		if !ordered[n] {
			rest = append(rest, n)
		}
	}
	// What is left are knots and what lies behind them: two walks find the knots
	// (Kosaraju), without recursion, since a project may be one long chain.
	var finished []string
	seen := map[string]bool{}
	for _, n := range rest {
		finished = g.finish(n, seen, finished)
	}
	var out [][]string
	taken := map[string]bool{}
	for i := len(finished) - 1; i >= 0; i-- {
		var knot []string
		open := []string{finished[i]}
		for len(open) > 0 {
			n := open[len(open)-1]
			open = open[:len(open)-1]
			if taken[n] || !seen[n] {
				continue
			}
			taken[n] = true
			knot = append(knot, n)
			open = append(open, g.Before(n)...)
		}
		if len(knot) > 1 || len(knot) == 1 && g.after[knot[0]][knot[0]] {
			slices.Sort(knot)
			out = append(out, knot)
		}
	}
	return out
}

func (g *Graph) finish(start string, seen map[string]bool, finished []string) []string {
	type frame struct {
		node string
		next []string
	}
	if seen[start] {
		return finished
	}
	seen[start] = true
	stack := []frame{{start, g.After(start)}}
	for len(stack) > 0 {
		top := &stack[len(stack)-1]
		if len(top.next) == 0 {
			finished = append(finished, top.node)
			stack = stack[:len(stack)-1]
			continue
		}
		n := top.next[0]
		top.next = top.next[1:]
		if !seen[n] {
			seen[n] = true
			stack = append(stack, frame{n, g.After(n)})
		}
	}
	return finished
}

// shortest returns a shortest cycle through the smallest node of a knot that has the shortest one.
func (g *Graph) shortest(knot []string) []string {
	inside := map[string]bool{}
	for _, n := range knot {
		inside[n] = true
	}
	var best []string
	for _, start := range knot[:min(len(knot), 100)] {
		if c := g.cycleFrom(start, inside); c != nil && (best == nil || len(c) < len(best)) {
			best = c
		}
	}
	if best == nil {
		return nil
	}
	// Turn it so that it begins with its smallest name.
	ring := best[:len(best)-1]
	i := slices.Index(ring, slices.Min(ring))
	turned := append(slices.Clone(ring[i:]), ring[:i]...)
	return append(turned, turned[0])
}

func (g *Graph) cycleFrom(start string, inside map[string]bool) []string {
	from := map[string]string{}
	open := []string{start}
	for len(open) > 0 {
		n := open[0]
		open = open[1:]
		for _, next := range g.After(n) {
			if !inside[next] {
				continue
			}
			if next == start {
				path := []string{start}
				for ; n != start; n = from[n] {
					path = append(path, n)
				}
				path = append(path, start)
				slices.Reverse(path)
				return path
			}
			if _, ok := from[next]; !ok {
				from[next] = n
				open = append(open, next)
			}
		}
	}
	return nil
}
