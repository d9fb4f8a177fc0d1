package problem_test

import (
	"testing"

	"github.com/tidemill/tidemill/internal/core/problem"
)

func TestAnUnknownWordIsAnsweredWithTheNearestOrWithAFew(t *testing.T) {
	t.Parallel()
	many := []string{"a1", "b2", "c3", "d4", "e5", "f6", "g7", "h8", "i9"}
	for _, c := range []struct {
		word  string
		known []string
		want  string
	}{
		{"lnad", []string{"land", "report"}, `; did you mean "land"?`},
		{"xyzzy", []string{"land", "report"}, "; there are: land, report"},
		{"xyzzy", nil, ""},
		{"xyzzy", many, ""},
	} {
		if got := problem.Suggest(c.word, c.known); got != c.want {
			t.Errorf("%s among %v: got %q, want %q", c.word, c.known, got, c.want)
		}
	}
}
