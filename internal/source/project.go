package source

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/expr"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/source/alert"
	"github.com/tidemill/tidemill/internal/source/file"
	"github.com/tidemill/tidemill/internal/source/folder"
	"github.com/tidemill/tidemill/internal/source/form"
	"github.com/tidemill/tidemill/internal/source/tree"
)

// readProject reads tidemill.yaml with the overlay of the environment.
func (v *version) readProject(f *folder.File) {
	root, unread := tree.YAML(string(f.Data), tree.In(f.Path))
	v.refuse(unread...)
	if root == nil && len(unread) > 0 {
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
	var found problem.List
	v.out.Alerts, found = alert.Read(v.top.Alerts)
	v.refuse(found...)
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
