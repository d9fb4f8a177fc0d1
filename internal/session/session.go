// Package session is one attempt's door: a run directory, and an HTTP API on a
// unix socket that only the attempt's own user can open.
//
// A task process speaks to nothing else: it holds no token, and what it may
// read or write is decided by the sinks, which the task that it belongs to
// supplies. Rows travel as Arrow IPC streams, or as CSV with a typed header for
// interpreters without pyarrow. Whether the process said opened and closed is
// part of success.
package session

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/protocol"
)

// Variables that a task process finds in its environment.
const (
	SocketVariable    = "TIDEMILL_SOCKET"
	DirectoryVariable = "TIDEMILL_RUN_DIR"
)

// Context is what a task process is told about itself: context.json, and GET /v1/context.
type Context struct {
	Version     int                        `json:"v"`
	Project     string                     `json:"project"`
	Environment string                     `json:"environment"`
	Pipeline    string                     `json:"pipeline"`
	Task        string                     `json:"task"`
	Run         string                     `json:"run"`
	Attempt     int                        `json:"attempt"`
	Window      commit.Window              `json:"window"`
	Timezone    string                     `json:"timezone"`
	Live        bool                       `json:"live"`
	Params      map[string]json.RawMessage `json:"params"`
	Values      map[string]map[string]any  `json:"values,omitempty"` // task → name → value
	Reads       []string                   `json:"reads,omitempty"`
	Writes      []string                   `json:"writes,omitempty"`
	CSV         bool                       `json:"csv,omitempty"` // tests: make the SDK use its fallback
}

// Event is a line of events.jsonl, or the body of POST /v1/events.
type Event struct {
	Type     string          `json:"type"` // opened, closed, log, metric, value, check, progress
	Level    string          `json:"level,omitempty"`
	Message  string          `json:"message,omitempty"`
	Name     string          `json:"name,omitempty"`
	Value    json.RawMessage `json:"value,omitempty"`
	Passed   *bool           `json:"passed,omitempty"`
	Severity string          `json:"severity,omitempty"`
	Observed string          `json:"observed,omitempty"`
	Expected string          `json:"expected,omitempty"`
	Frame    string          `json:"frame,omitempty"` // closed: the user's own line of a traceback
	Error    string          `json:"error,omitempty"` // closed: what was raised
	Done     float64         `json:"done,omitempty"`  // progress
	Total    float64         `json:"total,omitempty"`
}

// Rows is a stream of rows on its way to or from a process. Content is
// ArrowType or CSVType; Meta travels in a header.
type Rows struct {
	Content string
	Meta    any
	Body    io.ReadCloser
}

// Content types of rows.
const (
	ArrowType = "application/vnd.apache.arrow.stream"
	CSVType   = "text/csv"
	MetaField = "Tidemill-Meta"
)

// Sinks answer what a process asks for. A nil sink refuses with the kind denied.
type Sinks struct {
	SQL          func(ctx context.Context, q Query, accept string) (*Rows, error)
	Write        func(ctx context.Context, table string, rows Rows) (int64, error)
	TrainingSet  func(ctx context.Context, r SetRequest, accept string) (*Rows, error)
	Features     func(ctx context.Context, r SetRequest, accept string) (*Rows, error)
	Predictions  func(ctx context.Context, table, part string, rows Rows) (int64, error)
	PutArtifact  func(ctx context.Context, name string, content io.Reader) error
	Model        func(ctx context.Context, name, which string) (any, error)
	ModelContent func(ctx context.Context, name, which string) (io.ReadCloser, error)
	SaveModel    func(ctx context.Context, m commit.Model) error
	Secret       func(ctx context.Context, name string) (string, error)
	Log          func(e Event)
	Progress     func(e Event)
	Closed       func() // the process says that it has ended, once
}

// Query is the body of POST /v1/sql.
type Query struct {
	SQL    string                     `json:"sql"`
	Params map[string]json.RawMessage `json:"params,omitempty"`
}

// SetRequest asks for a feature set's rows.
type SetRequest struct {
	Set    string                     `json:"set"`
	Until  time.Time                  `json:"until,omitzero"`
	From   time.Time                  `json:"from,omitzero"`
	Params map[string]json.RawMessage `json:"params,omitempty"`
	Strict bool                       `json:"strict,omitempty"` // leave simulated knowledge out
}

// Session is an open door.
type Session struct {
	Socket string
	Dir    string

	context Context
	sinks   Sinks
	server  *http.Server
	done    chan struct{}

	mu         sync.Mutex
	opened     bool
	closed     bool
	last       Event // closed
	completion commit.Completion
	valueBytes int
	events     int64 // bytes of events.jsonl that were read
}

// Open makes the run directory and begins to answer on a socket in folder.
func Open(dir, folder string, c Context, sinks Sinks) (*Session, error) {
	for _, sub := range []string{"", "in", "out", "artifacts"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fault.New(fault.Unavailable, "make the run directory: %w", err)
		}
	}
	c.Version = 1
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, fault.New(fault.Internal, "context of the attempt: %w", err)
	}
	if err := overwrite(filepath.Join(dir, "context.json"), text); err != nil {
		return nil, fault.New(fault.Unavailable, "make the run directory: %w", err)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fault.New(fault.Unavailable, "make the socket folder: %w", err)
	}
	s := &Session{Dir: dir, context: c, sinks: sinks, done: make(chan struct{})}
	s.Socket = filepath.Join(folder, socketName())
	listener, err := net.Listen("unix", s.Socket) //nolint:noctx // at once
	if err != nil {
		return nil, fault.New(fault.Unavailable, "listen for the attempt: %w", err)
	}
	if err := os.Chmod(s.Socket, 0o600); err != nil {
		_ = listener.Close()
		return nil, fault.New(fault.Unavailable, "listen for the attempt: %w", err)
	}
	routes := sync.OnceValue(s.handler) // most processes never ask
	s.server = &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { routes().ServeHTTP(w, r) }),
		ReadHeaderTimeout: 10 * time.Second,
	}
	go func() {
		defer close(s.done)
		_ = s.server.Serve(listener)
	}()
	return s, nil
}

// overwrite writes a file whose old content nobody needs. It is cut after it is
// written: one that is cut to nothing first, ext4 writes to the disk on closing.
func overwrite(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Truncate(int64(len(text))), f.Close())
}

// Environment is what the process must find in its environment.
func (s *Session) Environment() []string {
	return []string{
		SocketVariable + "=" + s.Socket, DirectoryVariable + "=" + s.Dir,
		"TZ=UTC", "PYTHONUNBUFFERED=1", "PYTHONHASHSEED=0",
	}
}

// Drain lets requests under way end, for a moment: a process that lives on hears
// the answer to its last word.
func (s *Session) Drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = s.server.Shutdown(ctx) // Close ends what does not end by itself
}

// Close stops answering and reads what the process left in events.jsonl.
func (s *Session) Close() error {
	_ = s.server.Close()
	<-s.done
	_ = os.Remove(s.Socket)
	return s.readEvents()
}

// Outcome is what the process said of itself, after Close.
type Outcome struct {
	Opened     bool
	Closed     bool
	Error      string // what its code raised, as it said itself
	Frame      string // the first line of the user's own code
	Completion commit.Completion
}

// Outcome returns what the process said of itself.
func (s *Session) Outcome() Outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Outcome{s.opened, s.closed, s.last.Error, s.last.Frame, s.completion}
}

// take records an event.
func (s *Session) take(e Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.completion
	switch e.Type {
	case "opened":
		if s.opened {
			return fault.New(fault.Conflict, "the session was opened before: call tidemill.main once")
		}
		s.opened = true
	case "closed":
		if !s.closed && s.sinks.Closed != nil {
			s.sinks.Closed()
		}
		s.closed, s.last = true, e
	case "log":
		if s.sinks.Log != nil {
			s.sinks.Log(e)
		}
	case "progress":
		if s.sinks.Progress != nil {
			s.sinks.Progress(e)
		}
	case "metric":
		var v float64
		if err := json.Unmarshal(e.Value, &v); err != nil {
			return fault.New(fault.Invalid, "metric %s: %s is no finite number", e.Name, e.Value)
		}
		if c.Metrics == nil {
			c.Metrics = map[string]float64{}
		}
		c.Metrics[e.Name] = v
	case "value":
		size := s.valueBytes + len(e.Name) + len(e.Value)
		if was, ok := c.Values[e.Name]; ok {
			size -= len(e.Name) + len(was)
		}
		if size > protocol.MaxValueBytes {
			return fault.New(fault.Invalid, "the values of a task have at most %d bytes together; write a table for more", protocol.MaxValueBytes)
		}
		if c.Values == nil {
			c.Values = map[string]json.RawMessage{}
		}
		c.Values[e.Name], s.valueBytes = e.Value, size
	case "check":
		severity := e.Severity
		switch severity {
		case "":
			severity = "error"
		case "error", "warning":
		default:
			return fault.New(fault.Invalid, "check %s: no severity %q; there are error and warning", e.Name, severity)
		}
		c.Checks = append(c.Checks, commit.CheckResult{
			Name: e.Name, Severity: severity, Passed: e.Passed != nil && *e.Passed, Observed: e.Observed, Expected: e.Expected,
		})
	default:
		return fault.New(fault.Invalid, "no type of event %q; there are opened, closed, log, metric, value, check and progress", e.Type)
	}
	return nil
}

// readEvents takes the lines of events.jsonl, which programs without an SDK write.
func (s *Session) readEvents() error {
	file, err := os.Open(filepath.Join(s.Dir, "events.jsonl"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fault.New(fault.Unavailable, "read events.jsonl: %w", err)
	}
	defer func() { _ = file.Close() }()
	decoder := json.NewDecoder(io.NewSectionReader(file, s.events, 16<<20))
	for n := 1; ; n++ {
		var e Event
		err := decoder.Decode(&e)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = s.take(e)
		}
		if err != nil {
			return fault.New(fault.Failed, "events.jsonl, event %d: %w", n, err)
		}
	}
}
