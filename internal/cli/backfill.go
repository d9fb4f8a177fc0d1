package cli

import (
	"context"
	"fmt"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/cli/output"
	"github.com/tidemill/tidemill/internal/cli/table"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/core/slot"
)

type backfillCommand struct {
	Start  backfillStartCommand  `cmd:"" name:"run" default:"withargs" help:"Run a pipeline for a range of time; the word run may be left out."`
	List   backfillListCommand   `cmd:"" help:"List backfills."`
	Show   backfillShowCommand   `cmd:"" help:"Show a backfill: how far it is, what it waits for, and which windows failed."`
	Pause  backfillPauseCommand  `cmd:"" help:"Pause a backfill: what runs goes on, nothing new starts."`
	Resume backfillResumeCommand `cmd:"" help:"Resume a paused backfill."`
	Cancel backfillCancelCommand `cmd:"" help:"Cancel what has not ended of a backfill."`
}

type backfillStartCommand struct {
	Pipeline    string `arg:"" help:"The pipeline."`
	From        string `help:"The first day (a local date) or instant."`
	To          string `help:"The day or instant behind the last."`
	Chunk       string `help:"Cut the range so: day, week, month, or a duration such as 30d. Without it: the schedule's own windows."`
	Direction   string `enum:"oldest,newest" default:"oldest" help:"Which windows start first: oldest or newest."`
	Concurrency int    `default:"1" help:"Runs at once."`
	Reprocess   string `enum:",all,missing,failed" default:"" help:"Which windows run: all of them, those that are missing in a table, or those that failed or were cancelled and are not mended since. Without it: all."`
	Missing     bool   `help:"Short for --reprocess missing."`
	DryRun      bool   `help:"Say for each window whether it would run, and why."`
	Detach      bool   `help:"Start it and return; needs a running server."`
}

// Run creates a backfill and follows it to its end.
func (c backfillStartCommand) Run(s *session) error {
	client, err := s.connect(needs{worker: !c.DryRun, running: c.Detach})
	if err != nil {
		return err
	}
	if c.From == "" || c.To == "" {
		return fault.New(fault.Invalid, "a backfill needs --from and --to")
	}
	b, err := client.StartBackfill(s.ctx, api.BackfillRequest{
		Pipeline: c.Pipeline, From: c.From, To: c.To, Chunk: c.Chunk, Concurrency: c.Concurrency, Missing: c.Missing, DryRun: c.DryRun, By: me(),
		Direction: slot.Direction(c.Direction), Reprocess: slot.Reprocess(c.Reprocess),
	})
	switch {
	case err != nil:
		return err
	case c.DryRun:
		if err := s.give(table.Plan(b)); err != nil {
			return err
		}
		s.say("%s", table.Counts(b, "would run"))
		return nil
	case b.ID == "" && len(b.LeftOut) == 1 && b.LeftOut[slot.BecauseCovered] > 0 && b.Reprocess == slot.ReprocessMissing:
		s.say("nothing is missing: every window from %s to %s is covered", c.From, c.To)
	case b.ID == "":
		s.say("nothing to run from %s to %s: %s", c.From, c.To, table.Counts(b, "run"))
	case c.Detach:
		return s.give(table.Backfills([]api.Backfill{b}, s.zone))
	default:
		if len(b.LeftOut) > 0 {
			s.say("%s", table.Counts(b, "run"))
		}
		return s.followBackfill(b)
	}
	if s.output == "table" {
		return nil
	}
	return s.give(table.Backfills(nil, s.zone))
}

func (s *session) followBackfill(b api.Backfill) error {
	bar := s.progress(b.Pipeline)
	defer bar.End()
	err := s.follow(bar, func() (bool, error) {
		now, err := s.client.Backfill(s.ctx, b.ID)
		if err != nil {
			return false, err
		}
		b = now
		total := 0
		for _, n := range b.Runs {
			total += n
		}
		note := ""
		if n := b.Runs[run.Failed]; n > 0 {
			note = fmt.Sprintf("%d failed", n)
		}
		if b.Paused {
			note = "paused"
		}
		bar.Show(total-b.Runs[run.Queued]-b.Runs[run.Running], total, note)
		return b.State.Terminal(), nil
	}, func(ctx context.Context, by string) { _, _ = s.client.CancelBackfill(ctx, b.ID, by) })
	if err != nil {
		return err
	}
	bar.End()
	if err := s.give(table.Backfills([]api.Backfill{b}, s.zone)); err != nil {
		return err
	}
	if b.State == run.Succeeded {
		s.say("backfill %s of %s: %d runs succeeded in %s", b.ID, b.Pipeline, b.Runs[run.Succeeded], output.Duration(b.Ended.Sub(b.Created)))
		return nil
	}
	const most = 3
	for _, f := range b.Failed[:min(len(b.Failed), most)] {
		w, err := s.client.Why(s.ctx, f.Run)
		if err == nil {
			s.say("%s: %s", f.Window.Text(s.zone), w.Summary)
		}
	}
	if more := b.Runs[run.Failed] - most; more > 0 {
		s.say("and %d more: tidemill backfill show %s", more, b.ID)
	}
	return silent{fault.Failed}
}

type backfillListCommand struct{}

// Run lists backfills.
func (c backfillListCommand) Run(s *session, client *api.Client) error {
	list, err := client.Backfills(s.ctx)
	if err != nil {
		return err
	}
	return s.give(table.Backfills(list, s.zone))
}

type backfillShowCommand struct {
	Backfill string `arg:"" help:"The backfill; the last characters of its id are enough."`
}

// Run shows a backfill.
func (c backfillShowCommand) Run(s *session, client *api.Client) error {
	b, err := client.Backfill(s.ctx, c.Backfill)
	if err != nil {
		return err
	}
	return s.showBackfill(b)
}

func (s *session) showBackfill(b api.Backfill) error {
	w, err := s.client.Why(s.ctx, b.ID)
	if err != nil {
		return err
	}
	return s.give(table.Backfill(b, w, s.zone))
}

type backfillPauseCommand struct {
	Backfill string `arg:"" help:"The backfill; the last characters of its id are enough."`
	Note     string `help:"Why, for those who wonder."`
}

// Run pauses a backfill.
func (c backfillPauseCommand) Run(s *session, client *api.Client) error {
	b, err := client.PauseBackfill(s.ctx, c.Backfill, api.PauseRequest{Paused: true, Note: c.Note, By: me()})
	if err != nil {
		return err
	}
	return s.done(b, "backfill %s of %s is paused: what runs goes on, nothing new starts; go on with: tidemill backfill resume %s", b.ID, b.Pipeline, b.ID)
}

type backfillResumeCommand struct {
	Backfill string `arg:"" help:"The backfill; the last characters of its id are enough."`
	Note     string `help:"Why, for those who wonder."`
}

// Run resumes a backfill.
func (c backfillResumeCommand) Run(s *session, client *api.Client) error {
	b, err := client.PauseBackfill(s.ctx, c.Backfill, api.PauseRequest{Note: c.Note, By: me()})
	if err != nil {
		return err
	}
	return s.done(b, "backfill %s of %s goes on", b.ID, b.Pipeline)
}

type backfillCancelCommand struct {
	Backfill string `arg:"" help:"The backfill; the last characters of its id are enough."`
}

// Run cancels what has not ended of a backfill.
func (c backfillCancelCommand) Run(s *session, client *api.Client) error {
	n, err := client.CancelBackfill(s.ctx, c.Backfill, me())
	if err != nil {
		return err
	}
	return s.cancelledBackfill(client, c.Backfill, n)
}

type cancelCommand struct {
	What string `arg:"" help:"A run or a backfill."`
}

// Run cancels a run or a backfill.
func (c cancelCommand) Run(s *session, client *api.Client) error {
	err := client.CancelRun(s.ctx, c.What, me())
	if fault.Is(err, fault.NotFound) {
		n, e := client.CancelBackfill(s.ctx, c.What, me())
		if e == nil {
			return s.cancelledBackfill(client, c.What, n)
		}
		if !fault.Is(e, fault.NotFound) {
			return e
		}
	}
	if err != nil {
		return err
	}
	now, err := client.Run(s.ctx, c.What)
	if err != nil {
		return err
	}
	return s.done(now, "run %s is being cancelled", c.What)
}

func (s *session) cancelledBackfill(client *api.Client, id string, runs int) error {
	now, err := client.Backfill(s.ctx, id)
	if err != nil {
		return err
	}
	return s.done(now, "%d runs of the backfill are being cancelled", runs)
}
