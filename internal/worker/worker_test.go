package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/dispatch"
	"github.com/tidemill/tidemill/internal/httpd"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/protocol"
	"github.com/tidemill/tidemill/internal/worker"
)

// patience is how long a test waits for what comes within moments.
const patience = 20 * time.Second

// server is what a worker speaks to: the real handlers, dispatcher and ledger, on a socket that can go away.
type server struct {
	t          *testing.T
	socket     string
	ledger     *ledger.Ledger
	dispatcher *dispatch.Dispatcher
	newest     atomic.Pointer[dispatch.Dispatcher] // for the handlers that are still at work for the one before
	stop       func()
}

func newServer(t *testing.T) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "worker") //nolint:usetesting // a socket's path has a limit, which a test's name would use up
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := ledger.Open(t.Context(), filepath.Join(dir, "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s := &server{t: t, socket: filepath.Join(dir, "s.sock"), ledger: l}
	l.Notify = func(n ledger.Note) { s.newest.Load().Notify(n) }
	s.start()
	t.Cleanup(func() { s.stop() })
	return s
}

// start begins a server, as the first or after one that was stopped.
func (s *server) start() {
	s.t.Helper()
	s.dispatcher = dispatch.New(s.ledger, slog.New(slog.DiscardHandler))
	s.newest.Store(s.dispatcher)
	_ = os.Remove(s.socket)
	listener, err := net.Listen("unix", s.socket)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	h := &http.Server{Handler: (&httpd.Server{Environment: "base", Ledger: s.ledger, Dispatcher: s.dispatcher}).Handler(), ReadHeaderTimeout: time.Second}
	var both sync.WaitGroup
	both.Go(func() { _ = s.dispatcher.Run(ctx) })
	both.Go(func() { _ = h.Serve(listener) })
	s.stop = sync.OnceFunc(func() {
		stop()
		_ = h.Close()
		both.Wait()
	})
}

// work creates a run of one task.
func (s *server) work(id string) {
	s.t.Helper()
	day := time.Date(2013, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := s.ledger.CreateRun(s.t.Context(), ledger.NewRun{
		Environment: "base", ID: id, Pipeline: "p" + id, Kind: ledger.KindManual, Window: commit.Window{Start: day, End: day.AddDate(0, 0, 1)},
		Tasks: []ledger.NewTask{{Name: "a"}},
	}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) task(id string) ledger.TaskInfo {
	s.t.Helper()
	info, err := s.ledger.Run(context.WithoutCancel(s.t.Context()), ledger.RunRef{Environment: "base", Run: id})
	if err != nil {
		s.t.Fatal(err)
	}
	return info.Tasks[0]
}

func (s *server) await(id string, want run.TaskState) ledger.TaskInfo {
	s.t.Helper()
	for begun := time.Now(); ; {
		got := s.task(id)
		if got.State == want {
			return got
		}
		if time.Since(begun) > patience {
			s.t.Fatalf("run %s is %+v, want %s", id, got, want)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// attempts is a runner whose attempts end when the test says so, or when they are stopped.
type attempts struct {
	begun chan run.Grant
	end   chan protocol.End
}

// Run waits for the test's word.
func (a attempts) Run(ctx context.Context, g run.Grant) protocol.End {
	a.begun <- g
	select {
	case e := <-a.end:
		return e
	case <-ctx.Done():
		return protocol.End{Outcome: protocol.Failed, Kind: fault.KindOf(context.Cause(ctx)), Reason: context.Cause(ctx).Error()}
	}
}

var success = protocol.End{Outcome: protocol.Succeeded}

// begin starts a worker; left tells how it ended.
func (s *server) begin(session string) (a attempts, stop func(), left chan error) {
	s.t.Helper()
	a = attempts{make(chan run.Grant, 8), make(chan protocol.End, 8)}
	ctx, cancel := context.WithCancel(context.Background())
	client := worker.NewClient(s.socket, nil)
	w := &worker.Worker{Server: client, Runner: a, Log: slog.New(slog.DiscardHandler), Session: session, Name: "home", Slots: 2}
	left = make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		left <- w.Run(ctx)
		client.Close()
	}()
	s.t.Cleanup(func() { cancel(); <-done })
	return a, cancel, left
}

func (s *server) next(a attempts) run.Grant {
	s.t.Helper()
	select {
	case g := <-a.begun:
		return g
	case <-time.After(patience):
		s.t.Fatal("no attempt begins")
		return run.Grant{}
	}
}

func (s *server) leaves(left chan error) error {
	s.t.Helper()
	select {
	case err := <-left:
		return err
	case <-time.After(patience):
		s.t.Fatal("the worker does not leave")
		return nil
	}
}

func TestAWorkerRunsWhatItIsGrantedAndTellsHowItEnded(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a, _, _ := s.begin("w1")
	for n, end := range []protocol.End{success, {Outcome: protocol.Failed, Kind: fault.Refused, Reason: "3 rows"}} {
		id := fmt.Sprintf("r%d", n)
		s.work(id)
		if g := s.next(a); g.Run != id || g.Attempt != 1 {
			t.Errorf("granted %+v", g)
		}
		s.await(id, run.TaskRunning)
		a.end <- end
	}
	s.await("r0", run.TaskSucceeded)
	if got := s.await("r1", run.TaskFailed); got.Reason != "3 rows" || got.Kind != fault.Refused {
		t.Errorf("%+v", got)
	}
}

func TestAnEndThatNoServerHeardIsToldToTheNextOne(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a, _, _ := s.begin("w1")
	s.work("r1")
	s.next(a)
	s.await("r1", run.TaskRunning)
	s.stop()
	a.end <- success // while nobody listens
	<-time.After(300 * time.Millisecond)
	s.start()
	if got := s.await("r1", run.TaskSucceeded); got.Attempt != 1 || got.Losses != 0 {
		t.Errorf("%+v, want the first attempt, without a loss", got)
	}
}

func TestAnAttemptGoesOnWhileItsServerIsReplaced(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a, _, _ := s.begin("w1")
	s.work("r1")
	s.next(a)
	s.await("r1", run.TaskRunning)
	s.stop()
	s.start()
	s.work("r2") // proves that the worker is back
	s.next(a)
	s.await("r2", run.TaskRunning)
	if got := s.task("r1"); got.State != run.TaskRunning || got.Attempt != 1 {
		t.Fatalf("%+v", got)
	}
	a.end <- success
	a.end <- success
	s.await("r1", run.TaskSucceeded)
	s.await("r2", run.TaskSucceeded)
}

func TestACancelledAttemptIsStoppedByItsWorker(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a, _, _ := s.begin("w1")
	s.work("r1")
	s.next(a)
	s.await("r1", run.TaskRunning)
	if err := s.ledger.CancelRun(t.Context(), ledger.RunRef{Environment: "base", Run: "r1"}, "ann"); err != nil {
		t.Fatal(err)
	}
	if got := s.await("r1", run.TaskCancelled); got.Reason != "cancelled by ann" {
		t.Errorf("%+v", got)
	}
}

// TestAWorkerThatIsToldToGoFailsNothing: what it ended itself is lost with its session, and no failure.
func TestAWorkerThatIsToldToGoFailsNothing(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a, stop, left := s.begin("w1")
	s.work("r1")
	s.next(a)
	s.await("r1", run.TaskRunning)
	stop()
	if err := s.leaves(left); err != nil {
		t.Errorf("it left with %v", err)
	}
	if got := s.task("r1"); got.State != run.TaskRunning {
		t.Fatalf("its attempt is told to be %s", got.State)
	}
	if err := s.dispatcher.End(t.Context(), "w1", "its process ended", false); err != nil {
		t.Fatal(err)
	}
	if got := s.task("r1"); got.State != run.TaskReady || got.Losses != 1 || got.Failures != 0 {
		t.Errorf("%+v, want ready again, with one loss", got)
	}
}

func TestAWorkerWhoseSessionHasEndedLeaves(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a, _, left := s.begin("w1")
	s.work("r1")
	s.next(a)
	s.await("r1", run.TaskRunning)
	if err := s.dispatcher.End(t.Context(), "w1", "silent for 60s", false); err != nil {
		t.Fatal(err)
	}
	a.end <- success // its next word
	if err := s.leaves(left); !fault.Is(err, fault.Lost) {
		t.Errorf("it left with %v", err)
	}
	if got := s.task("r1"); got.State != run.TaskReady {
		t.Errorf("a session that had ended brought its task to %s", got.State)
	}
}

func TestADrainingWorkerEndsWhatItHasAndLeaves(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a, _, left := s.begin("w1")
	s.work("r1")
	s.next(a)
	s.await("r1", run.TaskRunning)
	s.dispatcher.Drain()
	s.work("r2")
	a.end <- success
	if err := s.leaves(left); err != nil {
		t.Errorf("it left with %v", err)
	}
	s.await("r1", run.TaskSucceeded)
	if got := s.task("r2"); got.State != run.TaskReady {
		t.Errorf("%+v was begun", got)
	}
}

func TestAWorkerOfAnotherProtocolIsRefusedInWords(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	client := worker.NewClient(s.socket, nil)
	defer client.Close()
	w, err := client.Hello(t.Context(), protocol.Hello{Protocol: protocol.Version + 1, Session: "w1", Slots: 1})
	if err != nil || w.Refused == "" {
		t.Errorf("%+v, %v", w, err)
	}
	if _, err := client.Model(t.Context(), "base", "none", ""); !fault.Is(err, fault.NotFound) || errors.Is(err, context.Canceled) {
		t.Errorf("a model that is not there: %v", err)
	}
}
