package cli_test

import (
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestStories runs the program as people do, story by story: testdata/script.
// Beside testscript's own words the stories have
//
//	exits CODE COMMAND…         the command ends with this exit code
//	take NAME PATTERN FILE      NAME becomes what the pattern's group matches
//	until PATTERN COMMAND…      ask again until the answer matches
func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("TZ", "UTC")
			env.Setenv("USER", "ada")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "take": take, "until": until},
		// A story that fails is long: all of it is needed to understand it.
		ContinueOnError: false,
	})
}

// exits runs a command that must end with a certain code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	switch err := ts.Exec(args[1], args[2:]...).(type) { //nolint:errorlint // as it comes from the process
	case nil:
	case *exec.ExitError:
		got = err.ExitCode()
	default:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("%v ended with %d, not %d:\n%s%s", args[1:], got, want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// take keeps a part of an answer for later commands.
func take(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: take NAME PATTERN FILE")
	}
	text := ts.ReadFile(args[2])
	found := regexp.MustCompile(args[1]).FindStringSubmatch(text)
	if len(found) != 2 {
		ts.Fatalf("no %s in:\n%s", args[1], text)
	}
	ts.Setenv(args[0], found[1])
}

// until asks until the answer is there: servers and runs take the time they take.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until PATTERN COMMAND…")
	}
	pattern := regexp.MustCompile(args[0])
	for begun := time.Now(); ; {
		_ = ts.Exec(args[1], args[2:]...)
		answer := ts.ReadFile("stdout") + ts.ReadFile("stderr")
		if pattern.MatchString(answer) {
			return
		}
		if time.Since(begun) > time.Minute {
			ts.Fatalf("%v never answered %s, but:\n%s", args[1:], args[0], answer)
		}
		<-time.After(50 * time.Millisecond)
	}
}
