package notify_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/notify"
)

// receiver refuses the first messages, as a receiver in trouble does.
type receiver struct {
	mu     sync.Mutex
	refuse int
	with   fault.Kind
	got    []string
	ids    []int64
}

func (r *receiver) Send(_ context.Context, m notify.Message) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids = append(r.ids, m.ID)
	if r.refuse > 0 {
		r.refuse--
		return "", fault.New(r.with, "no")
	}
	r.got = append(r.got, m.Action+" "+m.Incident.Kind)
	return "yes", nil
}

var late = ledger.Report{Environment: "base", Kind: "late", Severity: "error", Pipeline: "land", Summary: "not ready by 07:00"}

func run(t *testing.T, r notify.Channel, routes []project.Route, span time.Duration, act func(*ledger.Ledger)) []ledger.Notification {
	t.Helper()
	l, err := ledger.Open(t.Context(), filepath.Join(t.TempDir(), "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	ctx, stop := context.WithCancel(t.Context())
	n := notify.Notifier{Ledger: l, Log: slog.New(slog.DiscardHandler), Plan: func() notify.Plan {
		return notify.Plan{Routes: routes, Channels: map[string]notify.Channel{"oncall": r}}
	}}
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	act(l)
	time.Sleep(span) // virtual
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	all, err := l.Notifications(t.Context(), "base", "", 100)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var everybody = []project.Route{{When: "severity == 'critical'", To: nil}, {To: []string{"oncall"}}}

func report(t *testing.T, l *ledger.Ledger) {
	t.Helper()
	if err := l.Report(t.Context(), late); err != nil {
		t.Error(err)
	}
}

func TestAnIncidentIsToldOnceAndResolvedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		run(t, r, everybody, time.Hour, func(l *ledger.Ledger) {
			report(t, l)
			report(t, l) // the same cause again
			time.Sleep(time.Minute + time.Second)
			if err := l.Resolve(t.Context(), late, "it came"); err != nil {
				t.Error(err)
			}
		})
		if len(r.got) != 2 || r.got[0] != "firing late" || r.got[1] != "resolved late" {
			t.Errorf("told %v", r.got)
		}
	})
}

func TestAnOpenIncidentIsToldAgainAsItsRouteSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		routes := []project.Route{{When: "kind == 'stale'", To: []string{"oncall"}, Repeat: time.Hour}, {To: []string{"oncall"}, Repeat: 4 * time.Hour}}
		run(t, r, routes, 24*time.Hour, func(l *ledger.Ledger) {
			report(t, l)
			time.Sleep(9 * time.Hour)
			if err := l.Resolve(t.Context(), late, "it came"); err != nil {
				t.Error(err)
			}
		})
		if want := []string{"firing late", "firing late", "firing late", "resolved late"}; !slices.Equal(r.got, want) {
			t.Errorf("in nine hours told %v, want %v", r.got, want)
		}
		if len(r.ids) != 4 || r.ids[0] == r.ids[1] {
			t.Errorf("the messages have the ids %v", r.ids)
		}
	})
}

func TestAReceiverInTroubleIsTriedAgainWithTheSameID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{refuse: 4, with: fault.Unavailable}
		run(t, r, everybody, time.Hour, func(l *ledger.Ledger) { report(t, l) })
		if len(r.got) != 1 || len(r.ids) != 5 {
			t.Errorf("told %v in %d tries, want once in 5", r.got, len(r.ids))
		}
		for _, id := range r.ids {
			if id != r.ids[0] {
				t.Errorf("ids %v differ", r.ids)
			}
		}
	})
}

func TestWhatNobodyTakesIsAVisibleDeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, kind := range []fault.Kind{fault.Invalid, fault.Unavailable} {
			r := &receiver{refuse: 1 << 30, with: kind}
			all := run(t, r, []project.Route{{When: "kind == 'late'", To: []string{"oncall"}}}, 25*time.Hour, func(l *ledger.Ledger) { report(t, l) })
			dead := 0
			for _, n := range all {
				if n.State == "dead" && n.Channel == "oncall" && n.Answer == "no" {
					dead++
				}
			}
			if dead != 1 {
				t.Errorf("%s: %+v, want one dead letter", kind, all)
			}
			if kind == fault.Invalid && len(r.ids) != 1 {
				t.Errorf("a final refusal was tried %d times", len(r.ids))
			}
		}
	})
}

// unset is a channel whose secret is not set for some tries.
type unset struct {
	receiver
	tries int
}

func (u *unset) Send(ctx context.Context, m notify.Message) (string, error) {
	if u.tries > 0 {
		u.tries--
		return "", fault.New(fault.Unavailable, "%w: secret hook: the environment variable HOOK is not set", notify.ErrUnusable)
	}
	return u.receiver.Send(ctx, m)
}

func TestAnUnsetSecretIsAnIncidentAtOnceAndLosesNoMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		channel := &unset{tries: 16}
		var early []ledger.Incident
		all := run(t, channel, everybody, time.Hour, func(l *ledger.Ledger) {
			report(t, l)
			time.Sleep(90 * time.Second)
			var err error
			if early, err = l.Incidents(t.Context(), "base", false); err != nil {
				t.Error(err)
			}
		})
		if len(early) != 2 || early[0].Kind != "notification_failed" || early[0].Pipeline != "alerts:oncall" ||
			early[0].Summary != "channel oncall: the channel cannot be used: secret hook: the environment variable HOOK is not set" {
			t.Errorf("after the first tries the incidents are %+v", early)
		}
		slices.Sort(channel.got)
		if want := []string{"firing late", "firing notification_failed", "resolved notification_failed"}; !slices.Equal(channel.got, want) {
			t.Errorf("told %v, want %v", channel.got, want)
		}
		for _, n := range all {
			if n.State != "sent" {
				t.Errorf("%+v was not sent", n)
			}
		}
	})
}

func TestADeadLetterOpensOneIncidentAndNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{refuse: 1 << 30, with: fault.Denied}
		var open []ledger.Incident
		run(t, r, everybody, 0, func(l *ledger.Ledger) {
			report(t, l)
			time.Sleep(48 * time.Hour)
			var err error
			if open, err = l.Incidents(t.Context(), "base", true); err != nil {
				t.Error(err)
			}
		})
		if len(open) != 2 || open[0].Kind != "notification_failed" || open[0].Summary != "channel oncall: a message was given up: no" || len(r.ids) != 2 {
			t.Errorf("%d tries, incidents %+v", len(r.ids), open)
		}
	})
}

func TestTheFirstRouteThatMatchesDecides(t *testing.T) {
	t.Parallel()
	routes := []project.Route{{When: "severity == 'critical'", To: []string{"pager"}}, {When: "pipeline == 'land'", To: []string{"chat"}}, {To: nil}}
	for _, c := range []struct {
		i    ledger.Incident
		want string
	}{{ledger.Incident{Severity: "critical", Pipeline: "land"}, "pager"}, {ledger.Incident{Severity: "error", Pipeline: "land"}, "chat"}, {ledger.Incident{Severity: "error", Pipeline: "x"}, ""}} {
		got := ""
		if to := notify.Who(routes, c.i); len(to) > 0 {
			got = to[0]
		}
		if got != c.want {
			t.Errorf("%+v goes to %q, want %q", c.i, got, c.want)
		}
	}
}
