package kernel

import (
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/value"
)

// Caster casts columns to one type.
type Caster struct {
	from   datatype.Type
	to     datatype.Type
	zone   *time.Location
	format string
	scalar value.Caster
	lossy  *value.Caster // of the verdict coerce
}

// NewCaster returns a caster from columns of type from to type to. The zone and
// the format are the field's; lossy makes it the caster of the verdict coerce.
// Errors are of kind Invalid.
func NewCaster(from, to datatype.Type, zone *time.Location, format string, lossy bool) (*Caster, error) {
	if fit, reason := datatype.Compare(from, to); fit == datatype.Refused {
		return nil, fault.New(fault.Invalid, "%s", reason)
	}
	scalar, err := value.NewCaster(to, zone, format)
	if err != nil {
		return nil, err
	}
	c := &Caster{from: from, to: to, zone: zone, format: format, scalar: scalar}
	if lossy {
		l := scalar.Lossy()
		c.lossy = &l
	}
	return c, nil
}

// Cast returns the column as the target's Arrow type. A row that cannot be cast
// is null there and in failed; one that the lossy caster changed is in changed.
// Both sets are reset. The caller releases the array.
func (c *Caster) Cast(mem memory.Allocator, in arrow.Array, failed, changed *Bits) (arrow.Array, error) {
	n := in.Len()
	failed.Reset(n)
	changed.Reset(n)
	if texts, ok := textsOf(in); ok && c.format == "" {
		if out, done := c.castText(mem, in, texts, failed); done {
			return c.repair(mem, in, out, failed, changed)
		}
	} else if out, done := c.castFast(mem, in, failed); done {
		return c.repair(mem, in, out, failed, changed)
	}
	return c.castScalar(mem, in, failed, changed)
}

// texts is a column of text, in whichever of Arrow's layouts.
type texts interface {
	Len() int
	IsNull(int) bool
	Value(int) string
}

// textsOf returns the column as text, if it is.
func textsOf(in arrow.Array) (texts, bool) {
	switch a := in.(type) {
	case *array.String:
		return a, true
	case *array.LargeString:
		return a, true
	case *array.StringView:
		return a, true
	case *array.Dictionary:
		if dict, ok := textsOf(a.Dictionary()); ok {
			return dictionaryTexts{a, dict}, true
		}
	}
	return nil, false
}

type dictionaryTexts struct {
	*array.Dictionary
	dict texts
}

// IsNull reports a null of the index or of the word that it names.
func (d dictionaryTexts) IsNull(i int) bool {
	return d.Dictionary.IsNull(i) || d.dict.IsNull(d.GetValueIndex(i))
}

// Value returns the word of row i.
func (d dictionaryTexts) Value(i int) string { return d.dict.Value(d.GetValueIndex(i)) }

// repair casts the failed rows again with the lossy caster.
func (c *Caster) repair(mem memory.Allocator, in, out arrow.Array, failed, changed *Bits) (arrow.Array, error) {
	if c.lossy == nil || !failed.Any() {
		return out, nil
	}
	defer out.Release()
	still := NewBits(in.Len())
	b := array.NewBuilder(mem, c.to.Arrow())
	defer b.Release()
	b.Reserve(in.Len())
	for i := range in.Len() {
		if !failed.Has(i) {
			if err := appendFrom(b, out, i); err != nil {
				return nil, err
			}
			continue
		}
		v, flaw := c.lossy.Value(Value(in, i, c.from))
		if flaw != value.Sound {
			still.Set(i)
			b.AppendNull()
			continue
		}
		changed.Set(i)
		if err := appendValue(b, v); err != nil {
			return nil, err
		}
	}
	*failed = *still
	return b.NewArray(), nil
}

// castScalar casts row by row through the reference.
func (c *Caster) castScalar(mem memory.Allocator, in arrow.Array, failed, changed *Bits) (arrow.Array, error) {
	b := array.NewBuilder(mem, c.to.Arrow())
	defer b.Release()
	b.Reserve(in.Len())
	for i := range in.Len() {
		given := Value(in, i, c.from)
		v, flaw := c.scalar.Value(given)
		if flaw != value.Sound && c.lossy != nil {
			if v, flaw = c.lossy.Value(given); flaw == value.Sound {
				changed.Set(i)
			}
		}
		if flaw != value.Sound {
			failed.Set(i)
			v = nil
		}
		if err := appendValue(b, v); err != nil {
			return nil, err
		}
	}
	return b.NewArray(), nil
}

// Reason says why the value of a row cannot be cast.
func (c *Caster) Reason(in arrow.Array, i int) string {
	given := Value(in, i, c.from)
	_, flaw := c.scalar.Value(given)
	return fmt.Sprintf("%q %s", value.Text(given), flaw)
}
