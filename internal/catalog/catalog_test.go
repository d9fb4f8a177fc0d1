package catalog_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/bundle"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/source"
)

// folder is a project that a test edits.
type folder struct {
	t   *testing.T
	dir string
}

func (f folder) write(name, text string) {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f folder) remove(name string) {
	f.t.Helper()
	if err := os.RemoveAll(filepath.Join(f.dir, name)); err != nil {
		f.t.Fatal(err)
	}
}

const (
	good = "move: {from: \"landing:a.csv\", to: raw.a}\nretries: 1\n"
	bad  = "move: {from: \"landing:a.csv\", tooo: raw.a}\n"
)

func start(t *testing.T) (folder, *bundle.Store, *catalog.Catalog) {
	t.Helper()
	f := folder{t, t.TempDir()}
	f.write("tidemill.yaml", "project: p\nstores:\n  landing: {kind: files, path: ./landing}\n")
	f.write("pipelines/land/a.yaml", good)
	f.write("pipelines/other/b.yaml", "command: [true]\n")
	store, err := bundle.OpenStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := catalog.New(f.dir, source.Options{}, store, "")
	reload(t, c, true)
	return f, store, c
}

func reload(t *testing.T, c *catalog.Catalog, want bool) {
	t.Helper()
	changed, err := c.Reload(t.Context())
	if err != nil || changed != want {
		t.Fatalf("changed %v, %v; want %v", changed, err, want)
	}
}

// task returns a task of the live version.
func task(t *testing.T, c *catalog.Catalog, pipeline, name string) *project.Task {
	t.Helper()
	for i, pl := range c.Live().Plan.Project.Pipelines {
		if pl.Name == pipeline {
			if one, ok := c.Live().Plan.Project.Pipelines[i].Task(name); ok {
				return one
			}
		}
	}
	t.Fatalf("the live version has no %s/%s", pipeline, name)
	return nil
}

func TestABrokenPipelineKeepsItsLastGoodVersionAndHidesNoOther(t *testing.T) {
	t.Parallel()
	f, _, c := start(t)
	f.write("pipelines/land/a.yaml", bad)
	f.write("pipelines/other/b.yaml", "command: [false]\n")
	reload(t, c, true)
	if !slices.Equal(c.Stale(), []string{"land"}) || len(c.Problems().Errors()) == 0 {
		t.Errorf("stale %v, problems %v", c.Stale(), c.Problems())
	}
	if got := task(t, c, "land", "a"); got.Retries != 1 {
		t.Errorf("the last good version is not kept: %+v", got)
	}
	text, err := os.ReadFile(filepath.Join(c.Live().Dir, "pipelines/land/a.yaml"))
	if err != nil || string(text) != good {
		t.Errorf("the bundle holds %q, %v", text, err)
	}
	if got := task(t, c, "other", "b"); got.Command.Args[0] != "false" {
		t.Errorf("the good change is not live: %+v", got.Command)
	}
	f.write("pipelines/land/a.yaml", good+"backoff: 5s\n")
	reload(t, c, true)
	if got := task(t, c, "land", "a"); got.Backoff != 5*time.Second || len(c.Stale()) != 0 {
		t.Errorf("the mended version is not live: %+v, stale %v", got, c.Stale())
	}
}

func TestAPoolThatIsGoneStillLimitsWhatHoldsIt(t *testing.T) {
	t.Parallel()
	f, _, c := start(t)
	top, err := os.ReadFile(filepath.Join(f.dir, "tidemill.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	f.write("tidemill.yaml", string(top)+"pools: {api: 1}\n")
	f.write("pipelines/land/a.yaml", good+"pools: api\n")
	reload(t, c, true)
	f.write("tidemill.yaml", string(top)+"pools: {apl: 3}\n")
	reload(t, c, true)
	if !slices.Equal(c.Stale(), []string{"land"}) {
		t.Errorf("stale %v, problems %v", c.Stale(), c.Problems())
	}
	live := c.Live().Plan.Project
	if pool, there := live.Pool("api"); !there || pool.Size != 1 {
		t.Errorf("the pools are %v, want api of 1 among them", live.Pools)
	}
	f.write("pipelines/land/a.yaml", good)
	reload(t, c, true)
	live = c.Live().Plan.Project
	if _, there := live.Pool("api"); there {
		t.Errorf("nobody holds api any more, and the pools are %v", live.Pools)
	}
}

func TestAnErrorOfTheWholeProjectChangesNothing(t *testing.T) {
	t.Parallel()
	f, _, c := start(t)
	before := c.Live().Hash
	f.write("tidemill.yaml", "project: [\n")
	reload(t, c, true)
	if c.Live().Hash != before || !slices.Equal(c.Stale(), []string{"land", "other"}) {
		t.Errorf("live %s, stale %v", c.Live().Hash, c.Stale())
	}
	f.remove("tidemill.yaml")
	reload(t, c, true)
	if c.Live().Hash != before {
		t.Error("a project without its file is live")
	}
}

func TestNothingChangesWithoutAChange(t *testing.T) {
	t.Parallel()
	f, _, c := start(t)
	hash := c.Live().Hash
	reload(t, c, false)
	later := time.Now().Add(time.Minute)
	if err := os.Chtimes(filepath.Join(f.dir, "pipelines/land/a.yaml"), later, later); err != nil {
		t.Fatal(err)
	}
	reload(t, c, false)
	if c.Live().Hash != hash {
		t.Error("the time of a file is part of the hash")
	}
}

func TestTheLastGoodVersionOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	f, store, c := start(t)
	hash := c.Live().Hash
	f.write("pipelines/land/a.yaml", bad)
	again := catalog.New(f.dir, source.Options{}, store, hash)
	if again.Live() == nil || again.Live().Hash != hash {
		t.Fatal("the last version is not live after a restart")
	}
	reload(t, again, true)
	if got := task(t, again, "land", "a"); got.Retries != 1 || !slices.Equal(again.Stale(), []string{"land"}) {
		t.Errorf("%+v, stale %v", got, again.Stale())
	}
}

func TestABrokenPipelineGivesUpATableThatAnotherOneTook(t *testing.T) {
	t.Parallel()
	f, _, c := start(t)
	f.write("pipelines/land/a.yaml", "move: {from: \"landing:a.csv\", to: raw.z}\nwhat: is this\n")
	f.write("pipelines/fresh/a.yaml", good)
	reload(t, c, true)
	task(t, c, "fresh", "a")
	for _, pl := range c.Live().Plan.Project.Pipelines {
		if pl.Name == "land" {
			t.Error("two pipelines write one table")
		}
	}
}

func TestADeletedPipelineIsGone(t *testing.T) {
	t.Parallel()
	f, _, c := start(t)
	f.remove("pipelines/land")
	reload(t, c, true)
	if n := len(c.Live().Plan.Project.Pipelines); n != 1 || len(c.Stale()) != 0 {
		t.Errorf("%d pipelines, stale %v", n, c.Stale())
	}
}

func TestRunTellsOfChanges(t *testing.T) {
	t.Parallel()
	f, _, c := start(t)
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	f.write("pipelines/other/b.yaml", "command: [false]\n")
	seen := errors.New("seen")
	err := c.Run(ctx, func(context.Context) error {
		if task(t, c, "other", "b").Command.Args[0] != "false" {
			t.Error("told before the change is live")
		}
		return seen
	})
	if !errors.Is(err, seen) {
		t.Errorf("%v", err)
	}
}
