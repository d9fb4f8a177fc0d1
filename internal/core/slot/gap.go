package slot

import (
	"fmt"
	"time"
)

// Gap says in words which slots nobody ran: the missed ones given, in the order in
// which they were due.
func Gap(missed []Slot) string {
	if len(missed) == 0 {
		return "no slot was missed"
	}
	oldest, newest := missed[0], missed[len(missed)-1]
	folded := false
	for _, s := range missed {
		folded = folded || !s.First.IsZero()
	}
	last := newest.Due.UTC().Format(time.RFC3339)
	if len(missed) == 1 && !folded {
		return fmt.Sprintf("the slot due %s was missed: %s", last, newest.Reason)
	}
	first := oldest.Due
	if !oldest.First.IsZero() {
		first = oldest.First
	}
	between := fmt.Sprintf("slots due from %s to %s were missed", first.UTC().Format(time.RFC3339), last)
	switch {
	case len(missed) == 1:
		return fmt.Sprintf("the %s: %s", between, newest.Reason)
	case folded: // such a record says from when to when, not how often that was
		return fmt.Sprintf("more than %d %s; the newest: %s", len(missed), between, newest.Reason)
	}
	return fmt.Sprintf("%d %s; the newest: %s", len(missed), between, newest.Reason)
}
