// Package post sends a request of a channel over HTTP and judges the answer.
//
// An answer is text for people: it is bounded, and the secrets of the request are
// taken out of it and out of every error. The package must not know any receiver.
package post

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/notify"
	"github.com/tidemill/tidemill/internal/secret"
)

// Bounds of what is read of an answer, and of what is kept for people.
const (
	maxAnswer = 64 << 10
	maxShown  = 512
)

// Request is what is sent.
type Request struct {
	Channel string // for errors
	Method  string // empty: POST
	URL     secret.Value
	Header  map[string]string
	Body    []byte         // JSON; nil: none
	Secrets []secret.Value // what the answer must not show, beside the URL
	HTTP    *http.Client   // nil: the default one
}

// Answer is what the other side said.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	Text   string // status and the body's beginning, for people
}

// JSON is the body of a request.
func JSON(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	return b, fault.Wrap(fault.Internal, err)
}

// Do sends a request. The error is of the way there; see Answer.Err for the answer's.
func (r Request) Do(ctx context.Context) (Answer, error) {
	method := r.Method
	if method == "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, r.URL.Reveal(), bytes.NewReader(r.Body))
	if err != nil {
		return Answer{}, fault.New(fault.Invalid, "channel %s: the url cannot be read", r.Channel)
	}
	if r.Body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("User-Agent", "tidemill")
	for name, value := range r.Header {
		req.Header.Set(name, value)
	}
	client := r.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return Answer{}, fault.New(fault.Unavailable, "channel %s: %w", r.Channel, withoutURL(err))
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return Answer{}, fault.New(fault.Unavailable, "channel %s: the answer broke off: %w", r.Channel, withoutURL(err))
	}
	shown := strings.ToValidUTF8(strings.TrimSpace(string(body)), "?")
	if len(shown) > maxShown {
		shown = strings.ToValidUTF8(shown[:maxShown], "")
	}
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: body, Text: r.mask(strings.TrimSpace(resp.Status + " " + shown))}, nil
}

// mask takes the secrets of a request out of a text.
func (r Request) mask(text string) string {
	var m secret.Masker
	for _, s := range append([]secret.Value{r.URL}, r.Secrets...) {
		m.Add(s)
	}
	if u, err := url.Parse(r.URL.Reveal()); err == nil && len(u.Path) > 1 {
		m.Add(secret.New(strings.Trim(u.Path, "/"))) // where a hook carries its token
	}
	out := string(m.Write([]byte(text)))
	return out + string(m.Flush())
}

// Err judges an answer: 2xx is taken; 408, 425, 429 and 5xx are tried again, when
// the other side says; everything else is final.
func (a Answer) Err(channel string) error {
	switch {
	case a.Status/100 == 2:
		return nil
	case a.Status == http.StatusRequestTimeout || a.Status == http.StatusTooEarly || a.Status == http.StatusTooManyRequests || a.Status >= 500:
		err := fault.New(fault.Unavailable, "channel %s answered %s", channel, a.Text)
		if after, ok := a.retryAfter(time.Now()); ok || a.Status == http.StatusTooManyRequests {
			return fault.Wrap(fault.Unavailable, &notify.Later{Err: err, After: after})
		}
		return err
	}
	return fault.New(fault.Invalid, "channel %s answered %s", channel, a.Text)
}

// unsaid is how long a receiver is left alone that has enough and does not say for how long.
const unsaid = 30 * time.Second

// retryAfter reads the header of that name: seconds, or a moment.
func (a Answer) retryAfter(now time.Time) (time.Duration, bool) {
	text := strings.TrimSpace(a.Header.Get("Retry-After"))
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds >= 0 && seconds < 1e6 {
		return time.Duration(seconds * float64(time.Second)), true
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0), true
	}
	return unsaid, false
}

// withoutURL takes the address, which may hold a token, out of an error.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
