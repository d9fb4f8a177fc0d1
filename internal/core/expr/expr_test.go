package expr_test

import (
	"errors"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/tidemill/tidemill/internal/core/expr"
)

func TestConditionsOverUpstreamOutcomes(t *testing.T) {
	t.Parallel()
	tasks := map[string]any{"task": map[string]string{"a": "succeeded", "b": "failed"}}
	for text, want := range map[string]bool{
		"task.a == 'succeeded'":                 true,
		"task.b == 'succeeded' && task.a != ''": false,
		"task.all(t, task[t] == 'succeeded')":   false,
		"task.exists(t, task[t] == 'failed')":   true,
	} {
		c, err := expr.Compile(expr.ScopeWhen, text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := c.Eval(tasks); err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestFaultsInConditionsHaveAnOffset(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"task.a == ":           10,
		"tsk.a == 'x'":         0,
		"task.a ==\n 'x' && q": 18,
		"1 + 1":                0,
	} {
		_, err := expr.Compile(expr.ScopeWhen, text)
		var syntax *expr.SyntaxError
		if !errors.As(err, &syntax) || syntax.Offset != want {
			t.Errorf("%q: %+v, want offset %d", text, err, want)
		}
	}
}

func TestAnExpensiveConditionIsStopped(t *testing.T) {
	t.Parallel()
	list := "[" + strings.Repeat("1,", 200) + "1]"
	c, err := expr.Compile(expr.ScopeWhen, list+".all(a, "+list+".all(b, "+list+".all(c, a == b && b == c)))")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Eval(map[string]any{"task": map[string]string{}}); err == nil {
		t.Error("eight million steps were allowed")
	}
}

func TestPromotionComparesWithTheChampion(t *testing.T) {
	t.Parallel()
	const text = "auc >= 0.60 && (champion == null || auc >= champion.auc - 0.01)"
	names, err := expr.Identifiers(text)
	if err != nil || len(names) != 1 || names[0] != "auc" {
		t.Fatalf("metrics %v, %v", names, err)
	}
	c, err := expr.Compile(expr.ScopePromote, text, names...)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct {
		auc      float64
		champion any
		want     bool
	}{
		{0.62, nil, true},
		{0.59, nil, false},
		{0.62, map[string]float64{"auc": 0.625}, true},
		{0.62, map[string]float64{"auc": 0.70}, false},
	} {
		got, err := c.Eval(map[string]any{"auc": v.auc, "champion": v.champion})
		if err != nil || got != v.want {
			t.Errorf("%+v: %v, %v", v, got, err)
		}
	}
}

func TestInterpolationWritesTimesInTheZoneOfTheSchedule(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	values := expr.Values{
		Start: time.Date(2013, 3, 10, 5, 0, 0, 0, time.UTC), End: time.Date(2013, 3, 11, 4, 0, 0, 0, time.UTC),
		Zone: zone, Params: map[string]any{"region": "eu", "n": int64(3)},
		Secret: func(n string) (string, error) { return "s-" + n, nil }, Run: "r1", Task: "flights",
	}
	for text, want := range map[string]string{
		"flights/{window.start:%Y-%m-%d}.csv*": "flights/2013-03-10.csv*",
		"{window.end}":                         "2013-03-11T00:00:00-04:00",
		"{window.start.utc:%H%M}":              "0500",
		"{window.date}":                        "2013-03-10",
		"{{{param.region}}}-{param.n}":         "{eu}-3",
		"{secret.pg} {run.id} {task.name}":     "s-pg r1 flights",
		"no braces, 100 %":                     "no braces, 100 %",
	} {
		tmpl, err := expr.ParseTemplate(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got, err := tmpl.Expand(values.Resolve); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestFaultsInTemplates(t *testing.T) {
	t.Parallel()
	for text, offset := range map[string]int{"a{": 1, "a}b": 1, "xx{}": 2, "{a b}": 0, "{a.}": 0, "{a:{b}}": 0} {
		_, err := expr.ParseTemplate(text)
		var syntax *expr.SyntaxError
		if !errors.As(err, &syntax) || syntax.Offset != offset {
			t.Errorf("%q: %+v, want offset %d", text, err, offset)
		}
	}
	for _, text := range []string{"{param.none}", "{window.middle}", "{window.start}", "{secret.x}", "{os.environ}"} {
		tmpl, err := expr.ParseTemplate(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if got, err := tmpl.Expand(expr.Values{}.Resolve); err == nil {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add("flights/{window.start:%Y-%m-%d}.csv*")
	f.Add("{{}}{a.b:%")
	f.Fuzz(func(t *testing.T, text string) {
		tmpl, err := expr.ParseTemplate(text)
		if err != nil {
			return
		}
		out, err := tmpl.Expand(func(r expr.Reference) (string, error) { return "{" + r.String() + ":" + r.Format + "}", nil })
		if err != nil {
			t.Fatal(err)
		}
		if len(tmpl.References()) == 0 && len(out) > len(text) {
			t.Fatalf("%q grew to %q without a reference", text, out)
		}
	})
}

func FuzzCondition(f *testing.F) {
	f.Add("task.a == 'succeeded'")
	f.Add("[1,2].all(x, x > 0)")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := expr.Compile(expr.ScopeWhen, text)
		var syntax *expr.SyntaxError
		if errors.As(err, &syntax) && (syntax.Offset < 0 || syntax.Offset > len(text)) {
			t.Fatalf("%q: offset %d outside", text, syntax.Offset)
		}
		if err == nil {
			_, _ = c.Eval(map[string]any{"task": map[string]string{"a": "failed"}})
		}
	})
}
