// Package gate holds the batches of a load against the contract of its table.
//
// What goes through comes out in the contract's types and column order; what
// does not goes to quarantine with the rule, the reason and the values as they
// were read, or fails the load, as the contract says. The gate guarantees that
// every row read is in exactly one of: passed, quarantined, dropped; that a
// rejected batch lets nothing out; and that its verdicts are those of
// contract.Judge.
//
// Batches that go in are borrowed, those that come out belong to the caller, who
// releases them. A Gate serves one load, in one goroutine. It must not know
// stores, and it judges single rows only: StageChecks names what remains to be
// judged over the rows as a whole.
package gate
