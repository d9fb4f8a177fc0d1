package endtoend_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/api"
)

// program is the path of the built program.
var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "tidemill-endtoend-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		program = filepath.Join(dir, "tidemill")
		build := exec.Command("go", "build", "-o", program, "../../cmd/tidemill")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// folder is a project folder in which a test types commands.
type folder struct {
	t   *testing.T
	dir string
}

// flights copies the flights example with the feeds of the first days of 2013.
func flights(t *testing.T, days int) folder {
	t.Helper()
	f := folder{t, t.TempDir()}
	const example = "../../examples/flights"
	for _, part := range []string{"tidemill.yaml", "contracts", "pipelines", "features", "tests"} {
		copyAll(t, filepath.Join(example, part), filepath.Join(f.dir, part))
	}
	copyAll(t, filepath.Join(example, "landing/planes.parquet"), filepath.Join(f.dir, "landing/planes.parquet"))
	for n := range days {
		date := time.Date(2013, 1, 1+n, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
		for _, pattern := range []string{"schedule/%s.csv*", "flights/%s.csv*", "weather/%s.jsonl*"} {
			found, err := filepath.Glob(filepath.Join(example, "landing", fmt.Sprintf(pattern, date)))
			if err != nil || len(found) != 1 {
				t.Fatalf("feeds of %s: %v, %v", date, found, err)
			}
			relative, _ := filepath.Rel(example, found[0])
			copyAll(t, found[0], filepath.Join(f.dir, relative))
		}
	}
	return f
}

func copyAll(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		target := filepath.Join(to, relative)
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// try runs a command and returns what it wrote and its exit code.
func (f folder) try(args ...string) (stdout, stderr string, code int) {
	f.t.Helper()
	ctx, stop := context.WithTimeout(f.t.Context(), 2*time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, program, append([]string{"--dir", f.dir}, args...)...)
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	err := cmd.Run()
	if ctx.Err() != nil {
		f.t.Fatalf("tidemill %s did not end\n%s%s", strings.Join(args, " "), out.String(), talk.String())
	}
	if err != nil && cmd.ProcessState == nil {
		f.t.Fatal(err)
	}
	return out.String(), talk.String(), cmd.ProcessState.ExitCode()
}

// must runs a command that is to succeed, and returns its stdout.
func (f folder) must(args ...string) string {
	f.t.Helper()
	out, talk, code := f.try(args...)
	if code != 0 {
		f.t.Fatalf("tidemill %s ended with %d\n%s%s", strings.Join(args, " "), code, out, talk)
	}
	return out
}

// ask runs a command that answers JSON.
func ask[T any](f folder, args ...string) T {
	f.t.Helper()
	var v T
	out := f.must(append(args, "--output", "json")...)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		f.t.Fatalf("tidemill %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return v
}

// up starts a server that makes no runs by itself, and waits until it and its worker are ready.
func (f folder) up(args ...string) *exec.Cmd {
	f.t.Helper()
	return f.start(append([]string{"--manual"}, args...)...)
}

// start starts the server and waits until it and its worker are ready.
func (f folder) start(args ...string) *exec.Cmd {
	f.t.Helper()
	cmd := exec.Command(program, append([]string{"--dir", f.dir, "up"}, args...)...)
	log, err := os.OpenFile(filepath.Join(f.dir, "up.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		f.t.Fatal(err)
	}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	_ = log.Close()
	f.await("the server", func() bool {
		_, _, code := f.try("ready")
		return code == 0
	})
	return cmd
}

func (f folder) down(server *exec.Cmd) {
	f.t.Helper()
	f.must("down")
	_ = server.Wait()
}

// await waits until something is so.
func (f folder) await(what string, so func() bool) {
	f.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for !so() {
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(f.dir, "up.log"))
			f.t.Fatalf("%s: not within 2 minutes\n%s", what, tail(string(log), 4000))
		}
		<-time.After(50 * time.Millisecond)
	}
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// digests returns the digest of every table that the project writes.
func (f folder) digests(tables ...string) map[string]string {
	f.t.Helper()
	type digest struct{ Table, Digest string }
	out := map[string]string{}
	for _, d := range ask[[]digest](f, append([]string{"digest"}, tables...)...) {
		out[d.Table] = d.Digest
	}
	return out
}

func (f folder) status() (s api.Status, ok bool) {
	client := api.NewClient(filepath.Join(f.dir, ".tidemill/run/server.sock"))
	defer client.Close()
	ctx, stop := context.WithTimeout(f.t.Context(), 2*time.Second)
	defer stop()
	s, err := client.Status(ctx)
	return s, err == nil
}

func kill(pid int) { _ = syscall.Kill(pid, syscall.SIGKILL) }
