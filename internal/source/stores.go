package source

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/source/file"
	"github.com/tidemill/tidemill/internal/source/form"
)

func (v *version) projectStores() {
	var kinds []string
	for _, k := range file.StoreKinds {
		kinds = append(kinds, k.Name)
	}
	for _, s := range v.top.Stores {
		out := project.Store{Name: s.Key.V, Kind: s.Item.Kind.V, Settings: map[string]string{}, Place: s.Key.Place}
		for _, one := range s.Item.Settings {
			out.Settings[one.Key.V] = one.Item.V
		}
		for _, e := range s.Item.External {
			if _, err := path.Match(e.V, ""); err != nil || !strings.Contains(e.V, ".") {
				v.refuse(problem.New(problem.BadValue, e.Place, "write schema.name with * where anything goes", "%q is no pattern of table names", e.V))
			}
			out.External = append(out.External, e.V)
		}
		var wrong problem.List
		out.Limit, wrong = size(s.Item.Limit, "limit")
		v.refuse(wrong...)
		if kind, ok := file.KindOf(out.Kind); ok {
			v.storeSettings(s.Item, kind, s.Key.Place)
		} else if s.Item.Kind.Given {
			v.refuse(problem.New(problem.UnknownKind, s.Item.Kind.Place, suggest(out.Kind, kinds, "there are "+strings.Join(kinds, ", ")), "unknown kind of store %q", out.Kind))
		}
		v.stores[out.Name] = &out
	}
	if v.stores[project.Warehouse] == nil {
		v.stores[project.Warehouse] = &project.Store{
			Name: project.Warehouse, Kind: "duckdb", Settings: map[string]string{"path": ".tidemill/warehouse.duckdb"},
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v.stores)) {
		v.out.Stores = append(v.out.Stores, *v.stores[name])
	}
}

// projectPools reads how much there is of what is limited.
func (v *version) projectPools() {
	for _, p := range v.top.Pools {
		n, wrong := size(p.Item, "a pool")
		v.refuse(wrong...)
		v.out.Pools = append(v.out.Pools, project.Pool{Name: p.Key.V, Size: n})
	}
}

// size is how many there are of something: one or more.
func size(n form.Whole, what string) (int, problem.List) {
	if n.Given && (n.V < 1 || n.V > 1_000_000) {
		return 1, problem.List{problem.New(problem.BadValue, n.Place, "write a number from 1 on", "%s cannot be %d", what, n.V)}
	}
	return int(n.V), nil
}

// taskPools checks what an attempt holds of the pools.
func (v *version) taskPools(t *task) {
	var names []string
	for _, p := range v.out.Pools {
		names = append(names, p.Name)
	}
	held := map[string]bool{}
	for _, h := range t.parsed.Task.Common.Pools {
		take := 1
		if h.Take.Given {
			take = int(h.Take.V)
		}
		pool, known := v.out.Pool(h.Pool.V)
		switch {
		case !h.Pool.Given:
			continue
		case !known:
			t.fail(v, problem.UnknownPool, h.Pool.Place, suggest(h.Pool.V, names, "declare it in tidemill.yaml under pools:"), "unknown pool %q", h.Pool.V)
			continue
		case held[pool.Name]:
			t.fail(v, problem.BadValue, h.Pool.Place, "name it once, with how much is taken: {pool: "+pool.Name+", take: 2}", "the pool %s is named twice", pool.Name)
			continue
		case take < 1 || take > pool.Size:
			place, remedy := h.Take.Place, fmt.Sprintf("write a number from 1 to %d", pool.Size)
			if !h.Take.Given || pool.Size == 0 {
				place, remedy = h.Pool.Place, "give the pool more in tidemill.yaml"
			}
			t.fail(v, problem.BadValue, place, remedy, "the task takes %d of the pool %s, which has %d: it would never start", take, pool.Name, pool.Size)
		}
		held[pool.Name] = true
		t.out.Pools = append(t.out.Pools, project.Hold{Pool: pool.Name, Take: take})
	}
	t.out.Priority = int(pick(t, v, "priority", func(d *file.TaskDefaults) form.Whole { return d.Priority }, 0))
	if t.out.Priority > 100 {
		t.fail(v, problem.BadValue, t.out.Origins["priority"].Place, "write a number from 0 to 100", "the priority cannot be %d", t.out.Priority)
	}
}

// leastMemory, in bytes, holds what a load has in flight and DuckDB's own buffers.
const leastMemory = 512 << 20

func (v *version) storeSettings(s file.Store, kind file.StoreKind, at problem.Place) {
	var known []string
	for _, k := range kind.Settings {
		known = append(known, k.Name)
		if k.Required && !slices.ContainsFunc(s.Settings, func(g file.NamedText) bool { return g.Key.V == k.Name }) {
			v.refuse(problem.New(problem.MissingKey, at, "add "+k.Name+": "+k.Doc, "a store of the kind %s lacks the key %q", kind.Name, k.Name))
		}
	}
	for _, g := range s.Settings {
		if !slices.Contains(known, g.Key.V) {
			v.refuse(problem.New(problem.BadSetting, g.Key.Place, suggest(g.Key.V, known, "its settings are "+strings.Join(known, ", ")), "a store of the kind %s has no setting %q", kind.Name, g.Key.V))
		}
		if g.Key.V == "path" && strings.Contains(g.Item.V, "://") {
			v.refuse(problem.New(problem.BadSetting, g.Item.Place, "write the path of a folder", "the store cannot reach %q", g.Item.V))
		}
		if kind.Name == "duckdb" && g.Key.V == "memory" {
			if n, err := humanize.ParseBytes(g.Item.V); err != nil || n < leastMemory {
				v.refuse(problem.New(problem.BadSetting, g.Item.Place, "write a size from 512MiB on, such as 8GiB", "%q is no memory to work with", g.Item.V))
			}
		}
	}
}

// kind returns what a store can do.
func (v *version) kind(store string) file.StoreKind {
	s := v.stores[store]
	if s == nil {
		return file.StoreKind{}
	}
	k, _ := file.KindOf(s.Kind)
	return k
}

// external reports whether somebody else writes a table.
func (v *version) external(t project.Table) bool {
	s := v.stores[t.Store]
	return s != nil && s.IsExternal(t)
}

// tableKey is a table's name as engines compare it.
func tableKey(t project.Table) string { return strings.ToLower(t.String()) }
