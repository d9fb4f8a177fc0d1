//go:build failpoint

package storetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/failpoint"
	"github.com/tidemill/tidemill/internal/store"
)

// childVariable tells the test binary, run again, what to publish before it dies.
const childVariable = "TIDEMILL_STORETEST_CHILD"

// Kill kills a publish at each named point, for each mode, on an empty place and
// over an earlier load. Readers must see the old table or the new; running the
// attempt again must leave the new one, with nothing doubled. It is called by a
// top-level test that does nothing else: the suite runs that test again as the
// process that dies.
func Kill(t *testing.T, h Harness) {
	t.Helper()
	if child := os.Getenv(childVariable); child != "" { //nolint:forbidigo // how the suite talks to itself
		publishAndDie(t, h, child)
		return
	}
	points := append([]failpoint.Point{failpoint.FenceRaised, failpoint.Staged, failpoint.BeforeCommit, failpoint.AfterCommit}, h.Points...)
	name := t.Name()
	for _, mode := range h.Modes {
		for _, point := range points {
			for _, over := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s killed at %s over an earlier load %v", mode, point, over), func(t *testing.T) {
					t.Parallel()
					killed{h, name, mode, point, over}.run(t)
				})
			}
		}
	}
}

type killed struct {
	Harness
	test  string
	mode  project.Mode
	point failpoint.Point
	over  bool
}

// before and after are the two loads of a kill: both of the first day.
func before(m project.Mode) Attempt {
	a := first(m)
	if m == project.ModeView {
		a.Rows, a.Refused, a.Select = nil, 0, "SELECT 1 AS n"
	}
	return a
}

func after(m project.Mode) Attempt {
	a := before(m)
	a.Run, a.Fence = "r2", 2
	if m == project.ModeView {
		a.Select = "SELECT 2 AS n UNION ALL SELECT 3"
		return a
	}
	// Keys of the earlier load are all here, so that merge ends as the others do.
	a.Refused, a.Rows = 1, [][]any{Row(1, 1, "UA", 6), Row(2, 2, "é 飛", -1), Row(3, 3, "B6", 1), Row(4, 4, "B6", 1)}
	return a
}

// seen is what readers find: rows and quarantine belong to one commit.
type seen struct {
	Rows    []string
	Refused int
}

func look(t *testing.T, s Opened) seen {
	t.Helper()
	return seen{Read(t, s, Table), len(Read(t, s, Table.Quarantine()))}
}

func published(t *testing.T, a Attempt) seen {
	t.Helper()
	switch {
	case a.Select == "SELECT 1 AS n":
		return seen{Rows: []string{"1"}}
	case a.Select != "":
		return seen{Rows: []string{"2", "3"}}
	}
	return seen{want(t, Schema, a.Rows...), a.Refused}
}

func (k killed) run(t *testing.T) {
	place := t.TempDir()
	old, now := seen{}, published(t, after(k.mode))
	if k.over {
		s := k.at(t, place)
		before(k.mode).must(t, s)
		closed(t, s)
		old = published(t, before(k.mode))
	}
	k.die(t, place)

	s := k.at(t, place)
	defer closed(t, s)
	switch got := look(t, s); {
	case k.point == failpoint.AfterCommit:
		if diff := cmp.Diff(now, got); diff != "" {
			t.Fatalf("what was committed is not there (-want +got):\n%s", diff)
		}
	case slices.Contains([]failpoint.Point{failpoint.FenceRaised, failpoint.Staged, failpoint.BeforeCommit}, k.point):
		if diff := cmp.Diff(old, got); diff != "" {
			t.Fatalf("what was not committed can be seen (-want +got):\n%s", diff)
		}
	case !cmp.Equal(old, got) && !cmp.Equal(now, got):
		t.Fatalf("readers see neither the old table nor the new: %+v", got)
	}
	again := after(k.mode)
	again.Fence = 3
	receipt, err := again.Publish(t.Context(), t, s)
	if found, ok := errors.AsType[*store.PublishedError](err); ok {
		receipt, err = found.Receipts[0], nil
	}
	if err != nil {
		t.Fatalf("running the attempt again: %v", err)
	}
	number := int64(1)
	if k.over {
		number = 2
	}
	if receipt.Tables[0].Seq != number {
		t.Errorf("the commit has number %d, want %d", receipt.Tables[0].Seq, number)
	}
	if diff := cmp.Diff(now, look(t, s)); diff != "" {
		t.Errorf("after the rerun (-want +got):\n%s", diff)
	}
	// The attempt that died can no longer do anything.
	if _, err := after(k.mode).Publish(t.Context(), t, s); err == nil {
		t.Error("the attempt that died has published again")
	}
}

func (k killed) at(t *testing.T, place string) Opened {
	t.Helper()
	s, err := k.Open(t.Context(), place)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return s
}

func closed(t *testing.T, s Opened) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

// die runs this test binary as a process that publishes and is killed at the point.
func (k killed) die(t *testing.T, place string) {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), binary, "-test.run=^"+k.test+"$", "-test.count=1")
	child.Env = append(os.Environ(), childVariable+"="+string(k.mode)+"\n"+place, "TIDEMILL_FAILPOINTS="+string(k.point))
	output, err := child.CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the process was to be killed at %s and ended with %v:\n%s", k.point, err, output)
	}
}

// publishAndDie is what the process that dies does.
func publishAndDie(t *testing.T, h Harness, child string) {
	mode, place, _ := strings.Cut(child, "\n")
	s, err := h.Open(context.Background(), place)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := after(project.Mode(mode)).Publish(context.Background(), t, s); err != nil {
		t.Fatal(err)
	}
}
