package cli

import (
	"fmt"

	"github.com/tidemill/tidemill/internal/core/fault"
)

type verifyCommand struct{}

// Run holds the history and the receipts of the stores against the invariants.
func (verifyCommand) Run(s *session) error {
	client, done, err := s.connect(needs{worker: true})
	if err != nil {
		return err
	}
	defer done()
	findings, err := client.VerifyHistory(s.ctx)
	if err != nil {
		return err
	}
	t := table{columns: []string{"invariant", "statement", "checked", "violations", "first"}, values: findings}
	bad := 0
	for _, f := range findings {
		first := ""
		if len(f.Violations) > 0 {
			first = f.Violations[0]
			bad += f.Count
		}
		t.rows = append(t.rows, []string{f.Invariant, f.Statement, number(f.Checked), fmt.Sprint(f.Count), first})
	}
	if err := s.give(t); err != nil {
		return err
	}
	if bad > 0 {
		s.say("%d violations", bad)
		return silent{fault.Refused}
	}
	s.say("the history is clean")
	return nil
}
