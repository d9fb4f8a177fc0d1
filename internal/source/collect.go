package source

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/source/file"
	"github.com/tidemill/tidemill/internal/source/form"
)

// scanProblems says whom a file that could not be taken in disables: its
// pipeline; what lies elsewhere may concern all.
func (v *version) scanProblems() {
	for _, p := range v.stray {
		parts := strings.Split(p.File, "/")
		if parts[0] == "pipelines" && len(parts) > 1 {
			v.fail([]string{parts[1]}, p)
			continue
		}
		v.refuse(p)
	}
}

// collect sorts the files into pipelines, tasks, sets and contracts.
func (v *version) collect() {
	byName := map[string]*pipeline{}
	get := func(name string) *pipeline {
		if byName[name] == nil {
			byName[name] = &pipeline{name: name, manual: true}
		}
		return byName[name]
	}
	variants := map[string]map[string]*entry{} // pipeline/task → engine → file
	for _, name := range v.names {
		f := v.files[name]
		p := f.parsed
		if p == nil {
			continue
		}
		switch p.Role {
		case file.RolePipeline:
			one := get(p.Pipeline)
			if one.out.Place.File != "" {
				v.fail([]string{p.Pipeline}, problem.New(problem.DuplicateTask, problem.Place{File: name}, "keep one of them", "the pipeline has two settings files"))
			}
			one.settings = p.Settings
			one.out.Place = problem.Place{File: name, Line: 1, Column: 1}
			v.fail([]string{p.Pipeline}, p.Problems...)
		case file.RoleTask:
			one := get(p.Pipeline)
			v.fail([]string{p.Pipeline}, p.Problems...)
			id := p.Pipeline + "/" + p.Name
			if p.Variant != "" {
				if variants[id] == nil {
					variants[id] = map[string]*entry{}
				}
				variants[id][p.Variant] = f
				continue
			}
			one.tasks = append(one.tasks, &task{pipeline: one, id: id, parsed: p, file: f, unread: p.Unread})
		case file.RoleSet:
			v.sets[p.Name] = &set{parsed: p, file: f, out: project.FeatureSet{Name: p.Name}, found: slices.Clone(p.Problems)}
		case file.RoleCalendar:
			v.calendars.Add(name, p)
		case file.RoleTest:
			v.fail(nil, p.Problems...)
		case file.RoleStray:
			v.fail(nil, p.Problems...)
		case file.RoleContract, file.RoleOther:
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		p := byName[name]
		if p.out.Place.File == "" {
			p.out.Place = problem.Place{File: "pipelines/" + name}
		}
		if !form.IsName(name) {
			v.fail([]string{name}, problem.New(problem.BadName, problem.Place{File: "pipelines/" + name}, "rename the folder: a-z, 0-9 and _, beginning with a letter, at most 63 characters", "%q cannot be a pipeline's name", name))
		}
		if len(p.tasks) == 0 {
			v.fail([]string{name}, problem.New(problem.MissingKey, p.out.Place, "put a .sql, .py or .yaml file beside pipeline.yaml", "the pipeline %s has no task", name))
		}
		v.uniqueTasks(p, variants)
		v.pipelines = append(v.pipelines, p)
	}
	for id, files := range variants {
		pipeline, _, _ := strings.Cut(id, "/")
		for engine, f := range files {
			v.fail([]string{pipeline}, problem.New(problem.BadName, problem.Place{File: f.Path}, "name the file without the engine, or add the file that it is a variant of", "%s is the variant for %s of a task that is not there", f.Path, engine))
		}
	}
}

// calendarProblems says whom the problems of calendars disable: the pipelines that use them.
func (v *version) calendarProblems() {
	v.out.Calendars = v.calendars.All()
	for name, found := range v.calendars.Problems() {
		var users []string
		for _, p := range v.pipelines {
			if p.calendar == name {
				users = append(users, p.name)
			}
		}
		v.fail(users, found...)
	}
}

// uniqueTasks leaves one task of each name, and gives variants to their tasks.
func (v *version) uniqueTasks(p *pipeline, variants map[string]map[string]*entry) {
	seen := map[string]*task{}
	p.tasks = slices.DeleteFunc(p.tasks, func(t *task) bool {
		first, twice := seen[t.id]
		if !twice {
			seen[t.id] = t
			if files := variants[t.id]; files != nil && path.Ext(t.file.Path) == ".sql" {
				t.variants = files
				delete(variants, t.id)
			}
			return false
		}
		double := problem.New(problem.DuplicateTask, problem.Place{File: t.file.Path}, "rename one of them", "the task %s is in two files", t.id)
		double.Related = []problem.Note{{Place: problem.Place{File: first.file.Path}, Message: "the other one"}}
		v.fail([]string{p.name}, double)
		return true
	})
}

// bindContracts notes which table has which contract.
func (v *version) bindContracts() {
	for _, name := range v.names {
		p := v.files[name].parsed
		if p == nil || p.Role != file.RoleContract {
			continue
		}
		for i := range p.Contract.Tables {
			t := &p.Contract.Tables[i]
			key := strings.ToLower(t.Name)
			if old := v.contracts[key]; old != nil {
				two := problem.New(problem.DuplicateBinding, t.Place, "bind the table once", "the table %s has two contracts", t.Name)
				two.Related = []problem.Note{{Place: old.place, Message: "the other one"}}
				v.doubled = append(v.doubled, doubled{t.Name, two})
				continue
			}
			v.contracts[key] = &binding{table: t, place: t.Place}
		}
		for _, one := range p.Contract.Names {
			if key := strings.ToLower(one); v.contracts[key] == nil {
				v.contracts[key] = &binding{place: problem.Place{File: name}}
			}
		}
	}
}

// doubled is a second contract of a table.
type doubled struct {
	table   string
	problem problem.Problem
}

// contract returns the contract of a table; has is true also where it cannot be read.
func (v *version) contract(t project.Table) (c *binding, has bool) {
	c, has = v.contracts[tableKey(t)]
	return c, has
}

// contractOwners says whom the problems of contracts disable: the pipelines that
// write the tables, since they would publish rows that nobody judged.
func (v *version) contractOwners() {
	for _, d := range v.doubled {
		v.fail(v.writersOf(d.table), d.problem)
	}
	for _, name := range v.names {
		p := v.files[name].parsed
		if p == nil || p.Role != file.RoleContract || len(p.Problems) == 0 {
			continue
		}
		if len(p.Contract.Names) == 0 && len(p.Problems.Errors()) > 0 {
			// Nobody knows which table would go without its contract.
			v.refuse(p.Problems...)
			continue
		}
		compiled := map[string]bool{}
		for _, t := range p.Contract.Tables {
			compiled[strings.ToLower(t.Name)] = true
		}
		var owners []string
		for _, t := range p.Contract.Names {
			if !compiled[strings.ToLower(t)] {
				owners = append(owners, v.writersOf(t)...)
			}
		}
		slices.Sort(owners)
		v.fail(slices.Compact(owners), p.Problems...)
	}
}

// writersOf returns the pipelines that write a table.
func (v *version) writersOf(table string) []string {
	t, err := project.ParseTable(table)
	if err != nil {
		return nil
	}
	var out []string
	for _, w := range v.writers[tableKey(t)] {
		out = append(out, w.pipeline.name)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
