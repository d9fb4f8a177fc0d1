package cli

import (
	"time"

	"github.com/tidemill/tidemill/internal/cli/output"
	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/fault"
)

type pruneCommand struct {
	OlderThan string `required:"" placeholder:"AGE" help:"Keep what ended within this time, such as 90d."`
	DryRun    bool   `help:"Only say how much it would be."`
}

// Run prunes the history.
func (c pruneCommand) Run(s *session) error {
	age, err := calendar.ParseDuration(c.OlderThan)
	if err != nil {
		return fault.New(fault.Invalid, "--older-than: %w", err)
	}
	client, err := s.connect(needs{})
	if err != nil {
		return err
	}
	gone, err := client.Prune(s.ctx, time.Now().Add(-age), c.DryRun)
	if err != nil {
		return err
	}
	if s.output != "table" {
		return s.give(output.Table{Columns: []string{"runs", "incidents"}, Values: gone, Rows: [][]string{{s.number(int64(gone.Runs)), s.number(int64(gone.Incidents))}}})
	}
	verb := "left"
	if c.DryRun {
		verb = "would leave"
	}
	s.say("%d runs and %d incidents that ended more than %s ago %s the history", gone.Runs, gone.Incidents, calendar.FormatDuration(age), verb)
	return nil
}
