package post_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/notify"
	"github.com/tidemill/tidemill/internal/notify/post"
	"github.com/tidemill/tidemill/internal/secret"
)

func TestAnAnswerSaysWhetherAndWhenToComeAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		header string
		kind   fault.Kind
		from   time.Duration // 0: nothing is said
		to     time.Duration
	}{
		{200, "", "", 0, 0},
		{204, "9", "", 0, 0},
		{302, "", fault.Invalid, 0, 0},
		{400, "9", fault.Invalid, 0, 0},
		{408, "", fault.Unavailable, 0, 0},
		{429, "9", fault.Unavailable, 9 * time.Second, 9 * time.Second},
		{429, "1.5", fault.Unavailable, 1500 * time.Millisecond, 1500 * time.Millisecond},
		{429, "", fault.Unavailable, 30 * time.Second, 30 * time.Second},
		{429, "soon", fault.Unavailable, 30 * time.Second, 30 * time.Second},
		{429, time.Now().Add(time.Hour).UTC().Format(http.TimeFormat), fault.Unavailable, 58 * time.Minute, time.Hour},
		{503, "120", fault.Unavailable, 2 * time.Minute, 2 * time.Minute},
		{500, "", fault.Unavailable, 0, 0},
	} {
		a := post.Answer{Status: c.status, Header: http.Header{"Retry-After": {c.header}}}
		err := a.Err("chat")
		later, said := errors.AsType[*notify.Later](err)
		if fault.KindOf(err) != c.kind || said != (c.from > 0) || said && (later.After < c.from || later.After > c.to) {
			t.Errorf("%d, Retry-After %q: %v, kind %q, %+v", c.status, c.header, err, fault.KindOf(err), later)
		}
	}
}

func TestAnAnswerIsBoundedAndShowsNoSecret(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write([]byte(r.URL.Path + " " + r.Header.Get("Authorization") + strings.Repeat(" ü", 100_000)))
	}))
	defer server.Close()
	answer, err := post.Request{
		Channel: "chat", URL: secret.New(server.URL + "/services/t0ps3cret-hook"), Header: map[string]string{"Authorization": "Bearer t0ps3cret-token"},
		Secrets: []secret.Value{secret.New("t0ps3cret-token")}, Body: []byte("{}"),
	}.Do(t.Context())
	if err != nil || strings.Contains(answer.Text, "t0ps3cret") || len(answer.Text) > 600 || !strings.HasPrefix(answer.Text, "418 I'm a teapot /*** Bearer ***") {
		t.Errorf("%v, %q", err, answer.Text)
	}
	if _, err := (post.Request{Channel: "chat", URL: secret.New("https://t0ps3cret:x y/")}).Do(t.Context()); !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), "t0ps3cret") {
		t.Errorf("%v", err)
	}
}
