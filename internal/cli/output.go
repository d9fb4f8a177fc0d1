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

// paramsOf reads key=value pairs as JSON values: a number, true, false, or a text.
func paramsOf(pairs map[string]string) (json.RawMessage, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	values := map[string]any{}
	for k, text := range pairs {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			v = text
		}
		switch v.(type) {
		case string, float64, bool:
		default:
			return nil, fault.New(fault.Invalid, "param %s: %s is neither a number, a text, true nor false", k, text)
		}
		values[k] = v
	}
	return json.Marshal(values)
}
