// Package publish brings the output of one attempt into its store, whole or not
// at all: it begins, stages through the gate, judges the stage, commits, and
// looks up what became of a commit whose answer was lost (PROTOCOLS §3).
//
// It guarantees that nothing is published that a contract refuses, that evidence
// adds up, and that an unknown outcome is settled by the receipt and never
// repeated. It must not read sources, run users' code, or know any kind of store.
package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
)

// Request is the output of one attempt for one store.
type Request struct {
	Target     store.Target
	Key        commit.Key
	Fence      int64
	Run        store.Run
	Tables     []Table
	Params     []dialect.Param // for SELECTs and for the SQL rules of contracts
	Completion commit.Completion
}

// Table is one table of the output. Exactly one of Source and Select is set.
type Table struct {
	Write    project.Write
	Contract *contract.Table // nil: none
	Zone     *time.Location  // of days and wall clocks for which the contract names none; nil: UTC
	Known    store.Known
	Replays  []string // ids of quarantined rows that the source reads again
	Source   *Source
	Select   string // runs in the store; in mode view it becomes the view
}

// Source is where rows come from.
type Source struct {
	Schema  datatype.Schema
	Stable  bool // the last of equal keys is well defined
	Sources []string
	// Inferred is the columns with the types that the first rows show, where
	// nothing says them: without a contract, and in a table that has them not yet.
	Inferred datatype.Schema
	// Feed gives every batch to the sink, which borrows it, and ends with the sink's first error.
	Feed func(ctx context.Context, sink func(context.Context, arrow.RecordBatch) error) error
}

// From makes a source of an open reading.
func From(r *store.Reading) *Source {
	return &Source{
		Schema: r.Schema, Stable: r.Stable, Sources: r.Sources, Inferred: r.Inferred,
		Feed: func(ctx context.Context, sink func(context.Context, arrow.RecordBatch) error) error {
			for batch, err := range r.Batches {
				if err != nil {
					return err
				}
				if err := sink(ctx, batch); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// Outcome is what became of the request. It says what the gate saw also where
// Run returns an error: a failed attempt publishes nothing, and this is all that
// is left of the rows that it refused.
type Outcome struct {
	Receipt commit.Receipt // zero where Run returns an error
	Found   bool           // the receipt is that of an earlier attempt: nothing was staged
	Tables  []Staged       // in the request's order, as far as the attempt came
}

// Staged is what was staged of one table.
type Staged struct {
	Table    project.Table
	Evidence commit.Evidence // without what only the store's commit knows
	Report   []datatype.ColumnFit
	Refused  []Refused // the first RefusedRows of those set aside
	Checks   []commit.CheckResult
}

// RefusedRows is how many refused rows an outcome keeps of each table.
const RefusedRows = 1000

// Refused is a row that was set aside.
type Refused struct {
	Rule     string `json:"rule"`
	Field    string `json:"field,omitempty"`
	Reason   string `json:"reason"`
	Value    string `json:"value,omitempty"`
	File     string `json:"file,omitempty"`
	Line     int64  `json:"line,omitempty"`
	Original string `json:"original"`
}

// Run publishes the request. A receipt that is there already is an outcome and
// no error. store.ErrFenced means that a newer attempt has taken over.
func Run(ctx context.Context, r Request) (Outcome, error) {
	outcome, err := r.run(ctx)
	if published, ok := errors.AsType[*store.PublishedError](err); ok && len(published.Receipts) > 0 {
		return Outcome{Receipt: published.Receipts[0], Found: true}, nil
	}
	return outcome, err
}

func (r Request) run(ctx context.Context) (outcome Outcome, err error) {
	plans, err := r.plan(ctx)
	if err != nil {
		return outcome, err
	}
	spec := store.Spec{Key: r.Key, Fence: r.Fence, Run: r.Run}
	for _, p := range plans {
		spec.Tables = append(spec.Tables, p.spec)
	}
	load, err := r.Target.Begin(ctx, spec)
	if err != nil {
		return outcome, err
	}
	defer func() {
		if err != nil {
			// What ended the attempt must not keep its leftovers alive.
			err = errors.Join(err, load.Abort(context.WithoutCancel(ctx)))
		}
	}()
	manifest := commit.Manifest{Completion: r.Completion}
	manifest.Completion.Checks = slices.Clone(r.Completion.Checks)
	for _, p := range plans {
		err := p.stage(ctx, load, r)
		outcome.Tables = append(outcome.Tables, p.out)
		if err != nil {
			return outcome, fmt.Errorf("table %s: %w", p.out.Table, err)
		}
		manifest.Completion.Checks = append(manifest.Completion.Checks, p.out.Checks...)
		manifest.Tables = append(manifest.Tables, commit.TableCommit{
			Table: p.spec.Table, Mode: p.spec.Mode, Window: p.spec.Window, Contract: p.spec.Contract, Evidence: p.out.Evidence,
		})
	}
	receipt, err := r.commit(ctx, load, manifest)
	if err != nil {
		return outcome, err
	}
	outcome.Receipt = receipt
	return outcome, nil
}

// commit makes the load visible. What the store answers must add up; an answer
// that was lost is looked up.
func (r Request) commit(ctx context.Context, load store.Load, manifest commit.Manifest) (commit.Receipt, error) {
	receipt, err := load.Commit(ctx, manifest)
	if fault.Is(err, fault.Unknown) {
		aborted := load.Abort(context.WithoutCancel(ctx))
		receipt, err = r.settle(ctx, errors.Join(err, aborted))
	}
	if err != nil {
		return commit.Receipt{}, err
	}
	if len(receipt.Tables) != len(manifest.Tables) {
		return receipt, fault.New(fault.Internal, "the store's receipt has %d tables and the load %d", len(receipt.Tables), len(manifest.Tables))
	}
	for _, line := range receipt.Tables {
		if err := line.Evidence.Check(); err != nil {
			return receipt, fmt.Errorf("table %s, as the store counts: %w", line.Table, err)
		}
	}
	return receipt, nil
}

// Tries, and the first pause between two of them, to learn what became of a commit.
const (
	settleTries = 6
	settlePause = 50 * time.Millisecond
)

// settle asks the store for the receipt. Closing the key at our own fence waits
// out a publish in flight, so that no receipt means that there will be none.
func (r Request) settle(ctx context.Context, unknown error) (commit.Receipt, error) {
	// The commit may have taken place: the answer is wanted also by who is being stopped.
	ctx = context.WithoutCancel(ctx)
	pause := settlePause
	var last error
	for try := range settleTries {
		if try > 0 {
			timer := time.NewTimer(pause)
			<-timer.C
			pause *= 2
		}
		receipt, err := r.Target.CloseKey(ctx, r.Key, r.Fence)
		switch {
		case err != nil:
			last = err
		case receipt != nil && receipt.Fence == r.Fence:
			return *receipt, nil
		case receipt != nil:
			return commit.Receipt{}, &store.PublishedError{Receipts: []commit.Receipt{*receipt}}
		default:
			return commit.Receipt{}, fault.New(fault.Unavailable, "the commit did not take place: %w", unknown)
		}
	}
	return commit.Receipt{}, fault.New(fault.Unknown, "what became of the commit cannot be learnt: %w", errors.Join(unknown, last))
}
