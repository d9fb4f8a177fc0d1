package session

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
)

// maxBody bounds a JSON body; rows and artifacts are streams without a bound.
const maxBody = 4 << 20

func socketName() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:]) + ".sock"
}

func (s *Session) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/context", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.context) })
	mux.HandleFunc("POST /v1/events", take(func(_ context.Context, _ *http.Request, e Event) (any, error) { return struct{}{}, s.take(e) }))
	mux.HandleFunc("POST /v1/sql", rows(s.sinks.SQL))
	mux.HandleFunc("POST /v1/training-set", rows(s.sinks.TrainingSet))
	mux.HandleFunc("POST /v1/features", rows(s.sinks.Features))
	mux.HandleFunc("PUT /v1/out/{table}", func(w http.ResponseWriter, r *http.Request) {
		if s.sinks.Write == nil {
			refuse(w, errDenied)
			return
		}
		n, err := s.sinks.Write(r.Context(), r.PathValue("table"), rowsOf(r))
		reply(w, map[string]int64{"rows": n}, err)
	})
	mux.HandleFunc("PUT /v1/predictions/{table}/{part}", func(w http.ResponseWriter, r *http.Request) {
		if s.sinks.Predictions == nil {
			refuse(w, errDenied)
			return
		}
		n, err := s.sinks.Predictions(r.Context(), r.PathValue("table"), r.PathValue("part"), rowsOf(r))
		reply(w, map[string]int64{"rows": n}, err)
	})
	mux.HandleFunc("PUT /v1/artifacts/{name}", func(w http.ResponseWriter, r *http.Request) {
		if s.sinks.PutArtifact == nil {
			refuse(w, errDenied)
			return
		}
		reply(w, struct{}{}, s.sinks.PutArtifact(r.Context(), r.PathValue("name"), r.Body))
	})
	mux.HandleFunc("POST /v1/model", take(func(ctx context.Context, _ *http.Request, m commit.Model) (any, error) {
		if s.sinks.SaveModel == nil {
			return nil, errDenied
		}
		return struct{}{}, s.sinks.SaveModel(ctx, m)
	}))
	mux.HandleFunc("GET /v1/model/{name}", func(w http.ResponseWriter, r *http.Request) {
		if s.sinks.Model == nil {
			refuse(w, errDenied)
			return
		}
		m, err := s.sinks.Model(r.Context(), r.PathValue("name"), r.URL.Query().Get("which"))
		reply(w, m, err)
	})
	mux.HandleFunc("GET /v1/model/{name}/content", s.modelContent)
	mux.HandleFunc("GET /v1/secrets/{name}", func(w http.ResponseWriter, r *http.Request) {
		if s.sinks.Secret == nil {
			refuse(w, errDenied)
			return
		}
		v, err := s.sinks.Secret(r.Context(), r.PathValue("name"))
		reply(w, map[string]string{"value": v}, err)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, fault.New(fault.NotFound, "no route %s %s", r.Method, r.URL.Path))
	})
	return mux
}

var errDenied = fault.New(fault.Denied, "this kind of task may not do that")

func (s *Session) modelContent(w http.ResponseWriter, r *http.Request) {
	if s.sinks.ModelContent == nil {
		refuse(w, errDenied)
		return
	}
	content, err := s.sinks.ModelContent(r.Context(), r.PathValue("name"), r.URL.Query().Get("which"))
	if err != nil {
		refuse(w, err)
		return
	}
	defer func() { _ = content.Close() }()
	_, _ = io.Copy(w, content)
}

// rows makes a handler of a sink that answers with rows.
func rows[In any](sink func(context.Context, In, string) (*Rows, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if sink == nil {
			refuse(w, errDenied)
			return
		}
		var in In
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&in); err != nil {
			refuse(w, fault.New(fault.Invalid, "body of %s: %w", r.URL.Path, err))
			return
		}
		accept := r.Header.Get("Accept")
		if accept != CSVType {
			accept = ArrowType
		}
		out, err := sink(r.Context(), in, accept)
		if err != nil {
			refuse(w, err)
			return
		}
		defer func() { _ = out.Body.Close() }()
		w.Header().Set("Content-Type", out.Content)
		if out.Meta != nil {
			meta, err := json.Marshal(out.Meta)
			if err != nil {
				refuse(w, fault.New(fault.Internal, "describe the rows: %w", err))
				return
			}
			w.Header().Set(MetaField, base64.StdEncoding.EncodeToString(meta))
		}
		if _, err := io.Copy(w, out.Body); err != nil {
			// The header is gone: only a broken connection tells that the rows are not whole.
			panic(http.ErrAbortHandler)
		}
	}
}

func rowsOf(r *http.Request) Rows {
	content := r.Header.Get("Content-Type")
	if content != CSVType {
		content = ArrowType
	}
	return Rows{Content: content, Body: r.Body}
}

func take[In any](f func(context.Context, *http.Request, In) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in In
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&in); err != nil {
			refuse(w, fault.New(fault.Invalid, "body of %s: %w", r.URL.Path, err))
			return
		}
		out, err := f(r.Context(), r, in)
		reply(w, out, err)
	}
}

func reply(w http.ResponseWriter, v any, err error) {
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w, v)
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the process went away: its exit tells
}

func refuse(w http.ResponseWriter, err error) {
	kind := fault.KindOf(err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(kind.HTTPStatus())
	_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error(), "kind": string(kind)})
}
