package cli

import (
	"context"
	"io"
	"path/filepath"
	"time"

	"github.com/tidemill/tidemill/internal/app"
	"github.com/tidemill/tidemill/internal/cli/scratch"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/door"
)

// scratchCommand is what the SDK starts for a script that a person started.
type scratchCommand struct {
	Script string            `arg:"" help:"The file of a Python task."`
	Window string            `help:"A local date, or START/END. Without it: the newest complete window."`
	Param  map[string]string `help:"Set a param: --param name=value." placeholder:"NAME=VALUE"`
	Commit bool              `help:"Run the task as a run, which publishes what it writes."`
}

// Run opens a session and writes its environment to standard output, for the
// SDK to read. It goes on until the script has closed its session, or is gone,
// which ends standard input.
func (c scratchCommand) Run(s *session) error {
	root, pipeline, name, err := scratch.Find(c.Script)
	if err != nil {
		return err
	}
	s.dir = root
	if c.Commit {
		return runCommand{Pipeline: pipeline, Task: []string{name}, Window: c.Window, Param: c.Param}.Run(s)
	}
	client, err := s.connect(needs{worker: true})
	if err != nil {
		return err
	}
	pl, err := s.pipeline(pipeline)
	if err != nil {
		return err
	}
	window, err := scratch.Window(pl.Schedule, c.Window, time.Now())
	if err != nil {
		return err
	}
	params, err := pl.ReadParams(paramsOf(c.Param))
	if err != nil {
		return err
	}
	layout, err := app.NewLayout(s.dir)
	if err != nil {
		return err
	}
	grant := run.Grant{
		Ref: run.Ref{Environment: s.env, Run: "scratch", Task: name}, Pipeline: pipeline, Bundle: s.status.Bundle, Attempt: 1,
		Window: window, Params: params,
	}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, s.In)
		cancel()
	}()
	s.say("%s/%s, window %s: nothing is published (with --commit it is)", pipeline, name, window.Text(s.zone))
	told, err := client.Door(ctx, "/v1/scratch", door.Scratch{Grant: grant, Folder: filepath.Join(layout.Home, "scratch", pipeline+"."+name)})
	if err != nil {
		return err
	}
	defer func() { _ = told.Close() }()
	return scratch.Follow(ctx, told, s.Out, s.Err)
}
