package value

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/core/datatype"
)

// CheckText reports whether the text can be a string of at most length
// characters; 0 is no limit.
func CheckText(text string, length int) Flaw {
	switch {
	case !utf8.ValidString(text):
		return NotUTF8
	case strings.IndexByte(text, 0) >= 0:
		return HasNUL
	case length > 0 && len(text) > length && utf8.RuneCountInString(text) > length:
		return TooLong
	}
	return Sound
}

// CheckUUID reports whether the text is 8-4-4-4-12 hexadecimal digits, and
// whether all of them are in lower case.
func CheckUUID(text string) (lower bool, f Flaw) {
	if len(text) != 36 {
		return false, NotUUID
	}
	lower = true
	for i := range len(text) {
		c := text[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false, NotUUID
			}
		case isDigit(c), c >= 'a' && c <= 'f':
		case c >= 'A' && c <= 'F':
			lower = false
		default:
			return false, NotUUID
		}
	}
	return lower, Sound
}

// CheckJSON reports whether the text is one JSON document whose escapes are
// characters: engines refuse half of a surrogate pair, and NUL.
func CheckJSON(text string) Flaw {
	switch {
	case !utf8.ValidString(text):
		return NotUTF8
	case !json.Valid([]byte(text)):
		return NotJSON
	}
	for rest := text; ; {
		at := strings.IndexByte(rest, '\\')
		if at < 0 {
			return Sound
		}
		rest = rest[at+1:]
		if rest[0] != 'u' {
			rest = rest[1:]
			continue
		}
		unit := hexUnit(rest[1:])
		rest = rest[5:]
		switch {
		case unit == 0:
			return HasNUL
		case unit >= 0xdc00 && unit < 0xe000:
			return NotJSON
		case unit >= 0xd800 && unit < 0xdc00:
			if !strings.HasPrefix(rest, `\u`) {
				return NotJSON
			}
			if low := hexUnit(rest[2:]); low < 0xdc00 || low >= 0xe000 {
				return NotJSON
			}
			rest = rest[6:]
		}
	}
}

// CheckDocument is CheckJSON of a document that has to have a shape.
func CheckDocument(text string, shape datatype.Shape) Flaw {
	f := CheckJSON(text)
	if f != Sound || shape == datatype.AnyShape {
		return f
	}
	switch open := strings.TrimLeft(text, " \t\r\n")[0]; {
	case shape == datatype.ObjectShape && open != '{':
		return NotObject
	case shape == datatype.ArrayShape && open != '[':
		return NotArray
	}
	return Sound
}

// hexUnit reads the four hexadecimal digits of an escape in valid JSON.
func hexUnit(text string) int {
	unit := 0
	for i := range 4 {
		unit = unit<<4 | int(hexValue(text[i]))
	}
	return unit
}

// ParseBytes appends the bytes that \x and hexadecimal digits stand for.
func ParseBytes(dst []byte, text string) ([]byte, Flaw) {
	if len(text)%2 != 0 || !strings.HasPrefix(text, `\x`) {
		return dst, NotBytes
	}
	for i := 2; i < len(text); i += 2 {
		high, low := hexValue(text[i]), hexValue(text[i+1])
		if high > 15 || low > 15 {
			return dst, NotBytes
		}
		dst = append(dst, high<<4|low)
	}
	return dst, Sound
}

func hexValue(c byte) byte {
	switch {
	case isDigit(c):
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}
