// Package pattern reads the regular expressions of contracts, which are written
// in ECMA-262, and says them in RE2's words where that is exact.
//
// The package guarantees that a pattern whose RE2 is not empty matches the same
// texts in Go, in DuckDB and in ECMA-262's Unicode mode. For the others it writes
// out what matchers that backtrack are known to read differently. It must not
// match those itself: backtracking needs a limit in time, and time is not for core.
package pattern

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/core/fault"
)

// Pattern is an ECMA-262 regular expression that has to match somewhere in a text.
type Pattern struct {
	Text      string `json:"text"`
	RE2       string `json:"re2,omitempty"`       // the same in RE2's words; empty where RE2 cannot say it
	Backtrack string `json:"backtrack,omitempty"` // else the same for a matcher that backtracks, in plain parts
}

// Matcher reports whether a text matches. An error means that it cannot be told.
type Matcher func(text string) (bool, error)

// New reads an ECMA-262 pattern (Unicode mode, no flags). Where every
// part of it has the same meaning in RE2 the pattern is put into RE2's words;
// look-around, back-references and the like leave RE2 empty. A text that is no
// pattern is an error of kind Invalid.
func New(text string) (Pattern, error) {
	t := translator{text: text, exact: true}
	if err := t.translate(); err != nil {
		return Pattern{}, fault.New(fault.Invalid, "pattern %q: %w", text, err)
	}
	p := Pattern{Text: text}
	if t.exact {
		// What is left to fail is RE2's limit on repetitions.
		if _, err := regexp.Compile(t.out.String()); err == nil {
			p.RE2 = t.out.String()
			return p, nil
		}
	}
	p.Backtrack = t.back.String()
	return p, nil
}

// translator walks over an ECMA pattern and writes it in RE2's words.
type translator struct {
	text  string
	at    int
	out   strings.Builder
	back  strings.Builder
	exact bool // false once a part has no counterpart in RE2
	depth int
	atom  bool     // the last part can be repeated
	names []string // of the capturing groups so far, empty for one without
}

const (
	ecmaSpace   = `\t\n\v\f\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}`
	ecmaNewline = `\n\r\x{2028}\x{2029}`
	ecmaWord    = `0-9A-Za-z_`

	// Other matchers take letters of any alphabet for parts of a word.
	boundary   = `(?:(?<=[` + ecmaWord + `])(?![` + ecmaWord + `])|(?<![` + ecmaWord + `])(?=[` + ecmaWord + `]))`
	noBoundary = `(?:(?<=[` + ecmaWord + `])(?=[` + ecmaWord + `])|(?<![` + ecmaWord + `])(?![` + ecmaWord + `]))`
)

func (t *translator) translate() error {
	if !utf8.ValidString(t.text) {
		return fmt.Errorf("not UTF-8")
	}
	for t.at < len(t.text) {
		if err := t.part(); err != nil {
			return err
		}
	}
	if t.depth > 0 {
		return fmt.Errorf("a group has no end")
	}
	return nil
}

func (t *translator) part() error {
	r, size := utf8.DecodeRuneInString(t.text[t.at:])
	switch r {
	case '\\':
		return t.escape()
	case '[':
		return t.class()
	case '(':
		return t.group()
	case '*', '+', '?', '{':
		return t.quantifier()
	}
	t.at += size
	switch r {
	case ')':
		if t.depth--; t.depth < 0 {
			return fmt.Errorf("a ) has no (")
		}
		t.write(")", true)
	case '^', '$', '|':
		t.write(string(r), false)
	case '.':
		t.write("[^"+ecmaNewline+"]", true)
	case '}', ']':
		return fmt.Errorf("a %c without its beginning; write \\%c", r, r)
	default:
		t.write(quoteRune(r), true)
	}
	return nil
}

// write appends a part that both matchers know, but for how characters are numbered.
func (t *translator) write(part string, atom bool) {
	t.out.WriteString(part)
	t.writeBack(strings.ReplaceAll(part, `\x{`, `\u{`), atom)
}

// writeBack appends a part for the matcher that backtracks.
func (t *translator) writeBack(part string, atom bool) {
	t.back.WriteString(part)
	t.atom = atom
}

func (t *translator) group() error {
	t.depth++
	rest := t.text[t.at:]
	if !strings.HasPrefix(rest, "(?") {
		t.at++
		t.names = append(t.names, "")
		t.write("(", false)
		return nil
	}
	for _, open := range []string{"(?:", "(?=", "(?!", "(?<=", "(?<!"} {
		if !strings.HasPrefix(rest, open) {
			continue
		}
		t.at += len(open)
		if open == "(?:" {
			t.write(open, false)
		} else {
			t.exact = false
			t.writeBack(open, false)
		}
		return nil
	}
	if !strings.HasPrefix(rest, "(?<") {
		return fmt.Errorf("(?%.1s is not part of ECMA-262", strings.TrimPrefix(rest, "(?"))
	}
	name, _, closed := strings.Cut(rest[3:], ">")
	if !closed || !groupName.MatchString(name) || slices.Contains(t.names, name) {
		return fmt.Errorf("a group has no usable name")
	}
	t.at += len(name) + 4
	t.names = append(t.names, name)
	t.write("(", false) // other matchers number named groups after all others
	return nil
}

// reference writes a back-reference to a group by its number.
func (t *translator) reference(number int) error {
	if number < 1 || number > len(t.names) {
		return fmt.Errorf("a reference to a group that does not come before it")
	}
	t.exact = false
	t.writeBack(fmt.Sprintf(`(?:\%d)`, number), true)
	return nil
}

var (
	groupName      = regexp.MustCompile(`^[A-Za-z_$][0-9A-Za-z_$]*$`)
	countedPattern = regexp.MustCompile(`^\{([0-9]{1,6})(,([0-9]{0,6}))?\}`)
)

func (t *translator) quantifier() error {
	if !t.atom {
		return fmt.Errorf("nothing to repeat before %q", t.text[t.at:t.at+1])
	}
	part := t.text[t.at : t.at+1]
	if part == "{" {
		m := countedPattern.FindStringSubmatch(t.text[t.at:])
		if m == nil {
			return fmt.Errorf(`a { that is no repetition; write \{`)
		}
		least, _ := strconv.Atoi(m[1])
		if most, err := strconv.Atoi(m[3]); err == nil && most < least {
			return fmt.Errorf("the repetition %s ends before it begins", m[0])
		}
		part = m[0]
	}
	t.at += len(part)
	if strings.HasPrefix(t.text[t.at:], "?") {
		t.at++ // lazy: which text matches changes, whether one does not
	}
	t.write(part, false)
	return nil
}

// escape translates a backslash and what follows, outside a class.
func (t *translator) escape() error {
	if t.at+1 >= len(t.text) {
		return fmt.Errorf("a backslash at the end")
	}
	switch c := t.text[t.at+1]; c {
	case 'b', 'B':
		t.at += 2
		t.out.WriteString(`\` + string(c))
		t.writeBack(map[byte]string{'b': boundary, 'B': noBoundary}[c], false)
		return nil
	case 'd', 'D', 'w', 'W', 's', 'S':
		t.at += 2
		set := map[byte]string{'d': "0-9", 'w': ecmaWord, 's': ecmaSpace}[c|0x20]
		if c < 'a' {
			set = "^" + set
		}
		t.write("["+set+"]", true)
		return nil
	case '1', '2', '3', '4', '5', '6', '7', '8', '9':
		start := t.at + 1
		for t.at = start; t.at < len(t.text) && isDigit(t.text[t.at]); {
			t.at++
		}
		number, err := strconv.Atoi(t.text[start:t.at])
		if err != nil {
			number = 0
		}
		return t.reference(number)
	case 'k':
		name, err := t.named(c, "<", ">")
		if err != nil {
			return err
		}
		return t.reference(slices.Index(t.names, name) + 1)
	case 'p', 'P':
		name, err := t.named(c, "{", "}")
		t.exact = false
		t.writeBack(`\`+string(c)+"{"+name+"}", true)
		return err
	}
	r, err := t.escapedRune()
	if err == nil {
		t.write(quoteRune(r), true)
	}
	return err
}

// named reads the name of \k<name>, or of \p{name}, which RE2 counts by another Unicode.
func (t *translator) named(c byte, open, end string) (string, error) {
	rest, ok := strings.CutPrefix(t.text[t.at+2:], open)
	name, _, closed := strings.Cut(rest, end)
	if !ok || !closed || !groupName.MatchString(name) {
		return "", fmt.Errorf("\\%c has no usable name", c)
	}
	t.at += 2 + len(open) + len(name) + len(end)
	return name, nil
}

// escapedRune reads an escape that stands for one character.
func (t *translator) escapedRune() (rune, error) {
	rest := t.text[t.at+1:]
	r, size := utf8.DecodeRuneInString(rest)
	t.at += 1 + size
	switch r {
	case 't':
		return '\t', nil
	case 'n':
		return '\n', nil
	case 'v':
		return '\v', nil
	case 'f':
		return '\f', nil
	case 'r':
		return '\r', nil
	case '0':
		if len(rest) > 1 && isDigit(rest[1]) {
			return 0, fmt.Errorf("octal escapes are not part of ECMA-262")
		}
		return 0, nil
	case 'c':
		if len(rest) < 2 || !unicode.IsLetter(rune(rest[1])) || rest[1] > 'z' {
			return 0, fmt.Errorf(`\c without a letter`)
		}
		t.at++
		return rune(rest[1] & 31), nil
	case 'x':
		return t.hex(rest[1:], 2)
	case 'u':
		if digits, _, closed := strings.Cut(rest[1:], "}"); closed && strings.HasPrefix(digits, "{") {
			n, err := strconv.ParseUint(digits[1:], 16, 32)
			if err != nil || n > unicode.MaxRune {
				return 0, fmt.Errorf(`\u%s} is no character`, digits)
			}
			t.at += len(digits) + 1
			return rune(n), nil
		}
		return t.hex(rest[1:], 4)
	}
	if unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' || r > unicode.MaxASCII {
		return 0, fmt.Errorf(`\%c is no escape of ECMA-262`, r)
	}
	return r, nil
}

func (t *translator) hex(rest string, digits int) (rune, error) {
	if len(rest) < digits {
		return 0, fmt.Errorf("an escape needs %d hexadecimal digits", digits)
	}
	n, err := strconv.ParseUint(rest[:digits], 16, 32)
	if err != nil {
		return 0, fmt.Errorf("an escape needs %d hexadecimal digits", digits)
	}
	t.at += digits
	if n >= 0xd800 && n < 0xe000 {
		t.exact = false // half of a pair: only a matcher that knows pairs can tell
	}
	return rune(n), nil
}

// class translates [ … ].
func (t *translator) class() error {
	t.at++
	negated := strings.HasPrefix(t.text[t.at:], "^")
	if negated {
		t.at++
	}
	var set strings.Builder
	for {
		switch {
		case t.at >= len(t.text):
			return fmt.Errorf("a [ has no end")
		case t.text[t.at] == ']':
			t.at++
			t.write(finishClass(set.String(), negated), true)
			return nil
		}
		if err := t.classRange(&set); err != nil {
			return err
		}
	}
}

// finishClass closes a class; RE2 has no empty ones.
func finishClass(set string, negated bool) string {
	const all = `\x{0}-\x{10ffff}`
	switch {
	case set == "" && negated:
		return "[" + all + "]"
	case set == "":
		return "[^" + all + "]"
	case negated:
		return "[^" + set + "]"
	}
	return "[" + set + "]"
}

func (t *translator) classRange(set *strings.Builder) error {
	low, single, err := t.classItem(set)
	if err != nil {
		return err
	}
	if rest := t.text[t.at:]; !strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, "-]") {
		if single {
			set.WriteString(quoteClassRune(low))
		}
		return nil
	}
	t.at++
	if t.at >= len(t.text) {
		return fmt.Errorf("a [ has no end")
	}
	high, ends, err := t.classItem(set)
	if err != nil {
		return err
	}
	if !single || !ends {
		return fmt.Errorf("a range in [ ] begins or ends with a class")
	}
	if high < low {
		return fmt.Errorf("the range %c-%c ends before it begins", low, high)
	}
	set.WriteString(quoteClassRune(low) + "-" + quoteClassRune(high))
	return nil
}

// classItem reads one character, or writes a class such as \d into the set.
func (t *translator) classItem(set *strings.Builder) (r rune, single bool, err error) {
	r, size := utf8.DecodeRuneInString(t.text[t.at:])
	if r != '\\' {
		t.at += size
		return r, true, nil
	}
	if t.at+1 >= len(t.text) {
		return 0, false, fmt.Errorf("a backslash at the end")
	}
	switch c := t.text[t.at+1]; c {
	case 'd':
		set.WriteString("0-9")
	case 'w':
		set.WriteString(ecmaWord)
	case 's':
		set.WriteString(ecmaSpace)
	case 'D', 'W':
		set.WriteString(`\` + string(c))
	case 'S':
		t.exact = false
		set.WriteString(`\S`)
	case 'p', 'P':
		name, err := t.named(c, "{", "}")
		t.exact = false
		set.WriteString(`\` + string(c) + "{" + name + "}")
		return 0, false, err
	case 'b':
		t.at += 2
		return '\b', true, nil
	case '-':
		t.at += 2
		return '-', true, nil
	default:
		r, err = t.escapedRune()
		return r, true, err
	}
	t.at += 2
	return 0, false, nil
}

func quoteRune(r rune) string {
	if r < ' ' || r >= 0x7f {
		return fmt.Sprintf(`\x{%x}`, r)
	}
	return regexp.QuoteMeta(string(r))
}

func quoteClassRune(r rune) string {
	if unicode.IsLetter(r) && r < 0x7f || unicode.IsDigit(r) && r < 0x7f {
		return string(r)
	}
	return fmt.Sprintf(`\x{%x}`, r)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
