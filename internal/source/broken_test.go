package source_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/source"
)

var update = flag.Bool("update", false, "write the verdicts of testdata/broken anew")

// directive returns the value of a line such as `environment: prod` before the files.
func directive(a *txtar.Archive, name string) string {
	for line := range strings.Lines(string(a.Comment)) {
		if value, ok := strings.CutPrefix(line, name+": "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// unpack writes the project of an archive into a folder of its own.
func unpack(t *testing.T, a *txtar.Archive) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "project")
	write := func(name string, content []byte) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range a.Files {
		if f.Name != "want" {
			write(f.Name, f.Data)
		}
	}
	if name, size, ok := strings.Cut(directive(a, "large"), " "); ok {
		n, err := strconv.Atoi(size)
		if err != nil {
			t.Fatal(err)
		}
		write(name, bytes.Repeat([]byte(" "), n))
	}
	if name, target, ok := strings.Cut(directive(a, "link"), " "); ok {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// verdict writes everything that a reading says about what is wrong.
func verdict(r *source.Result, dir string) string {
	var b strings.Builder
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "%s: %s %s", p.Place, p.Code, p.Message)
		if p.Remedy != "" {
			fmt.Fprintf(&b, "; %s", p.Remedy)
		}
		if p.Severity == problem.SeverityWarning {
			b.WriteString(" (warning)")
		}
		b.WriteByte('\n')
		for _, n := range p.Related {
			fmt.Fprintf(&b, "    %s: %s\n", n.Place, n.Message)
		}
	}
	fmt.Fprintf(&b, "broken: %s\n", strings.Join(r.Broken, ", "))
	if r.Refused {
		b.WriteString("refused\n")
	}
	return strings.ReplaceAll(b.String(), dir, "DIR")
}

// Every file of testdata/broken is a project and what is said about it. The files
// are the specification: together they prove every code that reading can give.
func TestBrokenProjectsGetTheirVerdicts(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("testdata/broken/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			dir := unpack(t, a)
			got := verdict(read(t, dir, directive(a, "environment")), dir)
			last := &a.Files[len(a.Files)-1]
			if last.Name != "want" {
				t.Fatalf("the last file is %s, not want", last.Name)
			}
			if *update {
				last.Data = []byte(got)
				if err := os.WriteFile(name, txtar.Format(a), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(last.Data), got); diff != "" {
				t.Errorf("the verdict differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryCodeHasAProjectThatProvesIt(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("testdata/broken/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var proven []string
	for _, name := range names {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(a.Files[len(a.Files)-1].Data)) {
			if _, after, ok := strings.Cut(line, ": TM"); ok {
				code, _, _ := strings.Cut(after, " ")
				proven = append(proven, "TM"+code)
			}
		}
	}
	for _, c := range problem.Codes() {
		if c == problem.LeftBehind {
			continue // it needs a history: a story of internal/cli proves it
		}
		if !slices.Contains(proven, string(c)) {
			t.Errorf("no project in testdata/broken has a problem %s (%s)", c, c.Title())
		}
	}
}
