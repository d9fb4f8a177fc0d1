package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/core/slot"
)

// BackfillRequest asks for a backfill.
type BackfillRequest struct {
	Pipeline    string         `json:"pipeline"`
	From        string         `json:"from"` // a local date or RFC 3339
	To          string         `json:"to"`   // exclusive
	Chunk       string         `json:"chunk,omitempty"`
	Concurrency int            `json:"concurrency,omitempty"`
	Direction   slot.Direction `json:"direction,omitempty"` // oldest (default), newest
	Reprocess   slot.Reprocess `json:"reprocess,omitempty"` // all (default), missing, failed
	Missing     bool           `json:"missing,omitempty"`   // the short form of reprocess: missing
	DryRun      bool           `json:"dry_run,omitempty"`
	By          string         `json:"by,omitempty"`
}

// Backfill is a range of windows that is run again, or for the first time.
type Backfill struct {
	ID          string            `json:"id"`
	Pipeline    string            `json:"pipeline"`
	Range       commit.Window     `json:"range"`
	Chunk       string            `json:"chunk,omitempty"`
	Concurrency int               `json:"concurrency"`
	Direction   slot.Direction    `json:"direction"`
	Reprocess   slot.Reprocess    `json:"reprocess"`
	State       run.State         `json:"state,omitempty"`
	Paused      bool              `json:"paused,omitempty"`
	PausedBy    string            `json:"paused_by,omitempty"`
	Note        string            `json:"note,omitempty"`
	Created     time.Time         `json:"created,omitzero"`
	Ended       time.Time         `json:"ended,omitzero"`
	By          string            `json:"by,omitempty"`
	Runs        map[run.State]int `json:"runs,omitempty"`
	Failed      []FailedWindow    `json:"failed,omitempty"`   // the first of them, where one backfill was asked for
	Windows     []commit.Window   `json:"windows,omitempty"`  // of a dry run: those that would run
	Plan        []PlannedWindow   `json:"plan,omitempty"`     // of a dry run: all of the range
	Chosen      map[string]int    `json:"chosen,omitempty"`   // how many windows run, by reason, as it is created
	LeftOut     map[string]int    `json:"left_out,omitempty"` // how many do not
}

// PlannedWindow is what a backfill would do with one window.
type PlannedWindow struct {
	Window commit.Window `json:"window"`
	Runs   bool          `json:"runs"`
	Reason string        `json:"reason"`        // never ran, not covered, covered, failed, cancelled, under way
	Run    string        `json:"run,omitempty"` // the run that is the reason

	Refused string `json:"refused,omitempty"` // why its run will fail, where that is known before
}

// FailedWindow is a window whose run failed, with its first error.
type FailedWindow struct {
	Run    string        `json:"run"`
	Window commit.Window `json:"window"`
	Task   string        `json:"task"`
	Reason string        `json:"reason"`
}

// StartBackfill creates a backfill, or says what it would do.
func (c *Client) StartBackfill(ctx context.Context, r BackfillRequest) (out Backfill, err error) {
	return out, c.call(ctx, http.MethodPost, "/api/v1/backfills", r, &out)
}

// Backfills lists backfills, the newest first.
func (c *Client) Backfills(ctx context.Context) (out []Backfill, err error) {
	return out, c.call(ctx, http.MethodGet, "/api/v1/backfills", nil, &out)
}

// Backfill returns a backfill by its id, whose beginning or end is enough.
func (c *Client) Backfill(ctx context.Context, id string) (out Backfill, err error) {
	return out, c.call(ctx, http.MethodGet, "/api/v1/backfills/"+url.PathEscape(id), nil, &out)
}

// PauseBackfill pauses or resumes a backfill, and returns it as it is then.
func (c *Client) PauseBackfill(ctx context.Context, id string, r PauseRequest) (out Backfill, err error) {
	return out, c.call(ctx, http.MethodPost, "/api/v1/backfills/"+url.PathEscape(id)+"/pause", r, &out)
}

// CancelBackfill cancels what has not ended of a backfill.
func (c *Client) CancelBackfill(ctx context.Context, id, by string) (n int, err error) {
	return n, c.call(ctx, http.MethodPost, "/api/v1/backfills/"+url.PathEscape(id)+"/cancel?by="+url.QueryEscape(by), nil, &n)
}
