package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tidemill/tidemill/internal/backup"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/ledger/history"
)

// Client speaks to the server of a project over its unix socket.
type Client struct{ http *http.Client }

// NewClient returns a client of the server on a unix socket.
func NewClient(socket string) *Client {
	return &Client{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}}
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Do sends a request and returns the answer's body, which the caller closes.
func (c *Client) Do(ctx context.Context, method, path string, body io.Reader) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://tidemill"+path, body)
	if err != nil {
		return nil, fault.New(fault.Internal, "%s %s: %w", method, path, err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, unreachable(err)
	}
	if resp.StatusCode/100 == 2 {
		return resp.Body, nil
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	var e Error
	if json.Unmarshal(text, &e) == nil && e.Kind.Known() {
		return nil, fault.New(e.Kind, "%s", e.Error)
	}
	return nil, fault.New(fault.Internal, "the server answered %s: %s", resp.Status, strings.TrimSpace(string(text)))
}

// unreachable says in words that nobody answers at the socket.
func unreachable(err error) error {
	for _, gone := range []error{syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ENOENT, syscall.EPIPE, io.EOF} {
		if errors.Is(err, gone) {
			return fault.New(fault.Unavailable, "the server has ended or was killed; what was done is kept, so ask again, or look at: tidemill runs")
		}
	}
	return fault.New(fault.Unavailable, "the server does not answer: %w", err)
}

// call sends in as JSON (nothing, where it is nil) and reads the answer into out.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fault.New(fault.Internal, "%s %s: %w", method, path, err)
		}
		body = bytes.NewReader(b)
	}
	answer, err := c.Do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Close() }()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(answer).Decode(out); err != nil {
		return fault.New(fault.Internal, "answer to %s %s: %w", method, path, err)
	}
	return nil
}

// Status asks the server about itself.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.call(ctx, http.MethodGet, "/api/v1/status", nil, &s)
}

// Visit says that a command uses the server until the answer is closed. A server
// that is there for one command alone ends after its guests.
func (c *Client) Visit(ctx context.Context) (io.Closer, error) {
	return c.Do(ctx, http.MethodGet, "/api/v1/visit", nil)
}

// Stop asks the server to end: drain lets what runs end first.
func (c *Client) Stop(ctx context.Context, drain bool) error {
	return c.call(ctx, http.MethodPost, "/api/v1/stop?drain="+strconv.FormatBool(drain), nil, nil)
}

// Reload has the server read the project folder now.
func (c *Client) Reload(ctx context.Context) (s Status, err error) {
	return s, c.call(ctx, http.MethodPost, "/api/v1/reload", nil, &s)
}

// StartRun creates a run.
func (c *Client) StartRun(ctx context.Context, r RunRequest) (out Run, err error) {
	return out, c.call(ctx, http.MethodPost, "/api/v1/runs", r, &out)
}

// Runs lists runs, the newest first.
func (c *Client) Runs(ctx context.Context, pipeline, state, backfill string, most int) (out []Run, err error) {
	q := url.Values{"pipeline": {pipeline}, "state": {state}, "backfill": {backfill}, "most": {strconv.Itoa(most)}}
	return out, c.call(ctx, http.MethodGet, "/api/v1/runs?"+q.Encode(), nil, &out)
}

// RolledRuns lists runs, the newest first, with one entry for each backfill in the
// place of its runs.
func (c *Client) RolledRuns(ctx context.Context, pipeline, state string, most int) (out []Run, err error) {
	q := url.Values{"pipeline": {pipeline}, "state": {state}, "most": {strconv.Itoa(most)}, "rolled": {"true"}}
	return out, c.call(ctx, http.MethodGet, "/api/v1/runs?"+q.Encode(), nil, &out)
}

// Run returns a run with its tasks and attempts.
func (c *Client) Run(ctx context.Context, id string) (out Run, err error) {
	return out, c.call(ctx, http.MethodGet, "/api/v1/runs/"+url.PathEscape(id), nil, &out)
}

// CancelRun cancels a run.
func (c *Client) CancelRun(ctx context.Context, id, by string) error {
	return c.call(ctx, http.MethodPost, "/api/v1/runs/"+url.PathEscape(id)+"/cancel?by="+url.QueryEscape(by), nil, nil)
}

// Rerun runs tasks of a run again and returns their names.
func (c *Client) Rerun(ctx context.Context, id string, r RerunRequest) (out []string, err error) {
	return out, c.call(ctx, http.MethodPost, "/api/v1/runs/"+url.PathEscape(id)+"/rerun", r, &out)
}

// Log opens an attempt's log; attempt 0 is the newest. The caller closes it.
func (c *Client) Log(ctx context.Context, id, task string, index, attempt int, follow bool) (io.ReadCloser, error) {
	q := url.Values{"index": {strconv.Itoa(index)}, "attempt": {strconv.Itoa(attempt)}, "follow": {strconv.FormatBool(follow)}}
	return c.Do(ctx, http.MethodGet, "/api/v1/runs/"+url.PathEscape(id)+"/logs/"+url.PathEscape(task)+"?"+q.Encode(), nil)
}

// SetAside marks a task accepted or skipped, and returns its run.
func (c *Client) SetAside(ctx context.Context, r SetAsideRequest) (out Run, err error) {
	return out, c.call(ctx, http.MethodPost, "/api/v1/set-aside", r, &out)
}

// Pipelines lists the pipelines of the live project.
func (c *Client) Pipelines(ctx context.Context) (out []Pipeline, err error) {
	return out, c.call(ctx, http.MethodGet, "/api/v1/pipelines", nil, &out)
}

// Pipeline returns a pipeline as the live version has it, which is older than the
// project's files where those are broken.
func (c *Client) Pipeline(ctx context.Context, name string) (out project.Pipeline, err error) {
	return out, c.call(ctx, http.MethodGet, "/api/v1/pipelines/"+url.PathEscape(name), nil, &out)
}

// Limits lists what is limited, and how much of it is taken.
func (c *Client) Limits(ctx context.Context) (out []Limit, err error) {
	return out, c.call(ctx, http.MethodGet, "/api/v1/limits", nil, &out)
}

// Slots lists the newest slots of a pipeline.
func (c *Client) Slots(ctx context.Context, pipeline string, most int) (out []Slot, err error) {
	return out, c.call(ctx, http.MethodGet, "/api/v1/pipelines/"+url.PathEscape(pipeline)+"/slots?most="+strconv.Itoa(most), nil, &out)
}

// Published lists what the tables of a pipeline cover.
func (c *Client) Published(ctx context.Context, pipeline string) (out map[string][]Wait, err error) {
	return out, c.call(ctx, http.MethodGet, "/api/v1/pipelines/"+url.PathEscape(pipeline)+"/published", nil, &out)
}

// SetPaused pauses or resumes a pipeline, and returns it as it is then.
func (c *Client) SetPaused(ctx context.Context, pipeline string, r PauseRequest) (out Pipeline, err error) {
	return out, c.call(ctx, http.MethodPost, "/api/v1/pipelines/"+url.PathEscape(pipeline)+"/pause", r, &out)
}

// SkipSlot ends a slot that has not started: the next one, where due is empty.
func (c *Client) SkipSlot(ctx context.Context, pipeline, due, note string) (out Slot, err error) {
	q := url.Values{"due": {due}, "note": {note}}
	return out, c.call(ctx, http.MethodPost, "/api/v1/pipelines/"+url.PathEscape(pipeline)+"/skip?"+q.Encode(), nil, &out)
}

// Why asks why a run, a backfill, a task (RUN/TASK), a pipeline or a slot (PIPELINE@DUE) waits or ended.
func (c *Client) Why(ctx context.Context, what string) (out Why, err error) {
	return out, c.call(ctx, http.MethodGet, "/api/v1/why?what="+url.QueryEscape(what), nil, &out)
}

// Incidents lists incidents, the newest first.
func (c *Client) Incidents(ctx context.Context, resolvedToo bool) (out []ledger.Incident, err error) {
	return out, c.call(ctx, http.MethodGet, "/api/v1/incidents?resolved="+strconv.FormatBool(resolvedToo), nil, &out)
}

// Notifications lists what was sent, waits or was given up.
func (c *Client) Notifications(ctx context.Context, most int) (out []ledger.Notification, err error) {
	return out, c.call(ctx, http.MethodGet, "/api/v1/notifications?most="+strconv.Itoa(most), nil, &out)
}

// AlertTest sends a trigger and a resolve over the channels of a route, by its
// name or number, or over a channel; the empty word means all.
func (c *Client) AlertTest(ctx context.Context, route string) (out []AlertTest, err error) {
	return out, c.call(ctx, http.MethodPost, "/api/v1/alerts/test?route="+url.QueryEscape(route), nil, &out)
}

// Models lists model versions, the newest first; model may be empty.
func (c *Client) Models(ctx context.Context, model string) (out []Model, err error) {
	return out, c.call(ctx, http.MethodGet, "/api/v1/models?model="+url.QueryEscape(model), nil, &out)
}

// Promote moves an alias of a model.
func (c *Client) Promote(ctx context.Context, r PromoteRequest) error {
	return c.call(ctx, http.MethodPost, "/api/v1/models/promote", r, nil)
}

// Door sends a request to the worker that owns the warehouse; the caller closes the answer.
func (c *Client) Door(ctx context.Context, path string, in any) (io.ReadCloser, error) {
	b, err := json.Marshal(in)
	if err != nil {
		return nil, fault.New(fault.Internal, "%s: %w", path, err)
	}
	return c.Do(ctx, http.MethodPost, "/api/v1/door"+path, bytes.NewReader(b))
}

// VerifyHistory holds the history and the stores' receipts against the invariants.
func (c *Client) VerifyHistory(ctx context.Context) (out []history.Finding, err error) {
	return out, c.call(ctx, http.MethodGet, "/api/v1/verify-history", nil, &out)
}

// Backup copies the installation to a folder of the server's machine.
func (c *Client) Backup(ctx context.Context, to string, tell func(backup.Progress)) (backup.Manifest, error) {
	b, err := json.Marshal(BackupRequest{Path: to})
	if err != nil {
		return backup.Manifest{}, fault.New(fault.Internal, "backup: %w", err)
	}
	body, err := c.Do(ctx, http.MethodPost, "/api/v1/backups", bytes.NewReader(b))
	if err != nil {
		return backup.Manifest{}, err
	}
	defer func() { _ = body.Close() }()
	for lines := json.NewDecoder(body); ; {
		var line BackupLine
		switch err := lines.Decode(&line); {
		case err != nil:
			return backup.Manifest{}, fault.New(fault.Unavailable, "the server went away while it made the backup, and what it wrote is no backup: %w", err)
		case line.Progress != nil:
			tell(*line.Progress)
		case line.Error != nil:
			return backup.Manifest{}, fault.New(line.Error.Kind, "%s", line.Error.Error)
		case line.Manifest != nil:
			return *line.Manifest, nil
		}
	}
}

// Prune takes what ended before a time out of the history, or only counts it.
func (c *Client) Prune(ctx context.Context, before time.Time, dryRun bool) (out ledger.Pruned, err error) {
	q := url.Values{"before": {before.UTC().Format(time.RFC3339)}, "dry_run": {strconv.FormatBool(dryRun)}}
	return out, c.call(ctx, http.MethodPost, "/api/v1/prune?"+q.Encode(), nil, &out)
}

// Pin returns a pin by its id.
func (c *Client) Pin(ctx context.Context, id string) (out run.Pin, err error) {
	return out, c.call(ctx, http.MethodGet, "/api/v1/pins/"+url.PathEscape(id), nil, &out)
}

// Replay sends quarantined rows of a table again, as a run; a run without an id
// means that there is nothing to send.
func (c *Client) Replay(ctx context.Context, r ReplayRequest) (out Run, err error) {
	return out, c.call(ctx, http.MethodPost, "/api/v1/replays", r, &out)
}
