package httpd

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/core/slot"
	"github.com/tidemill/tidemill/internal/ledger"
)

func (s *Server) pipelineRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/pipelines", handle(s.listPipelines))
	mux.HandleFunc("GET /api/v1/limits", handle(func(ctx context.Context, _ *http.Request) ([]api.Limit, error) {
		list, err := s.Ledger.Limits(ctx, s.Environment)
		out := make([]api.Limit, 0, len(list))
		for _, l := range list {
			out = append(out, api.Limit{Name: l.Name, Capacity: l.Capacity, Used: l.Used, Waiting: l.Waiting})
		}
		return out, err
	}))
	mux.HandleFunc("GET /api/v1/pipelines/{pipeline}", handle(func(_ context.Context, r *http.Request) (*project.Pipeline, error) {
		_, pl, _, err := s.live(r.PathValue("pipeline"))
		return pl, err
	}))
	mux.HandleFunc("GET /api/v1/pipelines/{pipeline}/slots", handle(func(ctx context.Context, r *http.Request) ([]api.Slot, error) {
		list, err := s.Ledger.Slots(ctx, s.Environment, r.PathValue("pipeline"), number(r, "most", 20))
		out := make([]api.Slot, 0, len(list))
		for _, i := range list {
			out = append(out, slotOf(i))
		}
		return out, err
	}))
	mux.HandleFunc("GET /api/v1/pipelines/{pipeline}/published", handle(s.published))
	mux.HandleFunc("POST /api/v1/pipelines/{pipeline}/pause", take(s.setPaused))
	mux.HandleFunc("POST /api/v1/pipelines/{pipeline}/skip", handle(s.skipSlot))
}

func (s *Server) setPaused(ctx context.Context, r *http.Request, in api.PauseRequest) (api.Pipeline, error) {
	name := r.PathValue("pipeline")
	if err := s.pipeline(ctx, name); err != nil {
		return api.Pipeline{}, err
	}
	if err := s.Ledger.SetPaused(ctx, s.Environment, name, in.Paused, in.By, in.Note); err != nil {
		return api.Pipeline{}, err
	}
	live, err := s.listPipelines(ctx, r)
	for _, one := range live {
		if one.Name == name {
			return one, err
		}
	}
	return api.Pipeline{Name: name, Paused: in.Paused}, err // the ledger remembers it, the project has it no more
}

func (s *Server) listPipelines(ctx context.Context, _ *http.Request) ([]api.Pipeline, error) {
	p, _ := s.Catalog.Live()
	if p == nil {
		return nil, errNoVersion
	}
	known, err := s.Ledger.Pipelines(ctx, s.Environment)
	if err != nil {
		return nil, err
	}
	facts := map[string]ledger.PipelineInfo{}
	for _, k := range known {
		facts[k.Pipeline] = k
	}
	out := make([]api.Pipeline, 0, len(p.Pipelines))
	for _, pl := range p.Pipelines {
		k := facts[pl.Name]
		one := api.Pipeline{Name: pl.Name, Owner: pl.Owner, Paused: k.Paused, Mark: k.Mark}
		if k.Paused {
			one.PausedBy, one.Note = k.PausedBy, k.PausedNote
		}
		switch {
		case pl.Schedule.Cron != "":
			one.Schedule = pl.Schedule.Cron + " " + pl.Schedule.Timezone
		case pl.Schedule.Every > 0:
			one.Schedule = "every " + pl.Schedule.Every.String()
		default:
			one.Schedule = "manual"
		}
		for _, t := range pl.Tasks {
			one.Tasks = append(one.Tasks, t.Name)
		}
		slots, err := s.Ledger.Slots(ctx, s.Environment, pl.Name, 1)
		if err != nil {
			return nil, err
		}
		if len(slots) == 1 && slots[0].State == slot.Expected {
			one.Next = slots[0].Due
		}
		out = append(out, one)
	}
	return out, nil
}

func slotOf(i ledger.SlotInfo) api.Slot {
	return api.Slot{Due: i.Due, First: i.First, Window: i.Window, State: string(i.State), Reason: i.Reason, Run: i.Run}
}

func (s *Server) published(ctx context.Context, r *http.Request) (map[string][]api.Wait, error) {
	_, pl, _, err := s.live(r.PathValue("pipeline"))
	if err != nil {
		return nil, err
	}
	out := map[string][]api.Wait{}
	for _, t := range pl.Tasks {
		for _, w := range t.Writes {
			intervals, err := s.Ledger.Published(ctx, s.Environment, w.Table.String())
			if err != nil {
				return nil, err
			}
			for _, i := range intervals {
				out[w.Table.String()] = append(out[w.Table.String()], api.Wait{Table: w.Table.String(), Window: i})
			}
		}
	}
	return out, nil
}

// skipSlot ends a slot before it starts, by a person's word.
func (s *Server) skipSlot(ctx context.Context, r *http.Request) (api.Slot, error) {
	_, pl, _, err := s.live(r.PathValue("pipeline"))
	if err != nil {
		return api.Slot{}, err
	}
	timetable, err := pl.Schedule.Timetable()
	if err != nil {
		return api.Slot{}, err
	}
	reason := strings.TrimSpace("by a person: " + r.URL.Query().Get("note"))
	var out api.Slot
	_, err = s.Ledger.Decide(ctx, s.Environment, pl.Name, func(known slot.Pipeline, _ time.Time) (slot.Decision, error) {
		known.Timetable = timetable
		due := known.Future.Due
		if text := r.URL.Query().Get("due"); text != "" {
			var err error
			if due, err = time.Parse(time.RFC3339, text); err != nil {
				return slot.Decision{}, fault.New(fault.Invalid, "due %q is no instant in RFC 3339", text)
			}
		}
		if due.IsZero() {
			return slot.Decision{}, fault.New(fault.Conflict, "no slot of %s is expected; name one, as in %s@2026-01-05T06:00:00Z", pl.Name, pl.Name)
		}
		d, err := slot.Skip(known, due, reason)
		if err != nil {
			return d, fault.New(fault.Conflict, "%w", err)
		}
		d.Wake = time.Now() // the next slot is expected at once
		for _, one := range d.Write {
			out = api.Slot{Due: one.Due, Window: one.Window, State: string(one.State), Reason: one.Reason}
		}
		return d, nil
	}, nil)
	return out, err
}
