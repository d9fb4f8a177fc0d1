package httpd

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/tidemill/tidemill/internal/blob"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/protocol"
)

// maxChunk bounds one chunk of a log.
const maxChunk = 4 << 20

func (s *Server) workerRoutes(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/session", take(s.hello))
	mux.HandleFunc("POST /v1/exchange", take(func(ctx context.Context, _ *http.Request, x protocol.Exchange) (protocol.Answer, error) {
		return s.Dispatcher.Exchange(ctx, x)
	}))
	const attempt = "{environment}/{run}/{task}/{index}/{attempt}"
	mux.HandleFunc("POST /v1/log/"+attempt, s.appendLog)
	mux.HandleFunc("PUT /v1/artifact/"+attempt+"/{name}", s.putArtifact)
	mux.HandleFunc("GET /v1/artifact/"+attempt+"/{name}", s.getArtifact)
	mux.HandleFunc("GET /v1/bundle/{hash}", func(w http.ResponseWriter, r *http.Request) {
		if err := s.Bundles.Archive(w, r.PathValue("hash")); err != nil {
			refuse(w, err)
		}
	})
	mux.HandleFunc("GET /v1/model/{environment}/{model}", handle(func(ctx context.Context, r *http.Request) (protocol.Model, error) {
		m, err := s.Ledger.ModelVersion(ctx, r.PathValue("environment"), r.PathValue("model"), r.URL.Query().Get("which"))
		if err != nil {
			return protocol.Model{}, err
		}
		attempts, err := s.Ledger.AttemptOf(ctx, r.PathValue("environment"), m)
		return protocol.Model{Model: m.Model, Version: m.Version, Run: m.Run, Task: m.Task, Attempt: attempts}, err
	}))
	mux.HandleFunc("GET /v1/pin/{environment}/{pin}", handle(func(ctx context.Context, r *http.Request) (run.Pin, error) {
		return s.Ledger.Pin(ctx, r.PathValue("environment"), r.PathValue("pin"))
	}))
}

func (s *Server) hello(ctx context.Context, _ *http.Request, h protocol.Hello) (protocol.Welcome, error) {
	w := protocol.Welcome{Installation: s.Ledger.Installation()}
	if h.Protocol != protocol.Version {
		w.Refused = fmt.Sprintf("it speaks protocol %d, the server %d; start both from one version", h.Protocol, protocol.Version)
		return w, nil
	}
	known, err := s.Dispatcher.Welcome(ctx, h)
	w.Known = known
	return w, err
}

func attemptOf(r *http.Request) (run.Ref, int, error) {
	index, err1 := strconv.Atoi(r.PathValue("index"))
	attempt, err2 := strconv.Atoi(r.PathValue("attempt"))
	if err1 != nil || err2 != nil {
		return run.Ref{}, 0, fault.New(fault.Invalid, "%s names no attempt", r.URL.Path)
	}
	return run.Ref{Environment: r.PathValue("environment"), Run: r.PathValue("run"), Task: r.PathValue("task"), Index: index}, attempt, nil
}

func (s *Server) appendLog(w http.ResponseWriter, r *http.Request) {
	ref, attempt, err := attemptOf(r)
	if err != nil {
		refuse(w, err)
		return
	}
	offset, err := strconv.ParseInt(r.URL.Query().Get("offset"), 10, 64)
	if err != nil || offset < 0 {
		refuse(w, fault.New(fault.Invalid, "offset: %q is no position", r.URL.Query().Get("offset")))
		return
	}
	chunk, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxChunk))
	if err != nil {
		refuse(w, fault.New(fault.Invalid, "read a log chunk: %w", err))
		return
	}
	if err := s.Logs.Append(ref, attempt, offset, chunk); err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func artifactName(r *http.Request) (string, error) {
	ref, attempt, err := attemptOf(r)
	if err != nil {
		return "", err
	}
	return blob.Name(ref.Environment, ref.Run, fmt.Sprintf("%s.%d.%d", ref.Task, ref.Index, attempt), r.PathValue("name"))
}

func (s *Server) putArtifact(w http.ResponseWriter, r *http.Request) {
	name, err := artifactName(r)
	if err == nil {
		_, err = s.Artifacts.Put(name, r.Body)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) getArtifact(w http.ResponseWriter, r *http.Request) {
	name, err := artifactName(r)
	if err != nil {
		refuse(w, err)
		return
	}
	content, err := s.Artifacts.Get(name)
	if err != nil {
		refuse(w, err)
		return
	}
	defer func() { _ = content.Close() }()
	_, _ = io.Copy(w, content)
}
