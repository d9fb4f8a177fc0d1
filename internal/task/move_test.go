package task

import (
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/fault"
)

func TestFilesNamedByOneWindowAreNotTakenForSeveral(t *testing.T) {
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	cron, err := calendar.ParseCron("0 6 * * *", zone)
	if err != nil {
		t.Fatal(err)
	}
	days := calendar.Timetable{Schedule: cron, Alignment: calendar.Alignment{Unit: calendar.UnitDay}}
	for _, c := range []struct {
		path, window string
		times        calendar.Timetable
		refused      bool
	}{
		{"orders/{window.date}.csv", "2013-03-09/2013-03-10", days, false},
		{"orders/{window.date}.csv", "2013-03-10/2013-03-11", days, false}, // 23 hours long
		{"orders/{window.date}.csv", "2013-03-09/2013-03-11", days, true},
		{"orders/{window.start:%Y%m%d}.csv", "2013-03-09/2013-04-09", days, true},
		{"orders/{window.start.utc}.csv", "2013-03-09/2013-03-11", days, true},
		{"orders/{window.start}_{window.end}.csv", "2013-03-09/2013-03-11", days, false},
		{"orders/{param.region}.csv", "2013-03-09/2013-03-11", days, false},
		{"orders/{window.date}.csv", "2013-03-09/2013-03-11", calendar.Timetable{Schedule: calendar.NewNone(zone)}, false},
	} {
		window, err := calendar.ParseWindow(c.window, zone)
		if err != nil {
			t.Fatal(err)
		}
		err = narrow(c.path, c.times, window)
		if refused := fault.KindOf(err) == fault.Invalid; err != nil && !refused || refused != c.refused {
			t.Errorf("%s over %s: refused %v (%v), want %v", c.path, c.window, refused, err, c.refused)
		}
	}
}
