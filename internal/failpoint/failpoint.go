// Package failpoint names the places where a crash would be worst.
//
// A binary built with the tag `failpoint` dies at the points that the variable
// TIDEMILL_FAILPOINTS lists; in every other binary Hit does nothing and costs
// nothing. The simulation uses the same names for the same places.
package failpoint

// Point is a named place in the code.
type Point string

// The points, in the order in which an attempt passes them.
const (
	Granted         Point = "worker.granted"        // work arrived, not acknowledged
	Acknowledged    Point = "worker.acknowledged"   // the attempt may begin
	FenceRaised     Point = "publish.fence_raised"  // the key is ours, nothing is staged
	Staged          Point = "publish.staged"        // rows are staged, nothing is visible
	BeforeCommit    Point = "publish.before_commit" // rows and receipt are written, not committed
	AfterCommit     Point = "publish.after_commit"  // committed, nobody knows yet
	BeforeReport    Point = "worker.before_report"  // the end is not told yet
	LedgerCommit    Point = "ledger.before_commit"  // a step is written, not committed
	LedgerCommitted Point = "ledger.after_commit"   // committed, the caller has no answer
	Launched        Point = "worker.launched"       // a task process runs
	ManifestLinked  Point = "files.manifest_linked" // a numbered manifest is there, its folder not synced
)

// Points lists every point.
func Points() []Point {
	return []Point{
		Granted, Acknowledged, FenceRaised, Staged, BeforeCommit, AfterCommit, BeforeReport,
		LedgerCommit, LedgerCommitted, Launched, ManifestLinked,
	}
}
