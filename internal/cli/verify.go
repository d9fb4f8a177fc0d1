package cli

import (
	"fmt"

	"github.com/tidemill/tidemill/internal/cli/output"
	"github.com/tidemill/tidemill/internal/core/fault"
)

type verifyCommand struct{}

// Run holds the history and the receipts of the stores against the invariants.
func (verifyCommand) Run(s *session, client warehouse) error {
	findings, err := client.VerifyHistory(s.ctx)
	if err != nil {
		return err
	}
	t := output.Table{Columns: []string{"invariant", "statement", "checked", "violations", "first"}, Values: findings}
	bad := 0
	for _, f := range findings {
		first := ""
		if len(f.Violations) > 0 {
			first = f.Violations[0]
			bad += f.Count
		}
		t.Rows = append(t.Rows, []string{f.Invariant, f.Statement, s.number(f.Checked), fmt.Sprint(f.Count), first})
	}
	if bad > 0 {
		s.say("%d violations", bad)
	} else {
		s.say("the history is clean")
	}
	return s.judge(t, bad > 0, fault.Refused)
}
