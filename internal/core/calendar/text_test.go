package calendar_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
)

func TestAWindowIsSaidAsPeopleReadItInItsZone(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"2026-01-05/2026-01-06":                         "2026-01-05",
		"2026-03-29/2026-03-30":                         "2026-03-29", // 23 hours: the clocks go forward
		"2026-10-25/2026-10-26":                         "2026-10-25", // 25 hours
		"2026-01-05/2026-01-07":                         "2026-01-05 00:00 – 2026-01-07 00:00",
		"2026-01-05T06:00/2026-01-06T06:00":             "2026-01-05 06:00 – 2026-01-06 06:00",
		"2026-01-05T06:00:10/2026-01-05T06:00:40":       "2026-01-05 06:00:10 – 2026-01-05 06:00:40",
		"1970-01-01T00:00:00Z/2026-01-05T12:30:00Z":     "until 2026-01-05 13:30",
		"1970-01-01T00:00:01Z/1970-01-01T02:00:00Z":     "1970-01-01 01:00 – 1970-01-01 03:00",
		"2026-01-05T00:00:30+01:00/2026-01-06T00:00:30": "2026-01-05 00:00 – 2026-01-06 00:00",
	} {
		w, err := calendar.ParseWindow(text, berlin)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := w.Text(berlin); got != want {
			t.Errorf("%s is said as %q, not %q", text, got, want)
		}
	}
	if got := (calendar.Window{}).Text(berlin); got != "" {
		t.Errorf("no window is said as %q", got)
	}
}

func TestALocalTimeKeepsItsFraction(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2026-01-05T06:00:00.5":        "2026-01-05T06:00:00.5Z",
		"2026-01-05T06:00:00.1234567":  "2026-01-05T06:00:00.123456Z",
		"2026-01-05T06:00:00.1234567Z": "2026-01-05T06:00:00.123456Z",
	} {
		if got, err := calendar.ParseMoment(text, time.UTC); err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("%s is %s (%v), want %s", text, got.Format(time.RFC3339Nano), err, want)
		}
	}
}

func TestWhatIsWrongWithATypedTextIsOneSentenceWithItsRemedy(t *testing.T) {
	t.Parallel()
	_, err := calendar.ParseCron("61 2 * * *", time.UTC)
	if got, want := calendar.Explain(err), `minute "61": the value is out of range; write a whole number from 0 to 59`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	_, err = calendar.ParseMoment("soon", time.UTC)
	if got, want := calendar.Explain(err), `"soon": this is no date and no time; write a date such as 2013-06-01, or a time such as 2013-06-01T06:00:00Z`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := calendar.Explain(errors.New("another")); got != "another" {
		t.Errorf("another error is said as %q", got)
	}
}
