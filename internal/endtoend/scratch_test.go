package endtoend_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// byHand starts a script as a person does, with the machine's Python.
func (f folder) byHand(script string, args ...string) (talk string, code int) {
	f.t.Helper()
	sdk, err := filepath.Abs("../../python")
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(f.t.Context(), time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, "python3", append([]string{script}, args...)...)
	cmd.Dir = f.dir
	cmd.Env = append(os.Environ(), "TIDEMILL="+program, "PYTHONPATH="+sdk)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		f.t.Fatal(err)
	}
	if ctx.Err() != nil {
		f.t.Fatalf("%s did not end\n%s", script, out.String())
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

func TestAScriptRunsByHandAndPublishesOnlyIfAsked(t *testing.T) {
	t.Setenv("WORDS_DOOR", "sesame")
	f := unpack(t, "sdk")

	// Without a server, which it brings for its own duration.
	talk, code := f.byHand("pipelines/land/visits.py", "--window", "2024-01-01", "--param", "least=7")
	if code != 0 || !strings.Contains(talk, "land/visits, window 2024-01-01: nothing is published") ||
		!strings.Contains(talk, "info: landed 48 of 48\n") {
		t.Fatalf("ended with %d\n%s", code, talk)
	}
	kept := filepath.Join(f.dir, ".tidemill/scratch/land.visits")
	for _, name := range []string{"raw.visits.parquet", "raw.visits.1.parquet", "note.txt"} {
		if _, err := os.Stat(filepath.Join(kept, name)); err != nil || !strings.Contains(talk, name) {
			t.Errorf("%s: %v\n%s", name, err, talk)
		}
	}
	if _, _, code := f.try("sql", "SELECT * FROM raw.visits"); code == 0 {
		t.Error("rows were published")
	}
	if runs := f.must("runs", "--output", "csv"); strings.Count(runs, "\n") != 1 {
		t.Errorf("the history has runs:\n%s", runs)
	}

	// Beside a server, as a run.
	server := f.up()
	defer f.down(server)
	if talk, code = f.byHand("pipelines/land/visits.py", "--window", "2024-01-01", "--commit"); code != 0 || !strings.Contains(talk, "succeeded") {
		t.Fatalf("ended with %d\n%s", code, talk)
	}
	f.want("SELECT count(*) FROM raw.visits", "48")

	// What is wrong is said, and ends.
	for script, want := range map[string]string{
		"pipelines/land/visits.py": "param most takes type integer; many is another",
		"elsewhere/visits.py":      "is no task of a project: tasks lie in pipelines/NAME/",
	} {
		if err := os.MkdirAll(filepath.Join(f.dir, filepath.Dir(script)), 0o755); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(filepath.Join(f.dir, "pipelines/land/visits.py"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(f.dir, script), content, 0o644); err != nil {
			t.Fatal(err)
		}
		if talk, code = f.byHand(script, "--window", "2024-01-01", "--param", "most=many"); code == 0 || !strings.Contains(talk, want) {
			t.Errorf("%s ended with %d\n%s", script, code, talk)
		}
	}
}

func TestAKeyWithTwoLabelsIsRefusedByName(t *testing.T) {
	f := folder{t, t.TempDir()}
	for name, text := range map[string]string{
		"tidemill.yaml":             "project: twice\n",
		"pipelines/base/rows.sql":   "SELECT range AS id, TIMESTAMPTZ '2024-01-01 00:00:00+00' AS asked FROM range(10)",
		"pipelines/base/labels.sql": "SELECT id % 9 AS id, id > 5 AS late, asked AS told FROM base.rows",
		"features/s.yaml": "spine: SELECT id, asked FROM base.rows\nkey: [id]\nat: asked\n" +
			"label: {sql: \"SELECT id, late, told FROM base.labels\", column: late, known_at: told}\nfeatures: [{expr: id * 2, as: x}]\n",
		"pipelines/learn/learn.py": "# /// script\n# [tool.tidemill]\n# reads = [\"features:s\"]\n# ///\nimport tidemill\n\n\n" +
			"def learn(run):\n    print(len(run.training_set(\"s\")))\n\n\ntidemill.main(learn)\n",
	} {
		path := filepath.Join(f.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f.must("run", "base")
	talk, code := f.byHand("pipelines/learn/learn.py")
	if code == 0 || !strings.Contains(talk, "feature set s: the label has 2 rows for id = 0: its SQL must give one row for each key") {
		t.Errorf("ended with %d\n%s", code, talk)
	}
}
