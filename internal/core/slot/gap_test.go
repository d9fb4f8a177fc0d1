package slot_test

import (
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/core/slot"
)

func TestMissedSlotsAreSaidWithTheirNumberAndRange(t *testing.T) {
	t.Parallel()
	due := func(day int) time.Time { return time.Date(2026, 1, day, 6, 0, 0, 0, time.UTC) }
	one, next := slot.Slot{Due: due(4), Reason: "paused"}, slot.Slot{Due: due(5), Reason: "missed: none"}
	many := slot.Slot{First: due(1), Due: due(3), Reason: "too old"}
	for want, missed := range map[string][]slot.Slot{
		"no slot was missed": nil,
		"the slot due 2026-01-04T06:00:00Z was missed: paused":                                                          {one},
		"the slots due from 2026-01-01T06:00:00Z to 2026-01-03T06:00:00Z were missed: too old":                          {many},
		"2 slots due from 2026-01-04T06:00:00Z to 2026-01-05T06:00:00Z were missed; the newest: missed: none":           {one, next},
		"more than 3 slots due from 2026-01-01T06:00:00Z to 2026-01-05T06:00:00Z were missed; the newest: missed: none": {many, one, next},
	} {
		if got := slot.Gap(missed); got != want {
			t.Errorf("%s; want %s", got, want)
		}
	}
}
