package value

import (
	"encoding/json"
	"math"
	"math/big"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/core/datatype"
)

// Value casts a typed value, or text.
func (c Caster) Value(v any) (any, Flaw) {
	switch v := v.(type) {
	case nil:
		return nil, Sound
	case string:
		return c.Text(v)
	case bool:
		if c.Type.Kind == datatype.Bool {
			return v, Sound
		}
		if c.Type.Kind == datatype.String {
			return c.Text(map[bool]string{true: "true", false: "false"}[v])
		}
		return nil, NoCast
	case int64, int, int32, int16, uint64, float32, float64, *big.Rat:
		return c.number(v)
	case []byte:
		if c.Type.Kind == datatype.Bytes {
			return v, Sound
		}
		return nil, NoCast
	case Day, Wall, Clock, time.Time:
		return c.temporal(v)
	case []any, map[string]any:
		switch c.Type.Kind {
		case datatype.JSON:
			return c.reencode(v)
		case datatype.List, datatype.Struct:
			return c.nested(v, Caster.Value)
		default: // no cast
		}
		return nil, NoCast
	}
	return nil, NoCast
}

// number casts a number to whatever numbers can become. The decimal text that
// stands for it is the bridge: see the package comment on shortest texts.
func (c Caster) number(v any) (any, Flaw) {
	text, exact := DecimalText(v)
	switch c.Type.Kind {
	case datatype.Float32, datatype.Float64:
		return c.float(v, text)
	case datatype.String:
		return c.Text(Text(v))
	case datatype.Int16, datatype.Int32, datatype.Int64, datatype.Uint64, datatype.Decimal:
		if !exact {
			return nil, Inexact // NaN and infinities
		}
		return c.Text(text)
	default: // no cast
	}
	return nil, NoCast
}

// DecimalText returns the decimal text of a number; false where it has none.
func DecimalText(v any) (string, bool) {
	switch v := v.(type) {
	case float32:
		return floatText(float64(v), 32)
	case float64:
		return floatText(v, 64)
	case uint64:
		return new(big.Int).SetUint64(v).String(), true
	case *big.Rat:
		digits, finite := v.FloatPrec()
		return v.FloatString(digits), finite
	default:
		return big.NewInt(asInt64(v)).String(), true
	}
}

func floatText(v float64, bitSize int) (string, bool) {
	text := FormatFloat(v, bitSize)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return text, false
	}
	if strings.IndexByte(text, 'e') >= 0 {
		r, _ := new(big.Rat).SetString(text)
		digits, _ := r.FloatPrec()
		return r.FloatString(digits), true
	}
	return text, true
}

func asInt64(v any) int64 {
	switch v := v.(type) {
	case int:
		return int64(v)
	case int32:
		return int64(v)
	case int16:
		return int64(v)
	case int64:
		return v
	}
	return 0
}

// float casts a number to a floating-point type: it fits if the shortest text
// of the nearest number is the same number.
func (c Caster) float(v any, text string) (any, Flaw) {
	bitSize := 64
	if c.Type.Kind == datatype.Float32 {
		bitSize = 32
	} else if narrow, ok := v.(float32); ok {
		return float64(narrow), Sound // the same binary number, whose shortest text is another
	}
	nearest, f := ParseFloat(text, bitSize)
	if f != Sound {
		return nil, f
	}
	back, finite := floatText(nearest, bitSize)
	if finite && !c.lossy && Rat(back).Cmp(Rat(text)) != 0 && !sameInteger(v, nearest) {
		return nil, Inexact
	}
	if bitSize == 32 {
		return float32(nearest), Sound
	}
	return nearest, Sound
}

// sameInteger reports whether an integer is exactly the floating-point number,
// whose shortest text may be a rounder one.
func sameInteger(v any, nearest float64) bool {
	switch v := v.(type) {
	case uint64:
		return new(big.Rat).SetFloat64(nearest).Cmp(new(big.Rat).SetUint64(v)) == 0
	case int64, int, int32, int16:
		return new(big.Rat).SetFloat64(nearest).Cmp(new(big.Rat).SetInt64(asInt64(v))) == 0
	}
	return false
}

// temporal casts dates, times and timestamps to each other and to text.
func (c Caster) temporal(v any) (any, Flaw) {
	if c.Type.Kind == datatype.String {
		return c.Text(temporalText(v))
	}
	switch v := v.(type) {
	case Day:
		wall := int64(v) * secondsPerDay
		switch c.Type.Kind {
		case datatype.Date:
			_, f := units(wall, 0, time.Microsecond)
			return result(v, f)
		case datatype.Timestamp:
			return c.wall(wall, 0)
		case datatype.TimestampTZ:
			seconds, f := c.toInstant(wall)
			if f != Sound {
				return nil, f
			}
			return c.instant(seconds, 0)
		default: // no cast
		}
	case Wall:
		switch c.Type.Kind {
		case datatype.Date:
			day := floorDiv(v.Unix(), secondsPerDay)
			if !c.lossy && (v.Unix()-day*secondsPerDay != 0 || v.Nanosecond() != 0) {
				return nil, NotMidnight
			}
			return c.of(c.Type).temporal(Day(day))
		case datatype.Timestamp:
			return c.wall(v.Unix(), v.Nanosecond())
		case datatype.TimestampTZ:
			seconds, f := c.toInstant(v.Unix())
			if f != Sound {
				return nil, f
			}
			return c.instant(seconds, v.Nanosecond())
		default: // no cast
		}
	case time.Time:
		switch c.Type.Kind {
		case datatype.TimestampTZ:
			return c.instant(v.Unix(), v.Nanosecond())
		case datatype.Timestamp:
			wall, f := ToWall(v.Unix(), c.zone)
			if f != Sound {
				return nil, f
			}
			return c.wall(wall, v.Nanosecond())
		default: // no cast
		}
	case Clock:
		if c.Type.Kind == datatype.Time {
			if time.Duration(v)%c.unit() != 0 && !c.lossy {
				return nil, TooFine
			}
			return v - v%Clock(c.unit()), Sound
		}
	}
	return nil, NoCast
}

func (c Caster) wall(seconds int64, nanos int) (any, Flaw) {
	t, f := c.instant(seconds, nanos)
	if f != Sound {
		return nil, f
	}
	return Wall{t.(time.Time)}, Sound
}

func (c Caster) instant(seconds int64, nanos int) (any, Flaw) {
	if int64(nanos)%int64(c.unit()) != 0 && !c.lossy {
		return nil, TooFine
	}
	n, f := units(seconds, int64(nanos), c.unit())
	return result(c.moment(n), f)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// temporalText writes a date, time or timestamp as the package comment reads it.
func temporalText(v any) string {
	switch v := v.(type) {
	case Day:
		return time.Unix(int64(v)*secondsPerDay, 0).UTC().Format(time.DateOnly)
	case Wall:
		return v.UTC().Format("2006-01-02T15:04:05.999999999")
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case Clock:
		return time.Unix(0, int64(v)).UTC().Format("15:04:05.999999999")
	}
	return ""
}

// Text writes a value as text that its type reads: for messages, quarantine
// rows and comparisons.
func Text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		if v {
			return "true"
		}
		return "false"
	case float32:
		return FormatFloat(float64(v), 32)
	case float64:
		return FormatFloat(v, 64)
	case int64, int, int32, int16, uint64, *big.Rat:
		text, _ := DecimalText(v)
		return text
	case []byte:
		return hexText(v)
	case Day, Wall, Clock, time.Time:
		return temporalText(v)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(text)
}

func hexText(b []byte) string {
	const digits = "0123456789abcdef"
	out := make([]byte, 2, 2+2*len(b))
	copy(out, `\x`)
	for _, c := range b {
		out = append(out, digits[c>>4], digits[c&15])
	}
	return string(out)
}

// lossyText reads text again, after flaw f, as the verdict coerce allows.
func (c Caster) lossyText(text string, f Flaw) (any, Flaw) {
	trimmed := strings.TrimSpace(text)
	switch c.Type.Kind {
	case datatype.String:
		if f == TooLong {
			return Cut(text, c.Type.Length), Sound
		}
		return nil, f
	case datatype.Int16, datatype.Int32, datatype.Int64, datatype.Uint64, datatype.Decimal:
		return c.round(trimmed, f)
	case datatype.Date, datatype.Time, datatype.Timestamp, datatype.TimestampTZ:
		if c.layout == nil {
			return c.lossyTime(trimmed, f)
		}
	default: // no cast
	}
	if trimmed != text {
		return c.text(trimmed)
	}
	return nil, f
}

// Cut returns the first length characters.
func Cut(text string, length int) string {
	for i := range text {
		if length == 0 {
			return text[:i]
		}
		length--
	}
	return text
}

// round reads a number in any notation and rounds it half away from zero.
func (c Caster) round(text string, f Flaw) (any, Flaw) {
	if !IsFloat(text) || !utf8.ValidString(text) || len(text) > 400 {
		return nil, f
	}
	scale := c.Type.Scale
	if end := strings.IndexAny(text, "eE"); end >= 0 {
		// Past such an exponent no type holds the number; a short text must not make a huge one.
		if exponent := strings.TrimLeft(text[end+1:], "+-0"); len(exponent) > 3 {
			return nil, f
		}
	}
	r, ok := new(big.Rat).SetString(strings.TrimSuffix(text, "."))
	if !ok {
		return nil, f
	}
	if c.Type.Kind == datatype.Decimal && c.Type.Precision == 0 {
		return r, Sound
	}
	return c.text(r.FloatString(scale))
}

func (c Caster) lossyTime(text string, f Flaw) (any, Flaw) {
	if c.Type.Kind == datatype.Time {
		k, rest, ok := parseClock(text, c.unit())
		if !ok || rest != "" {
			return nil, f
		}
		return c.fromMoment(moment{clock: k})
	}
	m, bad := parseMoment(text, c.unit())
	if day, dateFlaw := ParseDate(text); dateFlaw == Sound {
		m, bad = moment{day: day}, Sound
	}
	switch {
	case bad != Sound:
		return nil, f
	case c.Type.Kind == datatype.Timestamp && m.zoned:
		wall, f := ToWall(m.wall()-m.offset, c.zone)
		if f != Sound {
			return nil, HasZone
		}
		n, f := units(wall, m.clock.nanos, c.unit())
		return result(Wall{c.moment(n)}, f)
	}
	return c.fromMoment(m)
}
