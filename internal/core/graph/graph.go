// Package graph holds arrows between tasks: their order, cycles, levels, what
// lies before and after a task, and what changed between two project versions.
//
// Every answer is in a fixed order, whatever the order in which nodes and arrows
// came. It must not know where arrows come from.
package graph

import "slices"

// Graph is a set of nodes with arrows between them. The zero Graph is empty.
type Graph struct {
	names  []string
	index  map[string]int
	after  [][]int
	before [][]int
}

// Node adds a node.
func (g *Graph) Node(name string) { g.node(name) }

func (g *Graph) node(name string) int {
	if i, ok := g.index[name]; ok {
		return i
	}
	if g.index == nil {
		g.index = map[string]int{}
	}
	i := len(g.names)
	g.index[name] = i
	g.names = append(g.names, name)
	g.after, g.before = append(g.after, nil), append(g.before, nil)
	return i
}

// Arrow says that to follows from. An arrow from a node to itself is a cycle.
func (g *Graph) Arrow(from, to string) {
	f, t := g.node(from), g.node(to)
	// Few tasks follow many and are followed by many: one of the lists is short.
	if len(g.after[f]) <= len(g.before[t]) && slices.Contains(g.after[f], t) ||
		len(g.after[f]) > len(g.before[t]) && slices.Contains(g.before[t], f) {
		return
	}
	g.after[f] = append(g.after[f], t)
	g.before[t] = append(g.before[t], f)
}

// sorted returns the names of nodes, sorted.
func (g *Graph) sorted(nodes []int) []string {
	out := make([]string, len(nodes))
	for i, n := range nodes {
		out[i] = g.names[n]
	}
	slices.Sort(out)
	return out
}

// Nodes returns every node, sorted.
func (g *Graph) Nodes() []string { return slices.Sorted(slices.Values(g.names)) }

// After returns the nodes that follow a node directly, sorted.
func (g *Graph) After(node string) []string { return g.direct(g.after, node) }

// Before returns the nodes that a node follows directly, sorted.
func (g *Graph) Before(node string) []string { return g.direct(g.before, node) }

func (g *Graph) direct(arrows [][]int, node string) []string {
	i, ok := g.index[node]
	if !ok || len(arrows[i]) == 0 {
		return nil
	}
	return g.sorted(arrows[i])
}

// Descendants returns every node that a node leads to, sorted, without itself
// unless it lies on a cycle.
func (g *Graph) Descendants(node string) []string { return g.sorted(g.reach(g.after, node)) }

// Ancestors returns every node that leads to a node, sorted.
func (g *Graph) Ancestors(node string) []string { return g.sorted(g.reach(g.before, node)) }

// Reaches reports whether a path of arrows leads from one node to another.
func (g *Graph) Reaches(from, to string) bool {
	target, ok := g.index[to]
	return ok && slices.Contains(g.reach(g.after, from), target)
}

func (g *Graph) reach(arrows [][]int, node string) []int {
	start, ok := g.index[node]
	if !ok {
		return nil
	}
	var out []int
	seen := map[int]bool{}
	open := []int{start}
	for len(open) > 0 {
		n := open[len(open)-1]
		open = open[:len(open)-1]
		for _, next := range arrows[n] {
			if !seen[next] {
				seen[next] = true
				out = append(out, next)
				open = append(open, next)
			}
		}
	}
	return out
}

// levels returns the nodes by their distance from the beginning.
func (g *Graph) levels() [][]int {
	waiting := make([]int, len(g.names))
	var level []int
	for n, b := range g.before {
		if waiting[n] = len(b); len(b) == 0 {
			level = append(level, n)
		}
	}
	var out [][]int
	for len(level) > 0 {
		out = append(out, level)
		var next []int
		for _, n := range level {
			for _, a := range g.after[n] {
				if waiting[a]--; waiting[a] == 0 {
					next = append(next, a)
				}
			}
		}
		level = next
	}
	return out
}

// Levels returns the nodes by their distance from the beginning: every arrow
// leads from a level to a later one. Nodes on or behind a cycle are left out.
func (g *Graph) Levels() [][]string {
	var out [][]string
	for _, level := range g.levels() {
		out = append(out, g.sorted(level))
	}
	return out
}

// Order returns the nodes so that every arrow points forward. Nodes on or behind
// a cycle are left out.
func (g *Graph) Order() []string { return slices.Concat(g.Levels()...) }
