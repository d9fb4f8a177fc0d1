package project

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/problem"
)

// ReadParams reads params, an object of JSON, as the pipeline and its tasks declare
// them, and returns them with every value in the declared type. A text stands for
// a value of any type, as on a command line. What is not declared, or of another
// type, is refused with an error of kind invalid.
func (p *Pipeline) ReadParams(given json.RawMessage) (json.RawMessage, error) {
	if len(given) == 0 {
		return nil, nil
	}
	var values map[string]any
	decoder := json.NewDecoder(bytes.NewReader(given))
	decoder.UseNumber() // a whole number keeps all its digits
	if err := decoder.Decode(&values); err != nil {
		return nil, fault.New(fault.Invalid, "params: %w", err)
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
			return nil, fault.New(fault.Invalid, "the pipeline %s declares no param %q%s", p.Name, name, problem.Suggest(name, slices.Sorted(maps.Keys(declared))))
		}
		v, ok := typed(values[name], kind)
		if !ok {
			return nil, fault.New(fault.Invalid, "param %s takes type %s; %v is another", name, kind, values[name])
		}
		values[name] = v
	}
	return json.Marshal(values)
}

// typed is a value in a declared type, if it is one.
func typed(v any, kind string) (any, bool) {
	text, isText := v.(string)
	number, isNumber := v.(json.Number)
	if isNumber {
		text = number.String()
	}
	var err error
	switch {
	case kind == "string":
		return v, isText
	case kind == "boolean" && isText:
		v, err = strconv.ParseBool(text)
	case kind == "boolean":
		_, ok := v.(bool)
		return v, ok
	case kind == "integer" && (isText || isNumber):
		v, err = strconv.ParseInt(text, 10, 64)
	case kind == "number" && (isText || isNumber):
		_, err = strconv.ParseFloat(text, 64)
		v = json.Number(text)
	default:
		return nil, false
	}
	return v, err == nil && (kind != "number" || json.Valid([]byte(text)))
}
