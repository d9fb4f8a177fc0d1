package problem_test

import (
	"testing"

	"github.com/tidemill/tidemill/internal/core/problem"
)

func TestAPlaceReadsAsEditorsUnderstandIt(t *testing.T) {
	t.Parallel()
	for place, want := range map[problem.Place]string{
		{File: "a.yaml", Line: 3, Column: 7}: "a.yaml:3:7",
		{File: "a.yaml", Line: 3}:            "a.yaml:3",
		{File: "a.yaml"}:                     "a.yaml",
	} {
		if got := place.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestTheNearestWordIsSuggestedOnlyWhenItIsNear(t *testing.T) {
	t.Parallel()
	keys := []string{"schedule", "overlap", "missed", "owner", "deadline"}
	for word, want := range map[string]string{
		"shedule": "schedule", "scehdule": "schedule", "Overlap": "overlap", "deadlin": "deadline", "xyzzy": "", "": "",
	} {
		if got := problem.Nearest(word, keys); got != want {
			t.Errorf("nearest to %q: %q, want %q", word, got, want)
		}
	}
}

func TestEveryCodeIsExplained(t *testing.T) {
	t.Parallel()
	for _, c := range problem.Codes() {
		if c.Title() == "" || len(c.Detail()) < 40 {
			t.Errorf("%s has no explanation that helps", c)
		}
	}
	if problem.Code("TM999").Known() {
		t.Error("an undeclared code is known")
	}
}

func TestProblemsSortByPlace(t *testing.T) {
	t.Parallel()
	l := problem.List{
		problem.New(problem.BadCron, problem.Place{File: "b", Line: 1}, "", "x"),
		problem.New(problem.BadCron, problem.Place{File: "a", Line: 2, Column: 9}, "", "x"),
		problem.New(problem.StrayFile, problem.Place{File: "a", Line: 2, Column: 3}, "", "x"),
	}
	l.Sort()
	if l[0].Column != 3 || l[1].Column != 9 || l[2].File != "b" {
		t.Errorf("order: %v", l)
	}
	if n := len(l.Errors()); n != 2 {
		t.Errorf("%d errors, want 2: warnings do not refuse", n)
	}
}

func TestAFrameShowsTheLineAndTheColumn(t *testing.T) {
	t.Parallel()
	p := problem.New(problem.BadCron, problem.Place{File: "p.yaml", Line: 2, Column: 8}, "hours end at 23", "hour 25")
	got := problem.Render(problem.List{p}, map[string][]byte{"p.yaml": []byte("a: 1\ncron: 0 25 * * *\n")}, false)
	want := "p.yaml:2:8: error: hour 25 [TM301]\n    2 | cron: 0 25 * * *\n      |        ^\n  mend: hours end at 23\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestTheErrorsOfAPipelineAreSaidWithTheFirstInFull(t *testing.T) {
	t.Parallel()
	of := func(owner, message string, also ...string) problem.Problem {
		p := problem.New(problem.UnknownKey, problem.Place{File: "a.yaml", Line: 2, Column: 3}, "take it out", "%s", message)
		p.Owner, p.Also = owner, also
		return p
	}
	warning := of("land", "a warning")
	warning.Severity = problem.SeverityWarning
	list := problem.List{of("", "whole"), of("land", "one"), warning, of("report", "two", "land"), of("report", "three", "land")}
	for owner, want := range map[string]string{
		"":       "a.yaml:2:3: whole; take it out [TM102]",
		"land":   "a.yaml:2:3: one; take it out [TM102], and 2 more errors",
		"report": "a.yaml:2:3: two; take it out [TM102], and 1 more error",
		"other":  "",
	} {
		if got := list.Of(owner).Summary(); got != want {
			t.Errorf("%q: %s; want %s", owner, got, want)
		}
	}
}
