package source

import (
	"maps"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/source/file"
	"github.com/tidemill/tidemill/internal/source/form"
)

// reservedSuffixes are names that belong to the table before them.
var reservedSuffixes = []string{"__quarantine", "__history", "__contributions"}

// modelPrefix and setPrefix part models and sets from tables in reads and writes.
const (
	modelPrefix = "model:"
	setPrefix   = "features:"
)

// claimTables settles what every task writes, and that each table has one writer.
func (v *version) claimTables() {
	v.each(func(p *pipeline) {
		for _, t := range p.tasks {
			if !t.unread {
				v.buildWrites(t)
			}
		}
	})
	for _, p := range v.pipelines {
		for _, t := range p.tasks {
			for _, w := range t.out.Writes {
				v.claim(t, w)
			}
			v.claimModels(t)
		}
	}
	for _, p := range v.pipelines {
		for _, t := range p.tasks {
			v.sourceTable(t)
		}
	}
}

func (v *version) claimModels(t *task) {
	for i, name := range t.out.Models {
		if others := v.models[name]; len(others) > 0 {
			t.fail(v, problem.TwoWriters, t.models[i], "write another model", "the model %s is also written by %s", name, others[0].id)
		}
		v.models[name] = append(v.models[name], t)
	}
}

func (v *version) claim(t *task, w project.Write) {
	key := tableKey(w.Table)
	others := v.writers[key]
	v.writers[key] = append(others, t)
	if len(others) == 0 {
		return
	}
	first := others[0]
	two := problem.New(problem.TwoWriters, w.Place, "write another table, or make one task of both", "the table %s is also written by %s", w.Table, first.id)
	for _, f := range first.out.Writes {
		if tableKey(f.Table) == key {
			two.Related = []problem.Note{{Place: f.Place, Message: "by " + first.id + " here"}}
		}
	}
	owners := []string{t.pipeline.name}
	if first.pipeline != t.pipeline {
		owners = append(owners, first.pipeline.name)
	}
	v.fail(owners, two)
}

// target is a table as a task file names it.
type target struct {
	table   project.Table
	place   problem.Place
	options *file.WriteOptions // of the entry in writes:, else nil
}

func (v *version) buildWrites(t *task) {
	in := &t.parsed.Task
	var targets []target
	own := form.Text{V: t.pipeline.name + "." + t.parsed.Name, Place: t.out.Place, Given: true}
	switch {
	case in.Kind == project.KindCheck:
		return
	case in.Kind == project.KindMove:
		name := own
		if in.Move.To.Given {
			name = in.Move.To
		} else if !in.Move.From.Given {
			return
		}
		targets = v.addTarget(t, targets, name, nil)
	case in.Kind == project.KindSQL && len(in.Writes) == 0:
		targets = v.addTarget(t, targets, own, nil)
	default:
		for i := range in.Writes {
			w := &in.Writes[i]
			if model, ok := strings.CutPrefix(w.Table.V, modelPrefix); ok && w.Table.Given {
				v.addModel(t, w.Table, model)
				continue
			}
			targets = v.addTarget(t, targets, w.Table, &w.WriteOptions)
		}
	}
	if in.Kind == project.KindSQL && len(targets) > 1 {
		t.fail(v, problem.BadValue, targets[1].place, "make a task of each", "one SELECT writes one table")
	}
	store := ""
	for _, target := range targets {
		if store != "" && target.table.Store != store {
			t.fail(v, problem.BadValue, target.place, "write them with two tasks", "a task writes to one store, and %s is in another than %s", target.table, targets[0].table)
		}
		store = target.table.Store
		t.out.Writes = append(t.out.Writes, v.buildWrite(t, target, len(targets)))
	}
	if len(in.Promote) > 0 && len(t.out.Models) == 0 {
		t.fail(v, problem.BadSetting, in.Promote[0].Key.Place, "add model:NAME to writes", "promote has no meaning for a task that writes no model")
	}
}

func (v *version) addTarget(t *task, targets []target, name form.Text, options *file.WriteOptions) []target {
	if !form.IsName(t.parsed.Name) || !form.IsName(t.pipeline.name) {
		return targets // reported as a name
	}
	table, ok := v.table(t, name)
	if !ok {
		return targets
	}
	for _, suffix := range reservedSuffixes {
		if strings.HasSuffix(strings.ToLower(table.Name), suffix) {
			t.fail(v, problem.BadName, name.Place, "choose another name", "names that end in %s belong to the table before it", suffix)
		}
	}
	return append(targets, target{table, name.Place, options})
}

func (v *version) addModel(t *task, text form.Text, name string) {
	switch {
	case t.parsed.Task.Kind != project.KindPython:
		t.fail(v, problem.BadSetting, text.Place, "write it with a Python task", "a model has no meaning for %s", t.parsed.Task.Kind)
	case !form.IsName(name):
		t.fail(v, problem.BadName, text.Place, "use a-z, 0-9 and _, beginning with a letter", "%q cannot be a model's name", name)
	default:
		t.out.Models, t.models = append(t.out.Models, name), append(t.models, text.Place)
	}
}

// buildWrite settles how one table is written: the entry in writes: before the
// task's own settings before the contract.
func (v *version) buildWrite(t *task, target target, of int) project.Write {
	in := &t.parsed.Task
	o := in.Options
	if target.options != nil {
		o = mergeOptions(*target.options, o)
	}
	w := project.Write{
		Table: target.table, Place: target.place, Keys: texts(o.Keys), EventTime: o.EventTime.V, Version: o.Version.V,
		Lookback: o.Lookback.V, AppendKeep: o.Append.V == "keep", AvailableAfter: in.AvailableAfter.V,
	}
	v.fromContract(t, &w, &o)
	if f := in.Feature; f != nil {
		if of > 1 {
			t.fail(v, problem.BadSetting, f.Place, "make a task of each table", "feature does not say which of the tables it means")
		}
		w.Keys, w.EventTime = texts(f.Keys), f.EventTime.V
		delete(t.out.Origins, "keys")
		delete(t.out.Origins, "event_time")
		if f.KnownAt.Given {
			w.KnownAt = f.KnownAt.V
		}
	}
	v.mode(t, &w, &o)
	v.modeFits(t, &w, &o)
	return w
}

func mergeOptions(over, under file.WriteOptions) file.WriteOptions {
	over.Mode = first(over.Mode, under.Mode)
	over.EventTime = first(over.EventTime, under.EventTime)
	over.Version = first(over.Version, under.Version)
	over.Lookback = first(over.Lookback, under.Lookback)
	over.Append = first(over.Append, under.Append)
	if over.Keys == nil {
		over.Keys = under.Keys
	}
	return over
}

func texts(list []form.Text) []string {
	var out []string
	for _, t := range list {
		out = append(out, t.V)
	}
	return out
}

// fromContract takes from the contract what the task does not say, and checks
// the columns that it names.
func (v *version) fromContract(t *task, w *project.Write, o *file.WriteOptions) {
	b, ok := v.contract(w.Table)
	if !ok || b.table == nil {
		return
	}
	c := b.table
	columns := c.Schema().Names()
	check := func(name form.Text) {
		if name.Given && c.Index(name.V) < 0 && c.ExtraColumns != "add" {
			t.fail(v, problem.UnknownColumn, name.Place, suggest(name.V, columns, "the contract's columns are "+strings.Join(columns, ", ")), "the contract of %s has no column %q", w.Table, name.V)
		}
	}
	for _, k := range o.Keys {
		check(k)
	}
	check(o.EventTime)
	check(o.Version)
	if f := t.parsed.Task.Feature; f != nil {
		for _, k := range f.Keys {
			check(k)
		}
		check(f.EventTime)
		check(f.KnownAt)
	}
	agreed := project.Origin{Level: "contract", Place: c.Place}
	if len(w.Keys) == 0 && len(c.Key) > 0 {
		w.Keys = c.Key
		t.origin("keys", agreed)
	}
	if w.EventTime == "" && c.EventTime != "" {
		w.EventTime = c.EventTime
		t.origin("event_time", agreed)
	}
	w.KnownAt = c.KnownAt
	if w.AvailableAfter == 0 {
		w.AvailableAfter = c.AvailableAfter
	}
}

// mode settles the write mode.
func (v *version) mode(t *task, w *project.Write, o *file.WriteOptions) {
	feature := t.parsed.Task.Feature != nil
	if b, ok := v.contract(w.Table); ok && b.table != nil {
		feature = feature || b.table.Feature
	}
	t.origin("mode", project.Origin{Level: "default"})
	switch {
	case o.Mode.Given:
		w.Mode = project.Mode(o.Mode.V)
		t.origin("mode", project.Origin{Level: "task", Place: o.Mode.Place})
		if feature && w.Mode != project.ModeFeature {
			t.fail(v, problem.BadSetting, o.Mode.Place, "remove mode:, or make it no feature table", "%s is a feature table, whose one mode is feature", w.Table)
		}
	case feature || v.predictions(t, w):
		w.Mode = project.ModeFeature
	case w.EventTime != "":
		w.Mode = project.ModeReplaceWindow
	default:
		w.Mode = project.ModeReplace
	}
	if w.Mode == project.ModeMerge && w.Version == "" {
		w.Version = w.EventTime
	}
}

// predictions reports whether a task writes predictions: it reads one feature
// set, trains no model and says nothing of the table, which then is a feature
// table with the set's key and instant (DESIGN §7).
func (v *version) predictions(t *task, w *project.Write) bool {
	if t.parsed.Task.Kind != project.KindPython || len(t.models) > 0 || len(w.Keys) > 0 || w.EventTime != "" {
		return false
	}
	var one *set
	for _, r := range t.parsed.Task.Common.Reads {
		name, ok := strings.CutPrefix(r.Table.V, setPrefix)
		if !ok {
			continue
		}
		if one != nil || v.sets[name] == nil {
			return false
		}
		one = v.sets[name]
	}
	if one == nil || !one.parsed.Set.At.Given || len(one.parsed.Set.Key) == 0 {
		return false
	}
	w.Keys, w.EventTime = texts(one.parsed.Set.Key), one.parsed.Set.At.V
	return true
}

// modeFits refuses a mode that the store cannot do whole, or that lacks what it needs.
func (v *version) modeFits(t *task, w *project.Write, o *file.WriteOptions) {
	kind := v.kind(w.Table.Store)
	at := w.Place
	if o.Mode.Given {
		at = o.Mode.Place
	}
	if kind.Name == "" {
		return // reported with the store
	}
	sql := t.parsed.Task.Kind == project.KindSQL
	switch {
	case sql && !kind.SQL:
		t.fail(v, problem.ModeImpossible, at, "write to a database and move the rows", "the store %s runs no SQL", w.Table.Store)
	case !slices.Contains(kind.Modes, w.Mode):
		var modes []string
		for _, m := range kind.Modes {
			modes = append(modes, string(m))
		}
		t.fail(v, problem.ModeImpossible, at, "its modes are "+strings.Join(modes, ", "), "a store of the kind %s cannot do %s whole", kind.Name, w.Mode)
	case w.Mode == project.ModeView && !sql:
		t.fail(v, problem.ModeImpossible, at, "write the view as a .sql file", "a view is made by SQL alone")
	}
	if c, has := v.contract(w.Table); has && c.table == nil {
		return // the contract would say, and its own faults are reported
	}
	switch w.Mode {
	case project.ModeMerge, project.ModeFeature:
		if len(w.Keys) == 0 {
			t.fail(v, problem.NoKey, at, "add keys:, or mark the contract's columns with primaryKey", "%s needs the key of %s", w.Mode, w.Table)
		}
		if w.Mode == project.ModeFeature && w.EventTime == "" {
			t.fail(v, problem.MissingKey, at, "add event_time:, or tidemill.eventTime to the contract", "%s needs the event time of %s", w.Mode, w.Table)
		}
	case project.ModeReplaceWindow:
		if w.EventTime == "" {
			t.fail(v, problem.MissingKey, at, "add event_time:, or tidemill.eventTime to the contract", "%s needs the event time of %s", w.Mode, w.Table)
		}
	case project.ModeReplace, project.ModeAppend, project.ModeView:
	}
	v.onlyFor(t, w.Mode, o)
}

// onlyFor refuses settings that the mode does not look at.
func (v *version) onlyFor(t *task, mode project.Mode, o *file.WriteOptions) {
	if !o.Version.Given && !o.Lookback.Given && !o.Append.Given {
		return
	}
	for name, one := range map[string]struct {
		given bool
		at    problem.Place
		modes []project.Mode
	}{
		"version":  {o.Version.Given, o.Version.Place, []project.Mode{project.ModeMerge}},
		"lookback": {o.Lookback.Given, o.Lookback.Place, []project.Mode{project.ModeReplaceWindow, project.ModeFeature}},
		"append":   {o.Append.Given, o.Append.Place, []project.Mode{project.ModeAppend}},
	} {
		if one.given && !slices.Contains(one.modes, mode) {
			t.fail(v, problem.BadSetting, one.at, "remove it", "%s has no meaning for the mode %s", name, mode)
		}
	}
}

// tables returns every table that is written, sorted.
func (v *version) tables() []string { return slices.Sorted(maps.Keys(v.writers)) }
