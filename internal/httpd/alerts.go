package httpd

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/notify"
)

func (s *Server) alertRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/incidents", handle(func(ctx context.Context, r *http.Request) ([]ledger.Incident, error) {
		return s.Ledger.Incidents(ctx, s.Environment, r.URL.Query().Get("resolved") == "true")
	}))
	mux.HandleFunc("GET /api/v1/notifications", handle(func(ctx context.Context, r *http.Request) ([]ledger.Notification, error) {
		return s.Ledger.Notifications(ctx, s.Environment, "", number(r, "most", 50))
	}))
	mux.HandleFunc("POST /api/v1/alerts/test", handle(s.testAlert))
	mux.HandleFunc("GET /api/v1/models", handle(func(ctx context.Context, r *http.Request) ([]api.Model, error) {
		list, err := s.Ledger.ModelVersions(ctx, s.Environment, r.URL.Query().Get("model"))
		out := make([]api.Model, 0, len(list))
		for _, m := range list {
			out = append(out, api.Model{Model: m.Model, Version: m.Version, Created: m.Created, Run: m.Run, Task: m.Task, Aliases: m.Aliases})
		}
		return out, err
	}))
	mux.HandleFunc("POST /api/v1/models/promote", take(func(ctx context.Context, _ *http.Request, in api.PromoteRequest) (struct{}, error) {
		return struct{}{}, s.Ledger.Promote(ctx, s.Environment, in.Model, in.Alias, in.Version, in.By)
	}))
}

// testAlert sends a real trigger and a real resolve, and tells what each receiver answered.
func (s *Server) testAlert(ctx context.Context, r *http.Request) ([]api.AlertTest, error) {
	plan := s.Plan()
	wanted := r.URL.Query().Get("channel")
	var names []string
	for name := range plan.Channels {
		if wanted == "" || name == wanted {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		if wanted == "" {
			return nil, fault.New(fault.NotFound, "the project declares no channel; add one under alerts.channels in tidemill.yaml")
		}
		return nil, fault.New(fault.NotFound, "the project declares no channel %q%s", wanted, problem.Suggest(wanted, slices.Sorted(maps.Keys(plan.Channels))))
	}
	now := time.Now().UTC()
	incident := ledger.Incident{
		Environment: s.Environment, ID: "test-" + ledger.NewID(now), Fingerprint: s.Environment + "/test", Kind: "test", Severity: "info",
		Pipeline: "test", State: "open", Summary: "this is a test of Tidemill's alerts; nothing is wrong", Opened: now, Updated: now,
	}
	var out []api.AlertTest
	for _, name := range names {
		for n, action := range []string{"test", "resolved"} {
			if action == "resolved" {
				incident.State, incident.Resolved, incident.Resolution = "resolved", time.Now().UTC(), "the test is over"
			}
			answer, err := plan.Channels[name].Send(ctx, notify.Message{ID: -now.UnixMilli()*2 - int64(n), Action: action, Told: notify.Told{Incident: incident}})
			one := api.AlertTest{Channel: name, Action: action, Answer: answer}
			if err != nil {
				one.Error = err.Error()
			}
			out = append(out, one)
		}
	}
	return out, nil
}
