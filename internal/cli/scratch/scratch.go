// Package scratch follows a script that a person started by hand, outside of any
// run: which window it is for, and what it says and leaves.
package scratch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/cli/output"
	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/task"
)

// Find returns the project, the pipeline and the task of a script.
func Find(script string) (root, pipeline, task string, err error) {
	file, err := filepath.Abs(script)
	if err != nil {
		return "", "", "", fault.New(fault.Invalid, "the script: %w", err)
	}
	folder := filepath.Dir(file)
	if root = filepath.Dir(filepath.Dir(folder)); filepath.Base(filepath.Dir(folder)) != "pipelines" {
		return "", "", "", fault.New(fault.Invalid, "%s is no task of a project: tasks lie in pipelines/NAME/", script)
	}
	return root, filepath.Base(folder), strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)), nil
}

// Window is the named window of a schedule, or its newest complete one; without
// a schedule, all time until now.
func Window(schedule project.Schedule, named string, now time.Time) (calendar.Window, error) {
	t, err := schedule.Timetable()
	if err != nil {
		return calendar.Window{}, err
	}
	if named != "" {
		return t.NamedWindow(named)
	}
	if latest, ok := t.Latest(now); ok {
		return latest.Window, nil
	}
	return calendar.Window{Start: time.Unix(0, 0).UTC(), End: now.UTC().Truncate(time.Microsecond)}, nil
}

// Follow passes on what is told of a script until it is over: the environment of
// its session to out, as JSON, and the rest to talk.
func Follow(ctx context.Context, told io.Reader, out, talk io.Writer) error {
	lines := json.NewDecoder(told)
	for {
		var one task.Scratch
		switch err := lines.Decode(&one); {
		case errors.Is(err, io.EOF) || err != nil && ctx.Err() != nil:
			return nil //nolint:nilerr // the script is over, or gone
		case err != nil:
			return fault.New(fault.Unavailable, "follow the script: %w", err)
		case one.Error != "":
			return fault.New(one.Kind, "%s", one.Error)
		}
		if one.Environment != nil {
			if err := json.NewEncoder(out).Encode(one.Environment); err != nil {
				return fault.New(fault.Unavailable, "tell the script where its session is: %w", err)
			}
		}
		_, _ = io.WriteString(talk, one.Log)
		for _, metric := range slices.Sorted(maps.Keys(one.Metrics)) {
			_, _ = fmt.Fprintf(talk, "metric %s = %.4g\n", metric, one.Metrics[metric])
		}
		for _, check := range one.Broken {
			_, _ = fmt.Fprintf(talk, "check failed: %s; a run would fail\n", check)
		}
		for _, kept := range one.Kept {
			rows := ""
			if kept.Rows > 0 {
				rows = fmt.Sprintf(" (%s rows)", output.Number(kept.Rows))
			}
			_, _ = fmt.Fprintf(talk, "%s%s → %s\n", kept.Name, rows, kept.Path)
		}
	}
}
