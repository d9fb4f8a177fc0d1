package pgarrow

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
)

// encoder appends the value of a row, which is not null, behind its length.
type encoder func(to []byte, row int) ([]byte, error)

// CopyReader is a batch as COPY … (FORMAT binary) wants it, encoded as it is read.
type CopyReader struct {
	names    []string
	columns  []arrow.Array
	encoders []encoder
	rows     int

	row     int
	waiting []byte
	buffer  []byte
	ended   bool
	err     error
}

// chunk is how much is encoded before it is handed on.
const chunk = 64 << 10

var copyHeader = []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")

// NewCopyReader reads a batch, whose columns are those of the fields in their order.
func NewCopyReader(batch arrow.RecordBatch, fields []datatype.Field) (*CopyReader, error) {
	r := &CopyReader{rows: int(batch.NumRows())}
	for i, f := range fields {
		e, err := encoderOf(f.Type, batch.Column(i))
		if err != nil {
			return nil, fault.New(fault.KindOf(err), "column %s: %w", f.Name, err)
		}
		r.names, r.columns, r.encoders = append(r.names, f.Name), append(r.columns, batch.Column(i)), append(r.encoders, e)
	}
	r.buffer = append(r.buffer, copyHeader...)
	r.waiting = r.buffer
	return r, nil
}

// Err is why encoding ended early; nil where it did not. Drivers do not give it back.
func (r *CopyReader) Err() error { return r.err }

// Read encodes further rows.
func (r *CopyReader) Read(p []byte) (int, error) {
	for len(r.waiting) == 0 {
		if r.ended {
			return 0, io.EOF
		}
		if r.err = r.fill(); r.err != nil {
			return 0, r.err
		}
	}
	n := copy(p, r.waiting)
	r.waiting = r.waiting[n:]
	return n, nil
}

func (r *CopyReader) fill() error {
	out := r.buffer[:0]
	for ; r.row < r.rows && len(out) < chunk; r.row++ {
		out = binary.BigEndian.AppendUint16(out, uint16(len(r.columns)))
		for i, c := range r.columns {
			if c.IsNull(r.row) {
				out = binary.BigEndian.AppendUint32(out, math.MaxUint32)
				continue
			}
			at := len(out)
			out = append(out, 0, 0, 0, 0)
			var err error
			if out, err = r.encoders[i](out, r.row); err != nil {
				return fault.New(fault.KindOf(err), "column %s: %w", r.names[i], err)
			}
			if len(out)-at-4 > math.MaxInt32 {
				return fault.New(fault.Refused, "column %s: a value has more than 2 GiB", r.names[i])
			}
			binary.BigEndian.PutUint32(out[at:], uint32(len(out)-at-4))
		}
	}
	if r.row == r.rows {
		out = append(out, 0xff, 0xff)
		r.ended = true
	}
	r.buffer, r.waiting = out, out
	return nil
}

func encoderOf(t datatype.Type, column arrow.Array) (encoder, error) {
	switch c := column.(type) {
	case *array.Boolean:
		return func(to []byte, row int) ([]byte, error) {
			if c.Value(row) {
				return append(to, 1), nil
			}
			return append(to, 0), nil
		}, nil
	case *array.Int16:
		return func(to []byte, row int) ([]byte, error) {
			return binary.BigEndian.AppendUint16(to, uint16(c.Value(row))), nil
		}, nil
	case *array.Int32:
		return func(to []byte, row int) ([]byte, error) {
			return binary.BigEndian.AppendUint32(to, uint32(c.Value(row))), nil
		}, nil
	case *array.Int64:
		return func(to []byte, row int) ([]byte, error) {
			return binary.BigEndian.AppendUint64(to, uint64(c.Value(row))), nil
		}, nil
	case *array.Uint64:
		return func(to []byte, row int) ([]byte, error) {
			return appendNumeric(to, false, strconv.AppendUint(nil, c.Value(row), 10), nil), nil
		}, nil
	case *array.Float32:
		return func(to []byte, row int) ([]byte, error) {
			return binary.BigEndian.AppendUint32(to, math.Float32bits(c.Value(row))), nil
		}, nil
	case *array.Float64:
		return func(to []byte, row int) ([]byte, error) {
			return binary.BigEndian.AppendUint64(to, math.Float64bits(c.Value(row))), nil
		}, nil
	case *array.Decimal128:
		return func(to []byte, row int) ([]byte, error) { return appendDecimal(to, c.Value(row), t.Scale), nil }, nil
	case *array.Binary:
		return func(to []byte, row int) ([]byte, error) { return append(to, c.Value(row)...), nil }, nil
	case *array.Date32:
		return func(to []byte, row int) ([]byte, error) {
			return binary.BigEndian.AppendUint32(to, uint32(int32(c.Value(row))-epochDays)), nil
		}, nil
	case *array.Time64:
		return func(to []byte, row int) ([]byte, error) {
			return binary.BigEndian.AppendUint64(to, uint64(c.Value(row))), nil
		}, nil
	case *array.Timestamp:
		return func(to []byte, row int) ([]byte, error) {
			return binary.BigEndian.AppendUint64(to, uint64(int64(c.Value(row))-epochMicros)), nil
		}, nil
	case *array.String:
		return textEncoder(t, c), nil
	}
	return nil, fault.New(fault.Internal, "nothing encodes %s for a %s", column.DataType(), t)
}

func textEncoder(t datatype.Type, c *array.String) encoder {
	switch t.Kind {
	case datatype.UUID:
		return func(to []byte, row int) ([]byte, error) {
			plain := strings.ReplaceAll(c.Value(row), "-", "")
			out, err := hex.AppendDecode(to, []byte(plain))
			if err != nil || len(plain) != 32 {
				return to, fault.New(fault.Refused, "%q is no UUID", c.Value(row))
			}
			return out, nil
		}
	case datatype.Decimal:
		return func(to []byte, row int) ([]byte, error) {
			text := c.Value(row)
			digits := strings.TrimLeft(text, "+-")
			whole, fraction, _ := strings.Cut(digits, ".")
			if len(text)-len(digits) > 1 || whole+fraction == "" || strings.Trim(whole+fraction, "0123456789") != "" {
				return to, fault.New(fault.Refused, "%q is no decimal number", text)
			}
			return appendNumeric(to, strings.HasPrefix(text, "-"), []byte(whole), []byte(fraction)), nil
		}
	case datatype.JSON:
		return func(to []byte, row int) ([]byte, error) { return appendText(append(to, 1), c.Value(row)) }
	default: // as text, below
	}
	return func(to []byte, row int) ([]byte, error) { return appendText(to, c.Value(row)) }
}

func appendText(to []byte, text string) ([]byte, error) {
	switch {
	case strings.IndexByte(text, 0) >= 0:
		return to, fault.New(fault.Refused, "the text %q contains NUL, which PostgreSQL cannot hold", clip([]byte(text)))
	case !utf8.ValidString(text):
		return to, fault.New(fault.Refused, "the text %q is not UTF-8", clip([]byte(text)))
	}
	return append(to, text...), nil
}

func appendDecimal(to []byte, n decimal128.Num, scale int) []byte {
	negative := n.Sign() < 0
	if negative {
		n = n.Negate()
	}
	var digits []byte
	if n.HighBits() == 0 {
		digits = strconv.AppendUint(nil, n.LowBits(), 10)
	} else {
		digits = n.BigInt().Append(nil, 10)
	}
	if short := scale - len(digits); short > 0 {
		digits = append(bytes.Repeat([]byte{'0'}, short), digits...)
	}
	point := len(digits) - scale
	return appendNumeric(to, negative, digits[:point], digits[point:])
}

// appendNumeric writes a number, given its digits before and after the point.
func appendNumeric(to []byte, negative bool, whole, fraction []byte) []byte {
	scale := len(fraction)
	whole = bytes.TrimLeft(whole, "0")
	groups := make([]uint16, 0, 16)
	group := func(digits []byte) uint16 {
		var n uint16
		for i := range 4 {
			n *= 10
			if i < len(digits) {
				n += uint16(digits[i] - '0')
			}
		}
		return n
	}
	weight := (len(whole)+3)/4 - 1
	if first := len(whole) % 4; first > 0 {
		padded := append(bytes.Repeat([]byte{'0'}, 4-first), whole[:first]...)
		groups, whole = append(groups, group(padded)), whole[first:]
	}
	for ; len(whole) > 0; whole = whole[4:] {
		groups = append(groups, group(whole))
	}
	for ; len(fraction) > 0; fraction = fraction[min(4, len(fraction)):] {
		groups = append(groups, group(fraction))
	}
	for len(groups) > 0 && groups[0] == 0 {
		groups, weight = groups[1:], weight-1
	}
	for len(groups) > 0 && groups[len(groups)-1] == 0 {
		groups = groups[:len(groups)-1]
	}
	sign := uint16(numericPositive)
	if len(groups) == 0 {
		weight = 0
	} else if negative {
		sign = numericNegative
	}
	to = binary.BigEndian.AppendUint16(to, uint16(len(groups)))
	to = binary.BigEndian.AppendUint16(to, uint16(int16(weight)))
	to = binary.BigEndian.AppendUint16(to, sign)
	to = binary.BigEndian.AppendUint16(to, uint16(scale))
	for _, g := range groups {
		to = binary.BigEndian.AppendUint16(to, g)
	}
	return to
}
