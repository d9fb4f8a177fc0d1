// Package condition compiles the CEL of project files, once for each text, and
// finds the tasks that a when: names.
package condition

import (
	"errors"
	"regexp"
	"strings"
	"sync"

	"github.com/tidemill/tidemill/internal/core/expr"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/source/form"
)

// compiled remembers conditions: making an environment of CEL costs far more than a task file.
var compiled sync.Map

type compiledKey struct {
	scope         expr.Scope
	text, metrics string
}

// Check compiles the condition of a project file.
func Check(scope expr.Scope, text form.Text, metrics ...string) problem.List {
	if !text.Given {
		return nil
	}
	if _, err := compile(scope, text.V, metrics...); err != nil {
		at := text.Place
		if s, ok := errors.AsType[*expr.SyntaxError](err); ok {
			at = text.Node.At(s.Offset)
		}
		message, remedy := explain(err.Error())
		return problem.List{problem.New(problem.BadCEL, at, remedy, "%s", message)}
	}
	return nil
}

func compile(scope expr.Scope, text string, metrics ...string) (*expr.Condition, error) {
	key := compiledKey{scope, text, strings.Join(metrics, ",")}
	if c, ok := compiled.Load(key); ok {
		return c.(*expr.Condition), nil
	}
	c, err := expr.Compile(scope, text, metrics...)
	if err != nil {
		return nil, err
	}
	compiled.Store(key, c)
	return c, nil
}

// TaskName is a task that a when: names, with its offset.
type TaskName struct {
	Name   string
	Offset int
}

var (
	taskMember = regexp.MustCompile(`\btask\.([A-Za-z_][A-Za-z0-9_]*)\s*(\(?)`)
	taskIndex  = regexp.MustCompile(`\btask\[\s*['"]([^'"]*)['"]\s*\]`)
)

// TaskNames returns the tasks that a when: names: task.NAME and task['NAME'].
// Macros such as task.all(…) are no names.
func TaskNames(text string) []TaskName {
	var out []TaskName
	for _, m := range taskMember.FindAllStringSubmatchIndex(text, -1) {
		if m[4] == m[5] {
			out = append(out, TaskName{text[m[2]:m[3]], m[2]})
		}
	}
	for _, m := range taskIndex.FindAllStringSubmatchIndex(text, -1) {
		out = append(out, TaskName{text[m[2]:m[3]], m[2]})
	}
	return out
}

// explain puts the words of CEL's parser into ours.
func explain(message string) (text, remedy string) {
	message, syntax := strings.CutPrefix(message, "Syntax error: ")
	if !syntax {
		return message, ""
	}
	remedy = "write CEL, such as a == 'b' && c > 1"
	message, _, _ = strings.Cut(message, " expecting ")
	switch {
	case strings.Contains(message, "<EOF>"):
		return "the expression ends too early", remedy
	case strings.Contains(message, "token recognition error at: '= "):
		return "a single = compares nothing", "write =="
	}
	return message, remedy
}
