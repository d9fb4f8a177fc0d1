package cli

import (
	"encoding/json"
	"strconv"

	"github.com/tidemill/tidemill/internal/cli/output"
	"github.com/tidemill/tidemill/internal/core/fault"
)

// give writes data to stdout in the form that was asked for.
func (s *session) give(t output.Table) error { return t.Write(s.Out, s.output) }

// done tells people what was done, and gives programs the thing as it is now.
func (s *session) done(thing any, format string, args ...any) error {
	s.say(format, args...)
	if s.output == "table" {
		return nil
	}
	t, err := output.One(thing)
	if err != nil {
		return fault.New(fault.Internal, "write what was done: %w", err)
	}
	return s.give(t)
}

// judge writes data, and ends with the kind's exit code where they are bad.
func (s *session) judge(t output.Table, bad bool, kind fault.Kind) error {
	if err := s.give(t); err != nil || !bad {
		return err
	}
	return silent{kind}
}

// number is a count as the form of output wants it.
func (s *session) number(n int64) string {
	if s.output == "csv" {
		return strconv.FormatInt(n, 10)
	}
	return output.Number(n)
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
