package endtoend_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/ledger"
)

// project writes a project of the given files.
func project(t *testing.T, files map[string]string) folder {
	t.Helper()
	f := folder{t, t.TempDir()}
	for name, content := range files {
		path := filepath.Join(f.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// task returns a task of the newest run of a pipeline.
func (f folder) task(pipeline, name string) api.Task {
	f.t.Helper()
	for _, one := range ask[api.Run](f, "show", f.newest(pipeline)).Tasks {
		if one.Name == name {
			return one
		}
	}
	f.t.Fatalf("the newest run of %s has no task %s", pipeline, name)
	return api.Task{}
}

// newest returns the newest run of a pipeline.
func (f folder) newest(pipeline string) string {
	f.t.Helper()
	runs := ask[[]api.Run](f, "runs", pipeline)
	if len(runs) == 0 {
		f.t.Fatalf("%s has no run", pipeline)
	}
	return runs[0].ID
}

// TestRetryIfChoosesByExitCodeAndAFailureSaysItsLastWords runs one program that
// ends with 3 and one that ends with 4.
func TestRetryIfChoosesByExitCodeAndAFailureSaysItsLastWords(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("swordfish-17"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := project(t, map[string]string{
		"tidemill.yaml":              "project: p\nsecrets: {key: \"file:" + key + "\"}\n",
		"pipelines/a/pipeline.yaml":  "description: two failures\n",
		"pipelines/a/again.yaml":     "command: [sh, -c, \"echo warning >&2; echo no route to host >&2; exit 3\"]\nretries: 2\nbackoff: 1s\nretry_if: exit_code == 3\n",
		"pipelines/a/once.yaml":      "command: {args: [sh, -c, \"echo refused $KEY >&2; exit 4\"], env: {KEY: \"{secret.key}\"}}\nretries: 2\nbackoff: 1s\nretry_if: exit_code == 3\n",
		"pipelines/a/unmatched.yaml": "command: [sh, -c, \"exit 5\"]\nretries: 1\nbackoff: 1s\nretry_if: message.startsWith('exit code 5')\n",
	})
	server := f.up()
	defer f.down(server)
	if out, talk, code := f.try("run", "a"); code != 1 {
		t.Errorf("the run ended with %d, want 1\n%s%s", code, out, talk)
	}
	for name, want := range map[string]struct {
		attempts int
		reason   string
	}{
		"again":     {3, "exit code 3: no route to host"},
		"once":      {1, "exit code 4: refused ***; not tried again: retry_if: exit_code == 3 is false"},
		"unmatched": {2, "exit code 5"},
	} {
		if got := f.task("a", name); got.Attempt != want.attempts || got.Reason != want.reason {
			t.Errorf("%s: attempt %d, %q; want %d, %q", name, got.Attempt, got.Reason, want.attempts, want.reason)
		}
	}
	if out := f.must("incidents"); !strings.Contains(out, "no route to host") {
		t.Errorf("incidents do not say why:\n%s", out)
	}
}

// TestAMissingFileIsATaskThatFailedAndItsIncidentNamesStoreAndPath keeps a broken
// contract apart from a file that did not come.
func TestAMissingFileIsATaskThatFailedAndItsIncidentNamesStoreAndPath(t *testing.T) {
	f := project(t, map[string]string{
		"tidemill.yaml":             "project: p\nstores:\n  landing: {kind: files, path: ./landing}\n",
		"landing/.keep":             "",
		"pipelines/a/pipeline.yaml": "description: one move\n",
		"pipelines/a/x.yaml":        "move: {from: \"landing:flights/2013-01-02.csv*\", to: raw.x, mode: replace}\n",
	})
	server := f.up()
	defer f.down(server)
	if out, talk, code := f.try("run", "a"); code != 1 {
		t.Errorf("the run ended with %d, want 1\n%s%s", code, out, talk)
	}
	open := ask[[]ledger.Incident](f, "incidents")
	if len(open) != 1 || open[0].Kind != "task_failed" || !strings.HasPrefix(open[0].Summary, "landing:flights/2013-01-02.csv* matches no file in "+f.dir) {
		t.Errorf("incidents %+v", open)
	}
}

// TestAnUnsetSecretOfAChannelIsAnIncidentThatNamesIt fails a task whose channel
// cannot sign what it sends.
func TestAnUnsetSecretOfAChannelIsAnIncidentThatNamesIt(t *testing.T) {
	f := project(t, map[string]string{
		"tidemill.yaml": "project: p\nsecrets: {hook: \"env:TIDEMILL_TEST_NOT_SET\"}\nalerts:\n" +
			"  channels:\n    oncall: {kind: webhook, url: \"http://127.0.0.1:9/\", hmac: \"{secret.hook}\"}\n  routes:\n  - {to: [oncall]}\n",
		"pipelines/a/pipeline.yaml": "description: fails\n",
		"pipelines/a/x.yaml":        "command: [\"false\"]\n",
	})
	server := f.up()
	defer f.down(server)
	f.try("run", "a")
	f.await("the incident of the channel", func() bool { return strings.Contains(f.must("incidents"), "notification_failed") })
	for _, one := range ask[[]ledger.Incident](f, "incidents") {
		if one.Kind == "notification_failed" && !strings.Contains(one.Summary, "secret hook: the environment variable TIDEMILL_TEST_NOT_SET is not set") {
			t.Errorf("the incident says %q", one.Summary)
		}
	}
	if sent := f.must("incidents", "--sent"); !strings.Contains(sent, "pending") || !strings.Contains(sent, "TIDEMILL_TEST_NOT_SET") {
		t.Errorf("the messages do not say what they wait for:\n%s", sent)
	}
}
