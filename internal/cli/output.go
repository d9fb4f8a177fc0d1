package cli

import (
	"encoding/json"

	"github.com/tidemill/tidemill/internal/cli/output"
	"github.com/tidemill/tidemill/internal/core/fault"
)

// give writes data to stdout in the form that was asked for.
func (s *session) give(t output.Table) error { return t.Write(s.Out, s.output) }

// judge writes data, and ends with the kind's exit code where they are bad.
func (s *session) judge(t output.Table, bad bool, kind fault.Kind) error {
	if err := s.give(t); err != nil || !bad {
		return err
	}
	return silent{kind}
}

// progress tells how far some work is.
func (s *session) progress(what string) *output.Progress {
	return output.NewProgress(s.Err, s.Terminal, what)
}

// paramsOf are params as they were typed; the server knows their types.
func paramsOf(pairs map[string]string) json.RawMessage {
	if len(pairs) == 0 {
		return nil
	}
	b, _ := json.Marshal(pairs) // texts always marshal
	return b
}
