package dialect

import (
	"encoding/hex"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/core/fault"
)

// Literal writes a value as SQL, for the few places where an engine cannot bind
// a parameter. It takes nil, bool, integers, floats, string, []byte, *big.Rat
// with a finite decimal form, and time.Time (an instant). Anything else, and
// text that the engine cannot hold, is an error of kind Invalid.
func (d Dialect) Literal(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "NULL", nil
	case bool:
		return strings.ToUpper(strconv.FormatBool(v)), nil
	case int:
		return d.signed(int64(v)), nil
	case int16:
		return d.signed(int64(v)), nil
	case int32:
		return d.signed(int64(v)), nil
	case int64:
		return d.signed(v), nil
	case uint64:
		return strconv.FormatUint(v, 10), nil
	case float32:
		return d.float(float64(v)), nil
	case float64:
		return d.float(v), nil
	case string:
		return d.text(v)
	case []byte:
		return d.bytes(v), nil
	case *big.Rat:
		return rational(v)
	case time.Time:
		if year := v.UTC().Year(); year < 1 || year > 9999 {
			return "", fault.New(fault.Invalid, "the year %d is not between 1 and 9999", year)
		}
		return "TIMESTAMP WITH TIME ZONE '" + v.UTC().Format("2006-01-02 15:04:05.999999") + "+00'", nil
	}
	return "", fault.New(fault.Invalid, "a value of type %T cannot be written as SQL", value)
}

// signed keeps the least number readable: engines read -9223372036854775808 as
// the negation of a number that does not fit.
func (d Dialect) signed(n int64) string {
	if n == math.MinInt64 {
		return "(-9223372036854775807 - 1)"
	}
	if n < 0 {
		return "(" + strconv.FormatInt(n, 10) + ")"
	}
	return strconv.FormatInt(n, 10)
}

func (d Dialect) float(f float64) string {
	text := strconv.FormatFloat(f, 'e', -1, 64)
	switch {
	case math.IsNaN(f):
		text = "NaN"
	case math.IsInf(f, 0):
		text = strings.Replace(text, "Inf", "Infinity", 1)
		text = strings.TrimPrefix(text, "+")
	}
	return "CAST('" + text + "' AS double precision)"
}

func (d Dialect) text(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", fault.New(fault.Invalid, "the text %q is not UTF-8", s)
	}
	if !strings.ContainsRune(s, 0) {
		return quoteText(s), nil
	}
	if d.engine != engineDuckDB {
		return "", fault.New(fault.Invalid, "the text %q contains NUL, which %s cannot hold", s, d.name)
	}
	parts := strings.Split(s, "\x00")
	for i, part := range parts {
		parts[i] = quoteText(part)
	}
	return "(" + strings.Join(parts, " || chr(0) || ") + ")", nil
}

func quoteText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func (d Dialect) bytes(b []byte) string {
	if d.engine == enginePostgreSQL {
		return `'\x` + hex.EncodeToString(b) + `'::bytea`
	}
	return "unhex('" + hex.EncodeToString(b) + "')"
}

func rational(r *big.Rat) (string, error) {
	digits, finite := r.FloatPrec()
	if !finite {
		return "", fault.New(fault.Invalid, "the number %s has no finite decimal form", r)
	}
	text := r.FloatString(digits)
	if r.Sign() < 0 {
		text = "(" + text + ")"
	}
	return text, nil
}
