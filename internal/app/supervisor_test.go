package app

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/protocol"
)

// TestMain is also the process of a worker that a test left behind: it holds the
// worker's lock of the folder that it is started in, and does nothing.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "hold" {
		lock, err := Acquire(context.Background(), "worker.lock", Holder{PID: os.Getpid(), Session: os.Args[2]}, 0)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println("held")
		<-time.After(time.Minute)
		_ = lock.Release()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// patience is how long a test waits for what comes within moments.
const patience = 20 * time.Second

// scene is a supervisor whose sessions a test can see.
type scene struct {
	*supervisor
	t *testing.T

	mu    sync.Mutex
	ended []string // session: reason, in order
	spoke bool
}

func newScene(t *testing.T, sessions ...string) *scene {
	t.Helper()
	layout, err := NewLayout(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t}
	s.supervisor = &supervisor{
		layout: layout, log: slog.New(slog.DiscardHandler),
		end: func(_ context.Context, session, reason string, crashed bool) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.ended = append(s.ended, fmt.Sprintf("%s: %s, crashed=%v", session, reason, crashed))
			return nil
		},
		heard: func(string) bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.spoke
		},
		open: func(context.Context) ([]ledger.Session, error) {
			var out []ledger.Session
			for _, id := range sessions {
				out = append(out, ledger.Session{ID: id})
			}
			return out, nil
		},
	}
	return s
}

func (s *scene) endings() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ended)
}

// leftBehind starts a process that holds the worker's lock, as one that outlived its server.
func (s *scene) leftBehind(session string) *exec.Cmd {
	s.t.Helper()
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(self, "hold", session)
	cmd.Dir = s.layout.RunFolder()
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "held\n" {
		s.t.Fatalf("%q, %v", line, err)
	}
	s.t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd
}

func TestAWorkerThatOutlivedItsServerIsAdoptedAndItsEndIsSeen(t *testing.T) {
	t.Parallel()
	s := newScene(t, "older", "earlier")
	earlier := s.leftBehind("earlier")
	s.spoke = true
	adopted := make(chan error, 1)
	go func() { adopted <- s.adopt(t.Context()) }()
	for begun := time.Now(); ; {
		if pid, session := s.current(); pid == earlier.Process.Pid && session == "earlier" {
			break
		}
		if time.Since(begun) > patience {
			t.Fatal("it is not adopted")
		}
		<-time.After(5 * time.Millisecond)
	}
	if got, want := s.endings(), []string{"older: its process was gone when the server started, crashed=false"}; !slices.Equal(got, want) {
		t.Fatalf("ended %q, want %q", got, want)
	}
	_ = earlier.Process.Kill()
	_ = earlier.Wait()
	if err := <-adopted; err != nil {
		t.Fatal(err)
	}
	if got := s.endings(); len(got) != 2 || got[1] != "earlier: its process ended, crashed=false" {
		t.Errorf("ended %q", got)
	}
}

// TestTheEndOfAnAdoptedWorkerThatNobodyReapsIsSeen: in a container the first
// process often reaps nothing, and the number of the dead still answers.
func TestTheEndOfAnAdoptedWorkerThatNobodyReapsIsSeen(t *testing.T) {
	t.Parallel()
	s := newScene(t, "earlier")
	earlier := s.leftBehind("earlier")
	s.spoke = true
	adopted := make(chan error, 1)
	go func() { adopted <- s.adopt(t.Context()) }()
	for begun := time.Now(); ; {
		if pid, _ := s.current(); pid == earlier.Process.Pid {
			break
		}
		if time.Since(begun) > patience {
			t.Fatal("it is not adopted")
		}
		<-time.After(5 * time.Millisecond)
	}
	begun := time.Now()
	_ = earlier.Process.Kill() // and no Wait
	select {
	case err := <-adopted:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("its end is not seen")
	}
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("its end was seen after %s, and PROTOCOLS says 3 s", took)
	}
	if err := syscall.Kill(earlier.Process.Pid, 0); err != nil {
		t.Errorf("its number does not answer: %v; the test shows nothing", err)
	}
	if got := s.endings(); len(got) != 1 || got[0] != "earlier: its process ended, crashed=false" {
		t.Errorf("ended %q", got)
	}
	_ = earlier.Wait()
}

func TestAnEarlierWorkerThatIsSilentIsKilled(t *testing.T) {
	t.Parallel()
	s := newScene(t, "earlier")
	earlier := s.leftBehind("earlier")
	died := make(chan error, 1)
	go func() { died <- earlier.Wait() }()
	begun := time.Now()
	if err := s.adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took < protocol.SilentWorker || took > protocol.SilentWorker+patience {
		t.Errorf("it was given %s", took)
	}
	select {
	case err := <-died:
		if !strings.Contains(fmt.Sprint(err), "killed") {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(patience):
		t.Fatal("it lives on")
	}
	if got := s.endings(); len(got) != 1 || got[0] != "earlier: it was silent and was killed, crashed=false" {
		t.Errorf("ended %q", got)
	}
}

func TestSessionsWithoutAProcessAreEndedAtTheStart(t *testing.T) {
	t.Parallel()
	s := newScene(t, "a", "b")
	if err := s.adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.endings(); len(got) != 2 || !strings.HasPrefix(got[0], "a: its process was gone") || !strings.HasPrefix(got[1], "b: ") {
		t.Errorf("ended %q", got)
	}
}

// TestOnlyADeathOfItsOwnIsACrash: an attempt is suspected of what its worker did
// itself, and of nothing that was done to the worker.
func TestOnlyADeathOfItsOwnIsACrash(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		"kill -SEGV $$": "its process was ended by signal 11 (segmentation fault), crashed=true",
		"kill -ABRT $$": "its process was ended by signal 6 (aborted), crashed=true",
		"exit 2":        "its process ended with exit code 2, crashed=true", // a panic
		"kill -KILL $$": "its process was ended by signal 9 (killed), crashed=false",
		"kill -TERM $$": "its process was ended by signal 15 (terminated), crashed=false",
		"exit 1":        "its process ended with exit code 1, crashed=false",
		"exit 0":        "its process ended, crashed=false",
	} {
		s := newScene(t)
		s.command = func(string) *exec.Cmd { return exec.Command("/bin/sh", "-c", script) }
		if _, err := s.once(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := s.endings(); len(got) != 1 || !strings.HasSuffix(got[0], ": "+want) {
			t.Errorf("%s: %q, want %q", script, got, want)
		}
	}
}

func TestAWorkerThatDiesIsReplacedUntilOneLeavesAsAsked(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	var sessions []string
	s.command = func(session string) *exec.Cmd {
		sessions = append(sessions, session)
		if len(sessions) < 3 {
			return exec.Command("/bin/sh", "-c", "kill -KILL $$")
		}
		s.leave()
		return exec.Command("/bin/true")
	}
	if err := s.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	slices.Sort(sessions)
	if len(sessions) != 3 || len(slices.Compact(sessions)) != 3 || len(s.endings()) != 3 {
		t.Errorf("sessions %v, ended %q; want three, each of its own", sessions, s.endings())
	}
}

func TestAStoppedServerTakesItsWorkerAlong(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.command = func(string) *exec.Cmd { return exec.Command("/bin/sleep", "60") }
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()
	pid := 0
	for begun := time.Now(); pid == 0 && time.Since(begun) < patience; pid, _ = s.current() {
		<-time.After(5 * time.Millisecond)
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err == nil || pid == 0 {
		t.Errorf("process %d: %v; want it gone", pid, err)
	}
}

func TestALockNamesItsHolderAndGoesWithIt(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	holder := s.leftBehind("w1")
	path := s.layout.WorkerLock()
	if h, ok := HolderOf(path); !ok || h.PID != holder.Process.Pid || h.Session != "w1" {
		t.Errorf("held by %+v, %v", h, ok)
	}
	if _, err := Acquire(t.Context(), path, Holder{PID: os.Getpid()}, 0); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), fmt.Sprint(holder.Process.Pid)) {
		t.Errorf("taken twice: %v", err)
	}
	_ = holder.Process.Kill()
	_ = holder.Wait()
	lock, err := Acquire(t.Context(), path, Holder{PID: os.Getpid()}, patience)
	if err != nil {
		t.Fatal(err)
	}
	_ = lock.Release()
	if h, ok := HolderOf(path); ok {
		t.Errorf("held by %+v after its end", h)
	}
}
