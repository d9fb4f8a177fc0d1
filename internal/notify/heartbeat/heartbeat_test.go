package heartbeat_test

import (
	"context"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/notify/heartbeat"
	"github.com/tidemill/tidemill/internal/secret"
)

// service counts beats and answers as it is told.
type service struct {
	mu     sync.Mutex
	status int
	beats  int
}

func (s *service) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method != http.MethodGet {
		return &http.Response{StatusCode: http.StatusMethodNotAllowed, Status: "405", Body: http.NoBody, Request: r}, nil
	}
	s.beats++
	return &http.Response{StatusCode: s.status, Status: http.StatusText(s.status), Body: http.NoBody, Request: r}, nil
}

func (s *service) say(status int) (beats int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
	beats, s.beats = s.beats, 0
	return beats
}

func TestAServerThatSchedulesBeatsEachMinuteAndOneInTroubleDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := ledger.Open(t.Context(), filepath.Join(t.TempDir(), "ledger.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		s := &service{status: http.StatusOK}
		var mu sync.Mutex
		trouble := ""
		h := heartbeat.Heartbeat{
			Environment: "base", Incidents: l, Log: slog.New(slog.DiscardHandler), HTTP: &http.Client{Transport: s},
			Target: func() (heartbeat.Target, error) {
				return heartbeat.Target{URL: secret.New("https://beats.example/t0ps3cret"), Every: time.Minute}, nil
			},
			Trouble: func() string { mu.Lock(); defer mu.Unlock(); return trouble },
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.Run(ctx) }()
		open := func() []ledger.Incident {
			list, err := l.Incidents(t.Context(), "base", false)
			if err != nil {
				t.Error(err)
			}
			return list
		}

		time.Sleep(10*time.Minute - time.Second)
		if n := s.say(http.StatusInternalServerError); n != 10 {
			t.Errorf("%d beats in ten minutes", n)
		}
		time.Sleep(2 * time.Minute)
		if i := open(); len(i) != 0 {
			t.Errorf("after two misses the incidents are %+v", i)
		}
		time.Sleep(2 * time.Minute)
		if i := open(); len(i) != 1 || i[0].Pipeline != heartbeat.Where || strings.Contains(i[0].Summary, "t0ps3cret") {
			t.Errorf("after four misses the incidents are %+v", i)
		}
		s.say(http.StatusOK)
		time.Sleep(2 * time.Minute)
		if i := open(); len(i) != 0 {
			t.Errorf("after a beat was taken the incidents are %+v", i)
		}
		s.say(http.StatusOK)
		mu.Lock()
		trouble = "the ledger cannot be written"
		mu.Unlock()
		time.Sleep(time.Hour)
		if n := s.say(http.StatusOK); n != 0 {
			t.Errorf("a server in trouble sent %d beats", n)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
