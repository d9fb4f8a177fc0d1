package source

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/expr"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/source/folder"
	"github.com/tidemill/tidemill/internal/source/form"
	"github.com/tidemill/tidemill/internal/source/tree"
)

// version is one reading of a folder on its way from parsed files to a Result.
type version struct {
	options *Options
	files   map[string]*file
	names   []string     // of the files, sorted
	stray   problem.List // found while scanning

	top        projectFile
	references []form.Reference // of tidemill.yaml
	schedules  map[string]scheduleFile
	zone       string

	out       project.Project
	stores    map[string]*project.Store
	secrets   map[string]bool
	channels  map[string]bool
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
	settings pipelineFile
	out      project.Pipeline
	tasks    []*task
	manual   bool // no schedule
}

type task struct {
	pipeline *pipeline
	id       string
	parsed   *parsed
	file     *file
	variants map[string]*file // engine → file
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
	parsed *parsed
	file   *file
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
		options: options, stray: stray,
		schedules: map[string]scheduleFile{}, stores: map[string]*project.Store{}, secrets: map[string]bool{},
		channels: map[string]bool{}, contracts: map[string]*binding{}, sets: map[string]*set{},
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

// readProject reads tidemill.yaml with the overlay of the environment.
func (v *version) readProject(f *folder.File) {
	root, found := tree.YAML(string(f.Data), tree.In(f.Path))
	v.refuse(found...)
	if root == nil && len(found) > 0 {
		v.unread = true
		return
	}
	decode := func(n *tree.Node, out any) *form.Decoder {
		d := &form.Decoder{}
		d.Decode(n, f.Path, out)
		v.refuse(d.Problems...)
		return d
	}
	if root == nil {
		root = &tree.Node{Kind: tree.Map, Place: problem.Place{File: f.Path, Line: 1, Column: 1}}
	}
	decode(root, &v.top)
	// What one environment says is nothing that another one needs to have.
	effective := *root
	effective.Entries = slices.DeleteFunc(slices.Clone(effective.Entries), func(e tree.Entry) bool { return e.Key == "environments" })
	merged := &effective
	if overlay := v.environment(root); overlay != nil {
		for _, e := range v.top.Environments {
			if e.Key.V == v.options.Environment {
				for _, s := range e.Item.Schedules {
					v.schedules[s.Key.V] = s.Item
				}
			}
		}
		merged = tree.Merge(merged, overlay, func(path []string) bool { return len(path) == 2 && path[0] == "stores" })
	}
	v.top = projectFile{}
	v.references = decode(merged, &v.top).References
	v.out.Name, v.out.Environment = v.top.Project.V, v.options.Environment
	v.zone = v.top.Timezone.V
	if !v.top.Timezone.Given {
		v.zone = "UTC"
	}
	v.out.Timezone = v.zone
	v.projectSecrets()
	v.projectStores()
	v.projectAlerts()
	for _, r := range v.references {
		v.checkReference(r, nil, func(p problem.Problem) { v.refuse(p) })
	}
}

// environment returns the overlay of the environment, without its schedules.
func (v *version) environment(root *tree.Node) *tree.Node {
	name := v.options.Environment
	if name == Base {
		return nil
	}
	all := root.Get("environments")
	overlay := all.Get(name)
	if overlay == nil {
		var names []string
		if all.Is(tree.Map) {
			for _, e := range all.Entries {
				names = append(names, e.Key)
			}
		}
		at := problem.Place{File: folder.ProjectName, Line: 1, Column: 1}
		if e, ok := root.Entry("environments"); ok {
			at = e.Place
		}
		v.refuse(problem.New(problem.UnknownEnv, at, suggest(name, names, "add it under environments:"), "there is no environment %q", name))
		return nil
	}
	if !overlay.Is(tree.Map) {
		return nil
	}
	out := *overlay
	out.Entries = slices.DeleteFunc(slices.Clone(overlay.Entries), func(e tree.Entry) bool { return e.Key == "schedules" || e.Key == "project" })
	return &out
}

func (v *version) includes() ([]string, func(int) problem.Place) {
	patterns := make([]string, len(v.top.Include))
	for i, p := range v.top.Include {
		patterns[i] = p.V
	}
	return patterns, func(i int) problem.Place { return v.top.Include[i].Place }
}

func (v *version) projectSecrets() {
	for _, s := range v.top.Secrets {
		source, name, _ := strings.Cut(s.Item.V, ":")
		if s.Item.Given && (source != "env" && source != "file" || name == "") {
			v.refuse(problem.New(problem.BadValue, s.Item.Place, "write env:NAME or file:PATH", "the secret %s has no source", s.Key.V))
		}
		v.secrets[s.Key.V] = true
		v.out.Secrets = append(v.out.Secrets, project.Secret{Name: s.Key.V, Ref: s.Item.V, Place: s.Key.Place})
	}
}

func (v *version) projectAlerts() {
	var names []string
	for _, c := range v.top.Alerts.Channels {
		names = append(names, c.Key.V)
		v.channels[c.Key.V] = true
		settings := map[string]string{"url": c.Item.URL.V}
		if c.Item.HMAC.Given {
			settings["hmac"] = c.Item.HMAC.V
		}
		v.out.Alerts.Channels = append(v.out.Alerts.Channels, project.Channel{
			Name: c.Key.V, Kind: c.Item.Kind.V, Settings: settings, Place: c.Key.Place,
		})
	}
	for i, r := range v.top.Alerts.Routes {
		route := project.Route{When: r.When.V, To: []string{}, Repeat: r.Repeat.V, Place: r.Place}
		if r.When.Given {
			v.refuse(condition(expr.ScopeRoute, r.When)...)
		} else if i < len(v.top.Alerts.Routes)-1 && r.Given {
			p := problem.New(problem.BadValue, r.Place, "give it a when:, or make it the last one", "a route without when: takes every incident, so the routes behind it have no effect")
			p.Severity = problem.SeverityWarning
			v.refuse(p)
		}
		for _, to := range r.To {
			if to.Given && !v.channels[to.V] {
				v.refuse(problem.New(problem.UnknownChannel, to.Place, suggest(to.V, names, "declare it under alerts.channels"), "unknown channel %q", to.V))
			}
			route.To = append(route.To, to.V)
		}
		v.out.Alerts.Routes = append(v.out.Alerts.Routes, route)
	}
}

// condition compiles a CEL expression.
func condition(scope expr.Scope, text form.Text, metrics ...string) problem.List {
	if !text.Given {
		return nil
	}
	if _, err := compileCEL(scope, text.V, metrics...); err != nil {
		at := text.Place
		var s *expr.SyntaxError
		if errors.As(err, &s) {
			at = text.Node.At(s.Offset)
		}
		message, remedy := explainCEL(err.Error())
		return problem.List{problem.New(problem.BadCEL, at, remedy, "%s", message)}
	}
	return nil
}

// trial are values with which every well-formed reference can be resolved.
var trial = expr.Values{
	Start: time.Date(2013, 6, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2013, 6, 2, 0, 0, 0, 0, time.UTC),
	Secret: func(string) (string, error) { return "x", nil }, Run: "x", Task: "x",
}

// checkReference checks that what {…} names is there.
func (v *version) checkReference(r form.Reference, params []project.Param, add func(problem.Problem)) {
	values := trial
	values.Params = map[string]any{}
	for _, p := range params {
		values.Params[p.Name] = "x"
	}
	name := r.Path[len(r.Path)-1]
	switch {
	case r.Path[0] == "secret" && len(r.Path) == 2 && !v.secrets[name]:
		add(problem.New(problem.UnknownSecret, r.Place, suggest(name, slices.Sorted(maps.Keys(v.secrets)), "declare it in tidemill.yaml under secrets:"), "unknown secret %q", name))
		return
	case r.Path[0] == "param" && len(r.Path) == 2 && values.Params[name] == nil:
		add(problem.New(problem.UnknownParam, r.Place, suggest(name, slices.Sorted(maps.Keys(values.Params)), "declare it under params:"), "unknown param %q", name))
		return
	}
	if _, err := values.Resolve(r.Reference); err != nil {
		add(problem.New(problem.BadInterpolation, r.Place, "", "{%s}: %s", r.String(), err))
	}
}

// ask asks the parsers of SQL and Python about everything at once.
func (v *version) ask(ctx context.Context) error {
	if v.options.Lineage != nil {
		if err := v.askSQL(ctx); err != nil {
			return fmt.Errorf("parse the project's SQL: %w", err)
		}
	}
	var scripts []string
	for _, name := range v.names {
		f := v.files[name]
		if p := f.parsed; p == nil || p.unread || p.role != roleTask || p.task.kind != project.KindPython {
			continue
		}
		if f.signature != nil {
			v.signature[name] = *f.signature
		} else {
			scripts = append(scripts, name)
		}
	}
	if v.options.Signatures != nil && len(scripts) > 0 {
		bodies := make([]string, len(scripts))
		for i, name := range scripts {
			bodies[i] = string(v.files[name].Data)
		}
		answers, err := v.options.Signatures.Signatures(ctx, bodies)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			// A machine without Python still reads the rest of the project.
			p := problem.New(problem.BadSignature, problem.Place{File: scripts[0], Line: 1, Column: 1}, "install Python 3.11 or newer", "the arguments of Python tasks are not known: %s", err)
			p.Severity = problem.SeverityWarning
			v.fail(nil, p)
			v.silent = true
			return nil
		}
		for i, name := range scripts {
			v.signature[name] = answers[i]
			// An answer depends on the text alone; an odd one may be the reader's own fault.
			if answers[i].Error == "" || answers[i].Syntax {
				v.files[name].signature = &answers[i]
			}
		}
	}
	return nil
}

// askSQL asks about the texts of files that were not asked about before.
func (v *version) askSQL(ctx context.Context) error {
	var list []string
	known := map[string]int{}
	var open []*file
	for _, name := range v.names {
		f := v.files[name]
		if f.parsed == nil || len(f.parsed.sql) == 0 || f.answers != nil {
			continue
		}
		open = append(open, f)
		for _, t := range f.parsed.sql {
			if _, ok := known[t]; !ok {
				known[t] = len(list)
				list = append(list, t)
			}
		}
	}
	if len(list) == 0 {
		return nil
	}
	answers, err := v.options.Lineage.Tables(ctx, list)
	if err != nil {
		return err
	}
	for _, f := range open {
		f.answers = make(map[string]project.Lineage, len(f.parsed.sql))
		for _, t := range f.parsed.sql {
			a := answers[known[t]]
			f.answers[t] = a
			v.silent = v.silent || a.Fault != nil && a.Fault.Kind == project.FaultParser
		}
	}
	return nil
}

// forget lets files be asked about again whose texts the parser gave no answer to.
func (v *version) forget() {
	for _, name := range v.names {
		f := v.files[name]
		for _, a := range f.answers {
			if a.Fault != nil && a.Fault.Kind == project.FaultParser {
				f.answers = nil
				break
			}
		}
	}
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
	v.each(v.buildPipeline)
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
