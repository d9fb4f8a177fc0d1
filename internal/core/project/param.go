package project

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/problem"
)

// CheckParams refuses params, an object of JSON, that neither the pipeline nor a
// task of it declares, or that are of another type. The error is of kind invalid.
func (p *Pipeline) CheckParams(given json.RawMessage) error {
	if len(given) == 0 {
		return nil
	}
	var values map[string]any
	if err := json.Unmarshal(given, &values); err != nil {
		return fault.New(fault.Invalid, "params: %w", err)
	}
	declared := map[string]string{}
	for _, one := range p.Params {
		declared[one.Name] = one.Type
	}
	for _, t := range p.Tasks {
		for _, one := range t.Params {
			declared[one.Name] = one.Type
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		kind, ok := declared[name]
		if !ok {
			return fault.New(fault.Invalid, "the pipeline %s declares no param %q%s", p.Name, name, problem.Suggest(name, slices.Sorted(maps.Keys(declared))))
		}
		if !hasType(values[name], kind) {
			return fault.New(fault.Invalid, "param %s takes type %s; %v is another", name, kind, values[name])
		}
	}
	return nil
}

func hasType(v any, kind string) bool {
	switch n := v.(type) {
	case string:
		return kind == "string"
	case bool:
		return kind == "boolean"
	case float64:
		return kind == "number" || kind == "integer" && n == float64(int64(n))
	}
	return false
}
