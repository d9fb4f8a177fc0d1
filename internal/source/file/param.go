package file

import (
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/source/form"
	"github.com/tidemill/tidemill/internal/source/tree"
)

// Params reads declared parameters.
func Params(list []form.Named[Param]) ([]project.Param, problem.List) {
	var out []project.Param
	var found problem.List
	for _, one := range list {
		p := project.Param{Name: one.Key.V, Type: one.Item.Type.V, Place: one.Key.Place}
		n := one.Item.Default
		if n == nil || n.Kind == tree.Null {
			if p.Type == "" {
				found = append(found, problem.New(problem.BadParam, one.Key.Place, "give it a default, or write {type: string}", "the param %s has neither a default nor a type", p.Name))
				continue
			}
			out = append(out, p)
			continue
		}
		kind := TypeOf(n)
		switch {
		case kind == "":
			found = append(found, problem.New(problem.BadParam, n.Place, "write a text, a number, true or false", "the param %s cannot be a %s", p.Name, n.Kind))
			continue
		case p.Type == "":
			p.Type = kind
		case p.Type != kind && (p.Type != "number" || kind != "integer"):
			found = append(found, problem.New(problem.BadParam, n.Place, "", "the param %s has the type %s, and its default %s has not", p.Name, p.Type, n.Text))
			continue
		}
		p.Default = n.JSON()
		out = append(out, p)
	}
	return out, found
}

// TypeOf returns the type of param that a value is of; empty: of none.
func TypeOf(n *tree.Node) string {
	switch n.Kind {
	case tree.Text:
		return "string"
	case tree.Bool:
		return "boolean"
	case tree.Number:
		switch n.Value().(type) {
		case int64, uint64:
			return "integer"
		}
		return "number"
	default:
		return ""
	}
}

// Overlay puts parameters over others; one that is in both must keep its type.
func Overlay(under, over []project.Param) ([]project.Param, problem.List) {
	var found problem.List
	out := append([]project.Param(nil), under...)
next:
	for _, p := range over {
		for i := range out {
			if out[i].Name != p.Name {
				continue
			}
			if out[i].Type != p.Type {
				clash := problem.New(problem.BadParam, p.Place, "give both the same type", "the param %s has the type %s here and %s elsewhere", p.Name, p.Type, out[i].Type)
				clash.Related = []problem.Note{{Place: out[i].Place, Message: "of type " + out[i].Type + " here"}}
				found = append(found, clash)
			}
			if len(p.Default) > 0 {
				out[i] = p
			}
			continue next
		}
		out = append(out, p)
	}
	return out, found
}
