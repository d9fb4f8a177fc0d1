package httpd

import (
	"context"
	"net/http"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/ledger"
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
			out = append(out, api.Model{Model: m.Model, Version: m.Version, Created: m.Created, Run: m.Run, Task: m.Task, Aliases: m.Aliases, Promotions: m.Promotions})
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
	names, err := plan.Named(r.URL.Query().Get("route"))
	if err != nil {
		return nil, err
	}
	var out []api.AlertTest
	for _, t := range plan.Test(ctx, s.Environment, names) {
		one := api.AlertTest{Channel: t.Channel, Action: t.Action, Answer: t.Answer}
		if t.Err != nil {
			one.Error = t.Err.Error()
		}
		out = append(out, one)
	}
	return out, nil
}
