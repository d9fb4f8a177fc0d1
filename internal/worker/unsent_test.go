package worker_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/protocol"
	"github.com/tidemill/tidemill/internal/worker"
)

// inBubble runs a worker on a clock of its own against a real server outside, and
// calls test when its first attempt runs and the server is gone. Outside has the
// server do something while the clock stands still.
func inBubble(t *testing.T, s *server, test func(t *testing.T, a attempts, stop func(), left chan error, outside func(func()))) {
	t.Helper()
	s.work("r1")
	words, done := make(chan func()), make(chan struct{})
	over := make(chan struct{})
	go func() {
		defer close(over)
		for word := range words {
			word()
			done <- struct{}{}
		}
	}()
	outside := func(word func()) { words <- word; <-done }
	synctest.Test(t, func(t *testing.T) {
		a := attempts{make(chan run.Grant, 8), make(chan protocol.End, 8)}
		ctx, cancel := context.WithCancel(t.Context())
		client := worker.NewClient(s.socket, nil)
		w := &worker.Worker{Server: client, Runner: a, Log: slog.New(slog.DiscardHandler), Session: "w1", Name: "home", Slots: 2}
		left := make(chan error, 1)
		go func() {
			left <- w.Run(ctx)
			client.Close()
		}()
		<-a.begun
		outside(s.stop)
		test(t, a, cancel, left, outside)
		cancel()
	})
	close(words)
	<-over
}

func TestAWorkerGivesUnsentEndsUpAfterFiveMinutesWithoutAServer(t *testing.T) {
	t.Parallel()
	if protocol.KeepUnsent != 5*time.Minute {
		t.Errorf("ends are kept for %s, and PROTOCOLS says five minutes", protocol.KeepUnsent)
	}
	inBubble(t, newServer(t), func(t *testing.T, a attempts, _ func(), left chan error, _ func(func())) {
		began := time.Now()
		a.end <- success // while nobody listens
		select {
		case err := <-left:
			t.Fatalf("it gave up after %s: %v", time.Since(began), err)
		case <-time.After(protocol.KeepUnsent - time.Second):
		}
		if err := <-left; !fault.Is(err, fault.Unavailable) {
			t.Errorf("it left with %v", err)
		}
		if took := time.Since(began); took > protocol.KeepUnsent+time.Second {
			t.Errorf("it gave up after %s", took)
		}
	})
}

func TestAnEndIsToldToAServerThatComesBackWithinFiveMinutes(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	inBubble(t, s, func(t *testing.T, a attempts, stop func(), left chan error, outside func(func())) {
		a.end <- success
		<-time.After(protocol.KeepUnsent - time.Second)
		outside(func() {
			s.start()
			s.work("r2")
		})
		<-a.begun // it is back
		stop()    // an exchange with a real server holds the bubble's clock: what is left is told now
		if err := <-left; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("it left with %v", err)
		}
	})
	if got := s.await("r1", run.TaskSucceeded); got.Attempt != 1 || got.Losses != 0 {
		t.Errorf("%+v, want the first attempt, without a loss", got)
	}
}
