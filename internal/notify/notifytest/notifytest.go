// Package notifytest runs a channel as the program does: with a real ledger and a
// real notifier around it. Only tests import it.
package notifytest

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/notify"
)

// Environment is where the incidents of a bench happen.
const Environment = "prod"

// Failed is an observation that opens an incident.
var Failed = ledger.Report{
	Environment: Environment, Kind: "task_failed", Severity: "error", Pipeline: "land", Task: "orders", Owner: "data", Summary: "exit code 4: bad key",
}

// Bench is a ledger whose incidents a channel is told of.
type Bench struct {
	*ledger.Ledger
	t *testing.T
}

// Start tells a channel of every incident, and of an open one again after repeat,
// if that is not zero. It ends with the test.
func Start(t *testing.T, c notify.Channel, repeat time.Duration) Bench {
	t.Helper()
	l, err := ledger.Open(t.Context(), filepath.Join(t.TempDir(), "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	wake := make(chan struct{}, 1)
	l.Notify = func(ledger.Note) {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	plan := notify.Plan{
		Routes: []project.Route{{To: []string{"one"}, Repeat: repeat}}, Channels: map[string]notify.Channel{"one": c},
		Runbooks: map[string]string{"land": "https://wiki.example.net/land"},
	}
	n := notify.Notifier{Ledger: l, Environment: Environment, Log: slog.New(slog.DiscardHandler), Wake: wake, Plan: func() notify.Plan { return plan }}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = l.Close()
	})
	return Bench{l, t}
}

// Fail opens the incident of Failed, or belongs to it.
func (b Bench) Fail() {
	b.t.Helper()
	if err := b.Report(b.t.Context(), Failed); err != nil {
		b.t.Fatal(err)
	}
}

// Recover resolves the incident of Failed.
func (b Bench) Recover() {
	b.t.Helper()
	if err := b.Resolve(b.t.Context(), Failed, "run r2 succeeded"); err != nil {
		b.t.Fatal(err)
	}
}

// Messages are what was or will be sent, the oldest first.
func (b Bench) Messages() []ledger.Notification {
	b.t.Helper()
	list, err := b.Notifications(b.t.Context(), Environment, "", 100)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := range len(list) / 2 {
		list[i], list[len(list)-1-i] = list[len(list)-1-i], list[i]
	}
	return list
}

// AwaitSent waits until so many messages were taken, and no other waits.
func (b Bench) AwaitSent(n int) []ledger.Notification {
	b.t.Helper()
	var list []ledger.Notification
	Await(b.t, fmt.Sprintf("%d messages are taken", n), func() bool {
		list = b.Messages()
		sent := 0
		for _, m := range list {
			if m.State == "sent" {
				sent++
			}
		}
		return sent == n && len(list) == n
	})
	return list
}

// Await asks until something is so.
func Await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for begun := time.Now(); !so(); <-time.After(20 * time.Millisecond) {
		if time.Since(begun) > 40*time.Second {
			t.Fatalf("never: %s", what)
		}
	}
}
