package notify

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/ledger"
)

// Tested is what a channel answered to one message of a test.
type Tested struct {
	Channel string
	Action  string
	Answer  string
	Err     error
}

// Named returns the channels that a word means: a route's, by its name or its
// number, with those that are told where they fail; or a channel. The empty word
// means every channel.
func (p Plan) Named(word string) ([]string, error) {
	var all, routes []string
	for name := range p.Channels {
		all = append(all, name)
	}
	slices.Sort(all)
	for i, r := range p.Routes {
		if r.Name != "" {
			routes = append(routes, r.Name)
		}
		if word == "" || r.Name != word && strconv.Itoa(i+1) != word {
			continue
		}
		if len(r.To) == 0 {
			return nil, fault.New(fault.NotFound, "the route %s tells nobody: its incidents are seen with tidemill incidents", word)
		}
		return p.withElse(r.To), nil
	}
	_, known := p.Channels[word]
	switch {
	case len(all) == 0:
		return nil, fault.New(fault.NotFound, "the project declares no channel; add one under alerts.channels in tidemill.yaml")
	case word == "":
		return all, nil
	case known:
		return []string{word}, nil
	}
	return nil, fault.New(fault.NotFound, "the project declares no route and no channel %q%s", word, problem.Suggest(word, append(all, routes...)))
}

func (p Plan) withElse(to []string) []string {
	var out []string
	for _, name := range to {
		for ; name != "" && !slices.Contains(out, name); name = p.Else[name] {
			out = append(out, name)
		}
	}
	return out
}

// Test sends a real trigger and a real resolve to channels, side by side, and
// returns what each answered, in their order. Nothing of it is written down.
func (p Plan) Test(ctx context.Context, environment string, names []string) []Tested {
	now := time.Now().UTC()
	i := ledger.Incident{
		Environment: environment, ID: "test-" + ledger.NewID(now), Fingerprint: environment + "/test", Kind: "test", Severity: "info",
		Pipeline: "test", State: "open", Summary: "this is a test of Tidemill's alerts; nothing is wrong", Opened: now, Updated: now,
	}
	out := make([]Tested, 2*len(names))
	var work sync.WaitGroup
	for n, name := range names {
		work.Go(func() { p.test(ctx, i, name, out[2*n:2*n+2]) })
	}
	work.Wait()
	return out
}

// test fills in what a channel answers to both messages of a test.
func (p Plan) test(ctx context.Context, i ledger.Incident, name string, out []Tested) {
	channel, ok := p.Channels[name]
	var l lane
	var earlier []Sent
	for n, action := range []string{"test", "resolved"} {
		out[n] = Tested{Channel: name, Action: action}
		if !ok {
			out[n].Err = fault.New(fault.NotFound, "the project has no channel %s", name)
			continue
		}
		if action == "resolved" {
			i.State, i.Resolved, i.Resolution = "resolved", time.Now().UTC(), "the test is over"
		}
		if out[n].Err = l.pace(ctx, channel); out[n].Err != nil {
			continue
		}
		limited, stop := context.WithTimeout(ctx, sendLimit)
		// The ids are negative: no message of the outbox has them.
		out[n].Answer, out[n].Err = channel.Send(limited, Message{
			ID: -i.Opened.UnixMilli()*2 - int64(n), Action: action, Told: Told{Incident: i}, Zone: p.Zone, Earlier: earlier,
		})
		stop()
		if out[n].Err == nil {
			earlier = append(earlier, Sent{action, out[n].Answer})
		}
	}
}
