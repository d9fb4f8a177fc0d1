package project

import (
	"maps"
	"slices"
	"strings"
)

// Pool is something of which there is only so much, outside of what Tidemill knows:
// cards, licences, calls at once.
type Pool struct {
	Name string `json:"name"`
	Size int    `json:"size"`
}

// Hold is how much of a pool an attempt holds while it runs.
type Hold struct {
	Pool string `json:"pool"`
	Take int    `json:"take"`
}

// Names of limits: of a pool, of a store, of the attempts of a pipeline.
const (
	poolLimit     = "pool:"
	storeLimit    = "store:"
	pipelineLimit = "pipeline:"
)

// Limits are the capacities of everything that is limited, by the limit's name.
func (p *Project) Limits() map[string]int {
	out := map[string]int{}
	for _, one := range p.Pools {
		out[poolLimit+one.Name] = one.Size
	}
	for _, s := range p.Stores {
		if s.Limit > 0 {
			out[storeLimit+s.Name] = s.Limit
		}
	}
	for _, pl := range p.Pipelines {
		if pl.Limit > 0 {
			out[pipelineLimit+pl.Name] = pl.Limit
		}
	}
	return out
}

// Needs is how much of each limit an attempt of a task holds.
func (p *Project) Needs(pl *Pipeline, t *Task) map[string]int {
	out := map[string]int{}
	for _, h := range t.Pools {
		out[poolLimit+h.Pool] += h.Take
	}
	used := map[string]bool{}
	for _, w := range t.Writes {
		used[w.Table.Store] = true
	}
	for _, r := range t.Reads {
		if !r.Table.IsZero() {
			used[r.Table.Store] = true
		}
	}
	if t.Move != nil {
		used[t.Move.FromStore] = true
	}
	out[pipelineLimit+pl.Name]++
	for name := range used {
		out[storeLimit+name]++
	}
	limits := p.Limits()
	maps.DeleteFunc(out, func(name string, _ int) bool { _, limited := limits[name]; return !limited })
	return out
}

// LimitWords says a limit as people do.
func LimitWords(name string) string {
	for prefix, words := range map[string]string{poolLimit: "the pool ", storeLimit: "the store ", pipelineLimit: "the pipeline "} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			return words + rest
		}
	}
	return name
}

// Pool finds a pool by its name.
func (p *Project) Pool(name string) (Pool, bool) {
	i := slices.IndexFunc(p.Pools, func(one Pool) bool { return one.Name == name })
	if i < 0 {
		return Pool{}, false
	}
	return p.Pools[i], true
}
