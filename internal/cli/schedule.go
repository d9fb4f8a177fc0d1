package cli

import (
	"time"

	"github.com/tidemill/tidemill/internal/cli/preview"
	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/fault"
)

type scheduleCommand struct {
	Preview previewCommand `cmd:"" help:"Print the next due times with their windows. Needs no project, or a pipeline of one."`
}

type previewCommand struct {
	Pipeline string `arg:"" optional:"" help:"A pipeline of the project."`
	preview.Flags
	From  string `help:"After this instant (RFC 3339) or local date; now without it."`
	Until string `help:"Up to this instant (RFC 3339) or local date, instead of a number."`
	Count int    `default:"10" help:"How many; at most 100000."`
}

// Run prints due times.
func (c previewCommand) Run(s *session) error {
	t, err := c.timetable(s)
	if err != nil {
		return err
	}
	if c.Count < 1 || c.Count > preview.Most {
		return fault.New(fault.Invalid, "count: %d is not between 1 and %d", c.Count, preview.Most)
	}
	from, until := time.Now(), time.Time{}
	if c.From != "" {
		if from, err = calendar.ParseMoment(c.From, t.Zone()); err != nil {
			return preview.Wrong("from", err)
		}
	}
	if c.Until != "" {
		if until, err = calendar.ParseMoment(c.Until, t.Zone()); err != nil {
			return preview.Wrong("until", err)
		}
		c.Count = preview.Most
	}
	return s.give(preview.Table(t, from, until, c.Count))
}

func (c previewCommand) timetable(s *session) (calendar.Timetable, error) {
	if c.Pipeline == "" {
		return c.Flags.Timetable()
	}
	pl, err := s.pipeline(c.Pipeline)
	if err != nil {
		return calendar.Timetable{}, err
	}
	return pl.Schedule.Timetable()
}
