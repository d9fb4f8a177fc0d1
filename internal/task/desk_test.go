package task

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestTheNextAttemptFindsNothingOfTheLast(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	outside := filepath.Join(root, "outside")
	if err := os.WriteFile(outside, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	var d desks
	dir, err := d.take(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"events.jsonl": "{}", "out/0.arrows": "rows", "artifacts/deep/model.txt": "m", "in": "a file where a folder was", "log": "said", "mine/x": "1",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(dir, "context.json")); err != nil {
		t.Fatal(err)
	}
	d.clear(dir)
	next, err := d.take(root)
	if err != nil {
		t.Fatal(err)
	}
	if next != dir {
		t.Errorf("the next attempt works in %s, not in the swept %s", next, dir)
	}
	var left []string
	err = fs.WalkDir(os.DirFS(next), ".", func(name string, _ fs.DirEntry, err error) error {
		left = append(left, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{".", "artifacts", "log", "out"}; !slices.Equal(left, want) {
		t.Errorf("left on the desk: %q, want %q", left, want)
	}
	if text, err := os.ReadFile(outside); err != nil || string(text) != "precious" {
		t.Errorf("the file behind the link is %q (%v)", text, err)
	}
}

func TestAttemptsAtTheSameTimeHaveDirectoriesOfTheirOwn(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	var d desks
	first, err := d.take(root)
	if err != nil {
		t.Fatal(err)
	}
	second, err := d.take(root)
	if err != nil {
		t.Fatal(err)
	}
	if first == second {
		t.Errorf("both work in %s", first)
	}
}
