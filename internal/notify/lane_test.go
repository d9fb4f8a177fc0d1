package notify_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/notify"
)

// script is a channel that does as it is told, and remembers what it was given and when.
type script struct {
	mu      sync.Mutex
	answer  func(try int, m notify.Message) (string, error) // nil: takes everything
	tries   int
	got     []string
	at      []time.Time
	earlier [][]notify.Sent
}

func (s *script) Send(ctx context.Context, m notify.Message) (string, error) {
	s.mu.Lock()
	s.tries++
	try := s.tries
	s.mu.Unlock()
	answer := "yes"
	if s.answer != nil {
		var err error
		if answer, err = s.answer(try, m); err != nil {
			return "", err
		}
	}
	if ctx.Err() != nil {
		return "", fault.New(fault.Unavailable, "too slow")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, m.Action+" "+m.Incident.Pipeline)
	s.at = append(s.at, time.Now())
	s.earlier = append(s.earlier, m.Earlier)
	return answer, nil
}

func (s *script) told() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

// with runs a notifier while act does its work, and then for span.
func with(t *testing.T, plan notify.Plan, act func(*ledger.Ledger)) {
	t.Helper()
	l, err := ledger.Open(t.Context(), filepath.Join(t.TempDir(), "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	ctx, stop := context.WithCancel(t.Context())
	wake := make(chan struct{}, 1)
	l.Notify = func(n ledger.Note) {
		if n.Outbox {
			select {
			case wake <- struct{}{}:
			default:
			}
		}
	}
	n := notify.Notifier{Ledger: l, Environment: "base", Log: slog.New(slog.DiscardHandler), Plan: func() notify.Plan { return plan }, Wake: wake}
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	act(l)
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func about(pipeline string) ledger.Report {
	r := late
	r.Pipeline = pipeline
	return r
}

func open(t *testing.T, l *ledger.Ledger, pipelines ...string) {
	t.Helper()
	for _, p := range pipelines {
		if err := l.Report(t.Context(), about(p)); err != nil {
			t.Error(err)
		}
	}
}

func end(t *testing.T, l *ledger.Ledger, pipeline string) {
	t.Helper()
	if err := l.Resolve(t.Context(), about(pipeline), "it came"); err != nil {
		t.Error(err)
	}
}

func unavailable(int, notify.Message) (string, error) {
	return "", fault.New(fault.Unavailable, "connection refused")
}

func both(to ...string) []project.Route {
	return []project.Route{{When: "kind == 'late'", To: to}}
}

func TestAChannelThatHangsDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &script{answer: func(int, notify.Message) (string, error) {
			time.Sleep(20 * time.Second) // virtual
			return "", fault.New(fault.Unavailable, "no answer")
		}}
		quick := &script{}
		begun := time.Now()
		with(t, notify.Plan{Routes: both("slow", "quick"), Channels: map[string]notify.Channel{"slow": slow, "quick": quick}}, func(l *ledger.Ledger) {
			for i := range 150 { // more than are looked at at once
				open(t, l, fmt.Sprintf("p%03d", i))
			}
			time.Sleep(90 * time.Second)
			open(t, l, "last")
			time.Sleep(5 * time.Second)
			if n := len(quick.told()); n != 151 {
				t.Errorf("%d of 151 messages arrived", n)
			}
		})
		if d := quick.at[149].Sub(begun); d > 5*time.Second {
			t.Errorf("the quick channel had its messages after %s", d)
		}
	})
}

func TestADeadChannelIsTriedNowAndThenAndLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dead atomic.Bool
		dead.Store(true)
		c := &script{answer: func(try int, m notify.Message) (string, error) {
			if dead.Load() {
				return unavailable(try, m)
			}
			return "yes", nil
		}}
		with(t, notify.Plan{Routes: both("c"), Channels: map[string]notify.Channel{"c": c}}, func(l *ledger.Ledger) {
			for i := range 60 {
				open(t, l, fmt.Sprintf("p%02d", i))
			}
			time.Sleep(30 * time.Minute)
			c.mu.Lock()
			tries := c.tries
			c.mu.Unlock()
			if tries > 45 || tries < 5 {
				t.Errorf("a dead channel was tried %d times in half an hour", tries)
			}
			dead.Store(false)
			time.Sleep(10 * time.Minute)
			list, err := l.Notifications(t.Context(), "base", "", 100)
			if err != nil {
				t.Error(err)
			}
			for _, n := range list {
				if n.State != "sent" || n.Attempts > 45 {
					t.Errorf("%+v", n)
				}
			}
		})
		if len(c.got) != 60 {
			t.Errorf("%d of 60 messages arrived", len(c.got))
		}
	})
}

func TestAReceiverSaysWhenToComeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &script{answer: func(try int, _ notify.Message) (string, error) {
			if try == 1 {
				return "", fault.Wrap(fault.Unavailable, &notify.Later{Err: fault.New(fault.Unavailable, "429"), After: 7 * time.Minute})
			}
			return "yes", nil
		}}
		begun := time.Now()
		with(t, notify.Plan{Routes: both("c"), Channels: map[string]notify.Channel{"c": c}}, func(l *ledger.Ledger) {
			open(t, l, "a", "b")
			time.Sleep(20 * time.Minute)
		})
		if c.tries != 3 || len(c.at) != 2 || c.at[0].Sub(begun) < 7*time.Minute || c.at[1].Sub(begun) > 8*time.Minute {
			t.Errorf("%d tries, told %v at %v", c.tries, c.got, c.at)
		}
	})
}

// paced takes a message a second.
type paced struct{ script }

func (*paced) Pace() time.Duration { return time.Second }

func TestAChannelIsGivenNoMoreThanItTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &paced{}
		with(t, notify.Plan{Routes: both("c"), Channels: map[string]notify.Channel{"c": c}}, func(l *ledger.Ledger) {
			open(t, l, "a", "b", "c", "d", "e")
			time.Sleep(time.Minute)
		})
		if len(c.at) != 5 {
			t.Fatalf("told %v", c.got)
		}
		for i := range c.at[1:] {
			if gap := c.at[i+1].Sub(c.at[i]); gap < time.Second {
				t.Errorf("message %d came %s after the one before", i+2, gap)
			}
		}
	})
}

func TestTheEndIsNeverToldBeforeTheBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &script{answer: func(try int, m notify.Message) (string, error) {
			if m.Action == "firing" && try < 6 {
				return unavailable(try, m)
			}
			return m.Action + " taken", nil
		}}
		with(t, notify.Plan{Routes: both("c"), Channels: map[string]notify.Channel{"c": c}}, func(l *ledger.Ledger) {
			open(t, l, "a")
			time.Sleep(5 * time.Second)
			end(t, l, "a")
			open(t, l, "a") // the same cause again
			time.Sleep(time.Hour)
		})
		if want := []string{"firing a", "resolved a", "firing a"}; !slices.Equal(c.got, want) {
			t.Fatalf("told %v, want %v", c.got, want)
		}
		if e := c.earlier[1]; len(e) != 1 || e[0] != (notify.Sent{Action: "firing", Answer: "firing taken"}) {
			t.Errorf("with the end came the earlier answers %v", e)
		}
		if len(c.earlier[2]) != 0 {
			t.Errorf("a new incident came with the answers of another one: %v", c.earlier[2])
		}
	})
}

func TestASecondChannelHearsWhereTheFirstFails(t *testing.T) {
	for name, c := range map[string]struct {
		with   error
		within time.Duration
		after  time.Duration
	}{
		"refused at once":       {fault.New(fault.Invalid, "no such key"), 2 * time.Second, 0},
		"not taken in a minute": {fault.New(fault.Unavailable, "connection refused"), 3 * time.Minute, time.Minute},
		"a secret is not set":   {fault.New(fault.Unavailable, "%w: secret key: not set", notify.ErrUnusable), 3 * time.Minute, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first := &script{answer: func(int, notify.Message) (string, error) { return "", c.with }}
				second := &script{}
				begun := time.Now()
				plan := notify.Plan{
					Routes: both("first"), Channels: map[string]notify.Channel{"first": first, "second": second},
					Else: map[string]string{"first": "second"},
				}
				with(t, plan, func(l *ledger.Ledger) {
					open(t, l, "a")
					time.Sleep(10 * time.Minute)
					if got := second.told(); !slices.Equal(got, []string{"firing a"}) {
						t.Errorf("in ten minutes the second channel heard %v", got)
					}
					end(t, l, "a")
					time.Sleep(10 * time.Minute)
				})
				if want := []string{"firing a", "resolved a"}; !slices.Equal(second.got, want) {
					t.Fatalf("the second channel heard %v, want %v", second.got, want)
				}
				if d := second.at[0].Sub(begun); d > c.within || d < c.after {
					t.Errorf("it heard after %s", d)
				}
			})
		})
	}
}

func TestASecondChannelIsLeftInPeaceWhereItHearsAnyway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		second := &script{}
		plan := notify.Plan{
			Routes: both("first", "second"), Channels: map[string]notify.Channel{"first": &script{answer: unavailable}, "second": second},
			Else: map[string]string{"first": "second"},
		}
		with(t, plan, func(l *ledger.Ledger) {
			open(t, l, "a")
			time.Sleep(25 * time.Hour)
		})
		if want := []string{"firing a"}; !slices.Equal(second.got, want) {
			t.Errorf("the second channel heard %v, want %v", second.got, want)
		}
	})
}

// forgetful is a channel that must be reminded.
type forgetful struct {
	script
	kept []string
}

func (*forgetful) Interval() time.Duration { return 100 * time.Second }

func (f *forgetful) Keep(_ context.Context, list []notify.Message) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range list {
		f.kept = append(f.kept, m.Action+" "+m.Incident.Pipeline)
	}
	return nil
}

func TestAForgetfulChannelIsRemindedWhileAnIncidentIsOpenAndFiveMinutesMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &forgetful{}
		with(t, notify.Plan{Routes: both("c"), Channels: map[string]notify.Channel{"c": c}}, func(l *ledger.Ledger) {
			open(t, l, "a")
			time.Sleep(time.Hour)
			c.mu.Lock()
			n := len(c.kept)
			c.mu.Unlock()
			if n < 34 || n > 37 {
				t.Errorf("in an hour it was reminded %d times, every 100 s are 36", n)
			}
			end(t, l, "a")
			time.Sleep(time.Hour)
		})
		ends := 0
		for _, k := range c.kept {
			if k == "resolved a" {
				ends++
			}
		}
		if ends < 2 || ends > 4 || c.kept[len(c.kept)-1] != "resolved a" {
			t.Errorf("it was told %d times more of the end", ends)
		}
	})
}
