package app

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/ledger/history"
	"github.com/tidemill/tidemill/internal/source"
)

// LeftBehind warns of tables that were published and that nobody writes any more,
// as after a task is renamed. It knows of them from the ledger in the project's
// folder; without one there is nothing to warn of.
func LeftBehind(ctx context.Context, l Layout, environment string, r *source.Result) problem.List {
	if _, err := os.Stat(l.Ledger()); err != nil || r.Refused || len(r.Broken) > 0 {
		return nil
	}
	past, err := ledger.Look(l.Ledger())
	if err != nil {
		return nil
	}
	defer func() { _ = past.Close() }()
	published, err := history.Published(ctx, past, environment)
	if err != nil {
		return nil // of another version, which its own server reads
	}
	written := r.Project.Written(false)
	external := func(t project.Table) bool {
		return slices.ContainsFunc(r.Project.Stores, func(s project.Store) bool { return s.Name == t.Store && s.IsExternal(t) })
	}
	var out problem.List
	for _, name := range published {
		t, err := project.ParseTable(name)
		base := strings.TrimSuffix(name, "__contributions") // of predictions
		if err != nil || slices.Contains(written, base) || external(t) {
			continue
		}
		out = append(out, problem.New(problem.LeftBehind, problem.Place{File: source.ProjectFile, Line: 1, Column: 1},
			"give it a writer again, or name it under external: of its store", "nobody writes %s any more; its rows stay as they are", t))
	}
	return out
}
