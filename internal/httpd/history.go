package httpd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"time"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/backup"
	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/ledger/history"
)

func (s *Server) historyRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/verify-history", handle(s.verifyHistory))
	mux.HandleFunc("GET /api/v1/pins/{pin}", handle(func(ctx context.Context, r *http.Request) (run.Pin, error) {
		return s.Ledger.Pin(ctx, s.Environment, r.PathValue("pin"))
	}))
	mux.HandleFunc("POST /api/v1/prune", handle(s.prune))
	mux.HandleFunc("POST /api/v1/replays", take(s.replay))
	mux.HandleFunc("POST /api/v1/backups", s.backup)
}

// backup copies the installation, and tells line by line how far it is.
func (s *Server) backup(w http.ResponseWriter, r *http.Request) {
	var in api.BackupRequest
	if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody)).Decode(&in); err != nil {
		refuse(w, fault.New(fault.Invalid, "body of %s: %w", r.URL.Path, err))
		return
	}
	if !filepath.IsAbs(in.Path) {
		refuse(w, fault.New(fault.Invalid, "the folder of a backup is an absolute path, not %q", in.Path))
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	lines, control := json.NewEncoder(w), http.NewResponseController(w)
	say := func(line api.BackupLine) {
		_ = lines.Encode(line) // who went away cancels the request
		_ = control.Flush()
	}
	m, err := s.Backup(r.Context(), in.Path, func(p backup.Progress) { say(api.BackupLine{Progress: &p}) })
	if err != nil {
		say(api.BackupLine{Error: &api.Error{Error: err.Error(), Kind: fault.KindOf(err)}})
		return
	}
	say(api.BackupLine{Manifest: &m})
}

// prune takes what ended before a time out of the history, or only counts it.
func (s *Server) prune(ctx context.Context, r *http.Request) (ledger.Pruned, error) {
	before, err := time.Parse(time.RFC3339, r.URL.Query().Get("before"))
	if err != nil {
		return ledger.Pruned{}, fault.New(fault.Invalid, "before: %w", err)
	}
	if r.URL.Query().Get("dry_run") == "true" {
		return s.Ledger.Prunable(ctx, s.Environment, before)
	}
	return s.Ledger.Prune(ctx, s.Environment, before)
}

// verifyHistory holds the event history against the invariants, and the stores'
// receipts against the history.
func (s *Server) verifyHistory(ctx context.Context, _ *http.Request) ([]history.Finding, error) {
	findings, err := history.Verify(ctx, s.Ledger, s.Environment)
	if err != nil {
		return nil, err
	}
	receipts, err := history.Receipts(ctx, s.Ledger, s.Environment)
	if err != nil {
		return nil, err
	}
	stores, names := history.StoreFinding(), map[string]bool{}
	for _, r := range receipts {
		if len(r.Tables) > 0 {
			names[r.Tables[0].Table.Store] = true
		}
	}
	for name := range names {
		if err := s.verifyStore(ctx, name, history.OfStore(receipts, name), &stores); err != nil {
			return nil, err
		}
	}
	return append(findings, stores), nil
}

func (s *Server) verifyStore(ctx context.Context, name string, list []commit.Receipt, f *history.Finding) error {
	_, bundle := s.Catalog.Live()
	const part = 500
	for len(list) > 0 {
		n := min(part, len(list))
		keys := make([]commit.Key, n)
		for i, r := range list[:n] {
			keys[i] = r.Key
		}
		var found []commit.Receipt
		if err := s.atDoor(ctx, "/v1/receipts", map[string]any{"bundle": bundle, "store": name, "keys": keys}, &found); err != nil {
			return err
		}
		there := map[string]commit.Receipt{}
		for _, r := range found {
			there[r.Key.String()] = r
		}
		history.CompareReceipts(f, name, list[:n], there)
		list = list[n:]
	}
	return nil
}

// atDoor asks the home worker and reads the JSON that it answers.
func (s *Server) atDoor(ctx context.Context, path string, in, out any) error {
	transport := s.Door()
	if transport == nil {
		return fault.New(fault.Unavailable, "the home worker, which owns the warehouse, is not there yet; try again in a moment")
	}
	b, err := json.Marshal(in)
	if err != nil {
		return fault.New(fault.Internal, "ask at the door: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://worker"+path, bytes.NewReader(b))
	if err != nil {
		return fault.New(fault.Internal, "ask at the door: %w", err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return fault.New(fault.Unavailable, "the home worker does not answer: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 != 2 {
		var e api.Error
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if json.Unmarshal(text, &e) == nil && e.Kind.Known() {
			return fault.New(e.Kind, "%s", e.Error)
		}
		return fault.New(fault.Internal, "the home worker answered %s", resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fault.New(fault.Internal, "answer at the door: %w", err)
	}
	return nil
}

// replay creates the run that sends a table's quarantined rows again. It is a run
// of the task that writes the table, and nothing else of its pipeline.
func (s *Server) replay(ctx context.Context, _ *http.Request, in api.ReplayRequest) (api.Run, error) {
	table, err := project.ParseTable(in.Table)
	if err != nil {
		return api.Run{}, err
	}
	p, bundle := s.Catalog.Live()
	if p == nil {
		return api.Run{}, errNoVersion
	}
	for _, pl := range p.Pipelines {
		for _, t := range pl.Tasks {
			for _, w := range t.Writes {
				if w.Table == table {
					return s.startReplay(ctx, pl, t.Name, bundle, table, in)
				}
			}
		}
	}
	return api.Run{}, fault.New(fault.NotFound, "no task of the project writes %s%s", table, problem.Suggest(table.String(), p.Written(true)))
}

func (s *Server) startReplay(ctx context.Context, pl project.Pipeline, task, bundle string, table project.Table, in api.ReplayRequest) (api.Run, error) {
	var within struct {
		Rows   int64         `json:"rows"`
		Window commit.Window `json:"window"`
	}
	if err := s.atDoor(ctx, "/v1/quarantine", map[string]any{"bundle": bundle, "table": table, "rule": in.Rule}, &within); err != nil {
		return api.Run{}, err
	}
	if within.Rows == 0 {
		return api.Run{}, nil
	}
	params, err := json.Marshal(map[string]string{"table": table.String(), "rule": in.Rule})
	if err != nil {
		return api.Run{}, fault.New(fault.Internal, "replay of %s: %w", table, err)
	}
	n := ledger.NewRun{
		Environment: s.Environment, ID: ledger.NewID(time.Now()), Pipeline: pl.Name, Owner: pl.Owner, Bundle: bundle, Kind: ledger.KindReplay,
		Window: within.Window, Params: params, By: in.By, Tasks: []ledger.NewTask{{Name: task}},
	}
	if err := s.Ledger.CreateRun(ctx, n); err != nil {
		return api.Run{}, fmt.Errorf("replay of %s: %w", table, err)
	}
	return s.showRun(ctx, n.ID)
}
