package dialect

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/core/fault"
)

// Statement is SQL text with named placeholders ($window_start, $param_x) and
// the values to bind to them.
type Statement struct {
	SQL    string  `json:"sql"`
	Params []Param `json:"params,omitempty"`
}

// Param is a named value. It is bound, never pasted.
type Param struct {
	Name  string `json:"name"`
	Value any    `json:"value"`
}

// Placeholders returns the names that the text refers to, each once, in the
// order in which they first appear.
func (s Statement) Placeholders() []string {
	var names []string
	seen := make(map[string]bool)
	scan(s.SQL, func(name string) {
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	})
	return names
}

// Used returns the parameters that the text refers to, in the order in which
// they first appear: engines refuse values that nobody asked for. A placeholder
// without a value is an error of kind Invalid.
func (s Statement) Used() ([]Param, error) {
	values := make(map[string]any, len(s.Params))
	for _, p := range s.Params {
		if _, twice := values[p.Name]; twice {
			return nil, fault.New(fault.Invalid, "the parameter $%s is given twice", p.Name)
		}
		values[p.Name] = p.Value
	}
	names := s.Placeholders()
	used := make([]Param, len(names))
	for i, name := range names {
		value, given := values[name]
		if !given {
			return nil, fault.New(fault.Invalid, "the SQL refers to $%s, and there is no such parameter", name)
		}
		used[i] = Param{Name: name, Value: value}
	}
	return used, nil
}

// Positional turns $name into $1, $2 … for engines without names. Text inside
// quotes, dollar quotes and comments stays as it is; a name used twice is one
// parameter.
func Positional(s Statement) (sql string, args []any, err error) {
	used, err := s.Used()
	if err != nil {
		return "", nil, err
	}
	number := make(map[string]string, len(used))
	for i, p := range used {
		if _, err := strconv.Atoi(p.Name); err == nil {
			return "", nil, fault.New(fault.Invalid, "the SQL refers to $%s; parameters have names", p.Name)
		}
		number[p.Name] = "$" + strconv.Itoa(i+1)
		args = append(args, p.Value)
	}
	var out strings.Builder
	last := 0
	scanAt(s.SQL, func(start, end int) {
		out.WriteString(s.SQL[last:start])
		out.WriteString(number[s.SQL[start+1:end]])
		last = end
	})
	out.WriteString(s.SQL[last:])
	return out.String(), args, nil
}

func scan(sql string, found func(name string)) {
	scanAt(sql, func(start, end int) { found(sql[start+1 : end]) })
}

// scanAt calls found with the place of each placeholder, the dollar sign included.
func scanAt(sql string, found func(start, end int)) {
	for i := 0; i < len(sql); {
		switch c := sql[i]; {
		case c == '\'':
			i = skipQuoted(sql, i, '\'', escapes(sql, i))
		case c == '"':
			i = skipQuoted(sql, i, '"', false)
		case strings.HasPrefix(sql[i:], "--"):
			i += lengthUntil(sql[i:], "\n")
		case strings.HasPrefix(sql[i:], "/*"):
			i = skipComment(sql, i)
		case identifierStart(sql[i:]):
			i += identifierLength(sql[i:], true) // a dollar sign inside an identifier belongs to it
		case c >= '0' && c <= '9':
			i += identifierLength(sql[i:], false)
		case c == '$':
			if end := skipDollarQuote(sql, i); end > i {
				i = end
				continue
			}
			end := i + 1 + identifierLength(sql[i+1:], false)
			if end > i+1 {
				found(i, end)
			}
			i = end
		default:
			_, size := utf8.DecodeRuneInString(sql[i:])
			i += size
		}
	}
}

// escapes reports whether the string that begins at i is E'…', where a backslash escapes.
func escapes(sql string, i int) bool {
	if i == 0 || sql[i-1] != 'e' && sql[i-1] != 'E' {
		return false
	}
	before, _ := utf8.DecodeLastRuneInString(sql[:i-1])
	return i == 1 || !identifierRune(before, true)
}

func skipQuoted(sql string, i int, quote byte, backslash bool) int {
	for i++; i < len(sql); i++ {
		switch {
		case backslash && sql[i] == '\\':
			i++
		case sql[i] == quote && i+1 < len(sql) && sql[i+1] == quote:
			i++
		case sql[i] == quote:
			return i + 1
		}
	}
	return len(sql)
}

// skipComment passes a block comment; they nest in both engines' grammars.
func skipComment(sql string, i int) int {
	depth := 0
	for i < len(sql) {
		switch {
		case strings.HasPrefix(sql[i:], "/*"):
			depth++
			i += 2
		case strings.HasPrefix(sql[i:], "*/"):
			depth--
			i += 2
			if depth == 0 {
				return i
			}
		default:
			i++
		}
	}
	return len(sql)
}

// skipDollarQuote passes $tag$ … $tag$; it returns i where none begins there.
func skipDollarQuote(sql string, i int) int {
	tag := 0
	if identifierStart(sql[i+1:]) {
		tag = identifierLength(sql[i+1:], false)
	}
	end := i + 1 + tag
	if end >= len(sql) || sql[end] != '$' {
		return i
	}
	mark := sql[i : end+1]
	return end + 1 + lengthUntil(sql[end+1:], mark)
}

// lengthUntil is the length of text up to the end of the first mark, or all of it.
func lengthUntil(text, mark string) int {
	if i := strings.Index(text, mark); i >= 0 {
		return i + len(mark)
	}
	return len(text)
}

func identifierStart(text string) bool {
	r, _ := utf8.DecodeRuneInString(text)
	return text != "" && (r == '_' || unicode.IsLetter(r))
}

func identifierLength(text string, dollar bool) int {
	for i, r := range text {
		if !identifierRune(r, dollar) {
			return i
		}
	}
	return len(text)
}

func identifierRune(r rune, dollar bool) bool {
	return r == '_' || dollar && r == '$' || unicode.IsLetter(r) || unicode.IsDigit(r)
}
