// Package catalog holds the live version of a project, and keeps the last good one.
//
// A broken file never hides a pipeline: where a pipeline's files have an error,
// its last good version stays in the live plan and the catalog names it. An error
// that concerns the whole project leaves the live version as it is.
package catalog

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidemill/tidemill/internal/bundle"
	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/source"
)

// lookEvery is how often the folder is looked at.
const lookEvery = time.Second

// Catalog is the live version. It is safe for concurrent use.
type Catalog struct {
	reader  *source.Reader
	bundles *bundle.Store

	reading sync.Mutex     // one reader at a time
	last    *source.Result // what was read last; the same again is no change

	mu       sync.RWMutex
	live     *bundle.Bundle
	problems problem.List
	stale    []string
}

// New returns a catalog over a folder. Last is the hash of the version that was
// live before, empty where there was none.
func New(dir string, options source.Options, bundles *bundle.Store, last string) *Catalog {
	c := &Catalog{reader: source.NewReader(dir, options), bundles: bundles}
	if last != "" {
		if b, err := bundles.Open(last); err == nil {
			c.live = b
		}
	}
	return c
}

// Live returns the live version; nil where no good one was ever read.
func (c *Catalog) Live() *bundle.Bundle {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.live
}

// Problems returns what is wrong with the folder as it was last read.
func (c *Catalog) Problems() problem.List {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Clone(c.problems)
}

// Stale lists the pipelines that run on an older version because theirs is broken.
func (c *Catalog) Stale() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Clone(c.stale)
}

// Reload reads the folder and reports whether the live version or the problems changed.
func (c *Catalog) Reload(ctx context.Context) (changed bool, err error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	result, err := c.reader.Read(ctx)
	if err != nil {
		return false, err
	}
	if result == c.last {
		return false, nil
	}
	before := c.Live()
	next, stale := before, []string{}
	switch {
	case result.Refused && before != nil:
		stale = pipelines(before.Plan.Project)
	case !result.Refused:
		// The result is the reader's: what is kept beside it goes into copies.
		plan := bundle.Plan{Project: result.Project, Contracts: slices.Clone(result.Contracts)}
		plan.Project.Pipelines, plan.Project.Sets = slices.Clone(plan.Project.Pipelines), slices.Clone(plan.Project.Sets)
		plan.Project.Pools = slices.Clone(plan.Project.Pools)
		files := maps.Clone(result.Files)
		if before != nil {
			stale = keep(&plan, files, before, result.Broken)
		}
		if next, err = c.bundles.Put(plan, files); err != nil {
			return false, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	hash := func(b *bundle.Bundle) string {
		if b == nil {
			return ""
		}
		return b.Hash
	}
	changed = hash(next) != hash(before) || !slices.Equal(stale, c.stale) || !slices.EqualFunc(result.Problems, c.problems, func(a, b problem.Problem) bool { return a.Error() == b.Error() })
	c.live, c.stale, c.problems, c.last = next, stale, result.Problems, result
	return changed, nil
}

func pipelines(p project.Project) []string {
	var out []string
	for _, pl := range p.Pipelines {
		out = append(out, pl.Name)
	}
	slices.Sort(out)
	return out
}

// keep takes the last good version of broken pipelines into a plan, with the
// contracts of the tables that they write, the feature sets that they read, the
// calendar that holds them back and the pools that they hold: a name that is gone is
// no leave to run without limit. It returns their names. A pipeline whose table
// another one has taken over is not kept: a table has one writer.
func keep(plan *bundle.Plan, files map[string][]byte, before *bundle.Bundle, broken []string) []string {
	stale := []string{}
	for _, pl := range before.Plan.Project.Pipelines {
		if !slices.Contains(broken, pl.Name) || takenOver(plan.Project, pl) {
			continue
		}
		stale = append(stale, pl.Name)
		plan.Project.Pipelines = append(plan.Project.Pipelines, pl)
		keepCalendar(plan, before, pl.Schedule.Calendar)
		for _, t := range pl.Tasks {
			for _, h := range t.Pools {
				keepPool(plan, before, h.Pool)
			}
			for _, w := range t.Writes {
				keepContract(plan, before, w.Table)
			}
			for _, r := range t.Reads {
				keepSet(plan, before, r.Set)
			}
		}
		keepFiles(files, before, "pipelines/"+pl.Name+"/")
	}
	slices.SortFunc(plan.Project.Pipelines, func(a, b project.Pipeline) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(stale)
	return stale
}

func takenOver(p project.Project, old project.Pipeline) bool {
	written := map[project.Table]bool{}
	for _, pl := range p.Pipelines {
		for _, t := range pl.Tasks {
			for _, w := range t.Writes {
				written[w.Table] = true
			}
		}
	}
	return slices.ContainsFunc(old.Tasks, func(t project.Task) bool {
		return slices.ContainsFunc(t.Writes, func(w project.Write) bool { return written[w.Table] })
	})
}

func keepCalendar(plan *bundle.Plan, before *bundle.Bundle, name string) {
	same := func(c project.Calendar) bool { return c.Name == name }
	if name == "" || slices.ContainsFunc(plan.Project.Calendars, same) {
		return
	}
	if i := slices.IndexFunc(before.Plan.Project.Calendars, same); i >= 0 {
		plan.Project.Calendars = append(plan.Project.Calendars, before.Plan.Project.Calendars[i])
	}
}

func keepPool(plan *bundle.Plan, before *bundle.Bundle, name string) {
	if _, there := plan.Project.Pool(name); there {
		return
	}
	if pool, known := before.Plan.Project.Pool(name); known {
		plan.Project.Pools = append(plan.Project.Pools, pool)
	}
}

func keepSet(plan *bundle.Plan, before *bundle.Bundle, name string) {
	same := func(s project.FeatureSet) bool { return s.Name == name }
	if name == "" || slices.ContainsFunc(plan.Project.Sets, same) {
		return
	}
	if i := slices.IndexFunc(before.Plan.Project.Sets, same); i >= 0 {
		plan.Project.Sets = append(plan.Project.Sets, before.Plan.Project.Sets[i])
		slices.SortFunc(plan.Project.Sets, func(a, b project.FeatureSet) int { return strings.Compare(a.Name, b.Name) })
	}
}

func keepContract(plan *bundle.Plan, before *bundle.Bundle, t project.Table) {
	same := func(c contract.Table) bool {
		named, err := project.ParseTable(c.Name)
		return err == nil && named == t
	}
	if slices.ContainsFunc(plan.Contracts, same) {
		return
	}
	if i := slices.IndexFunc(before.Plan.Contracts, same); i >= 0 {
		plan.Contracts = append(plan.Contracts, before.Plan.Contracts[i])
		slices.SortFunc(plan.Contracts, func(a, b contract.Table) int { return strings.Compare(a.Name, b.Name) })
	}
}

// keepFiles puts the files of the last good version in the place of the broken ones.
func keepFiles(files map[string][]byte, before *bundle.Bundle, prefix string) {
	for _, name := range slices.Collect(maps.Keys(files)) {
		if strings.HasPrefix(name, prefix) {
			delete(files, name)
		}
	}
	maps.Copy(files, before.Files(prefix))
}

// Run looks at the folder until ctx ends, and calls changed after every change.
func (c *Catalog) Run(ctx context.Context, changed func(context.Context) error) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		differs, err := c.Reload(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			// The folder may be away for a moment, on a disk of its own: the live version runs on.
			continue
		}
		if differs {
			if err := changed(ctx); err != nil {
				return fmt.Errorf("take over the changed project: %w", err)
			}
		}
	}
}
