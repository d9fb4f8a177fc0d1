package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/protocol"
)

// Client speaks the worker protocol to a server on a unix socket.
type Client struct {
	http   *http.Client
	header http.Header
}

// NewClient returns a client of the server that listens on a unix socket. The
// header goes with every request.
func NewClient(socket string, header http.Header) *Client {
	return &Client{header: header, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
		MaxIdleConnsPerHost: 16,
	}}}
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c *Client) do(ctx context.Context, method, path string, body io.Reader, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://server"+path, body)
	if err != nil {
		return nil, fault.New(fault.Internal, "%s %s: %w", method, path, err)
	}
	for _, h := range []http.Header{c.header, header} {
		maps.Copy(req.Header, h)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "%s %s: %w", method, path, err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return nil, answerError(resp.StatusCode, text)
}

// answerError reads an error as httpd writes it: {"error", "kind"}.
func answerError(status int, body []byte) error {
	var e struct {
		Error string     `json:"error"`
		Kind  fault.Kind `json:"kind"`
	}
	if json.Unmarshal(body, &e) == nil && e.Kind.Known() {
		return fault.New(e.Kind, "%s", e.Error)
	}
	return fault.New(fault.Unavailable, "the server answered %d: %s", status, strings.TrimSpace(string(body)))
}

func (c *Client) post(ctx context.Context, path string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return fault.New(fault.Internal, "%s: %w", path, err)
	}
	resp, err := c.do(ctx, http.MethodPost, path, bytes.NewReader(b), http.Header{"Content-Type": {"application/json"}})
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fault.New(fault.Unavailable, "answer to %s: %w", path, err)
	}
	return nil
}

// Installation asks for the ledger's id, which marks the processes of attempts.
func (c *Client) Installation(ctx context.Context) (string, error) {
	resp, err := c.do(ctx, http.MethodGet, "/api/v1/status", nil, nil)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	var status struct {
		Installation string `json:"installation"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&status); err != nil {
		return "", fault.New(fault.Unavailable, "ask the server for its installation: %w", err)
	}
	return status.Installation, nil
}

// Hello introduces the worker.
func (c *Client) Hello(ctx context.Context, h protocol.Hello) (protocol.Welcome, error) {
	var w protocol.Welcome
	return w, c.post(ctx, "/v1/session", h, &w)
}

// Exchange tells news and asks for work.
func (c *Client) Exchange(ctx context.Context, x protocol.Exchange) (protocol.Answer, error) {
	var a protocol.Answer
	return a, c.post(ctx, "/v1/exchange", x, &a)
}

// Log appends a chunk to an attempt's log.
func (c *Client) Log(ctx context.Context, h protocol.LogHeader, chunk []byte) error {
	path := fmt.Sprintf("/v1/log/%s?offset=%d", attemptPath(h.Ref, h.Attempt), h.Offset)
	resp, err := c.do(ctx, http.MethodPost, path, bytes.NewReader(chunk), nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Bundle opens the archive of a bundle; the caller closes it.
func (c *Client) Bundle(ctx context.Context, hash string) (io.ReadCloser, error) {
	resp, err := c.do(ctx, http.MethodGet, "/v1/bundle/"+url.PathEscape(hash), nil, nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// PutArtifact keeps an artifact of an attempt.
func (c *Client) PutArtifact(ctx context.Context, ref run.Ref, attempt int, name string, content io.Reader) error {
	resp, err := c.do(ctx, http.MethodPut, "/v1/artifact/"+attemptPath(ref, attempt)+"/"+url.PathEscape(name), content, nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Artifact opens an artifact of an attempt; the caller closes it.
func (c *Client) Artifact(ctx context.Context, ref run.Ref, attempt int, name string) (io.ReadCloser, error) {
	resp, err := c.do(ctx, http.MethodGet, "/v1/artifact/"+attemptPath(ref, attempt)+"/"+url.PathEscape(name), nil, nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// Model looks up a version of a model by number or alias; the empty text means the newest.
func (c *Client) Model(ctx context.Context, environment, name, which string) (protocol.Model, error) {
	var m protocol.Model
	resp, err := c.do(ctx, http.MethodGet, "/v1/model/"+url.PathEscape(environment)+"/"+url.PathEscape(name)+"?which="+url.QueryEscape(which), nil, nil)
	if err != nil {
		return m, err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(&m); err != nil {
		return m, fault.New(fault.Unavailable, "read model %s: %w", name, err)
	}
	return m, nil
}

func attemptPath(ref run.Ref, attempt int) string {
	return strings.Join([]string{
		url.PathEscape(ref.Environment), url.PathEscape(ref.Run), url.PathEscape(ref.Task),
		strconv.Itoa(ref.Index), strconv.Itoa(attempt),
	}, "/")
}

// gone reports whether the server cannot be reached now, as opposed to having refused.
func gone(err error) bool {
	return fault.Is(err, fault.Unavailable) || errors.Is(err, io.EOF)
}
