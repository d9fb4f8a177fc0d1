package project_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
)

func TestParamsHaveTheTypesThatAreDeclared(t *testing.T) {
	t.Parallel()
	p := &project.Pipeline{Name: "p", Params: []project.Param{{Name: "s", Type: "string"}, {Name: "n", Type: "integer"}}, Tasks: []project.Task{
		{Params: []project.Param{{Name: "x", Type: "number"}, {Name: "b", Type: "boolean"}}},
	}}
	for given, want := range map[string]string{
		``:                          ``,
		`{"s":"123"}`:               `{"s":"123"}`,
		`{"s":"null"}`:              `{"s":"null"}`,
		`{"n":"9007199254740993"}`:  `{"n":9007199254740993}`,
		`{"n":9223372036854775807}`: `{"n":9223372036854775807}`,
		`{"x":"1e3"}`:               `{"x":1e3}`,
		`{"x":0.10}`:                `{"x":0.10}`,
		`{"b":"true","n":-5}`:       `{"b":true,"n":-5}`,
		`{"b":false}`:               `{"b":false}`,
		`{"s":123}`:                 `param s takes type string; 123 is another`,
		`{"n":"many"}`:              `param n takes type integer; many is another`,
		`{"n":1.5}`:                 `param n takes type integer; 1.5 is another`,
		`{"n":9223372036854775808}`: `param n takes type integer; 9223372036854775808 is another`,
		`{"x":"NaN"}`:               `param x takes type number; NaN is another`,
		`{"b":1}`:                   `param b takes type boolean; 1 is another`,
		`{"sss":"1"}`:               `the pipeline p declares no param "sss"`,
		`[1]`:                       `params: `,
	} {
		got, err := p.ReadParams(json.RawMessage(given))
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("%s: %v is of kind %s", given, err, fault.KindOf(err))
			}
			got = json.RawMessage(err.Error())
		}
		if string(got) != want && !(err != nil && strings.HasPrefix(string(got), want)) {
			t.Errorf("%s is read as %s, want %s", given, got, want)
		}
	}
}
