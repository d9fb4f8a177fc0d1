package pgarrow

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/bits"
	"strconv"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
)

// Decoder appends one value, which is not null, to its column.
type Decoder func(value []byte) error

// PostgreSQL counts days and microseconds from the start of 2000.
const (
	epochDays   = 10_957
	epochMicros = epochDays * dayMicros
	dayMicros   = 86_400 * 1_000_000
)

// The days from the year 1 to the year 9999.
const (
	firstDay = -719_162
	lastDay  = 2_932_896
)

// NewDecoder returns what decodes the values of a column into a builder of the
// Arrow type of t. The oid is PostgreSQL's own name of the type.
func NewDecoder(oid uint32, t datatype.Type, to array.Builder) (Decoder, error) {
	switch b := to.(type) {
	case *array.BooleanBuilder:
		return sized(1, func(v []byte) { b.Append(v[0] != 0) }), nil
	case *array.Int16Builder:
		return sized(2, func(v []byte) { b.Append(int16(binary.BigEndian.Uint16(v))) }), nil
	case *array.Int32Builder:
		return sized(4, func(v []byte) { b.Append(int32(binary.BigEndian.Uint32(v))) }), nil
	case *array.Int64Builder:
		if oid == pgtype.OIDOID {
			return sized(4, func(v []byte) { b.Append(int64(binary.BigEndian.Uint32(v))) }), nil
		}
		return sized(8, func(v []byte) { b.Append(int64(binary.BigEndian.Uint64(v))) }), nil
	case *array.Float32Builder:
		return sized(4, func(v []byte) { b.Append(math.Float32frombits(binary.BigEndian.Uint32(v))) }), nil
	case *array.Float64Builder:
		return sized(8, func(v []byte) { b.Append(math.Float64frombits(binary.BigEndian.Uint64(v))) }), nil
	case *array.Decimal128Builder:
		return decimals(t.Scale, b), nil
	case *array.BinaryBuilder:
		return func(v []byte) error { b.Append(v); return nil }, nil
	case *array.Date32Builder:
		return days(b), nil
	case *array.Time64Builder:
		return clocks(b), nil
	case *array.TimestampBuilder:
		return instants(b), nil
	case *array.StringBuilder:
		return textDecoder(oid, b), nil
	}
	return nil, fault.New(fault.Internal, "nothing decodes a %s", t)
}

func textDecoder(oid uint32, b *array.StringBuilder) Decoder {
	switch {
	case oid == pgtype.UUIDOID:
		return sized(16, func(v []byte) { b.BinaryBuilder.Append(uuidText(v)) })
	case oid == pgtype.NumericOID:
		return func(v []byte) error {
			text, err := numericText(v)
			b.BinaryBuilder.Append(text)
			return err
		}
	case oid == pgtype.JSONBOID:
		return func(v []byte) error {
			if len(v) == 0 || v[0] != 1 {
				return fault.New(fault.Internal, "the server sends JSON of an unknown version")
			}
			b.BinaryBuilder.Append(v[1:])
			return nil
		}
	}
	return func(v []byte) error {
		if !utf8.Valid(v) {
			return fault.New(fault.Refused, "the text %q is not UTF-8", clip(v))
		}
		b.BinaryBuilder.Append(v)
		return nil
	}
}

func clip(v []byte) []byte { return v[:min(len(v), 60)] }

func sized(size int, take func([]byte)) Decoder {
	return func(v []byte) error {
		if len(v) != size {
			return fault.New(fault.Internal, "a value has %d bytes instead of %d", len(v), size)
		}
		take(v)
		return nil
	}
}

func days(b *array.Date32Builder) Decoder {
	return func(v []byte) error {
		if len(v) != 4 {
			return fault.New(fault.Internal, "a date has %d bytes", len(v))
		}
		switch day := int32(binary.BigEndian.Uint32(v)); {
		case day == math.MaxInt32 || day == math.MinInt32:
			return fault.New(fault.Refused, "the date is infinite, which no day is")
		case int64(day)+epochDays < firstDay || int64(day)+epochDays > lastDay:
			return fault.New(fault.Refused, "the date lies outside of the years 1 to 9999")
		default:
			b.Append(arrow.Date32(day + epochDays))
			return nil
		}
	}
}

func clocks(b *array.Time64Builder) Decoder {
	return func(v []byte) error {
		if len(v) != 8 {
			return fault.New(fault.Internal, "a time has %d bytes", len(v))
		}
		clock := int64(binary.BigEndian.Uint64(v))
		if clock < 0 || clock >= dayMicros {
			return fault.New(fault.Refused, "the time 24:00:00 is no time of day")
		}
		b.Append(arrow.Time64(clock))
		return nil
	}
}

func instants(b *array.TimestampBuilder) Decoder {
	return func(v []byte) error {
		if len(v) != 8 {
			return fault.New(fault.Internal, "a timestamp has %d bytes", len(v))
		}
		switch at := int64(binary.BigEndian.Uint64(v)); {
		case at == math.MaxInt64 || at == math.MinInt64:
			return fault.New(fault.Refused, "the timestamp is infinite, which no instant is")
		case at < firstDay*dayMicros-epochMicros || at >= (lastDay+1)*dayMicros-epochMicros:
			return fault.New(fault.Refused, "the timestamp lies outside of the years 1 to 9999")
		default:
			b.Append(arrow.Timestamp(at + epochMicros))
			return nil
		}
	}
}

func uuidText(v []byte) []byte {
	var text [36]byte
	at := 0
	for i, group := range [][]byte{v[:4], v[4:6], v[6:8], v[8:10], v[10:]} {
		if i > 0 {
			text[at] = '-'
			at++
		}
		at += hex.Encode(text[at:], group)
	}
	return text[:]
}

// The signs of a numeric.
const (
	numericPositive = 0x0000
	numericNegative = 0x4000
	numericNaN      = 0xC000
)

// numeric is a number as the server sends it: groups of four decimal digits.
type numeric struct {
	weight   int // of the first group, in groups
	negative bool
	scale    int // digits to show after the point
	groups   []byte
}

func readNumeric(v []byte) (numeric, error) {
	if len(v) < 8 || len(v) != 8+2*int(binary.BigEndian.Uint16(v)) {
		return numeric{}, fault.New(fault.Internal, "a number has %d bytes", len(v))
	}
	sign := binary.BigEndian.Uint16(v[4:])
	if sign == numericNaN {
		return numeric{}, fault.New(fault.Refused, "the number is NaN, which no decimal is")
	}
	if sign != numericPositive && sign != numericNegative {
		return numeric{}, fault.New(fault.Refused, "the number is infinite, which no decimal is")
	}
	return numeric{int(int16(binary.BigEndian.Uint16(v[2:]))), sign == numericNegative, int(binary.BigEndian.Uint16(v[6:])), v[8:]}, nil
}

func (n numeric) group(i int) uint64 {
	if i < 0 || 2*i >= len(n.groups) {
		return 0
	}
	return uint64(binary.BigEndian.Uint16(n.groups[2*i:]))
}

var powers = [...]uint64{1, 10, 100, 1000, 10_000}

// decimals decodes numbers as whole multiples of 10^-scale. What is none, or has
// more digits than fit, is refused.
func decimals(scale int, b *array.Decimal128Builder) Decoder {
	precision := b.Type().(*arrow.Decimal128Type).Precision
	return func(v []byte) error {
		n, err := readNumeric(v)
		if err != nil {
			return err
		}
		var high, low uint64
		fits := true
		push := func(factor, digits uint64) {
			over, first := bits.Mul64(low, factor)
			spill, second := bits.Mul64(high, factor)
			var carry uint64
			low, carry = bits.Add64(first, digits, 0)
			high, carry = bits.Add64(second, over, carry)
			fits = fits && spill == 0 && carry == 0 && high < 1<<63
		}
		last := n.weight + (scale+3)/4 // the group that holds the last digit wanted
		for i := 0; i <= last; i++ {
			group := n.group(i)
			cut := 0
			if i == last && scale%4 != 0 {
				cut = 4 - scale%4
			}
			fits = fits && group%powers[cut] == 0
			push(powers[4-cut], group/powers[cut])
		}
		for i := max(last+1, 0); 2*i < len(n.groups); i++ {
			fits = fits && n.group(i) == 0
		}
		number := decimal128.New(int64(high), low)
		if !fits || !number.FitsInPrecision(precision) {
			text, _ := numericText(v)
			return fault.New(fault.Refused, "the number %s has more digits than %s holds", text, datatype.DecimalOf(int(precision), scale))
		}
		if n.negative {
			number = number.Negate()
		}
		b.Append(number)
		return nil
	}
}

// numericText writes a number with all of its digits.
func numericText(v []byte) ([]byte, error) {
	n, err := readNumeric(v)
	if err != nil {
		return nil, err
	}
	var out []byte
	if n.negative {
		out = append(out, '-')
	}
	four := func(group uint64) []byte {
		text := strconv.AppendUint(nil, 10_000+group, 10)
		return text[1:]
	}
	var whole []byte
	for i := 0; i <= n.weight; i++ {
		whole = append(whole, four(n.group(i))...)
	}
	if whole = bytes.TrimLeft(whole, "0"); len(whole) == 0 {
		whole = []byte{'0'}
	}
	out = append(out, whole...)
	if n.scale == 0 {
		return out, nil
	}
	var fraction []byte
	for i := n.weight + 1; len(fraction) < n.scale; i++ {
		fraction = append(fraction, four(n.group(i))...)
	}
	return append(append(out, '.'), fraction[:n.scale]...), nil
}
