package odcs

import (
	"strings"

	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/source/tree"
)

func position(n *tree.Node) contract.Position {
	p := contract.Position{Place: n.Place, Keys: make(map[string]problem.Place, len(n.Entries))}
	for _, e := range n.Entries {
		p.Keys[e.Key] = e.Value.Place
	}
	return p
}

func document(n *tree.Node) contract.Document {
	d := contract.Document{
		Position: position(n), ID: str(n.Get("id")), Name: str(n.Get("name")), Version: str(n.Get("version")),
		Status: str(n.Get("status")), CustomProperties: customs(n),
	}
	if team := n.Get("team"); team.Is(tree.Map) {
		d.Team = str(team.Get("name"))
	}
	for _, t := range items(n.Get("schema")) {
		if !t.Is(tree.Map) {
			continue
		}
		d.Tables = append(d.Tables, contract.TableDocument{
			Position: position(t), Name: str(t.Get("name")), PhysicalName: str(t.Get("physicalName")),
			Description: str(t.Get("description")), Properties: properties(t), Quality: qualities(t),
			CustomProperties: customs(t),
		})
	}
	for _, s := range items(n.Get("slaProperties")) {
		if s.Is(tree.Map) {
			d.SLA = append(d.SLA, contract.SLADocument{
				Position: position(s), Property: str(s.Get("property")), Value: value(s.Get("value")),
				Unit: str(s.Get("unit")), Element: str(s.Get("element")),
			})
		}
	}
	return d
}

func customs(n *tree.Node) []contract.CustomProperty {
	var out []contract.CustomProperty
	for _, c := range items(n.Get("customProperties")) {
		if c.Is(tree.Map) {
			out = append(out, contract.CustomProperty{Position: position(c), Property: str(c.Get("property")), Value: value(c.Get("value"))})
		}
	}
	return out
}

func properties(n *tree.Node) []contract.PropertyDocument {
	var out []contract.PropertyDocument
	for _, p := range items(n.Get("properties")) {
		if p.Is(tree.Map) {
			out = append(out, property(p))
		}
	}
	return out
}

func property(p *tree.Node) contract.PropertyDocument {
	out := contract.PropertyDocument{
		Position: position(p), Name: str(p.Get("name")), PhysicalName: str(p.Get("physicalName")),
		LogicalType: str(p.Get("logicalType")), PhysicalType: str(p.Get("physicalType")),
		Description: str(p.Get("description")), Classification: str(p.Get("classification")),
		Required: flag(p.Get("required")), Unique: flag(p.Get("unique")), PrimaryKey: flag(p.Get("primaryKey")),
		Properties: properties(p), Quality: qualities(p), CustomProperties: customs(p),
	}
	if c := count(p.Get("primaryKeyPosition")); c != nil {
		out.PrimaryKeyPosition = int(*c)
	}
	if o := p.Get("logicalTypeOptions"); o.Is(tree.Map) {
		out.Options = options(o)
	}
	if i := p.Get("items"); i.Is(tree.Map) {
		item := property(i)
		out.Items = &item
	}
	return out
}

func options(o *tree.Node) contract.OptionsDocument {
	out := contract.OptionsDocument{
		Position: position(o), MinLength: count(o.Get("minLength")), MaxLength: count(o.Get("maxLength")),
		Pattern: str(o.Get("pattern")), Format: str(o.Get("format")),
		Minimum: value(o.Get("minimum")), Maximum: value(o.Get("maximum")),
		ExclusiveMinimum: value(o.Get("exclusiveMinimum")), ExclusiveMaximum: value(o.Get("exclusiveMaximum")),
		MultipleOf: value(o.Get("multipleOf")), DefaultTimezone: str(o.Get("defaultTimezone")),
		MinItems: count(o.Get("minItems")), MaxItems: count(o.Get("maxItems")), UniqueItems: flag(o.Get("uniqueItems")),
		MinProperties: count(o.Get("minProperties")), MaxProperties: count(o.Get("maxProperties")),
	}
	if z := o.Get("timezone"); z.Is(tree.Bool) {
		zoned := flag(z)
		out.Timezone = &zoned
	}
	for _, r := range items(o.Get("required")) {
		out.Required = append(out.Required, str(r))
	}
	return out
}

func qualities(n *tree.Node) []contract.QualityDocument {
	var out []contract.QualityDocument
	for _, q := range items(n.Get("quality")) {
		if q.Is(tree.Map) {
			out = append(out, quality(q))
		}
	}
	return out
}

func quality(q *tree.Node) contract.QualityDocument {
	out := contract.QualityDocument{
		Position: position(q), Name: str(q.Get("name")), ID: str(q.Get("id")), Type: str(q.Get("type")),
		Metric: str(q.Get("metric")), Query: str(q.Get("query")), Unit: str(q.Get("unit")),
		Severity: str(q.Get("severity")), CustomProperties: customs(q),
	}
	if out.Metric == "" {
		out.Metric = str(q.Get("rule")) // as ODCS 3.0 named it
	}
	if a := q.Get("arguments"); a.Is(tree.Map) {
		out.Arguments = arguments(a)
	}
	for _, e := range q.Entries {
		if !strings.HasPrefix(e.Key, "mustBe") && !strings.HasPrefix(e.Key, "mustNotBe") {
			continue
		}
		o := contract.OperatorDocument{Place: e.Place, Name: e.Key, Values: []any{value(e.Value)}}
		if e.Value.Is(tree.List) {
			o.Values = value(e.Value).([]any)
		}
		out.Operators = append(out.Operators, o)
	}
	return out
}

func arguments(a *tree.Node) contract.ArgumentsDocument {
	out := contract.ArgumentsDocument{Position: position(a)}
	for _, e := range a.Entries {
		switch e.Key {
		case "validValues":
			out.ValidValues, _ = value(e.Value).([]any)
		case "missingValues":
			out.MissingValues, _ = value(e.Value).([]any)
		case "pattern":
			out.Pattern = str(e.Value)
		case "properties":
			for _, p := range items(e.Value) {
				out.Properties = append(out.Properties, str(p))
			}
		default:
			out.Unknown = append(out.Unknown, e.Key)
		}
	}
	return out
}
