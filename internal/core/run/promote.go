package run

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/core/expr"
)

// Promotion is what became of one alias when a model version was recorded.
type Promotion struct {
	Alias    string `json:"alias"`
	Promoted bool   `json:"promoted"`
	Reason   string `json:"reason"` // the condition with the values that it saw
}

// String says it in words.
func (p Promotion) String() string {
	if p.Promoted {
		return fmt.Sprintf("promoted to %s: %s", p.Alias, p.Reason)
	}
	return fmt.Sprintf("not promoted to %s: %s", p.Alias, p.Reason)
}

// Promote asks the condition of an alias about a new model version. Champion are
// the metrics of the version that has the alias; nil where none has it. A condition
// that cannot be evaluated says no: a person can still move the alias.
func Promote(alias, condition string, metrics, champion map[string]float64) Promotion {
	p := Promotion{Alias: alias}
	used, err := expr.Identifiers(condition)
	if err != nil {
		p.Reason = fmt.Sprintf("%s cannot be read: %s", condition, err)
		return p
	}
	for _, name := range used {
		if _, ok := metrics[name]; !ok {
			p.Reason = fmt.Sprintf("%s cannot be judged: the script reported no metric %s", condition, name)
			return p
		}
	}
	values := map[string]any{"champion": nil}
	if champion != nil {
		values["champion"] = champion
	}
	for name, v := range metrics {
		values[name] = v
	}
	c, err := expr.Compile(expr.ScopePromote, condition, slices.Sorted(maps.Keys(metrics))...)
	if err == nil {
		p.Promoted, err = c.Eval(values)
	}
	saw := seen(condition, used, metrics, champion)
	if err != nil {
		p.Promoted, p.Reason = false, fmt.Sprintf("%s cannot be judged with %s: %s", condition, saw, err)
		return p
	}
	p.Reason = fmt.Sprintf("%s is %v with %s", condition, p.Promoted, saw)
	return p
}

// seen lists the values that a condition looked at.
func seen(condition string, used []string, metrics, champion map[string]float64) string {
	var out []string
	for _, name := range used {
		out = append(out, fmt.Sprintf("%s = %.6g", name, metrics[name]))
	}
	switch {
	case !strings.Contains(condition, "champion"):
	case champion == nil:
		out = append(out, "no champion yet")
	default:
		for _, name := range slices.Sorted(maps.Keys(champion)) {
			if strings.Contains(condition, name) {
				out = append(out, fmt.Sprintf("champion.%s = %.6g", name, champion[name]))
			}
		}
	}
	return strings.Join(out, ", ")
}
