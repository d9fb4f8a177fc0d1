package folder_test

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/source/folder"
)

func put(t *testing.T, dir, name string, content []byte) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func scan(t *testing.T, dir string, known map[string]*folder.File) *folder.Scan {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	s, err := folder.Read(t.Context(), root, known)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOnlyWhatBelongsToAProjectIsRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{
		"tidemill.yaml", "contracts/a.yaml", "features/f.yaml", "lib/deep/er/x.py", "tests/a/b.yaml", "pipelines/p/t.sql", "pipelines/p/_t.sql",
		"README.md", "landing/a.csv", ".tidemill/x", "pipelines/.git/config", "pipelines/p/.t.sql", "pipelines/p/__pycache__/t.pyc",
		"pipelines/p/t.sql~", "pipelines/p/#t.sql#", "lib/x.pyc",
	} {
		put(t, dir, name, []byte("x"))
	}
	want := []string{"contracts/a.yaml", "features/f.yaml", "lib/deep/er/x.py", "pipelines/p/_t.sql", "pipelines/p/t.sql", "tests/a/b.yaml", "tidemill.yaml"}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(scan(t, dir, nil).Files))); diff != "" {
		t.Error(diff)
	}
}

func TestLinksAreFollowedInsideOfTheProjectAlone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "project")
	put(t, dir, "tidemill.yaml", nil)
	put(t, dir, "lib/real.py", []byte("real"))
	put(t, dir, "../secret", []byte("secret"))
	for name, target := range map[string]string{
		"lib/inside.py": "real.py", "lib/outside.py": "../../secret", "lib/absolute.py": filepath.Join(dir, "../secret"),
		"lib/dangling.py": "nothing", "lib/loop": ".", "pipelines": "..",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	s := scan(t, dir, nil)
	if f := s.Files["lib/inside.py"]; f == nil || string(f.Data) != "real" {
		t.Errorf("a link inside of the project: %+v", f)
	}
	for name, f := range s.Files {
		if bytes.Contains(f.Data, []byte("secret")) {
			t.Errorf("%s came from outside", name)
		}
	}
	var bad []string
	for _, p := range s.Found {
		if p.Code == problem.BadPath {
			bad = append(bad, p.File)
		}
	}
	slices.Sort(bad)
	if diff := cmp.Diff([]string{"lib/absolute.py", "lib/dangling.py", "lib/loop", "lib/outside.py", "pipelines"}, bad); diff != "" {
		t.Errorf("%s: %v", diff, s.Found)
	}
}

func TestFilesHaveLimits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "tidemill.yaml", nil)
	put(t, dir, "pipelines/p/t.sql", make([]byte, 1<<20+1))
	put(t, dir, "lib/model.bin", make([]byte, 2<<20))
	put(t, dir, "lib/"+strings.Repeat("d/", 20)+"x.py", nil)
	s := scan(t, dir, nil)
	if s.Files["pipelines/p/t.sql"] != nil || s.Files["lib/model.bin"] == nil {
		t.Errorf("%v", slices.Sorted(maps.Keys(s.Files)))
	}
	var codes []problem.Code
	for _, p := range s.Found {
		codes = append(codes, p.Code)
	}
	if !slices.Contains(codes, problem.TooLarge) || !slices.Contains(codes, problem.BadPath) {
		t.Errorf("%v", s.Found)
	}
}

func TestAFileIsReadAgainOnlyIfItMayHaveChanged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "tidemill.yaml", []byte("project: p"))
	put(t, dir, "lib/new.py", []byte("1"))
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "tidemill.yaml"), old, old); err != nil {
		t.Fatal(err)
	}
	first := scan(t, dir, nil)
	second := scan(t, dir, first.Files)
	if second.Files["tidemill.yaml"] != first.Files["tidemill.yaml"] {
		t.Error("a file that lay still for an hour was read again")
	}
	// A change within the same tick of the file system's clock leaves no other trace.
	if second.Files["lib/new.py"] == first.Files["lib/new.py"] {
		t.Error("a file that changed a moment ago was taken on trust")
	}
	put(t, dir, "tidemill.yaml", []byte("project: q"))
	if err := os.Chtimes(filepath.Join(dir, "tidemill.yaml"), old, old.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if third := scan(t, dir, second.Files); string(third.Files["tidemill.yaml"].Data) != "project: q" {
		t.Error("a change was not seen")
	}
}

func TestWhatIncludeNamesMustBeThereAndInside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "tidemill.yaml", nil)
	put(t, dir, "data/a.csv", []byte("a"))
	put(t, dir, ".secret", []byte("s"))
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	s, err := folder.Read(t.Context(), root, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Include([]string{"data/*.csv", "data", "none.txt", "../x", "/etc/passwd", "[", ".secret", "."}, func(i int) problem.Place {
		return problem.Place{File: "tidemill.yaml", Line: i + 1}
	})
	var lines []int
	for _, p := range s.Found {
		lines = append(lines, p.Line)
	}
	if s.Files["data/a.csv"] == nil || len(s.Files) != 2 || !slices.Equal(lines, []int{2, 3, 4, 5, 6, 7, 8}) {
		t.Errorf("%v, %v", slices.Sorted(maps.Keys(s.Files)), s.Found)
	}
}
