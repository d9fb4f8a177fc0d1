// Package expr holds the two small languages inside project files: CEL
// conditions and f-string-like interpolation.
//
// Both are total: evaluation has a cost limit, no side effect and no access to
// anything but the values it is given. Parsing reports the offset of a fault so
// that source can point at it.
package expr

import (
	"fmt"

	"cel.dev/cel-go/cel"

	"github.com/tidemill/tidemill/internal/core/fault"
)

// costLimit bounds an evaluation, in CEL's own cost units.
const costLimit = 100_000

// Scope names the variables that an expression may use.
type Scope string

// The places where CEL is allowed (FORMATS §2).
const (
	ScopeWhen    Scope = "when"     // task: map of upstream name → state
	ScopeRetryIf Scope = "retry_if" // kind, message: string; exit_code, attempt: int
	ScopePromote Scope = "promote"  // the candidate's metrics by name, champion: map of metrics or null
	ScopeRoute   Scope = "route"    // severity, kind, pipeline, task, owner: string
)

// SyntaxError is a fault in an expression. Offset counts bytes from 0.
type SyntaxError struct {
	Offset  int
	Message string
}

// Error returns the message alone; the offset is for whoever knows the file.
func (e *SyntaxError) Error() string { return e.Message }

// Condition is a compiled CEL expression that yields true or false.
type Condition struct {
	text    string
	program cel.Program
}

// Compile reads a condition. In the scope promote the names of metrics are
// free variables: pass them. A fault is a *SyntaxError.
func Compile(scope Scope, text string, metrics ...string) (*Condition, error) {
	env, err := cel.NewEnv(variables(scope, metrics)...)
	if err != nil {
		return nil, fault.New(fault.Internal, "expression environment: %w", err)
	}
	ast, issues := env.Compile(text)
	if issues != nil && issues.Err() != nil {
		first := issues.Errors()[0]
		return nil, &SyntaxError{Offset: offset(text, first.Location.Line(), first.Location.Column()), Message: first.Message}
	}
	if ast.OutputType() != cel.BoolType && ast.OutputType() != cel.DynType {
		return nil, &SyntaxError{Message: fmt.Sprintf("the expression yields %s, not true or false", ast.OutputType())}
	}
	program, err := env.Program(ast, cel.CostLimit(costLimit))
	if err != nil {
		return nil, &SyntaxError{Message: err.Error()}
	}
	return &Condition{text, program}, nil
}

// Identifiers returns the free names of a promote expression beside champion,
// so that its metrics can be declared.
func Identifiers(text string) ([]string, error) {
	env, err := cel.NewEnv()
	if err != nil {
		return nil, fault.New(fault.Internal, "expression environment: %w", err)
	}
	ast, issues := env.Parse(text)
	if issues != nil && issues.Err() != nil {
		first := issues.Errors()[0]
		return nil, &SyntaxError{Offset: offset(text, first.Location.Line(), first.Location.Column()), Message: first.Message}
	}
	return identifiers(ast.NativeRep().Expr()), nil
}

// Eval evaluates the condition over values for its scope's variables.
func (c *Condition) Eval(values map[string]any) (bool, error) {
	out, _, err := c.program.Eval(values)
	if err != nil {
		return false, fault.New(fault.Invalid, "%s: %w", c.text, err)
	}
	yes, ok := out.Value().(bool)
	if !ok {
		return false, fault.New(fault.Invalid, "%s yields %v, not true or false", c.text, out.Value())
	}
	return yes, nil
}

func variables(scope Scope, metrics []string) []cel.EnvOption {
	options := []cel.EnvOption{
		cel.ParserExpressionSizeLimit(4096), cel.ParserRecursionLimit(64),
		cel.CrossTypeNumericComparisons(true),
	}
	strings := func(names ...string) {
		for _, n := range names {
			options = append(options, cel.Variable(n, cel.StringType))
		}
	}
	switch scope {
	case ScopeWhen:
		options = append(options, cel.Variable("task", cel.MapType(cel.StringType, cel.StringType)))
	case ScopeRetryIf:
		strings("kind", "message")
		options = append(options, cel.Variable("exit_code", cel.IntType), cel.Variable("attempt", cel.IntType))
	case ScopePromote:
		for _, m := range metrics {
			options = append(options, cel.Variable(m, cel.DoubleType))
		}
		options = append(options, cel.Variable("champion", cel.DynType))
	case ScopeRoute:
		strings("severity", "kind", "pipeline", "task", "owner")
	}
	return options
}

// offset turns CEL's line (from 1) and column (from 0, in characters) into bytes.
func offset(text string, line, column int) int {
	at := 0
	for i, r := range text {
		if line <= 1 && column == 0 {
			return i
		}
		if r == '\n' {
			line--
		} else if line <= 1 {
			column--
		}
		at = i + len(string(r))
	}
	return at
}
