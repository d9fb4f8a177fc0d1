package launch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/launch"
)

var environment = []string{"PATH=/usr/bin:/bin"}

func sh(script string) launch.Spec {
	return launch.Spec{Args: []string{"/bin/sh", "-c", script}, Env: environment, Marker: fmt.Sprintf("test/s/%d", time.Now().UnixNano()), Grace: 200 * time.Millisecond}
}

func TestHowAProcessEndedIsToldInPlainWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		script string
		kind   fault.Kind
		reason string
	}{
		{"exit 0", "", ""},
		{"exit 7", fault.Failed, "exit code 7"},
		{"kill -SEGV $$", fault.Failed, "killed by signal 11"},
		{"kill -9 $$", fault.Failed, "nobody here sent it"},
	} {
		e, err := launch.Run(t.Context(), sh(c.script))
		if err != nil || e.Kind() != c.kind || !strings.Contains(e.Reason(), c.reason) {
			t.Errorf("%s: kind %q, %q, %v", c.script, e.Kind(), e.Reason(), err)
		}
	}
	_, err := launch.Run(t.Context(), launch.Spec{Args: []string{"no-such-program"}, Env: environment, Marker: "test/s/0"})
	if !fault.Is(err, fault.Invalid) {
		t.Errorf("a program that is not there: %v", err)
	}
}

func TestAProcessThatIgnoresTermIsKilled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	s := sh("trap '' TERM; echo ready; while :; do sleep 1; done")
	s.Stdout = onWrite(func() { cancel(fault.New(fault.TimedOut, "ran longer than 1 s")) })
	e, err := launch.Run(ctx, s)
	if err != nil || e.Kind() != fault.TimedOut || e.Reason() != "ran longer than 1 s" {
		t.Errorf("%q %q %v", e.Kind(), e.Reason(), err)
	}
}

func TestNoDescendantOutlivesItsAttempt(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := sh("(setsid sh -c 'echo $$; exec sleep 300' &) ; (sleep 300 & echo $!); sleep 0.3")
	s.Stdout = &out
	e, err := launch.Run(t.Context(), s)
	if err != nil || e.Code != 0 {
		t.Fatal(e, err)
	}
	pids := strings.Fields(out.String())
	if len(pids) != 2 || e.LeftAlone == 0 {
		t.Fatalf("descendants %q, %d left", pids, e.LeftAlone)
	}
	for _, text := range pids {
		pid, _ := strconv.Atoi(text)
		if !gone(pid) {
			t.Errorf("process %d is still there", pid)
		}
	}
}

func TestWhatAKilledWorkerLeftBehindIsSwept(t *testing.T) {
	t.Parallel()
	installation := fmt.Sprintf("sweep%d", time.Now().UnixNano())
	start := func(session string) *os.Process {
		p, err := os.StartProcess("/bin/sleep", []string{"sleep", "300"}, &os.ProcAttr{Env: []string{launch.MarkerVariable + "=" + installation + "/" + session + "/1"}})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	old, mine := start("old"), start("mine")
	defer func() { _ = mine.Kill(); _, _ = mine.Wait() }()
	if n := launch.Sweep(installation, "mine"); n != 1 {
		t.Errorf("%d killed, want 1", n)
	}
	state, err := old.Wait()
	if err != nil || state.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("the orphan: %v, %v", state, err)
	}
	if gone(mine.Pid) {
		t.Error("a process of the living session was killed")
	}
}

func TestOutOfMemoryIsNamedWithItsLimit(t *testing.T) {
	t.Parallel()
	s := sh(`x=$(head -c 200000000 /dev/zero | tr '\0' 'x'); echo ${#x}`)
	s.Memory = 48 << 20
	e, err := launch.Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if e.Limit == 0 {
		t.Log("this machine lets us set no memory limit: the limit is not enforced, and nothing claims that it is")
		return
	}
	if e.Kind() != fault.OutOfMemory || !strings.Contains(e.Reason(), "48.0 MiB") {
		t.Errorf("kind %q, %q", e.Kind(), e.Reason())
	}
}

type onWrite func()

func (f onWrite) Write(b []byte) (int, error) { f(); return len(b), nil }

func gone(pid int) bool {
	for range 100 {
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return true
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(text), ") Z") {
			return true
		}
		<-time.After(10 * time.Millisecond)
	}
	return false
}

func BenchmarkTrue(b *testing.B) {
	s := launch.Spec{Args: []string{"/bin/true"}, Env: environment, Marker: "bench/s/1"}
	for b.Loop() {
		if _, err := launch.Run(b.Context(), s); err != nil {
			b.Fatal(err)
		}
	}
}
