// Package slot decides what becomes of each expected run of a pipeline: which
// slots there are, with which windows, which of them become runs, and why the
// others did not. The ledger stores what it decides; this package only decides.
//
// A slot is one due time of a pipeline, written down before it is due, so that
// "it never ran" is a row and not an absence. (pipeline, due time) identifies
// it; a slot that is written again replaces the row.
//
//	expected -> queued | held -> ran
//	expected -> ran | merged | skipped | missed
//	held -> blocked; ran -> blocked -> ran
//
// What it guarantees, whatever is edited, paused, resumed or missed:
//
//   - The windows of the slots of a pipeline are contiguous, half-open and never
//     empty; no time is doubled and none is dropped. Slots that ended "schedule
//     changed" or were merged have given their window away and do not count.
//   - The mark is the end of the newest slot that has come due. It goes back only
//     where unstarted slots give their windows back to an edited schedule.
//   - One future slot at most is expected at any time.
//   - Deciding twice at the same moment changes nothing the second time.
//   - The cost of a decision does not grow with how long nothing was decided.
//
// How time that was missed is treated:
//
//   - A pipeline seen for the first time starts now. With a start in the past,
//     the missed policy judges the due times since then.
//   - Due times older than the look-back are one record with state missed, which
//     says from when (First) to when (Due) it stands; so "start: 2013-01-01"
//     makes one row and not thousands.
//   - Missed and timely slots found at the same moment are caught up together, in
//     window order, whatever the overlap policy says, except that "allow" starts
//     them at once. Overlap judges slots that come due on time.
//   - After an edit the next slot is the first due time after the edit, and its
//     window begins at the mark; past due times of the new schedule were never
//     expected and are not made up.
//
// What becomes of slots that the pipeline cannot run:
//
//   - Of a pipeline that the live project cannot have, since its files are broken,
//     due slots are held. Mended, they start as if they had been queued; after the
//     look-back they end blocked.
//   - Of one that was taken out of the project, the expected slot is skipped, and
//     made anew if the pipeline comes back; due ones are held, and skipped after the
//     look-back.
//   - A run that cannot go on because what it reads has not come has its slot
//     blocked from the deadline on, until it goes on after all; and is given up,
//     like everything that is not made up any more, at the end of the look-back.
//
// It is pure: no clock, no I/O. Now is an argument.
package slot
