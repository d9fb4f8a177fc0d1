// Package httpd answers HTTP: the worker protocol, the API for people, and the
// door to the warehouse, whose bytes it pipes undecoded.
//
// Handlers translate; they decide nothing. Every error becomes {"error",
// "kind"} with the status that follows from its kind. The server listens on a
// unix socket that only its own user can open, so whoever speaks is that user.
package httpd

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/backup"
	"github.com/tidemill/tidemill/internal/blob"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/dispatch"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/logs"
	"github.com/tidemill/tidemill/internal/notify"
)

// Catalog is the live version of the project.
type Catalog interface {
	Live() (p *project.Project, bundle string) // nil: none yet
	Problems() problem.List
	Stale() []string // pipelines that run on an older version because theirs is broken
	Reload(context.Context) error
	Refresh(context.Context) error // the same, if anything changed
}

// Bundles serves bundles to workers.
type Bundles interface {
	Archive(w io.Writer, hash string) error
}

// Server holds what the handlers need.
type Server struct {
	Environment string
	Ledger      *ledger.Ledger
	Dispatcher  *dispatch.Dispatcher
	Logs        *logs.Store
	Artifacts   *blob.Folder
	Catalog     Catalog
	Bundles     Bundles
	Plan        func() notify.Plan // channels and routes of the live project
	Status      func() api.Status
	Door        func() http.RoundTripper // to the home worker; nil: it is not there
	Backup      func(ctx context.Context, to string, tell func(backup.Progress)) (backup.Manifest, error)
	Stop        func(drain bool)
	Guest       func() (leave func(), welcome bool) // a command begins to use the server
	Log         *slog.Logger
}

// maxBody bounds the body of a request that is not a stream.
const maxBody = 32 << 20

// Handler returns the handler of every route.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	s.workerRoutes(mux)
	s.runRoutes(mux)
	s.pipelineRoutes(mux)
	s.alertRoutes(mux)
	s.historyRoutes(mux)
	mux.HandleFunc("GET /api/v1/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.Status()) })
	mux.HandleFunc("GET /api/v1/visit", s.visit)
	mux.HandleFunc("POST /api/v1/stop", func(w http.ResponseWriter, r *http.Request) {
		s.Stop(r.URL.Query().Get("drain") == "true")
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /api/v1/reload", handle(func(ctx context.Context, _ *http.Request) (api.Status, error) {
		if err := s.Catalog.Reload(ctx); err != nil {
			return api.Status{}, err
		}
		return s.Status(), nil
	}))
	mux.HandleFunc("/api/v1/door/{path...}", s.door)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, fault.New(fault.NotFound, "no route %s %s", r.Method, r.URL.Path))
	})
	return mux
}

// visit lasts as long as a command uses the server.
func (s *Server) visit(w http.ResponseWriter, r *http.Request) {
	leave, welcome := s.Guest()
	if !welcome {
		refuse(w, fault.New(fault.Unavailable, "the server is about to end"))
		return
	}
	defer leave()
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// handle makes a handler of a function that answers JSON.
func handle[T any](f func(context.Context, *http.Request) (T, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out, err := f(r.Context(), r)
		if err != nil {
			refuse(w, err)
			return
		}
		answer(w, out)
	}
}

// take makes a handler of a function that is given JSON and answers JSON.
func take[In, Out any](f func(context.Context, *http.Request, In) (Out, error)) http.HandlerFunc {
	return handle(func(ctx context.Context, r *http.Request) (Out, error) {
		var in In
		if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody)).Decode(&in); err != nil {
			var none Out
			return none, fault.New(fault.Invalid, "body of %s: %w", r.URL.Path, err)
		}
		return f(ctx, r, in)
	})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client went away: nobody is left to tell
}

func refuse(w http.ResponseWriter, err error) {
	kind := fault.KindOf(err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(kind.HTTPStatus())
	_ = json.NewEncoder(w).Encode(api.Error{Error: err.Error(), Kind: kind})
}

func number(r *http.Request, name string, otherwise int) int {
	n, err := strconv.Atoi(r.URL.Query().Get(name))
	if err != nil {
		return otherwise
	}
	return n
}

// door passes a request to the worker that owns the warehouse, and its answer back, as bytes.
func (s *Server) door(w http.ResponseWriter, r *http.Request) {
	transport := s.Door()
	if transport == nil {
		refuse(w, fault.New(fault.Unavailable, "the home worker, which owns the warehouse, is not there yet; try again in a moment"))
		return
	}
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.URL.Path = "http", "worker", "/"+r.PathValue("path")
	out.RequestURI = ""
	resp, err := transport.RoundTrip(out)
	if err != nil {
		refuse(w, fault.New(fault.Unavailable, "the home worker does not answer: %w", err))
		return
	}
	defer func() { _ = resp.Body.Close() }()
	maps.Copy(w.Header(), resp.Header)
	w.WriteHeader(resp.StatusCode)
	copyFlushing(w, resp.Body)
}

// copyFlushing copies a stream so that each piece reaches the reader at once.
func copyFlushing(w http.ResponseWriter, from io.Reader) {
	control := http.NewResponseController(w)
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if _, e := w.Write(buffer[:n]); e != nil {
				return
			}
			_ = control.Flush()
		}
		if err != nil {
			return
		}
	}
}

// Serve answers until ctx ends, then gives requests under way a moment to end.
func Serve(ctx context.Context, h *http.Server, listen func() error) error {
	failed := make(chan error, 1)
	go func() { failed <- listen() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	bounded, stop := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer stop()
	if err := h.Shutdown(bounded); err != nil {
		_ = h.Close() // parked exchanges end here
	}
	<-failed //nolint:errcheck // the server was told to end
	return nil
}
