package project

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
)

// Calendar says which days are no business days.
type Calendar struct {
	Name     string             `json:"name"`
	Weekend  []time.Weekday     `json:"weekend"` // 0: Sunday
	Holidays []calendar.Holiday `json:"holidays,omitempty"`
	Days     *calendar.Days     `json:"-"` // the same, to compute with
}

// On holds the schedule back on the days off of a calendar.
func (s *Schedule) On(c *Calendar, rule calendar.Rule) {
	s.Calendar, s.Rule, s.Days = c.Name, rule, c.Days
}

// UnmarshalJSON reads a project, and gives its schedules their calendars.
func (p *Project) UnmarshalJSON(text []byte) error {
	type plain Project
	if err := json.Unmarshal(text, (*plain)(p)); err != nil {
		return err
	}
	byName := map[string]*Calendar{}
	for i := range p.Calendars {
		c := &p.Calendars[i]
		days, err := calendar.NewDays(c.Name, c.Weekend, c.Holidays)
		if err != nil {
			return fmt.Errorf("calendar %s: %w", c.Name, err)
		}
		c.Days, byName[c.Name] = days, c
	}
	for i := range p.Pipelines {
		s := &p.Pipelines[i].Schedule
		if s.Calendar == "" {
			continue
		}
		c := byName[s.Calendar]
		if c == nil {
			return fmt.Errorf("pipeline %s: the calendar %s is missing", p.Pipelines[i].Name, s.Calendar)
		}
		s.On(c, s.Rule)
	}
	return nil
}
