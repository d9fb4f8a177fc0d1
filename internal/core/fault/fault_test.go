package fault_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tidemill/tidemill/internal/core/fault"
)

func TestWhatFollowsFromEachKind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind         fault.Kind
		exit, status int
		retry, alert bool
	}{
		{fault.Invalid, 2, 400, false, true},
		{fault.Failed, 1, 500, true, true},
		{fault.Refused, 3, 422, false, true},
		{fault.TimedOut, 1, 504, true, true},
		{fault.OutOfMemory, 1, 500, true, true},
		{fault.Cancelled, 1, 499, false, false},
		{fault.Denied, 4, 403, false, true},
		{fault.NotFound, 5, 404, false, true},
		{fault.Conflict, 6, 409, false, true},
		{fault.Busy, 7, 429, true, true},
		{fault.Unavailable, 7, 503, true, true},
		{fault.Lost, 1, 500, true, true},
		{fault.Unknown, 1, 500, true, true},
		{fault.Internal, 1, 500, true, true},
		{"a kind nobody declared", 1, 500, true, true},
	} {
		if got := c.kind.ExitCode(); got != c.exit {
			t.Errorf("%s: exit code %d, want %d", c.kind, got, c.exit)
		}
		if got := c.kind.HTTPStatus(); got != c.status {
			t.Errorf("%s: HTTP status %d, want %d", c.kind, got, c.status)
		}
		if got := c.kind.Retryable(); got != c.retry {
			t.Errorf("%s: retryable %v, want %v", c.kind, got, c.retry)
		}
		if got := c.kind.Alerts(); got != c.alert {
			t.Errorf("%s: alerts %v, want %v", c.kind, got, c.alert)
		}
	}
}

func TestAKindSurvivesWrapping(t *testing.T) {
	t.Parallel()
	cause := errors.New("connection reset")
	err := fmt.Errorf("publish raw.flights: %w", fault.New(fault.Unknown, "commit: %w", cause))
	if got := fault.KindOf(err); got != fault.Unknown {
		t.Errorf("kind %q, want unknown", got)
	}
	if !errors.Is(err, cause) {
		t.Error("the cause is lost")
	}
	if got := fault.KindOf(fault.Wrap(fault.Failed, err)); got != fault.Unknown {
		t.Errorf("Wrap replaced the kind by %q", got)
	}
	if fault.Wrap(fault.Failed, nil) != nil || fault.KindOf(nil) != "" {
		t.Error("nil is an error")
	}
	if got := fault.KindOf(cause); got != fault.Internal {
		t.Errorf("kind of a bare error %q, want internal", got)
	}
}
