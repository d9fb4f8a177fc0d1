package source

import (
	"regexp"
	"strings"
	"sync"

	"github.com/tidemill/tidemill/internal/core/expr"
)

// compiled remembers conditions: making an environment of CEL costs far more than a task file.
var compiled sync.Map

type compiledKey struct {
	scope         expr.Scope
	text, metrics string
}

func compileCEL(scope expr.Scope, text string, metrics ...string) (*expr.Condition, error) {
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

// taskName is a task that a when: names, with its offset.
type taskName struct {
	name   string
	offset int
}

var (
	taskMember = regexp.MustCompile(`\btask\.([A-Za-z_][A-Za-z0-9_]*)\s*(\(?)`)
	taskIndex  = regexp.MustCompile(`\btask\[\s*['"]([^'"]*)['"]\s*\]`)
)

// taskNames returns the tasks that a when: names: task.NAME and task['NAME'].
// Macros such as task.all(…) are no names.
func taskNames(text string) []taskName {
	var out []taskName
	for _, m := range taskMember.FindAllStringSubmatchIndex(text, -1) {
		if m[4] == m[5] {
			out = append(out, taskName{text[m[2]:m[3]], m[2]})
		}
	}
	for _, m := range taskIndex.FindAllStringSubmatchIndex(text, -1) {
		out = append(out, taskName{text[m[2]:m[3]], m[2]})
	}
	return out
}

// explainCEL puts the words of CEL's parser into ours.
func explainCEL(message string) (text, remedy string) {
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
