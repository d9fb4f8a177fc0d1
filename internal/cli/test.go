package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/app"
	"github.com/tidemill/tidemill/internal/cli/output"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/source"
	"github.com/tidemill/tidemill/internal/unittest"
)

type testCommand struct {
	Tests []string `arg:"" optional:"" help:"Only tests whose file begins so; all without it."`
}

// verdict is the outcome of one test.
type verdict struct {
	File   string `json:"file"`
	Task   string `json:"task"`
	Passed bool   `json:"passed"`
	unittest.Difference
	Error string `json:"error,omitempty"`
	Took  string `json:"took"`
}

// Run runs the project's unit tests.
func (c testCommand) Run(s *session) error {
	r, err := s.read()
	if err != nil {
		return err
	}
	if bad := r.Problems.Errors(); r.Refused || len(bad) > 0 {
		s.say("the project has errors; tests of what is good run all the same (see: tidemill check)")
	}
	var list []verdict
	failed := 0
	for _, t := range r.Tests {
		if !wanted(t.File, c.Tests) {
			continue
		}
		v := s.test(r, t)
		if !v.Passed {
			failed++
		}
		list = append(list, v)
	}
	if len(list) == 0 && len(c.Tests) > 0 {
		return fault.New(fault.NotFound, "no test begins with %s; they lie in tests/", strings.Join(c.Tests, " or "))
	}
	if err := s.give(verdictTable(list)); err != nil {
		return err
	}
	for _, v := range list {
		if v.Error != "" {
			s.say("%s: %s", v.File, v.Error)
		}
		for _, row := range v.Missing {
			s.say("%s: expected and not there: %s", v.File, row)
		}
		for _, row := range v.Extra {
			s.say("%s: there and not expected: %s", v.File, row)
		}
	}
	s.say("%d passed, %d failed", len(list)-failed, failed)
	if failed > 0 {
		return silent{fault.Failed}
	}
	return nil
}

func wanted(file string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(file, filepath.ToSlash(p)) {
			return true
		}
	}
	return len(prefixes) == 0
}

func verdictTable(list []verdict) output.Table {
	t := output.Table{Columns: []string{"test", "task", "verdict", "took"}, Values: list}
	for _, v := range list {
		word := "passed"
		if !v.Passed {
			word = "failed"
		}
		t.Rows = append(t.Rows, []string{v.File, v.Task, word, v.Took})
	}
	return t
}

func (s *session) test(r *source.Result, t source.Test) verdict {
	begun := time.Now()
	v := verdict{File: t.File, Task: t.Pipeline + "/" + t.Task}
	var task *project.Task
	if pl, ok := r.Project.Pipeline(t.Pipeline); ok {
		task, _ = pl.Task(t.Task)
	}
	if task == nil || task.SQL == nil {
		v.Error = fmt.Sprintf("there is no SQL task %s", v.Task)
		return v
	}
	dir, err := os.MkdirTemp("", "tidemill-test-")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		err = app.WithScratch(s.ctx, dir, func(scratch unittest.Scratch) error {
			var err error
			v.Difference, err = unittest.Run(s.ctx, scratch, t, task, r.Contracts)
			return err
		})
	}
	if err != nil {
		v.Error = err.Error()
	}
	v.Passed = err == nil && len(v.Missing)+len(v.Extra) == 0
	v.Took = output.Duration(time.Since(begun))
	return v
}
