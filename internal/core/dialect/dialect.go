// Package dialect holds an engine's SQL as a value: how it quotes, names types,
// writes literals, casts without failing, and binds parameters.
//
// It guarantees that there is one quoting function per engine and that no value
// needs to be pasted into SQL text. What an engine cannot say exactly is an
// answer (false), never an approximation. The package must not build whole
// statements for others: who needs SQL owns its text and asks here for the parts
// in which engines differ.
package dialect

import (
	"strings"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/core/fault"
)

// Dialect is the SQL of one engine. Values are compared by Name.
type Dialect struct {
	name            string
	identifierBytes int
	engine          engine
}

type engine int

const (
	engineDuckDB engine = iota + 1
	enginePostgreSQL
)

// The dialects. The zero Dialect belongs to no engine and quotes nothing.
var (
	DuckDB     = Dialect{name: "duckdb", engine: engineDuckDB}
	PostgreSQL = Dialect{name: "postgres", engine: enginePostgreSQL, identifierBytes: 63}
)

// Name is the engine's name, as in the kind of a store.
func (d Dialect) Name() string { return d.name }

// IdentifierBytes is the longest identifier that the engine keeps whole; 0: no limit.
func (d Dialect) IdentifierBytes() int { return d.identifierBytes }

// refusedIdentifier is what Quote returns for a name that the engine cannot hold.
// Every engine refuses a delimited identifier without characters, so a statement
// with a bad name fails as a whole instead of meaning something else.
const refusedIdentifier = `""`

// CheckIdentifier says, as an error of kind Invalid, why the engine cannot hold
// the identifier. PostgreSQL cuts long names in silence, so that two tables
// could become one: too long is refused here.
func (d Dialect) CheckIdentifier(identifier string) error {
	switch {
	case identifier == "":
		return fault.New(fault.Invalid, "a name is empty")
	case strings.ContainsRune(identifier, 0):
		return fault.New(fault.Invalid, "the name %q contains NUL", identifier)
	case !utf8.ValidString(identifier):
		return fault.New(fault.Invalid, "the name %q is not UTF-8", identifier)
	case d.identifierBytes > 0 && len(identifier) > d.identifierBytes:
		return fault.New(fault.Invalid, "the name %q has %d bytes; %s keeps %d", identifier, len(identifier), d.name, d.identifierBytes)
	}
	return nil
}

// Quote returns the identifier quoted, whatever it consists of. A name that
// CheckIdentifier refuses becomes "", which every engine refuses: the error
// surfaces where the statement is prepared, and Quote composes without one.
func (d Dialect) Quote(identifier string) string {
	if d.CheckIdentifier(identifier) != nil {
		return refusedIdentifier
	}
	return `"` + strings.ReplaceAll(identifier, `"`, `""`) + `"`
}

// QuoteAll returns the identifiers quoted and joined by commas.
func (d Dialect) QuoteAll(identifiers ...string) string {
	quoted := make([]string, len(identifiers))
	for i, name := range identifiers {
		quoted[i] = d.Quote(name)
	}
	return strings.Join(quoted, ", ")
}

// Table returns the quoted name of a table; an empty schema leaves it to the search path.
func (d Dialect) Table(schema, name string) string {
	if schema == "" {
		return d.Quote(name)
	}
	return d.Quote(schema) + "." + d.Quote(name)
}

// Length returns the expression for the number of characters (code points) of a text.
func (d Dialect) Length(text string) string {
	if d.engine == enginePostgreSQL {
		return "char_length(" + text + ")"
	}
	return "length(" + text + ")"
}

// IsDocument returns the condition that a JSON expression is an object or an array.
func (d Dialect) IsDocument(document, shape string) string {
	if d.engine == enginePostgreSQL {
		return "json_typeof(CAST(" + document + " AS json)) = '" + shape + "'" // json and jsonb alike
	}
	return "json_type(" + document + ") = '" + strings.ToUpper(shape) + "'"
}

// IsNaN returns the condition that a floating-point expression is not a number.
func (d Dialect) IsNaN(number string) string {
	if d.engine == enginePostgreSQL {
		return "(" + number + ") = 'NaN'"
	}
	return "isnan(" + number + ")"
}

// Match returns the condition that the RE2 pattern matches somewhere in the text.
// PostgreSQL has its own expressions: there it is said only for patterns whose
// every part means the same in both.
func (d Dialect) Match(text, pattern string) (string, bool) {
	literal, err := d.Literal(pattern)
	if err != nil {
		return "", false
	}
	switch {
	case d.engine == engineDuckDB:
		return "regexp_matches(" + text + ", " + literal + ")", true
	case d.engine == enginePostgreSQL && plainPattern(pattern):
		return "(" + text + ") ~ " + literal, true
	}
	return "", false
}

// plainPattern reports whether the pattern has only literals, anchors at its ends, plain
// bracket expressions, groups, alternatives and greedy quantifiers of up to 255.
func plainPattern(pattern string) bool {
	bracket := false
	for i, r := range pattern {
		next := byte(0)
		if i+1 < len(pattern) {
			next = pattern[i+1]
		}
		switch {
		case r == '\\', r < ' ', r == utf8.RuneError:
			return false
		case bracket:
			if r == '[' {
				return false // a class such as [:alpha:] depends on the locale
			}
			bracket = r != ']'
		case r == '[':
			if bracket = true; next == ']' || next == '^' && strings.HasPrefix(pattern[i+1:], "^]") {
				return false
			}
		case r == '.', r == '(' && (next == '?' || next == '*'):
			return false
		case strings.ContainsRune("*+?}", r) && (next == '?' || next == '+' || next == '*' || next == '{'):
			return false
		case r == '^' && i != 0, r == '$' && i != len(pattern)-1:
			return false
		case r == '{' && !plainQuantifier(pattern[i:]):
			return false
		}
	}
	return !bracket && !strings.HasPrefix(pattern, "***")
}

func plainQuantifier(text string) bool {
	inner, _, closed := strings.Cut(text[1:], "}")
	least, most, ranged := strings.Cut(inner, ",")
	ok := func(s string) bool {
		if s == "" || len(s) > 3 || len(s) == 3 && s > "255" {
			return false
		}
		return strings.Trim(s, "0123456789") == ""
	}
	return closed && ok(least) && (!ranged || most == "" || ok(most))
}
