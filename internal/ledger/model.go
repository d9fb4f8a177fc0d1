package ledger

import (
	"context"

	"github.com/tidemill/tidemill/internal/core/run"
)

// Promote moves an alias of a model to a version.
func (l *Ledger) Promote(ctx context.Context, environment, model, alias string, version int, by string) error {
	return l.write(ctx, func(tx *Tx) error { return tx.moveAlias(environment, model, alias, version, by) })
}

// SavePin keeps a pin that was made outside of an attempt's success, or early in it.
func (l *Ledger) SavePin(ctx context.Context, environment, runID string, p run.Pin) error {
	return l.write(ctx, func(tx *Tx) error { return tx.savePin(environment, runID, p) })
}
