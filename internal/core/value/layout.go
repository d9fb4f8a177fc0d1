package value

import (
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
)

// layout is a format of JDK letters, such as dd.MM.yyyy HH:mm, taken apart.
type layout struct {
	parts []layoutPart
	has   map[byte]bool
}

// layoutPart is count times a letter, or literal text.
type layoutPart struct {
	letter  byte
	count   int
	literal string
}

// layoutLetters are the letters with their allowed counts. Names of days and
// months in languages, eras, and two-digit years are not among them: they would
// make the reader guess.
var layoutLetters = map[byte][]int{
	'y': {4}, 'u': {4}, 'M': {1, 2}, 'd': {1, 2}, 'H': {1, 2}, 'h': {1, 2}, 'm': {1, 2}, 's': {1, 2}, 'a': {1},
	'S': {1, 2, 3, 4, 5, 6, 7, 8, 9}, 'X': {1, 2, 3}, 'x': {1, 2, 3}, 'Z': {1, 2, 3},
}

// parseLayout reads the format of a field of type t.
func parseLayout(format string, t datatype.Type) (*layout, error) {
	l := &layout{has: make(map[byte]bool)}
	for i := 0; i < len(format); {
		c := format[i]
		switch {
		case c == '\'':
			text, next, ok := quotedLiteral(format, i)
			if !ok {
				return nil, fault.New(fault.Invalid, "the format %q has a quote without end", format)
			}
			l.parts = append(l.parts, layoutPart{literal: text})
			i = next
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
			n := 1
			for i+n < len(format) && format[i+n] == c {
				n++
			}
			if err := l.addLetter(format, c, n); err != nil {
				return nil, err
			}
			i += n
		case strings.IndexByte("[]{}#", c) >= 0:
			return nil, fault.New(fault.Invalid, "the format %q has optional parts, which are not supported", format)
		default:
			l.parts = append(l.parts, layoutPart{literal: format[i : i+1]})
			i++
		}
	}
	return l, l.check(format, t)
}

func quotedLiteral(format string, i int) (text string, next int, ok bool) {
	var b strings.Builder
	for i++; i < len(format); i++ {
		if format[i] != '\'' {
			b.WriteByte(format[i])
			continue
		}
		if i+1 < len(format) && format[i+1] == '\'' {
			b.WriteByte('\'')
			i++
			continue
		}
		if b.Len() == 0 {
			return "'", i + 1, true
		}
		return b.String(), i + 1, true
	}
	return "", 0, false
}

func (l *layout) addLetter(format string, c byte, n int) error {
	for _, allowed := range layoutLetters[c] {
		if n != allowed {
			continue
		}
		if c == 'u' {
			c = 'y'
		}
		if c == 'x' || c == 'Z' {
			c = 'X'
		}
		if l.has[c] {
			return fault.New(fault.Invalid, "the format %q has %q twice", format, c)
		}
		l.has[c] = true
		l.parts = append(l.parts, layoutPart{letter: c, count: n})
		return nil
	}
	return fault.New(fault.Invalid, "the format %q: %q is not supported", format, strings.Repeat(string(c), n))
}

// check refuses formats that lack a part of the type, or have one that it does not keep.
func (l *layout) check(format string, t datatype.Type) error {
	date := l.has['y'] && l.has['M'] && l.has['d']
	anyDate := l.has['y'] || l.has['M'] || l.has['d']
	hour := l.has['H'] != l.has['h'] && l.has['h'] == l.has['a']
	anyTime := l.has['H'] || l.has['h'] || l.has['m'] || l.has['s'] || l.has['S'] || l.has['a']
	fine := (!l.has['m'] || hour) && (!l.has['s'] || l.has['m']) && (!l.has['S'] || l.has['s'])
	ok := false
	switch t.Kind {
	case datatype.Date:
		ok = date && !anyTime && !l.has['X']
	case datatype.Time:
		ok = !anyDate && hour && fine && !l.has['X']
	case datatype.Timestamp:
		ok = date && hour && fine && !l.has['X']
	case datatype.TimestampTZ:
		ok = date && hour && fine
	default:
	}
	if !ok {
		return fault.New(fault.Invalid, "the format %q does not give exactly a %s", format, t.Kind)
	}
	return nil
}

// read takes text apart by the format. Digits are as many as letters, except
// that a single letter takes one digit or two.
func (l *layout) read(text string, unit time.Duration) (moment, Flaw) {
	values := map[byte]int{'M': 1, 'd': 1, 'y': 1970}
	var m moment
	afternoon := 0
	for _, p := range l.parts {
		var ok bool
		switch p.letter {
		case 0:
			text, ok = strings.CutPrefix(text, p.literal)
		case 'a':
			afternoon, text, ok = readHalf(text)
		case 'X':
			m.offset, text, ok = readOffset(text)
			m.zoned = true
		case 'S':
			m.clock.nanos, m.clock.cut, text, ok = readFraction(text, p.count, unit)
		default:
			values[p.letter], text, ok = readDigits(text, p.count)
		}
		if !ok {
			return m, NotFormat
		}
	}
	if text != "" {
		return m, NotFormat
	}
	hour := values['H']
	if l.has['h'] {
		if values['h'] < 1 || values['h'] > 12 {
			return m, NotFormat
		}
		hour = values['h']%12 + afternoon
	}
	if hour > 23 || values['m'] > 59 || values['s'] > 59 {
		return m, NotFormat
	}
	m.clock.seconds = int64(hour*3600 + values['m']*60 + values['s'])
	var f Flaw
	m.day, f = days(values['y'], values['M'], values['d'])
	return m, f
}

func readDigits(text string, count int) (value int, rest string, ok bool) {
	most := count
	if count == 1 {
		most = 2
	}
	i := 0
	for i < most && i < len(text) && isDigit(text[i]) {
		value = value*10 + int(text[i]-'0')
		i++
	}
	return value, text[i:], i >= count
}

func readFraction(text string, count int, unit time.Duration) (nanos int64, cut bool, rest string, ok bool) {
	scale := int64(time.Second)
	for i := range count {
		if i >= len(text) || !isDigit(text[i]) {
			return 0, false, "", false
		}
		scale /= 10
		if scale >= int64(unit) {
			nanos += int64(text[i]-'0') * scale
		} else if text[i] != '0' {
			cut = true
		}
	}
	return nanos, cut, text[count:], true
}

func readHalf(text string) (hours int, rest string, ok bool) {
	switch {
	case len(text) < 2:
		return 0, "", false
	case asciiFold(text[:2], "am"):
		return 0, text[2:], true
	case asciiFold(text[:2], "pm"):
		return 12, text[2:], true
	}
	return 0, "", false
}

// readOffset takes the longest offset at the start of text.
func readOffset(text string) (offset int64, rest string, ok bool) {
	for _, n := range []int{6, 5, 3, 1} {
		if n <= len(text) {
			if offset, ok = parseOffset(text[:n]); ok {
				return offset, text[n:], true
			}
		}
	}
	return 0, "", false
}
