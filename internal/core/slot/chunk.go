package slot

import (
	"fmt"
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
)

// MaxChunks bounds how many runs one backfill may be cut into.
const MaxChunks = 100_000

// TooManyChunksError means that a range would be cut into more than MaxChunks windows.
type TooManyChunksError struct{ Range calendar.Window }

// Error tells the bound and the way out.
func (e *TooManyChunksError) Error() string {
	return fmt.Sprintf("the range %s makes more than %d windows: choose larger chunks or a shorter range", e.Range, MaxChunks)
}

// Chunk is the size of the pieces that a backfill cuts its range into: a local
// unit, or a length of real time counted from the beginning of the range.
type Chunk struct {
	Unit   calendar.Unit
	Length time.Duration
}

// ParseChunk reads "hour", "day", "week", "month", or a duration such as "30d"
// or "6h". The error is a *calendar.ParseError.
func ParseChunk(text string) (Chunk, error) {
	if unit, err := calendar.ParseUnit(text); err == nil {
		return Chunk{Unit: unit}, nil
	}
	length, err := calendar.ParseDuration(text)
	if err != nil || length < time.Second {
		return Chunk{}, &calendar.ParseError{
			Field: "chunk", Text: text, Problem: "this is no size",
			Remedy: "Write hour, day, week or month, or a duration such as 30d or 6h.",
		}
	}
	return Chunk{Length: length}, nil
}

// Cut cuts a range into chunks. Units are those of the zone, the first and last
// piece are clipped to the range. The error is a *TooManyChunksError.
func Cut(within calendar.Window, chunk Chunk, zone *time.Location) ([]calendar.Window, error) {
	next := calendar.Alignment{Unit: chunk.Unit, Shift: 1}
	return pieces(within, func(from time.Time) (time.Time, bool) {
		if chunk.Unit == calendar.UnitNone {
			return from.Add(chunk.Length), chunk.Length > 0
		}
		return next.End(from, zone), true
	})
}

// Chunks cuts a range into the windows that runs of the range would have: those
// recorded (of slots with OwnsWindow), and between them those that the timetable
// would have made, clipped to the range. Without a schedule the rest stays in
// one piece each. The pieces are contiguous and cover the range exactly. The
// error is a *TooManyChunksError.
func Chunks(t calendar.Timetable, within calendar.Window, recorded []calendar.Window) ([]calendar.Window, error) {
	recorded = slices.Clone(recorded)
	slices.SortFunc(recorded, func(a, b calendar.Window) int { return a.Start.Compare(b.Start) })
	var all []calendar.Window
	rest := within
	for _, window := range recorded {
		window = window.Clip(rest)
		if window.Empty() {
			continue
		}
		before, err := pieces(calendar.Window{Start: rest.Start, End: window.Start}, t.Boundary)
		if err != nil {
			return nil, err
		}
		all = append(append(all, before...), window)
		rest.Start = window.End
	}
	after, err := pieces(rest, t.Boundary)
	if err != nil {
		return nil, err
	}
	if all = append(all, after...); len(all) > MaxChunks {
		return nil, &TooManyChunksError{within}
	}
	return all, nil
}

// pieces cuts a range at the boundaries that next finds.
func pieces(within calendar.Window, next func(after time.Time) (time.Time, bool)) ([]calendar.Window, error) {
	var found []calendar.Window
	for rest := within; !rest.Empty(); {
		if len(found) == MaxChunks {
			return nil, &TooManyChunksError{within}
		}
		piece := rest
		if end, ok := next(rest.Start); ok && end.Before(rest.End) {
			piece.End = end.UTC()
		}
		found = append(found, piece)
		rest.Start = piece.End
	}
	return found, nil
}
