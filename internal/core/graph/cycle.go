package graph

import "slices"

// Cycles returns one shortest cycle of each knot of nodes that wait for each
// other. A cycle begins with its smallest name, which also ends it.
func (g *Graph) Cycles() [][]string {
	var out [][]string
	for _, knot := range g.knots() {
		out = append(out, g.shortest(knot))
	}
	slices.SortFunc(out, slices.Compare)
	return out
}

// knots returns the strongly connected components that hold a cycle.
func (g *Graph) knots() [][]int {
	rest := make([]bool, len(g.names))
	left := len(g.names)
	for i := range rest {
		rest[i] = true
	}
	for _, level := range g.levels() {
		for _, n := range level {
			rest[n] = false
		}
		left -= len(level)
	}
	if left == 0 {
		return nil
	}
	// What is left are knots and what lies behind them: two walks find the knots
	// (Kosaraju), without recursion, since a project may be one long chain.
	var finished []int
	seen := make([]bool, len(g.names))
	for n := range rest {
		if rest[n] && !seen[n] {
			finished = g.finish(n, seen, finished)
		}
	}
	var out [][]int
	taken := make([]bool, len(g.names))
	for _, start := range slices.Backward(finished) {
		var knot []int
		open := []int{start}
		for len(open) > 0 {
			n := open[len(open)-1]
			open = open[:len(open)-1]
			if taken[n] || !seen[n] {
				continue
			}
			taken[n] = true
			knot = append(knot, n)
			open = append(open, g.before[n]...)
		}
		if len(knot) > 1 || len(knot) == 1 && slices.Contains(g.after[knot[0]], knot[0]) {
			slices.SortFunc(knot, g.byName)
			out = append(out, knot)
		}
	}
	return out
}

func (g *Graph) byName(a, b int) int {
	if g.names[a] < g.names[b] {
		return -1
	}
	return 1
}

// finish appends the nodes that a walk from start leaves, each after those behind it.
func (g *Graph) finish(start int, seen []bool, finished []int) []int {
	type frame struct{ node, next int }
	seen[start] = true
	stack := []frame{{start, 0}}
	for len(stack) > 0 {
		top := &stack[len(stack)-1]
		if top.next == len(g.after[top.node]) {
			finished = append(finished, top.node)
			stack = stack[:len(stack)-1]
			continue
		}
		n := g.after[top.node][top.next]
		top.next++
		if !seen[n] {
			seen[n] = true
			stack = append(stack, frame{n, 0})
		}
	}
	return finished
}

// searched is how many nodes of a knot are tried as the beginning of a shortest cycle.
const searched = 100

// shortest returns a shortest cycle of a knot, of those through its first nodes.
func (g *Graph) shortest(knot []int) []string {
	inside := map[int]bool{}
	for _, n := range knot {
		inside[n] = true
	}
	var best []int
	for _, start := range knot[:min(len(knot), searched)] {
		if c := g.cycleFrom(start, inside); best == nil || len(c) < len(best) {
			best = c
		}
	}
	ring := make([]string, len(best))
	for i, n := range best {
		ring[i] = g.names[n]
	}
	i := slices.Index(ring, slices.Min(ring))
	turned := append(slices.Clone(ring[i:]), ring[:i]...)
	return append(turned, turned[0])
}

// cycleFrom returns the nodes of a shortest cycle through start, each once.
func (g *Graph) cycleFrom(start int, inside map[int]bool) []int {
	from := map[int]int{}
	open := []int{start}
	for len(open) > 0 {
		n := open[0]
		open = open[1:]
		next := slices.DeleteFunc(slices.Clone(g.after[n]), func(m int) bool { return !inside[m] })
		slices.SortFunc(next, g.byName)
		for _, m := range next {
			if m == start {
				path := []int{n}
				for n != start {
					n = from[n]
					path = append(path, n)
				}
				slices.Reverse(path)
				return path
			}
			if _, ok := from[m]; !ok {
				from[m] = n
				open = append(open, m)
			}
		}
	}
	return nil // no knot
}
