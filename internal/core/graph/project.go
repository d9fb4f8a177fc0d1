package graph

import "github.com/tidemill/tidemill/internal/core/project"

// Of returns the arrows of a project. Nodes are pipeline/task; an arrow between
// pipelines is there where a task waits for the other pipeline's table.
func Of(p *project.Project) *Graph {
	g := &Graph{}
	for _, pl := range p.Pipelines {
		for _, t := range pl.Tasks {
			name := pl.Name + "/" + t.Name
			g.Node(name)
			for _, up := range t.Upstream {
				g.Arrow(pl.Name+"/"+up, name)
			}
			for _, r := range t.Reads {
				if r.Wait && r.Producer != "" && r.Producer != name {
					g.Arrow(r.Producer, name)
				}
			}
		}
	}
	return g
}
