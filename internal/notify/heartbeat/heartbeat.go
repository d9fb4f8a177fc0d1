// Package heartbeat tells an outside service, again and again, that the server
// schedules. Where that ends the service tells somebody: a dead scheduler cannot.
//
// A beat is a promise: none is sent while the server could not do its work.
package heartbeat

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/notify/post"
	"github.com/tidemill/tidemill/internal/secret"
)

const (
	// look is how often a project without a heartbeat is asked whether it has one now.
	look = time.Minute
	// sendLimit bounds one beat.
	sendLimit = 10 * time.Second
	// missesInRow open an incident: the outside service has told somebody by then,
	// who should find here what is wrong.
	missesInRow = 3
)

// Where is the pipeline of the heartbeat's own incident; no pipeline can be called so.
const Where = "alerts.heartbeat"

// Target is where beats go. Every is zero where the project declares none.
type Target struct {
	URL   secret.Value
	Every time.Duration
}

// Incidents is what the heartbeat needs of the ledger.
type Incidents interface {
	Report(context.Context, ledger.Report) error
	Resolve(ctx context.Context, r ledger.Report, how string) error
}

// Heartbeat sends beats.
type Heartbeat struct {
	Environment string
	Target      func() (Target, error) // the live project's
	Trouble     func() string          // why the server cannot work; empty: it can
	Incidents   Incidents
	Log         *slog.Logger
	HTTP        *http.Client // nil: the default one

	misses int
}

// Run sends beats until ctx ends.
func (h *Heartbeat) Run(ctx context.Context) error {
	for {
		every, err := h.beat(ctx)
		if err != nil && ctx.Err() == nil {
			h.Log.Error("record the heartbeat", "cause", err)
		}
		timer := time.NewTimer(every)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// beat sends one beat and says how long to wait for the next one.
func (h *Heartbeat) beat(ctx context.Context) (time.Duration, error) {
	target, err := h.Target()
	if err != nil {
		return look, h.missed(ctx, err.Error())
	}
	if target.Every <= 0 {
		return look, h.well(ctx, "the project has no heartbeat any more")
	}
	if trouble := h.Trouble(); trouble != "" {
		h.Log.Warn("no heartbeat is sent", "cause", trouble)
		return target.Every, nil
	}
	limited, stop := context.WithTimeout(ctx, sendLimit)
	defer stop()
	answer, err := post.Request{Channel: "heartbeat", Method: http.MethodGet, URL: target.URL, HTTP: h.HTTP}.Do(limited)
	if err == nil {
		err = answer.Err("heartbeat")
	}
	if ctx.Err() != nil {
		return target.Every, nil
	}
	if err != nil {
		return target.Every, h.missed(ctx, err.Error())
	}
	return target.Every, h.well(ctx, "a beat was taken")
}

func (h *Heartbeat) report(cause string) ledger.Report {
	return ledger.Report{Environment: h.Environment, Kind: "notification_failed", Severity: "error", Pipeline: Where, Summary: cause}
}

func (h *Heartbeat) missed(ctx context.Context, cause string) error {
	h.misses++
	h.Log.Warn("the heartbeat was not taken", "in_a_row", h.misses, "cause", cause)
	if h.misses < missesInRow {
		return nil
	}
	return h.Incidents.Report(ctx, h.report(cause))
}

// well ends the incident, of an earlier server too.
func (h *Heartbeat) well(ctx context.Context, how string) error {
	h.misses = 0
	return h.Incidents.Resolve(ctx, h.report(""), how)
}
