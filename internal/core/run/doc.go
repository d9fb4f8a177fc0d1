// Package run is the life of runs, tasks and attempts as a pure function.
//
// Apply takes the state of one task with the header of its run, and one event
// that carries its time, and returns the next state and what must follow once
// that state is committed. Nothing else changes run state; ledger.Step is the
// only caller that keeps the result.
//
//	waiting ── all upstreams ended ──► ready ── Claimed ──► claimed ── Acknowledged ──► running
//	   │                                ▲ ▲                    │                           │
//	   │ upstream failed or skipped     │ └──── Returned ──────┘        Succeeded, Failed, Deferred,
//	   ▼                                │                               Lost, CancelRequested
//	skipped, upstream_failed            └──── Elapsed ──── backoff ◄───────────────────────┤
//	                                                                                       ▼
//	             closing ── Closed ──► cancelled, failed (or succeeded: a receipt was found)
//
// Invariants that hold after every event (reliability I2–I5):
//
//   - An attempt's event counts only under the epoch that its claim was given;
//     another epoch is ErrStale and changes nothing.
//   - Attempt numbers grow by one per acknowledged start and never go back.
//   - A terminal state changes only by Rerun, which raises the generation.
//   - Succeeded needs the receipts of what the attempt wrote.
//   - A loss costs no retry.
//
// An attempt that may still have a publish in flight (lost or cancelled) is
// closed in its store before the task ends: the state closing is work that any
// worker can claim.
package run
