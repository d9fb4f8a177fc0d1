package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/dispatch"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/protocol"
)

// server is a dispatcher over a real ledger, in virtual time.
type server struct {
	*dispatch.Dispatcher
	t      *testing.T
	ledger *ledger.Ledger
	stop   func()
	runs   int
}

// bubble runs a test against a server that has just started.
func bubble(t *testing.T, test func(*testing.T, *server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l, err := ledger.Open(t.Context(), filepath.Join(t.TempDir(), "ledger.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		s := &server{t: t, ledger: l}
		s.start()
		defer func() { s.stop() }()
		test(t, s)
	})
}

// start begins a server, as the first or after one that has stopped.
func (s *server) start() {
	s.Dispatcher = dispatch.New(s.ledger, slog.New(slog.DiscardHandler))
	s.ledger.Notify = s.Notify
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	s.stop = func() {
		stop()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	}
}

func (s *server) welcome(session string, slots int, holds ...int64) {
	s.t.Helper()
	known, err := s.Welcome(s.t.Context(), protocol.Hello{Session: session, Worker: "home", Slots: slots, Holds: holds})
	if err != nil || !known {
		s.t.Fatalf("session %s: known %v, %v", session, known, err)
	}
}

// work creates a run of tasks that wait for nothing.
func (s *server) work(tasks ...ledger.NewTask) {
	s.t.Helper()
	s.runs++
	day := time.Date(2013, 1, s.runs, 0, 0, 0, 0, time.UTC)
	if err := s.ledger.CreateRun(s.t.Context(), ledger.NewRun{
		Environment: "base", ID: fmt.Sprintf("r%d", s.runs), Pipeline: fmt.Sprintf("p%d", s.runs), Kind: ledger.KindManual,
		Window: commit.Window{Start: day, End: day.AddDate(0, 0, 1)}, Tasks: tasks,
	}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) exchange(x protocol.Exchange) protocol.Answer {
	s.t.Helper()
	a, err := s.Exchange(s.t.Context(), x)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// poll asks for work without waiting, and takes what it is granted to be begun.
func (s *server) poll(session string) []run.Grant {
	s.t.Helper()
	grants := s.exchange(protocol.Exchange{Session: session}).Grants
	for _, g := range grants {
		if a := s.exchange(protocol.Exchange{Session: session, Acks: []protocol.Ack{{Ref: g.Ref, Epoch: g.Epoch}}}); len(a.Acked) != 1 {
			s.t.Fatalf("%+v may not begin: %+v", g, a)
		}
	}
	return grants
}

func (s *server) task(n int) ledger.TaskInfo {
	s.t.Helper()
	info, err := s.ledger.Run(s.t.Context(), ledger.RunRef{Environment: "base", Run: fmt.Sprintf("r%d", n)})
	if err != nil {
		s.t.Fatal(err)
	}
	return info.Tasks[0]
}

var one = ledger.NewTask{Name: "a"}

func TestAGrantThatNobodyAcknowledgesIsReadyAgainAfterTwoSecondsAndIsNoLoss(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		s.welcome("s1", 1)
		s.work(one)
		first := s.exchange(protocol.Exchange{Session: "s1"}).Grants
		time.Sleep(protocol.Unstarted - 100*time.Millisecond)
		if s.task(1).State != run.TaskClaimed {
			t.Errorf("before its time the task is %s", s.task(1).State)
		}
		time.Sleep(time.Second + 200*time.Millisecond)
		if got := s.task(1); got.State != run.TaskReady || got.Losses != 0 || got.Attempt != 0 {
			t.Fatalf("the task is %+v, want ready, without a loss or an attempt", got)
		}
		if a := s.exchange(protocol.Exchange{Session: "s1", Acks: []protocol.Ack{{Ref: first[0].Ref, Epoch: first[0].Epoch}}}); len(a.Acked) != 0 {
			t.Error("the grant that was taken back may begin")
		}
		if again := s.task(1); again.State != run.TaskClaimed { // the answer to the late word carried the new grant
			t.Errorf("the task is %+v", again)
		}
	})
}

func TestTheNewGrantHasANewEpochAndTheSameAttempt(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		s.welcome("s1", 1)
		s.welcome("s2", 1)
		s.work(one)
		first := s.exchange(protocol.Exchange{Session: "s1"}).Grants
		second := s.exchange(protocol.Exchange{Session: "s2", Wait: true}).Grants // parked until then
		if len(first) != 1 || len(second) != 1 || second[0].Epoch <= first[0].Epoch || second[0].Attempt != first[0].Attempt {
			t.Errorf("granted %+v, then %+v", first, second)
		}
	})
}

func TestAPollThatIsRepeatedReturnsTheSameGrants(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		s.welcome("s1", 3)
		s.work(one)
		first := s.exchange(protocol.Exchange{Session: "s1", Wait: true}).Grants
		s.work(one)
		second := s.exchange(protocol.Exchange{Session: "s1", Wait: true}).Grants // the first answer was lost
		if len(first) != 1 || len(second) != 2 || second[0].Epoch != first[0].Epoch || second[1].Run != "r2" {
			t.Fatalf("granted %+v, then %+v", first, second)
		}
		for _, g := range second {
			s.exchange(protocol.Exchange{Session: "s1", Acks: []protocol.Ack{{Ref: g.Ref, Epoch: g.Epoch}}})
		}
		if third := s.exchange(protocol.Exchange{Session: "s1", Wait: true}).Grants; len(third) != 0 {
			t.Errorf("granted %+v though they were acknowledged", third)
		}
		if got := s.task(1); got.State != run.TaskRunning || got.Attempt != 1 {
			t.Errorf("the task is %+v", got)
		}
	})
}

func TestWorkGoesToOneWaiterAndNotToAll(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		type answered struct {
			session string
			protocol.Answer
		}
		answers := make(chan answered, 3)
		for n := range 3 {
			id := fmt.Sprintf("s%d", n)
			s.welcome(id, 4)
			go func() { answers <- answered{id, s.exchange(protocol.Exchange{Session: id, Wait: true})} }()
		}
		synctest.Wait()
		begun := time.Now()
		s.work(one)
		a := <-answers
		if len(a.Grants) != 1 || time.Since(begun) != 0 {
			t.Fatalf("after %s the first answer is %+v", time.Since(begun), a)
		}
		s.exchange(protocol.Exchange{Session: a.session, Acks: []protocol.Ack{{Ref: a.Grants[0].Ref, Epoch: a.Grants[0].Epoch}}})
		synctest.Wait()
		if len(answers) != 0 {
			t.Error("somebody else was woken as well")
		}
		for range 2 { // the others have waited in vain
			if a := <-answers; len(a.Grants) != 0 || time.Since(begun) != protocol.Poll {
				t.Errorf("after %s: %+v", time.Since(begun), a)
			}
		}
	})
}

func TestTheAnswerToAnEndCarriesTheNextWork(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		s.welcome("s1", 1)
		s.work(one, ledger.NewTask{Name: "b", Upstream: []string{"a"}})
		g := s.poll("s1")[0]
		a := s.exchange(protocol.Exchange{Session: "s1", Ends: []protocol.End{{Ref: g.Ref, Epoch: g.Epoch, Outcome: protocol.Succeeded}}})
		if len(a.Ended) != 1 || len(a.Grants) != 1 || a.Grants[0].Task != "b" {
			t.Errorf("answered %+v, want the end recorded and b granted", a)
		}
	})
}

func TestASessionIsGivenNoMoreThanItsSlots(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		s.welcome("s1", 2)
		for range 5 {
			s.work(one)
		}
		if got := s.exchange(protocol.Exchange{Session: "s1"}).Grants; len(got) != 2 {
			t.Fatalf("%d grants, want 2", len(got))
		}
		if got := s.exchange(protocol.Exchange{Session: "s1"}).Grants; len(got) != 0 {
			t.Errorf("%d more while both slots are taken", len(got))
		}
	})
}

func TestARetryIsGrantedWhenItsBackOffIsOver(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		s.welcome("s1", 1)
		s.work(ledger.NewTask{Name: "a", Retries: 1, Backoff: 7 * time.Second})
		g := s.poll("s1")[0]
		s.exchange(protocol.Exchange{Session: "s1", Ends: []protocol.End{{Ref: g.Ref, Epoch: g.Epoch, Outcome: protocol.Failed, Kind: fault.Failed, Reason: "exit code 1"}}})
		begun, due := time.Now(), s.task(1).ReadyAt
		a := s.exchange(protocol.Exchange{Session: "s1", Wait: true})
		if len(a.Grants) != 1 || time.Now().Before(due) || time.Since(due) > 100*time.Millisecond || time.Since(begun) < 7*time.Second {
			t.Errorf("granted %+v %s after it was due", a.Grants, time.Since(due))
		}
	})
}

func TestSilenceOfAMinuteEndsASessionAndASingleWordDoesNot(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		s.welcome("s1", 1)
		s.work(one)
		g := s.poll("s1")[0]
		for range 5 {
			time.Sleep(protocol.LostAfter - 2*time.Second)
			s.poll("s1")
		}
		if s.task(1).State != run.TaskRunning {
			t.Fatalf("the task is %s though its worker speaks", s.task(1).State)
		}
		time.Sleep(protocol.LostAfter + 2*time.Second)
		if got := s.task(1); got.State != run.TaskReady || got.Losses != 1 || got.Failures != 0 {
			t.Fatalf("the task is %+v, want ready with one loss", got)
		}
		a := s.exchange(protocol.Exchange{Session: "s1", Ends: []protocol.End{{Ref: g.Ref, Epoch: g.Epoch, Outcome: protocol.Succeeded}}})
		if a.Known || s.task(1).State != run.TaskReady {
			t.Errorf("a session that has ended is answered %+v, and its task is %s", a, s.task(1).State)
		}
	})
}

func TestAParkedPollIsNoSilence(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		s.welcome("s1", 1)
		for begun := time.Now(); time.Since(begun) < 10*time.Minute; {
			if a := s.exchange(protocol.Exchange{Session: "s1", Wait: true}); !a.Known {
				t.Fatalf("ended after %s", time.Since(begun))
			}
		}
	})
}

func TestAServerThatStartsGrantsEveryoneAFullLease(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		s.welcome("s1", 1)
		s.work(one)
		s.poll("s1")
		time.Sleep(protocol.LostAfter - 5*time.Second)
		s.stop()
		time.Sleep(time.Hour) // no server: nobody could have heard it
		s.start()
		time.Sleep(protocol.LostAfter - time.Second)
		if got := s.task(1); got.State != run.TaskRunning {
			t.Fatalf("the task is %s before the lease is over", got.State)
		}
		time.Sleep(3 * time.Second)
		if got := s.task(1); got.State != run.TaskReady || got.Losses != 1 {
			t.Errorf("the task is %+v after it", got)
		}
	})
}

func TestAClockThatIsSetEndsNoSession(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		s.welcome("s1", 1)
		s.work(one)
		s.poll("s1")
		for _, shift := range []time.Duration{10 * time.Hour, -10 * time.Hour} {
			s.ledger.Now = func() time.Time { return time.Now().Add(shift) }
			time.Sleep(protocol.LostAfter - 5*time.Second)
			s.poll("s1")
			if s.task(1).State != run.TaskRunning {
				t.Errorf("the clock was set by %s, and the task is %s", shift, s.task(1).State)
			}
		}
	})
}

func TestASeenDeathEndsASessionAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		s.welcome("s1", 1)
		s.welcome("s2", 1)
		s.work(one)
		s.poll("s1")
		parked := make(chan protocol.Answer, 1)
		go func() { parked <- s.exchange(protocol.Exchange{Session: "s2", Wait: true}) }()
		synctest.Wait()
		begun := time.Now()
		if err := s.End(t.Context(), "s1", "its process was ended by signal 9 (killed)", false); err != nil {
			t.Fatal(err)
		}
		if a := <-parked; len(a.Grants) != 1 || a.Grants[0].Attempt != 2 || time.Since(begun) != 0 {
			t.Errorf("after %s: %+v, want the second attempt at once", time.Since(begun), a)
		}
	})
}

func TestWhatAWorkerDoesNotKnowOfGoesBackToWork(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		s.welcome("s1", 3)
		s.work(one)
		s.work(one)
		s.work(one)
		held := s.poll("s1")
		s.stop()
		s.start()
		s.welcome("s1", 3, held[0].Epoch) // it has the first one alone
		for n, want := range []run.TaskState{run.TaskRunning, run.TaskReady, run.TaskReady} {
			if got := s.task(n + 1); got.State != want || got.Losses > 1 {
				t.Errorf("task %d is %+v, want %s", n+1, got, want)
			}
		}
	})
}

func TestAStopOrderReachesTheSessionThatHoldsTheAttempt(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		s.welcome("s1", 1)
		s.welcome("s2", 1)
		s.work(one)
		g := s.poll("s1")[0]
		parked := make(chan protocol.Answer, 1)
		go func() { parked <- s.exchange(protocol.Exchange{Session: "s1", Wait: true}) }()
		synctest.Wait()
		begun := time.Now()
		if err := s.ledger.CancelRun(t.Context(), ledger.RunRef{Environment: "base", Run: "r1"}, "ann"); err != nil {
			t.Fatal(err)
		}
		if a := <-parked; len(a.Stops) != 1 || a.Stops[0] != g.Epoch || time.Since(begun) != 0 {
			t.Errorf("after %s: %+v, want to stop epoch %d", time.Since(begun), a, g.Epoch)
		}
	})
}

func TestADrainingServerGrantsNothing(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		s.welcome("s1", 1)
		parked := make(chan protocol.Answer, 1)
		go func() { parked <- s.exchange(protocol.Exchange{Session: "s1", Wait: true}) }()
		synctest.Wait()
		s.Drain()
		if a := <-parked; !a.Drain {
			t.Errorf("answered %+v, want to leave", a)
		}
		s.work(one)
		if a := s.exchange(protocol.Exchange{Session: "s1", Wait: true}); len(a.Grants) != 0 || !a.Drain {
			t.Errorf("answered %+v", a)
		}
	})
}

func TestAnExchangeThatIsLeftPassesItsWordOn(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		s.welcome("s1", 1)
		s.welcome("s2", 1)
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, err := s.Exchange(ctx, protocol.Exchange{Session: "s1", Wait: true})
			left <- err
		}()
		synctest.Wait()
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		s.work(one)
		if a := s.exchange(protocol.Exchange{Session: "s2", Wait: true}); len(a.Grants) != 1 {
			t.Errorf("answered %+v", a)
		}
	})
}
