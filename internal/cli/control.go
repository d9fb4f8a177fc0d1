package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/cli/output"
	"github.com/tidemill/tidemill/internal/core/fault"
)

type limitsCommand struct{}

// Run lists what is limited.
func (limitsCommand) Run(s *session, client *api.Client) error {
	list, err := client.Limits(s.ctx)
	if err != nil {
		return err
	}
	t := output.Table{Columns: []string{"limit", "there is", "taken", "waiting"}, Values: list}
	for _, l := range list {
		t.Rows = append(t.Rows, []string{l.Name, s.number(int64(l.Capacity)), s.number(int64(l.Used)), s.number(int64(l.Waiting))})
	}
	if len(list) == 0 {
		s.say("nothing is limited: neither pools:, nor limit: of a store or a pipeline")
	}
	return s.give(t)
}

type pauseCommand struct {
	Pipeline string `arg:"" help:"The pipeline."`
	Note     string `help:"Why, for those who wonder."`
}

// Run pauses a pipeline.
func (c pauseCommand) Run(s *session) error { return s.setPaused(c.Pipeline, true, c.Note) }

type resumeCommand struct {
	Pipeline string `arg:"" help:"The pipeline."`
	Note     string `help:"Why, for those who wonder."`
}

// Run resumes a pipeline.
func (c resumeCommand) Run(s *session) error { return s.setPaused(c.Pipeline, false, c.Note) }

func (s *session) setPaused(pipeline string, paused bool, note string) error {
	client, err := s.connect(needs{})
	if err != nil {
		return err
	}
	now, err := client.SetPaused(s.ctx, pipeline, api.PauseRequest{Paused: paused, Note: note, By: me()})
	if err != nil {
		return err
	}
	if paused {
		return s.done(now, "%s is paused: its slots are written and wait; go on with: tidemill resume %s", pipeline, pipeline)
	}
	return s.done(now, "%s goes on: missed: judges the slots that waited", pipeline)
}

type skipCommand struct {
	What string `arg:"" help:"A pipeline (its next slot), PIPELINE@DUE, or RUN/TASK."`
	Note string `help:"Why, for the history."`
}

// Run skips a slot or a task.
func (c skipCommand) Run(s *session, client *api.Client) error {
	if id, task, ok := strings.Cut(c.What, "/"); ok {
		now, err := client.SetAside(s.ctx, api.SetAsideRequest{Run: id, Task: task, Note: c.Note, By: me()})
		if err != nil {
			return err
		}
		return s.done(now, "%s is skipped", c.What)
	}
	pipeline, due, _ := strings.Cut(c.What, "@")
	slot, err := client.SkipSlot(s.ctx, pipeline, due, c.Note)
	if err != nil {
		return err
	}
	return s.done(skippedSlot{pipeline, slot}, "the slot of %s due %s, for the window %s, is skipped",
		pipeline, slot.Due.In(s.zone).Format("2006-01-02 15:04:05 MST"), slot.Window.Text(s.zone))
}

// skippedSlot is a slot that says whose it is.
type skippedSlot struct {
	Pipeline string `json:"pipeline"`
	api.Slot
}

type markCommand struct {
	Task string `arg:"" help:"RUN/TASK."`
	Note string `required:"" help:"Why you answer for it; it stays in the history."`
}

// Run marks a task accepted. Nobody but an attempt can make a task succeed.
func (c markCommand) Run(s *session) error {
	id, task, ok := strings.Cut(c.Task, "/")
	if !ok {
		return fault.New(fault.Invalid, "mark what? write RUN/TASK")
	}
	client, err := s.connect(needs{})
	if err != nil {
		return err
	}
	now, err := client.SetAside(s.ctx, api.SetAsideRequest{Run: id, Task: task, Accepted: true, Note: c.Note, By: me()})
	if err != nil {
		return err
	}
	return s.done(now, "%s is accepted by %s", c.Task, me())
}

type incidentsCommand struct {
	All  bool `help:"Resolved ones too."`
	Sent bool `help:"What was sent about them, waits, or was given up."`
}

// Run lists incidents or notifications.
func (c incidentsCommand) Run(s *session, client *api.Client) error {
	if c.Sent {
		list, err := client.Notifications(s.ctx, 100)
		if err != nil {
			return err
		}
		t := output.Table{Columns: []string{"id", "incident", "action", "channel", "state", "tries", "created", "answer"}, Values: list}
		for _, n := range list {
			t.Rows = append(t.Rows, []string{fmt.Sprint(n.ID), n.Incident, n.Action, n.Channel, n.State, fmt.Sprint(n.Attempts), s.local(n.Created), n.Answer})
		}
		return s.give(t)
	}
	list, err := client.Incidents(s.ctx, c.All)
	if err != nil {
		return err
	}
	if len(list) == 0 && s.output == "table" {
		s.say("all good: no open incident")
		return nil
	}
	t := output.Table{Columns: []string{"incident", "severity", "kind", "where", "state", "since", "runs", "summary"}, Values: list}
	for _, i := range list {
		where := i.Pipeline
		if i.Task != "" {
			where += "/" + i.Task
		}
		if i.Backfill != "" {
			where += ", backfill " + i.Backfill
		}
		open := 0
		for _, r := range i.Runs {
			if r.Left.IsZero() {
				open++
			}
		}
		t.Rows = append(t.Rows, []string{i.ID, i.Severity, i.Kind, where, i.State, s.local(i.Opened), fmt.Sprint(open), i.Summary})
	}
	return s.give(t)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// short is the beginning of a long id.
func short(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}
