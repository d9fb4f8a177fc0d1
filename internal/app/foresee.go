package app

import (
	"context"
	"errors"
	"os"

	"github.com/tidemill/tidemill/internal/bundle"
	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/ledger"
)

// Live is the version that an installation works by, and what its tables cover.
type Live struct {
	Bundle  string // its hash; empty where nothing was ever live
	Plan    bundle.Plan
	Covered map[string]calendar.Window // by table: from the first published window to the last
}

// LiveOf reads what an installation works by, beside its server or without one. It
// changes nothing. The ledger is a location; "" for the installation's own file.
func LiveOf(ctx context.Context, l Layout, location, environment string) (out Live, err error) {
	if location == "" {
		location = l.Ledger()
		if _, err := os.Stat(location); errors.Is(err, os.ErrNotExist) {
			return out, nil
		}
	}
	past, err := ledger.Look(location)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, past.Close()) }()
	if out.Bundle, err = past.LiveBundle(ctx, environment); err != nil {
		return out, fault.New(fault.Unavailable, "read the ledger: %w; was it written by another version?", err)
	}
	if out.Bundle == "" {
		return out, nil
	}
	kept, err := bundle.OpenStore(l.Bundles())
	if err != nil {
		return out, err
	}
	b, err := kept.Open(out.Bundle)
	if err != nil {
		return out, err
	}
	out.Plan, out.Covered = b.Plan, map[string]calendar.Window{}
	for _, t := range b.Plan.Project.Written(true) {
		windows, err := past.Published(ctx, environment, t)
		if err != nil {
			return out, fault.New(fault.Unavailable, "read the ledger: %w", err)
		}
		if n := len(windows); n > 0 {
			out.Covered[t] = calendar.Window{Start: windows[0].Start, End: windows[n-1].End}
		}
	}
	return out, nil
}
