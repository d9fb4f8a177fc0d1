package value

import (
	"encoding/json"
	"math/big"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
)

// Day is a date: days from 1970-01-01.
type Day int32

// Wall is a timestamp without zone: the time that a clock shows, as if it were UTC.
type Wall struct{ time.Time }

// Clock is a time of day: the time since midnight.
type Clock time.Duration

// Caster casts values to one type, one by one: the reference for the kernel.
//
// Go values stand for types as follows: nil, bool, int64 for the signed
// integers, uint64, float32, float64, *big.Rat for decimal, string for string,
// uuid and json, []byte, Day, Clock, Wall, time.Time for timestamptz, []any for
// list and map[string]any for struct.
type Caster struct {
	Type   datatype.Type
	zone   *time.Location
	layout *layout
	lossy  bool
}

// NewCaster returns a caster to t. The zone is the default time zone, or nil;
// the format is one of JDK letters, or empty. Errors are of kind Invalid.
func NewCaster(t datatype.Type, zone *time.Location, format string) (Caster, error) {
	if err := t.Validate(); err != nil {
		return Caster{}, err
	}
	c := Caster{Type: t, zone: zone}
	if format == "" {
		return c, nil
	}
	var err error
	c.layout, err = parseLayout(format, t)
	return c, err
}

// ISO returns the caster without its format.
func (c Caster) ISO() Caster {
	c.layout = nil
	return c
}

// Lossy returns the caster of the verdict coerce.
func (c Caster) Lossy() Caster {
	c.lossy = true
	return c
}

// Cast reads text as a value of type t, without a default time zone, as the
// package comment says. The error is of kind Refused.
func Cast(text string, t datatype.Type) (any, error) {
	c, err := NewCaster(t, nil, "")
	if err != nil {
		return nil, err
	}
	v, f := c.Text(text)
	if f != Sound {
		return nil, fault.New(fault.Refused, "%q %s", text, f)
	}
	return v, nil
}

func (c Caster) of(t datatype.Type) Caster {
	return Caster{Type: t, zone: c.zone, lossy: c.lossy}
}

func (c Caster) unit() time.Duration {
	if c.Type.Precision == 9 {
		return time.Nanosecond
	}
	return time.Microsecond
}

// Text casts text as a text source delivers it.
func (c Caster) Text(text string) (any, Flaw) {
	v, f := c.text(text)
	if f == Sound || !c.lossy {
		return v, f
	}
	return c.lossyText(text, f)
}

func (c Caster) text(text string) (any, Flaw) {
	if c.layout != nil {
		return c.formatted(text)
	}
	switch t := c.Type; t.Kind {
	case datatype.Bool:
		return result(ParseBool(text))
	case datatype.Int16, datatype.Int32, datatype.Int64:
		least, most := IntegerRange(t.Kind)
		return result(ParseInteger(text, least, most))
	case datatype.Uint64:
		return result(ParseUnsigned(text))
	case datatype.Float64:
		return result(ParseFloat(text, 64))
	case datatype.Float32:
		v, f := ParseFloat(text, 32)
		return result(float32(v), f)
	case datatype.Decimal:
		return c.decimalText(text)
	case datatype.String:
		return result(text, CheckText(text, t.Length))
	case datatype.UUID:
		_, f := CheckUUID(text)
		return result(strings.ToLower(text), f)
	case datatype.JSON:
		return result(text, CheckDocument(text, t.Shape))
	case datatype.Bytes:
		return result(ParseBytes(nil, text))
	case datatype.Date:
		day, f := ParseDate(text)
		return result(Day(day), f)
	case datatype.Time:
		n, f := ParseClock(text, c.unit())
		return result(Clock(time.Duration(n)*c.unit()), f)
	case datatype.Timestamp:
		n, f := ParseTimestamp(text, c.unit())
		return result(Wall{c.moment(n)}, f)
	case datatype.TimestampTZ:
		n, f := ParseInstant(text, c.zone, c.unit())
		return result(c.moment(n), f)
	case datatype.List, datatype.Struct:
		return c.document(text)
	}
	return nil, NoCast
}

// result drops the value of a failed cast, so that nobody uses it.
func result[T any](v T, f Flaw) (any, Flaw) {
	if f != Sound {
		return nil, f
	}
	return v, Sound
}

func (c Caster) moment(n int64) time.Time {
	if c.unit() == time.Nanosecond {
		return time.Unix(0, n).UTC()
	}
	return time.UnixMicro(n).UTC()
}

func (c Caster) decimalText(text string) (any, Flaw) {
	if c.Type.Precision == 0 {
		if !IsDecimal(text) {
			return nil, NotNumber
		}
	} else if _, f := ParseDecimal(text, c.Type.Precision, c.Type.Scale); f != Sound {
		return nil, f
	}
	return Rat(text), Sound
}

// Rat reads a decimal text that was checked before.
func Rat(text string) *big.Rat {
	text = strings.TrimSuffix(text, ".")
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return new(big.Rat)
	}
	return r
}

func (c Caster) formatted(text string) (any, Flaw) {
	m, f := c.layout.read(text, c.unit())
	switch {
	case f != Sound:
		return nil, f
	case m.clock.cut && !c.lossy:
		return nil, TooFine
	}
	return c.fromMoment(m)
}

func (c Caster) fromMoment(m moment) (any, Flaw) {
	switch c.Type.Kind {
	case datatype.Date:
		return Day(m.day), Sound
	case datatype.Time:
		return Clock(time.Duration(m.clock.seconds)*time.Second + time.Duration(m.clock.nanos)), Sound
	case datatype.Timestamp:
		n, f := units(m.wall(), m.clock.nanos, c.unit())
		return result(Wall{c.moment(n)}, f)
	default:
		seconds := m.wall() - m.offset
		if !m.zoned {
			var f Flaw
			if seconds, f = c.toInstant(m.wall()); f != Sound {
				return nil, f
			}
		}
		n, f := units(seconds, m.clock.nanos, c.unit())
		return result(c.moment(n), f)
	}
}

// toInstant is ToInstant, and settles skipped and repeated hours when lossy.
func (c Caster) toInstant(wall int64) (int64, Flaw) {
	seconds, f := ToInstant(wall, c.zone)
	if c.lossy && (f == SkippedHour || f == RepeatedHour) {
		f = Sound
	}
	return seconds, f
}

// document reads a JSON array or object as a list or struct.
func (c Caster) document(text string) (any, Flaw) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if CheckJSON(text) != Sound || d.Decode(&v) != nil {
		return nil, NotJSON
	}
	return c.nested(v, Caster.fromJSON)
}

// fromJSON casts a part of what encoding/json made: numbers are read as text.
func (c Caster) fromJSON(v any) (any, Flaw) {
	switch {
	case v == nil:
		return nil, Sound
	case c.Type.Kind == datatype.JSON:
		return c.reencode(v)
	case c.Type.IsNested():
		return c.nested(v, Caster.fromJSON)
	}
	switch v := v.(type) {
	case json.Number:
		return c.Text(string(v))
	case string:
		return c.Text(v)
	}
	return c.Value(v)
}

// reencode writes a part of a document as a document of its own.
func (c Caster) reencode(v any) (any, Flaw) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return nil, NotJSON
	}
	text := strings.TrimSuffix(b.String(), "\n")
	return result(text, CheckDocument(text, c.Type.Shape))
}

// nested casts the members of a list or struct.
func (c Caster) nested(v any, cast func(Caster, any) (any, Flaw)) (any, Flaw) {
	switch v := v.(type) {
	case []any:
		if c.Type.Kind != datatype.List {
			return nil, NotStruct
		}
		out := make([]any, len(v))
		for i, item := range v {
			var f Flaw
			if out[i], f = cast(c.of(*c.Type.Elem), item); f != Sound {
				return nil, NotList
			}
		}
		return out, Sound
	case map[string]any:
		if c.Type.Kind != datatype.Struct {
			return nil, NotList
		}
		out := make(map[string]any, len(c.Type.Fields))
		for name := range v {
			if (datatype.Schema{Fields: c.Type.Fields}).Index(name) < 0 {
				return nil, NotStruct
			}
		}
		for _, field := range c.Type.Fields {
			member, f := cast(c.of(field.Type), v[field.Name])
			if f != Sound || member == nil && field.Required {
				return nil, NotStruct
			}
			out[field.Name] = member
		}
		return out, Sound
	}
	if c.Type.Kind == datatype.List {
		return nil, NotList
	}
	return nil, NotStruct
}

// IntegerRange returns the least and the greatest value of a signed integer type.
func IntegerRange(k datatype.Kind) (least, most int64) {
	switch k {
	case datatype.Int16:
		return -1 << 15, 1<<15 - 1
	case datatype.Int32:
		return -1 << 31, 1<<31 - 1
	default:
		return -1 << 63, 1<<63 - 1
	}
}
