package source_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tidemill/tidemill/internal/lineage"
	"github.com/tidemill/tidemill/internal/lineage/duckparse"
	"github.com/tidemill/tidemill/internal/lineage/pyread"
	"github.com/tidemill/tidemill/internal/source"
)

// childArgument makes the test binary the SQL parser's child process.
const childArgument = "duckparse-child"

var parser *lineage.Cache

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == childArgument {
		if err := duckparse.Serve(os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
		return
	}
	client := duckparse.NewClient(os.Args[0], childArgument)
	parser = lineage.NewCache(client, "")
	code := m.Run()
	_ = client.Close()
	os.Exit(code)
}

func options(environment string) source.Options {
	return source.Options{Environment: environment, Lineage: parser, Signatures: pyread.Reader{}}
}

func read(t testing.TB, dir, environment string) *source.Result {
	t.Helper()
	r, err := source.Read(t.Context(), dir, options(environment))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTheFlightsExampleHasNoErrors(t *testing.T) {
	t.Parallel()
	r := read(t, "../../examples/flights", "")
	for _, p := range r.Problems {
		t.Logf("%s %s", p.Severity, p.Error())
	}
	if len(r.Problems.Errors()) > 0 || len(r.Project.Pipelines) != 6 || len(r.Contracts) != 6 || len(r.Tests) != 6 {
		t.Errorf("%d pipelines, %d contracts, %d tests, broken %v, refused %v", len(r.Project.Pipelines), len(r.Contracts), len(r.Tests), r.Broken, r.Refused)
	}
}

func TestSoundProjectsHaveNoErrors(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("testdata/sound/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sound(t, string(text), "")
	}
}
