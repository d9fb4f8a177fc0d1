package source

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"

	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/source/dates"
	"github.com/tidemill/tidemill/internal/source/file"
	"github.com/tidemill/tidemill/internal/source/form"
)

// version is one reading of a folder on its way from parsed files to a Result.
type version struct {
	options *Options
	files   map[string]*entry
	names   []string     // of the files, sorted
	stray   problem.List // found while scanning

	top        file.Project
	references []form.Reference // of tidemill.yaml
	schedules  map[string]file.Schedule
	zone       string
	calendars  *dates.Calendars

	out       project.Project
	stores    map[string]*project.Store
	secrets   map[string]bool
	contracts map[string]*binding
	doubled   []doubled
	pipelines []*pipeline
	sets      map[string]*set
	writers   map[string][]*task // by tableKey
	models    map[string][]*task
	silent    bool                 // the SQL parser gave no answer to some text
	signature map[string]Signature // by path

	mu       sync.Mutex // guards problems, broken and the users of sets
	problems problem.List
	broken   map[string]bool
	refused  bool
	unread   bool // tidemill.yaml could not be read
}

// binding is a table's contract, or the fact that it has one that cannot be read.
type binding struct {
	table *contract.Table // nil: it cannot be read
	place problem.Place
}

// pipeline and task are values in the making.
type pipeline struct {
	name     string
	settings file.Pipeline
	out      project.Pipeline
	tasks    []*task
	manual   bool   // no schedule
	calendar string // that its schedule names
}

type task struct {
	pipeline *pipeline
	id       string
	parsed   *file.Parsed
	file     *entry
	variants map[string]*entry // engine → file
	out      project.Task
	reads    []read
	models   []problem.Place // where the models that it writes are named
	unread   bool
}

// read is a read with what only this package needs to know.
type read struct {
	project.Read
	loose bool // draws no arrow
}

// set is a feature set in the making.
type set struct {
	parsed *file.Parsed
	file   *entry
	out    project.FeatureSet
	spine  []found
	label  []found
	found  problem.List // disables the pipelines that read the set
	users  []string     // pipelines
}

// found is a table that a text names.
type found struct {
	table project.Table
	place problem.Place
}

func newVersion(options *Options, stray problem.List) *version {
	return &version{
		options: options, stray: stray, calendars: dates.NewCalendars(),
		schedules: map[string]file.Schedule{}, stores: map[string]*project.Store{}, secrets: map[string]bool{},
		contracts: map[string]*binding{}, sets: map[string]*set{},
		writers: map[string][]*task{}, models: map[string][]*task{},
		signature: map[string]Signature{}, broken: map[string]bool{},
	}
}

// fail records problems that disable the named pipelines: the first is the
// owner. Without a name they disable none.
func (v *version) fail(owners []string, list ...problem.Problem) {
	if len(list) == 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, p := range list {
		if len(owners) > 0 {
			p.Owner, p.Also = owners[0], owners[1:]
		}
		if p.Severity == problem.SeverityError {
			for _, o := range owners {
				v.broken[o] = true
			}
		}
		v.problems = append(v.problems, p)
	}
}

// refuse records problems that concern everything.
func (v *version) refuse(list ...problem.Problem) {
	for _, p := range list {
		v.refused = v.refused || p.Severity == problem.SeverityError
		v.problems = append(v.problems, p)
	}
}

func (t *task) fail(v *version, code problem.Code, at problem.Place, remedy, format string, args ...any) {
	v.fail([]string{t.pipeline.name}, problem.New(code, at, remedy, format, args...))
}

func suggest(word string, candidates []string, otherwise string) string {
	if near := problem.Nearest(word, candidates); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return otherwise
}

// result resolves everything and leaves out what is broken.
func (v *version) result() *Result {
	v.scanProblems()
	v.collect()
	if v.unread {
		// Without stores, secrets and zone everything else would seem wrong.
		return v.assemble(nil)
	}
	v.bindContracts()
	v.calendars.Settle()
	v.each(v.buildPipeline)
	v.calendarProblems()
	v.claimTables()
	v.buildSets()
	v.each(func(p *pipeline) {
		for _, t := range p.tasks {
			v.buildReads(t)
		}
	})
	v.setProblems()
	v.order()
	v.contractOwners()
	v.warnings()
	tests := v.tests()
	if v.silent {
		v.forget()
	}
	return v.assemble(tests)
}

// each works on pipelines side by side. What the function writes belongs to its
// pipeline, or is guarded.
func (v *version) each(work func(*pipeline)) {
	var group sync.WaitGroup
	workers := min(runtime.GOMAXPROCS(0), len(v.pipelines))
	for w := range workers {
		group.Go(func() {
			for i := w; i < len(v.pipelines); i += workers {
				work(v.pipelines[i])
			}
		})
	}
	group.Wait()
}

func (v *version) assemble(tests []Test) *Result {
	r := &Result{Files: make(map[string][]byte, len(v.files)), Tests: tests, Refused: v.refused}
	for name, f := range v.files {
		r.Files[name] = f.Data
	}
	for _, p := range v.pipelines {
		if v.broken[p.name] {
			continue
		}
		for _, t := range p.tasks {
			for _, one := range t.reads {
				t.out.Reads = append(t.out.Reads, one.Read)
			}
			p.out.Tasks = append(p.out.Tasks, t.out)
		}
		v.out.Pipelines = append(v.out.Pipelines, p.out)
	}
	for _, name := range slices.Sorted(maps.Keys(v.sets)) {
		if s := v.sets[name]; len(s.found.Errors()) == 0 {
			v.out.Sets = append(v.out.Sets, s.out)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v.contracts)) {
		if b := v.contracts[name]; b.table != nil {
			r.Contracts = append(r.Contracts, *b.table)
		}
	}
	r.Project = v.out
	r.Broken = slices.Sorted(maps.Keys(v.broken))
	r.Problems = tidy(v.problems)
	return r
}

// tidy sorts problems and leaves out those that were found twice.
func tidy(list problem.List) problem.List {
	type key struct {
		problem.Place
		problem.Code
		string
	}
	seen := map[key]bool{}
	list = slices.DeleteFunc(list, func(p problem.Problem) bool {
		k := key{p.Place, p.Code, p.Message}
		twice := seen[k]
		seen[k] = true
		return twice
	})
	list.Sort()
	return list
}
