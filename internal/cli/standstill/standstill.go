// Package standstill tells what work waits for while nothing of it moves.
package standstill

import (
	"context"
	"time"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/cli/output"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/run"
)

// patience is how long nothing may move before the user is told what for.
const patience = 2 * time.Second

// Watch looks again and again while a command follows its work.
type Watch struct {
	Client *api.Client
	Alone  bool // the server is only there for this command
	Say    func(format string, args ...any)

	looked time.Time // when somebody last looked, or when something last moved
	told   string
}

// Look says why the work waits, each time that the answer changes. With a server
// that is only there for this command nobody else will bring what all open runs
// wait for, so that is an error rather than a wait without an end.
func (w *Watch) Look(ctx context.Context, bar *output.Progress) error {
	if w.looked.IsZero() {
		w.looked = time.Now()
	}
	if time.Since(w.looked) < patience {
		return nil
	}
	w.looked = time.Now()
	status, err := w.Client.Status(ctx)
	if err != nil {
		return err
	}
	if status.Trouble != "" {
		w.tell(bar, "the ledger in "+status.Folder+" cannot be written: "+status.Trouble+"\n  free the disk; the work goes on by itself, and what was done is not lost")
		return nil
	}
	open, err := w.Client.Runs(ctx, "", string(run.Running), "", 100)
	if err != nil {
		return err
	}
	var first string
	for _, r := range open {
		if r, err = w.Client.Run(ctx, r.ID); err != nil {
			return err
		}
		if r.State.Terminal() || r.CancelBy != "" {
			return nil
		}
		for _, t := range r.Tasks {
			if !t.State.Terminal() && t.State != run.TaskWaiting {
				return nil // something moves, or will by itself
			}
			if first == "" && t.State == run.TaskWaiting && len(t.Waits) > 0 {
				first = r.ID + "/" + t.Name
			}
		}
	}
	if first == "" {
		return nil
	}
	why, err := w.Client.Why(ctx, first)
	if err != nil {
		return err
	}
	if w.Alone && len(why.Reasons) > 0 {
		return fault.New(fault.Unavailable, "%s %s, and nothing that runs now brings it; run the pipeline that writes it first, or let a server run both: tidemill up",
			first, why.Reasons[0].Text)
	}
	w.tell(bar, why.Summary)
	return nil
}

// tell says something that was not said just before.
func (w *Watch) tell(bar *output.Progress, text string) {
	if text != w.told {
		w.told = text
		bar.End()
		w.Say("%s", text)
	}
}
