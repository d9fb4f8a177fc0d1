package run

import (
	"fmt"

	"github.com/tidemill/tidemill/internal/core/expr"
)

// Judge says what becomes of a task whose upstreams have all ended: ready,
// upstream_failed or skipped, with the reason. Without an expression every
// upstream must have ended well.
func Judge(when string, upstream map[string]TaskState) (TaskState, string, error) {
	if when != "" {
		ok, err := evaluate(when, upstream)
		if err != nil {
			return "", "", fmt.Errorf("when: %w", err)
		}
		if !ok {
			return TaskSkipped, fmt.Sprintf("when: %s is false", when), nil
		}
		return TaskReady, "", nil
	}
	verdict, reason := TaskReady, ""
	for _, name := range Outcomes(upstream) {
		switch s := upstream[name]; {
		case s.Good():
		case s == TaskSkipped:
			if verdict == TaskReady {
				verdict, reason = TaskSkipped, fmt.Sprintf("%s was skipped", name)
			}
		default:
			return TaskUpstreamFailed, fmt.Sprintf("%s ended %s", name, s), nil
		}
	}
	return verdict, reason, nil
}

// noExitCode is what retry_if: sees where no process ended by itself.
const noExitCode = -1

// mayRetry asks a retry_if: expression about a failure, the failures-th of its
// task since it was last started by the schedule or a person. An expression that
// cannot be evaluated says no: trying again could repeat what must not be
// repeated, while a person can still run the task again.
func mayRetry(retryIf string, e AttemptFailed, failures int) (yes bool, no string) {
	if retryIf == "" {
		return true, ""
	}
	code := noExitCode
	if e.ExitCode != nil {
		code = *e.ExitCode
	}
	c, err := expr.Compile(expr.ScopeRetryIf, retryIf)
	if err == nil {
		yes, err = c.Eval(map[string]any{"kind": string(e.Kind), "message": e.Reason, "exit_code": code, "attempt": failures})
	}
	if err != nil {
		return false, "retry_if: " + err.Error()
	}
	return yes, fmt.Sprintf("retry_if: %s is false", retryIf)
}

// evaluate runs a when: expression over the states of the upstreams.
func evaluate(when string, upstream map[string]TaskState) (bool, error) {
	c, err := expr.Compile(expr.ScopeWhen, when)
	if err != nil {
		return false, err
	}
	states := make(map[string]string, len(upstream))
	for name, s := range upstream {
		states[name] = string(s)
	}
	return c.Eval(map[string]any{"task": states})
}
