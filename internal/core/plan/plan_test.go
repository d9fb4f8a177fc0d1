package plan_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/plan"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
)

var (
	now        = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	flights, _ = project.ParseTable("raw.flights")
)

func version(change func(*plan.Version)) plan.Version {
	v := plan.Version{
		Project: &project.Project{
			Pipelines: []project.Pipeline{
				{Name: "land", Schedule: project.Schedule{Cron: "0 6 * * *", Timezone: "UTC"}, Params: []project.Param{{Name: "region"}}, Tasks: []project.Task{
					{Name: "flights", Kind: project.KindMove, Digest: "1", Move: &project.Move{From: "a"}, Writes: []project.Write{{Table: flights}}},
				}},
				{Name: "score", Tasks: []project.Task{
					{Name: "score", Kind: project.KindPython, Digest: "2", Upstream: []string{"prepare"}, Reads: []project.Read{{Table: flights, Producer: "land/flights", Wait: true}}},
					{Name: "prepare", Kind: project.KindSQL, SQL: &project.SQL{Text: "SELECT 1"}, Timeout: time.Hour},
				}},
			},
			Sets: []project.FeatureSet{{Name: "delay", Reads: []project.Table{flights}}},
		},
		Contracts: []contract.Table{{Name: "raw.flights", Fields: []contract.Field{
			{Field: datatype.Field{Name: "carrier", Type: datatype.Type{Kind: datatype.String}}},
			{Field: datatype.Field{Name: "delay", Type: datatype.Type{Kind: datatype.Int64}}},
		}}},
	}
	if change != nil {
		change(&v)
	}
	return v
}

func task(v *plan.Version, pipeline, task int) *project.Task {
	return &v.Project.Pipelines[pipeline].Tasks[task]
}

func TestAPlanNamesWhatChangedAndNothingElse(t *testing.T) {
	t.Parallel()
	fed := plan.Task{Name: "score/score", Change: plan.Fed, From: []string{"land/flights"}}
	for name, c := range map[string]struct {
		change func(*plan.Version)
		want   plan.Plan
	}{
		"nothing":             {nil, plan.Plan{}},
		"a place":             {func(v *plan.Version) { task(v, 0, 0).Place = problem.Place{Line: 9} }, plan.Plan{}},
		"a place of a param":  {func(v *plan.Version) { v.Project.Pipelines[0].Params[0].Place.Line = 9 }, plan.Plan{}},
		"a comment of a move": {func(v *plan.Version) { task(v, 0, 0).Digest = "9" }, plan.Plan{}},
		"a setting": {func(v *plan.Version) { task(v, 1, 1).Timeout = 0 }, plan.Plan{Tasks: []plan.Task{
			{Name: "score/prepare", Change: plan.Changed, Keys: []string{"timeout"}},
		}}},
		"other SQL": {func(v *plan.Version) { task(v, 1, 1).SQL = &project.SQL{Text: "SELECT 2"} }, plan.Plan{Tasks: []plan.Task{
			{Name: "score/prepare", Change: plan.Changed, Keys: []string{"sql"}},
			{Name: "score/score", Change: plan.Fed, From: []string{"score/prepare"}},
		}}},
		"a script": {func(v *plan.Version) { task(v, 1, 0).Digest = "9" }, plan.Plan{Tasks: []plan.Task{
			{Name: "score/score", Change: plan.Changed, Keys: []string{"digest"}},
		}}},
		"another source": {func(v *plan.Version) { task(v, 0, 0).Move = &project.Move{From: "b"} }, plan.Plan{Tasks: []plan.Task{
			{Name: "land/flights", Change: plan.Changed, Keys: []string{"move"}, Writes: []string{"raw.flights"}}, fed,
		}}},
		"a rename": {func(v *plan.Version) { task(v, 0, 0).Name = "arrivals" }, plan.Plan{Tasks: []plan.Task{
			{Name: "land/arrivals", Change: plan.Added, Writes: []string{"raw.flights"}},
			{Name: "land/flights", Change: plan.Removed, Writes: []string{"raw.flights"}},
		}}},
		"a column less": {func(v *plan.Version) { v.Contracts[0].Fields = v.Contracts[0].Fields[:1] }, plan.Plan{Tables: []plan.Table{
			{
				Name: "raw.flights", Change: plan.Changed, Readers: []string{"score/score", "features:delay"},
				Changes: []contract.Change{{Impact: contract.BreaksConsumers, Subject: "delay", Message: "the column is gone"}},
			},
		}}},
		"an owner": {func(v *plan.Version) { v.Project.Pipelines[0].Owner = "ada" }, plan.Plan{Pipelines: []plan.Pipeline{
			{Name: "land", Change: plan.Changed, Was: "cron 0 6 * * * UTC", Is: "cron 0 6 * * * UTC", Keys: []string{"owner"}},
		}}},
	} {
		got := plan.Compare(version(nil), version(c.change), now, 2)
		if diff := cmp.Diff(c.want, got, cmpopts.IgnoreFields(plan.Pipeline{}, "Zone"), cmpopts.IgnoreFields(plan.Task{}, "Zone")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if got.Empty() != c.want.Empty() || got.Breaks() != (name == "a column less") {
			t.Errorf("%s: empty %v, breaks %v", name, got.Empty(), got.Breaks())
		}
	}
}

func TestAPlanSaysWhatComesDueBeforeAndAfter(t *testing.T) {
	t.Parallel()
	later := version(func(v *plan.Version) { v.Project.Pipelines[0].Schedule.Cron = "0 6,18 * * *" })
	got := plan.Compare(version(nil), later, now, 2)
	at := func(day, hour int) time.Time { return time.Date(2026, 1, day, hour, 0, 0, 0, time.UTC) }
	var words []string
	for _, d := range got.Pipelines[0].Due {
		words = append(words, d.At.Format("02T15 ")+d.Window.Start.Format("02T15")+" "+string(d.Change))
	}
	// The morning's windows are shorter than before.
	want := []string{"05T18 05T06 added", "06T06 05T18 added", "06T06 05T06 removed", "07T06 06T06 removed"}
	if diff := cmp.Diff(want, words); diff != "" {
		t.Error(diff)
	}
	if gone := plan.Compare(later, version(func(v *plan.Version) { v.Project.Pipelines = v.Project.Pipelines[1:] }), now, 1); gone.Pipelines[0].Change != plan.Removed || !gone.Pipelines[0].Due[0].At.Equal(at(5, 18)) {
		t.Errorf("of a pipeline that goes: %+v", gone.Pipelines)
	}
	if first := plan.Compare(plan.Version{Project: &project.Project{}}, version(nil), now, 1); len(first.Pipelines) != 2 || len(first.Tasks) != 3 || first.Tables[0].Change != plan.Added {
		t.Errorf("of a first version: %+v", first)
	}
}
