package feature_test

import (
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/feature"
)

func TestValuesThatScoringCannotHaveAreFound(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	at := func(cron string, unit calendar.Unit, shift int) calendar.Timetable {
		c, err := calendar.ParseCron(cron, zone)
		if err != nil {
			t.Fatal(err)
		}
		return calendar.Timetable{Schedule: c, Alignment: calendar.Alignment{Unit: unit, Shift: shift}}
	}
	for name, c := range map[string]struct {
		scoring, writing calendar.Timetable
		available        time.Duration
		want             time.Duration // from the run to the value; 0: none
	}{
		"the day ahead, features every hour":                   {at("30 6 * * *", calendar.UnitDay, 1), at("0 * * * *", "", 0), 0, 30 * time.Minute},
		"the day ahead, features each morning before":          {at("30 6 * * *", calendar.UnitDay, 1), at("15 6 * * *", calendar.UnitDay, 0), 0, 0},
		"the day ahead, features that are late by an hour":     {at("30 6 * * *", calendar.UnitDay, 1), at("15 6 * * *", calendar.UnitDay, 0), time.Hour, 45 * time.Minute},
		"the day before, features every hour":                  {at("30 6 * * *", calendar.UnitDay, 0), at("0 * * * *", "", 0), 0, 0},
		"the day ahead, features by hand":                      {at("30 6 * * *", calendar.UnitDay, 1), calendar.Timetable{}, 0, 0},
		"the day ahead, features only on the first of January": {at("30 6 * * *", calendar.UnitDay, 1), at("0 12 1 1 *", "", 0), 0, 5*time.Hour + 30*time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			skew, found := feature.FindSkew(c.scoring, c.writing, c.available)
			if found != (c.want > 0) || found && skew.Known.Sub(skew.Run) != c.want {
				t.Errorf("found %v, %v after the run, want %v", found, skew.Known.Sub(skew.Run), c.want)
			}
		})
	}
}
