package source

import (
	"encoding/hex"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidemill/tidemill/internal/core/expr"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/source/condition"
	"github.com/tidemill/tidemill/internal/source/file"
	"github.com/tidemill/tidemill/internal/source/form"
)

const defaultBackoff = 30 * time.Second

// buildTask settles everything of a task that needs no other task.
func (v *version) buildTask(t *task) {
	p := t.parsed
	in := &p.Task
	t.out = project.Task{
		Name: p.Name, Kind: in.Kind, File: t.file.Path, Place: problem.Place{File: t.file.Path, Line: 1, Column: 1},
		About: in.Common.Description.V, Previous: in.Common.AfterPrevious.V, When: in.Common.When.V, RetryIf: in.Common.RetryIf.V,
		Digest: hex.EncodeToString(t.file.Hash[:]), Origins: make(map[string]project.Origin, 5),
	}
	if t.unread {
		return
	}
	v.taskDefaults(t)
	v.taskPools(t)
	v.taskParams(t)
	v.taskSecrets(t)
	t.out.After = texts(in.Common.After)
	v.fail([]string{t.pipeline.name}, condition.Check(expr.ScopeWhen, in.Common.When)...)
	v.fail([]string{t.pipeline.name}, condition.Check(expr.ScopeRetryIf, in.Common.RetryIf)...)
	if r := in.Common.RetryIf; r.Given && t.out.Retries == 0 {
		p := problem.New(problem.BadSetting, r.Place, "write retries: 3, or what suits the task", "retry_if decides nothing: retries is 0, so no failure is tried again")
		p.Severity = problem.SeverityWarning
		v.fail(nil, p)
	}
	switch in.Kind {
	case project.KindMove:
		v.buildMove(t)
	case project.KindSQL:
		t.out.SQL = &project.SQL{Text: in.Statement}
	case project.KindPython:
		v.buildPython(t)
	case project.KindCommand:
		v.buildCommand(t)
	case project.KindCheck:
		v.buildCheck(t)
	}
	for _, r := range p.References {
		v.checkReference(r, t.out.Params, func(one problem.Problem) { v.fail([]string{t.pipeline.name}, one) })
	}
}

// pick returns the first setting that is given, from the task outwards.
func pick[T any](t *task, v *version, name string, get func(*file.TaskDefaults) form.Value[T], otherwise T) T {
	if one := get(&t.parsed.Task.Common.TaskDefaults); one.Given {
		t.origin(name, project.Origin{Level: "task", Place: one.Place})
		return one.V
	}
	if one := get(&t.pipeline.settings.Defaults.TaskDefaults); one.Given {
		t.origin(name, project.Origin{Level: "pipeline", Place: one.Place})
		return one.V
	}
	if one := get(&v.top.Defaults.TaskDefaults); one.Given {
		t.origin(name, project.Origin{Level: "project", Place: one.Place})
		return one.V
	}
	t.origin(name, project.Origin{Level: "default"})
	return otherwise
}

func (t *task) origin(name string, o project.Origin) { t.out.Origins[name] = o }

func (v *version) taskDefaults(t *task) {
	t.out.Retries = int(pick(t, v, "retries", func(d *file.TaskDefaults) form.Whole { return d.Retries }, 0))
	t.out.Backoff = pick(t, v, "backoff", func(d *file.TaskDefaults) form.Duration { return d.Backoff }, defaultBackoff)
	t.out.Timeout = pick(t, v, "timeout", func(d *file.TaskDefaults) form.Duration { return d.Timeout }, 0)
	if t.out.Retries > 1000 {
		t.fail(v, problem.BadValue, t.out.Origins["retries"].Place, "write at most 1000", "%d retries are too many", t.out.Retries)
	}
}

func (v *version) taskParams(t *task) {
	own, found := file.Params(t.parsed.Task.Common.Params)
	v.fail([]string{t.pipeline.name}, found...)
	all, found := file.Overlay(t.pipeline.out.Params, own)
	v.fail([]string{t.pipeline.name}, found...)
	t.out.Params = all
}

func (v *version) taskSecrets(t *task) {
	names := slices.Sorted(maps.Keys(v.secrets))
	for _, s := range t.parsed.Task.Common.Secrets {
		if s.Given && !v.secrets[s.V] {
			t.fail(v, problem.UnknownSecret, s.Place, suggest(s.V, names, "declare it in tidemill.yaml under secrets:"), "unknown secret %q", s.V)
		}
		t.out.Secrets = append(t.out.Secrets, s.V)
	}
	for _, r := range t.parsed.References {
		if r.Path[0] == "secret" && len(r.Path) == 2 && !slices.Contains(t.out.Secrets, r.Path[1]) {
			t.out.Secrets = append(t.out.Secrets, r.Path[1])
		}
	}
	slices.Sort(t.out.Secrets)
}

func (v *version) buildPython(t *task) {
	in := &t.parsed.Task
	out := &project.Python{Requires: in.Requires.V, Dependencies: texts(in.Dependencies)}
	out.Driver = pick(t, v, "driver", func(d *file.TaskDefaults) form.Text { return d.Driver }, "")
	if in.Lock.Given {
		lock := path.Join(path.Dir(t.file.Path), in.Lock.V)
		if v.files[lock] == nil {
			t.fail(v, problem.BadPath, in.Lock.Place, "the path is seen from the task's folder", "there is no file %s in the project", lock)
		}
		out.Lock = lock
	}
	if len(in.Promote) > 0 {
		out.Promote = map[string]string{}
	}
	for _, one := range in.Promote {
		metrics, err := expr.Identifiers(one.Item.V)
		if err != nil {
			v.fail([]string{t.pipeline.name}, condition.Check(expr.ScopePromote, one.Item)...)
			continue
		}
		v.fail([]string{t.pipeline.name}, condition.Check(expr.ScopePromote, one.Item, metrics...)...)
		out.Promote[one.Key.V] = one.Item.V
	}
	t.out.Python = out
	v.signatureOf(t)
}

// signatureOf takes the typed arguments of the task's function as params.
func (v *version) signatureOf(t *task) {
	s, ok := v.signature[t.file.Path]
	if !ok {
		return
	}
	at := func(position [2]int) problem.Place {
		return problem.Place{File: t.file.Path, Line: max(position[0], 1), Column: max(position[1], 1)}
	}
	switch {
	case s.Error != "" && s.Syntax:
		t.fail(v, problem.BadPython, at(s.At), "", "Python cannot read the file: %s", s.Error)
		return
	case s.Error != "":
		t.fail(v, problem.BadSignature, at(s.At), "", "%s", s.Error)
		return
	}
	var own []project.Param
	for _, a := range s.Args {
		p := project.Param{Name: a.Name, Type: a.Type, Default: a.Default, Place: at(a.At)}
		if !form.IsName(a.Name) {
			t.fail(v, problem.BadName, p.Place, "use a-z, 0-9 and _, beginning with a letter", "the argument %q cannot be a param's name", a.Name)
		}
		declared := slices.ContainsFunc(t.out.Params, func(d project.Param) bool { return d.Name == a.Name })
		if len(a.Default) == 0 && !declared {
			t.fail(v, problem.BadSignature, p.Place, "give it a default, or declare it under params:", "the argument %s has no default and is no param", a.Name)
		}
		own = append(own, p)
	}
	all, found := file.Overlay(t.out.Params, own)
	v.fail([]string{t.pipeline.name}, found...)
	t.out.Params = all
}

func (v *version) buildCommand(t *task) {
	c := t.parsed.Task.Command
	out := &project.Command{Args: texts(c.Args)}
	if len(out.Args) == 0 || out.Args[0] == "" {
		t.fail(v, problem.MissingKey, c.Place, "write [PROGRAM, ARGUMENT, …]", "the command names no program")
	}
	if len(c.Env) > 0 {
		out.Env = map[string]string{}
	}
	for _, e := range c.Env {
		if e.Key.V == "" || strings.ContainsAny(e.Key.V, "=\x00") {
			t.fail(v, problem.BadName, e.Key.Place, "", "%q cannot be the name of an environment variable", e.Key.V)
		}
		out.Env[e.Key.V] = e.Item.V
	}
	t.out.Command = out
}

func (v *version) buildCheck(t *task) {
	c := t.parsed.Task.Check
	out := &project.Check{}
	out.Table, _ = v.table(t, c.Table)
	names := map[string]bool{}
	if c.Given && len(c.Rules) == 0 {
		t.fail(v, problem.MissingKey, c.Place, "add rules with name, query and mustBe", "the check has no rules")
	}
	for _, r := range c.Rules {
		given := r.Conditions()
		if names[r.Name.V] && r.Name.Given {
			t.fail(v, problem.DuplicateKey, r.Name.Place, "rename one of them", "two rules have the name %q", r.Name.V)
		}
		names[r.Name.V] = true
		rule := project.Rule{Name: r.Name.V, Query: file.Statement(r.Query.V), Severity: r.Severity.V, Place: r.Place}
		if rule.Severity == "" {
			rule.Severity = "error"
		}
		if len(given) != 1 {
			t.fail(v, problem.MissingKey, r.Place, "give it one of mustBe, mustNotBe, mustBeGreaterThan, mustBeLessThan, mustBeBetween …", "the rule %q has %d conditions", r.Name.V, len(given))
			continue
		}
		rule.Operator, rule.Value = given[0].Name, given[0].Value.JSON()
		v.operand(t, given[0])
		out.Rules = append(out.Rules, rule)
	}
	t.out.Check = out
}

// operand checks the value that a rule compares with.
func (v *version) operand(t *task, o file.OperatorValue) {
	n := o.Value
	between := strings.HasSuffix(o.Name, "Between")
	switch {
	case between && (len(n.Items) != 2 || !isNumber(n.Items[0]) || !isNumber(n.Items[1])):
		t.fail(v, problem.WrongType, n.Place, "write [LEAST, MOST]", "%s takes two numbers", o.Name)
	case between:
	case o.Name == "mustBe" || o.Name == "mustNotBe":
		if file.TypeOf(n) == "" {
			t.fail(v, problem.WrongType, n.Place, "write a number, a text, true or false", "%s takes one value", o.Name)
		}
	case !isNumber(n):
		t.fail(v, problem.WrongType, n.Place, "write a number", "%s takes a number", o.Name)
	}
}

func isNumber(n form.Any) bool {
	kind := file.TypeOf(n)
	return kind == "integer" || kind == "number"
}

// table reads the name of a table whose store exists.
func (v *version) table(t *task, text form.Text) (project.Table, bool) {
	if !text.Given {
		return project.Table{}, false
	}
	table, one := v.tableOf(text.V, text.Place)
	if one != nil {
		v.fail([]string{t.pipeline.name}, *one)
		return project.Table{}, false
	}
	return table, true
}

func (v *version) tableOf(text string, at problem.Place) (project.Table, *problem.Problem) {
	table, err := parseTable(text)
	if err != nil {
		one := problem.New(problem.BadTable, at, "write schema.name or store:schema.name", "%q is not a table name", text)
		return table, &one
	}
	if v.stores[table.Store] == nil {
		one := problem.New(problem.UnknownStore, at, suggest(table.Store, slices.Sorted(maps.Keys(v.stores)), "declare it in tidemill.yaml under stores:"), "unknown store %q", table.Store)
		return project.Table{}, &one
	}
	return table, nil
}

// tableNames remembers names: one is read more often than it is written.
var tableNames sync.Map // text → project.Table

func parseTable(text string) (project.Table, error) {
	if t, ok := tableNames.Load(text); ok {
		return t.(project.Table), nil
	}
	t, err := project.ParseTable(text)
	if err == nil {
		tableNames.Store(text, t)
	}
	return t, err
}
