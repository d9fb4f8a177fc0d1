package project_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/project"
)

func TestAnAttemptNeedsItsPoolsItsStoresAndAPlaceInItsPipeline(t *testing.T) {
	t.Parallel()
	table := func(store string) project.Table { return project.Table{Store: store, Schema: "a", Name: "b"} }
	p := project.Project{
		Pools:     []project.Pool{{Name: "gpu", Size: 2}},
		Stores:    []project.Store{{Name: "w", Limit: 3}, {Name: "l", Limit: 1}, {Name: "free"}},
		Pipelines: []project.Pipeline{{Name: "land", Limit: 5}, {Name: "open"}},
	}
	if d := cmp.Diff(map[string]int{"pool:gpu": 2, "store:w": 3, "store:l": 1, "pipeline:land": 5}, p.Limits()); d != "" {
		t.Errorf("limits (-want +got):\n%s", d)
	}
	move := project.Task{
		Writes: []project.Write{{Table: table("w")}}, Reads: []project.Read{{Table: table("w")}, {Set: "s"}, {Table: table("free")}},
		Move: &project.Move{FromStore: "l"}, Pools: []project.Hold{{Pool: "gpu", Take: 1}, {Pool: "gpu", Take: 1}},
	}
	for _, c := range []struct {
		pipeline int
		task     project.Task
		want     map[string]int
	}{
		{0, move, map[string]int{"pool:gpu": 2, "store:w": 1, "store:l": 1, "pipeline:land": 1}},
		{0, project.Task{}, map[string]int{"pipeline:land": 1}},
		{1, project.Task{}, map[string]int{}},
	} {
		if d := cmp.Diff(c.want, p.Needs(&p.Pipelines[c.pipeline], &c.task)); d != "" {
			t.Errorf("needs (-want +got):\n%s", d)
		}
	}
	for name, want := range map[string]string{"pool:gpu": "the pool gpu", "store:w": "the store w", "pipeline:land": "the pipeline land", "x": "x"} {
		if got := project.LimitWords(name); got != want {
			t.Errorf("%s is said as %q, want %q", name, got, want)
		}
	}
}
