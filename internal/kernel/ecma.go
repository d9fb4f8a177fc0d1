package kernel

import (
	"time"

	"github.com/dlclark/regexp2"

	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/pattern"
)

// matchTimeout bounds one match of a pattern that backtracks. A text that takes
// longer fails the rule: it cannot be told whether it matches.
const matchTimeout = 100 * time.Millisecond

// Backtracking returns a matcher for a pattern that RE2 cannot say, given as
// pattern.Pattern.Backtrack. The error is of kind Invalid.
func Backtracking(text string) (pattern.Matcher, error) {
	re, err := regexp2.Compile(text, regexp2.ECMAScript|regexp2.Unicode)
	if err != nil {
		return nil, fault.New(fault.Invalid, "pattern %q: %w", text, err)
	}
	re.MatchTimeout = matchTimeout
	return re.MatchString, nil
}

// Outside is what a contract needs from this machine: its time zones, and a
// matcher of ECMA-262.
func Outside() contract.Outside {
	return contract.Outside{Zone: time.LoadLocation, Pattern: Backtracking}
}
