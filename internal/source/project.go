package source

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/expr"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/source/condition"
	"github.com/tidemill/tidemill/internal/source/file"
	"github.com/tidemill/tidemill/internal/source/folder"
	"github.com/tidemill/tidemill/internal/source/form"
	"github.com/tidemill/tidemill/internal/source/tree"
)

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
	v.top = file.Project{}
	v.references = decode(merged, &v.top).References
	v.out.Name, v.out.Environment = v.top.Project.V, v.options.Environment
	v.zone = v.top.Timezone.V
	if !v.top.Timezone.Given {
		v.zone = "UTC"
	}
	v.out.Timezone = v.zone
	v.projectSecrets()
	v.projectStores()
	v.projectPools()
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
			v.refuse(condition.Check(expr.ScopeRoute, r.When)...)
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
