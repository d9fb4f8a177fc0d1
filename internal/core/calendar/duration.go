package calendar

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// units of a duration, longest first. A day is 24 hours and a week seven such days.
var durationUnits = []struct {
	letter byte
	length time.Duration
}{
	{'w', 7 * 24 * time.Hour},
	{'d', 24 * time.Hour},
	{'h', time.Hour},
	{'m', time.Minute},
	{'s', time.Second},
}

// ParseDuration reads a duration such as "90m", "6h", "2d", "1h30m" or "1w":
// whole numbers with the units w, d, h, m, s, each at most once, longest first.
// The error is a *ParseError.
func ParseDuration(text string) (time.Duration, error) {
	const shape = "Write whole numbers with the units w, d, h, m, s, longest first, such as \"90m\", \"6h\" or \"1h30m\"."
	fail := func(piece string, offset int, problem string) (time.Duration, error) {
		return 0, &ParseError{Field: FieldDuration, Text: piece, Offset: offset, Problem: problem, Remedy: shape}
	}
	if text == "" {
		return fail("", 0, "it is empty")
	}
	total, next := time.Duration(0), 0
	for offset := 0; offset < len(text); {
		digits := strings.IndexFunc(text[offset:], func(r rune) bool { return r < '0' || r > '9' })
		switch {
		case digits < 0:
			return fail(text[offset:], offset, "the unit is missing")
		case digits == 0:
			return fail(text[offset:], offset, "a whole number is missing")
		case digits > 18:
			return fail(text[offset:offset+digits], offset, "the number is too large")
		}
		count := int64(0)
		for _, digit := range []byte(text[offset : offset+digits]) {
			count = count*10 + int64(digit-'0')
		}
		at := offset + digits
		index := -1
		for i := range durationUnits {
			if durationUnits[i].letter == text[at] {
				index = i
			}
		}
		if index < 0 {
			return fail(text[at:], at, "this unit is not known")
		}
		if index < next {
			return fail(text[at:at+1], at, "the units are repeated or out of order")
		}
		length := durationUnits[index].length
		if count > int64((math.MaxInt64-total)/length) {
			return fail(text[offset:at+1], offset, "the duration is too long")
		}
		total += time.Duration(count) * length
		next, offset = index+1, at+1
	}
	return total, nil
}

// FormatDuration writes a duration so that ParseDuration reads it back, in days,
// hours, minutes and seconds. What ParseDuration cannot say, negative or finer
// than a second, is written as package time does.
func FormatDuration(d time.Duration) string {
	if d < 0 || d%time.Second != 0 {
		return d.String()
	}
	var text strings.Builder
	for _, unit := range durationUnits[1:] {
		if count := d / unit.length; count > 0 {
			fmt.Fprintf(&text, "%d%c", count, unit.letter)
			d %= unit.length
		}
	}
	if text.Len() == 0 {
		return "0s"
	}
	return text.String()
}
