package file

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/source/tree"
)

var (
	headerStart = regexp.MustCompile(`^--\s*tidemill\s*:`)
	// headerLike is a line that is meant to begin a block, and begins none.
	headerLike = regexp.MustCompile(`(?i)^\s*--\s*tide?mill?\s*:?\s*$`)
)

// SQLSettings returns the settings block of a .sql file: the comment lines from
// `-- tidemill:` to the first line that is no comment. Nil is no block.
func SQLSettings(name, text string) (*tree.Node, problem.List) {
	lines := strings.Split(text, "\n")
	start, end := -1, 0
	for i, line := range lines {
		trimmed := strings.TrimSpace(line)
		if start < 0 && headerStart.MatchString(line) {
			start = i
		}
		if trimmed == "" && start < 0 {
			continue
		}
		if end = i; !strings.HasPrefix(line, "--") {
			break
		}
		end = i + 1
	}
	var found problem.List
	for i := end; i < len(lines); i++ {
		if headerStart.MatchString(lines[i]) {
			at := problem.Place{File: name, Line: i + 1, Column: 1}
			found = append(found, problem.New(problem.BadHeader, at, "move it to the beginning of the file", "the settings block stands behind other text and has no effect"))
			break
		}
	}
	for i := range lines[:min(end+1, len(lines))] {
		if start < 0 && headerLike.MatchString(strings.TrimPrefix(lines[i], "\ufeff")) {
			at := problem.Place{File: name, Line: i + 1, Column: 1}
			return nil, append(found, problem.New(problem.BadHeader, at, "begin the line with `-- tidemill:`", "the line looks like the beginning of a settings block and is none: the settings below it have no effect"))
		}
	}
	if start < 0 {
		return nil, found
	}
	var block strings.Builder
	for _, line := range lines[start:end] {
		// Two spaces in place of the dashes keep every column.
		block.WriteString("  " + strings.TrimRight(line[2:], "\r") + "\n")
	}
	root, problems := tree.YAML(block.String(), func(line, column int) problem.Place {
		return problem.Place{File: name, Line: line + start, Column: column}
	})
	for i := range problems {
		if problems[i].Code == problem.BadYAML {
			problems[i].Code = problem.BadHeader
			if problems[i].Remedy == "" {
				problems[i].Remedy = "the block ends at the first line that is no comment: part it from prose by an empty line"
			}
		}
	}
	found = append(found, problems...)
	if root == nil {
		return nil, found
	}
	for _, e := range root.Entries {
		if e.Key != "tidemill" {
			found = append(found, problem.New(problem.BadHeader, e.Place, "indent it below tidemill:, or part prose from the block by an empty line", "%q stands beside tidemill: and not in it", e.Key))
		}
	}
	settings := root.Get("tidemill")
	if settings.Is(tree.Null) {
		return nil, found
	}
	return settings, found
}

// scriptBlock is the PEP 723 block of a Python file.
type scriptBlock struct {
	root *tree.Node // nil: none, or it cannot be read
}

// pythonScript reads the block between `# /// script` and `# ///`.
func pythonScript(name, text string) (scriptBlock, problem.List) {
	lines := strings.Split(text, "\n")
	bad := func(line int, remedy, format string, args ...any) problem.List {
		at := problem.Place{File: name, Line: line + 1, Column: 1}
		return problem.List{problem.New(problem.BadHeader, at, remedy, format, args...)}
	}
	start, end := -1, -1
	for i := 0; i < len(lines); i++ {
		if strings.TrimRight(lines[i], "\r") != "# /// script" {
			continue
		}
		if start >= 0 {
			return scriptBlock{}, bad(i, "keep one of them", "a second block begins here")
		}
		start = i
		for j := i + 1; j < len(lines) && strings.HasPrefix(lines[j], "#"); j++ {
			if strings.TrimRight(lines[j], "\r") == "# ///" {
				end = j
			}
		}
		if end < 0 {
			return scriptBlock{}, bad(start, "end it with a line # ///", "the block has no end")
		}
		i = end
	}
	if start < 0 {
		return scriptBlock{}, nil
	}
	var block strings.Builder
	for i := start + 1; i < end; i++ {
		line := strings.TrimRight(lines[i], "\r")
		switch {
		case line == "#":
		case strings.HasPrefix(line, "# "):
			block.WriteString(line[2:])
		default:
			return scriptBlock{}, bad(i, "put a space after #", "a line of the block begins with # and no space")
		}
		block.WriteByte('\n')
	}
	root, found := tree.TOML(block.String(), func(line, column int) problem.Place {
		return problem.Place{File: name, Line: line + start + 1, Column: column + 2}
	})
	for i := range found {
		found[i].Message = fmt.Sprintf("the block is not TOML: %s", found[i].Message)
	}
	return scriptBlock{root}, found
}
