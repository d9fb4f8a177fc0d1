package contract

import (
	"fmt"
	"math"
	"math/big"
	"strings"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/value"
)

// SQL returns a condition that is TRUE exactly for the rows that fail the row
// check, and FALSE or NULL for others. The column is an SQL expression of type
// from: text where a text source was staged as it is, else a typed column.
// False means that the engine cannot say it exactly; then the rows have to be
// read through the gate.
func (c Check) SQL(d dialect.Dialect, column string, from datatype.Type) (predicate string, ok bool) {
	if c.Scope() != ScopeRow {
		return "", false
	}
	if c.Kind == KindRequired {
		return column + " IS NULL", true
	}
	e, ok := c.express(d, column, from)
	if !ok {
		return "", false
	}
	switch c.Kind {
	case KindType:
		return e.castFails(column), true
	case KindRange:
		return c.rangeSQL(e)
	case KindMultiple:
		return c.multipleSQL(e)
	case KindLength:
		return c.lengthSQL(e)
	case KindPattern:
		match, ok := "", c.Pattern.RE2 != "" && (c.Type.Kind == datatype.String || c.Type.Kind == datatype.UUID)
		if ok {
			match, ok = d.Match("CAST("+e.value+" AS VARCHAR)", c.Pattern.RE2)
		}
		return "NOT (" + match + ")", ok
	case KindEnum, KindForbidden:
		return c.valuesSQL(e, column)
	default:
		return "", false
	}
}

// expression is a column on its way to the field's type, in SQL.
type expression struct {
	dialect dialect.Dialect
	fits    string // TRUE where the cast succeeds; empty: it always does. Never NULL but for NULL
	value   string // the cast value; NULL where the cast fails
	wall    bool   // an instant expressed as a timestamp without zone, in UTC
}

func (e expression) castFails(column string) string {
	if e.fits == "" {
		return "FALSE"
	}
	return fmt.Sprintf("(%s IS NOT NULL AND NOT (%s))", column, e.fits)
}

func (c Check) express(d dialect.Dialect, column string, from datatype.Type) (expression, bool) {
	e := expression{dialect: d, value: column}
	to := c.Type
	switch {
	case c.Format != "":
		return e, false
	case from.Kind == datatype.String:
		return c.expressText(e, column)
	case from.Kind == to.Kind && from.Kind == datatype.Decimal:
		return e.decimals(column, from, to)
	case from.Kind == datatype.JSON && to.Shape != datatype.AnyShape && from.Shape == datatype.AnyShape:
		e.fits = d.IsDocument(column, string(to.Shape))
		e.value = fmt.Sprintf("CASE WHEN %s THEN %s END", e.fits, column)
		return e, true
	case from.Kind == to.Kind:
		return e, from.Equal(to)
	case from.IsInteger() && to.IsInteger(),
		from.Kind == datatype.Decimal && from.Precision > 0 && from.Scale == 0 && to.IsInteger():
		least, most := dialect.Range(to)
		e.fits = fmt.Sprintf("%s BETWEEN %s AND %s", column, least, most)
		e.value = fmt.Sprintf("CASE WHEN %s THEN %s END", e.fits, column)
		return e, true
	}
	return e, false
}

// decimals casts a bounded decimal to another: the engine rounds, and what is
// not the same number afterwards did not fit.
func (e expression) decimals(column string, from, to datatype.Type) (expression, bool) {
	if from.Equal(to) {
		return e, true
	}
	whole := max(from.Precision-from.Scale, to.Precision-to.Scale)
	if from.Precision == 0 || to.Precision == 0 || whole+max(from.Scale, to.Scale) > datatype.MaxPrecision || e.dialect.Name() != dialect.DuckDB.Name() {
		return e, false
	}
	cast, ok := e.dialect.CastTry(column, to)
	e.fits = fmt.Sprintf("coalesce(%s = %s, FALSE)", cast, column)
	e.value = fmt.Sprintf("CASE WHEN %s THEN %s END", e.fits, cast)
	return e, ok
}

// grid is the numbers that a type can hold: whole multiples of 10^-scale between least and most.
func grid(t datatype.Type) (scale int, least, most *big.Int) {
	if t.Kind == datatype.Decimal {
		most = new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(t.Precision)), nil)
		most.Sub(most, big.NewInt(1))
		return t.Scale, new(big.Int).Neg(most), most
	}
	low, high := dialect.Range(t)
	least, _ = new(big.Int).SetString(low, 10)
	most, _ = new(big.Int).SetString(high, 10)
	return 0, least, most
}

// Grid returns the least and the greatest number that a range admits, in units
// of 10^-scale of a whole or bounded number type, nil where the type's own end is
// nearer. None is true where no number of the type is admitted.
func (c Check) Grid() (least, most *big.Int, none bool) {
	scale, low, high := grid(c.Type)
	unit := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
	if c.Min != nil {
		least = round(new(big.Rat).Mul(value.Rat(c.Min.Value), unit), !c.Min.Exclusive)
		if c.Min.Exclusive {
			least.Add(least, big.NewInt(1))
		}
	}
	if c.Max != nil {
		most = round(new(big.Rat).Mul(value.Rat(c.Max.Value), unit), c.Max.Exclusive)
		if c.Max.Exclusive {
			most.Sub(most, big.NewInt(1))
		}
	}
	if least != nil && least.Cmp(high) > 0 || most != nil && most.Cmp(low) < 0 {
		return nil, nil, true
	}
	if least != nil && least.Cmp(low) <= 0 {
		least = nil
	}
	if most != nil && most.Cmp(high) >= 0 {
		most = nil
	}
	return least, most, false
}

// round returns the whole number below r, or above it; r itself where it is whole.
func round(r *big.Rat, up bool) *big.Int {
	q, rest := new(big.Int).DivMod(r.Num(), r.Denom(), new(big.Int))
	if up && rest.Sign() != 0 {
		q.Add(q, big.NewInt(1))
	}
	return q
}

func (c Check) rangeSQL(e expression) (string, bool) {
	var parts []string
	switch {
	case c.Type.IsInteger(), c.Type.Kind == datatype.Decimal && c.Type.Precision > 0:
		least, most, none := c.Grid()
		if none {
			return fmt.Sprintf("%s IS NOT NULL", e.value), true
		}
		if least != nil {
			parts = append(parts, fmt.Sprintf("%s < %s", e.value, c.gridLiteral(e, least)))
		}
		if most != nil {
			parts = append(parts, fmt.Sprintf("%s > %s", e.value, c.gridLiteral(e, most)))
		}
	default:
		for _, b := range []struct {
			bound *Bound
			sign  string
		}{{c.Min, "<"}, {c.Max, ">"}} {
			if b.bound == nil {
				continue
			}
			literal, ok := c.literal(e, b.bound.Value)
			if !ok {
				return "", false
			}
			sign := b.sign
			if b.bound.Exclusive {
				sign += "="
			}
			parts = append(parts, fmt.Sprintf("%s %s %s", e.value, sign, literal))
		}
		if c.Type.IsFloat() && len(parts) > 0 {
			parts = append(parts, e.dialect.IsNaN(e.value))
		}
	}
	if len(parts) == 0 {
		return "FALSE", true
	}
	return "(" + strings.Join(parts, " OR ") + ")", true
}

func (c Check) gridLiteral(e expression, n *big.Int) string {
	scale, _, _ := grid(c.Type)
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)
	name, err := e.dialect.TypeName(c.Type)
	if err != nil {
		return "NULL"
	}
	return fmt.Sprintf("CAST('%s' AS %s)", new(big.Rat).SetFrac(n, unit).FloatString(scale), name)
}

// literal writes a bound or value of the contract as SQL of the field's type.
func (c Check) literal(e expression, text string) (string, bool) {
	zone, err := Outside{}.Location(c.Zone)
	if err != nil {
		return "", false
	}
	caster, err := value.NewCaster(c.Type, zone, "")
	if err != nil {
		return "", false
	}
	v, f := caster.Text(text)
	name, err := e.dialect.TypeName(c.Type)
	if f != value.Sound || err != nil {
		return "", false
	}
	canonical := value.Text(v)
	if c.Type.Kind == datatype.TimestampTZ {
		canonical = strings.TrimSuffix(canonical, "Z")
		if e.wall {
			name = "TIMESTAMP"
		} else {
			canonical += "+00"
		}
	}
	quoted, err := e.dialect.Literal(canonical)
	if c.Type.Kind == datatype.String {
		return quoted, err == nil
	}
	return "CAST(" + quoted + " AS " + name + ")", err == nil && c.comparable()
}

// comparable reports whether engines compare values of the field's type as compare does.
func (c Check) comparable() bool {
	switch c.Type.Kind {
	case datatype.JSON, datatype.List, datatype.Struct, datatype.Bytes:
		return false
	case datatype.Decimal:
		return c.Type.Precision > 0
	default:
		return true
	}
}

func (c Check) multipleSQL(e expression) (string, bool) {
	if !c.Type.IsInteger() {
		return "", false
	}
	// A whole number is a multiple of a/b, in lowest terms, if a divides it.
	step := value.Rat(c.MultipleOf).Num()
	if _, _, most := grid(c.Type); step.Cmp(most) > 0 {
		return fmt.Sprintf("%s <> 0", e.value), true
	}
	return fmt.Sprintf("%s %% %s <> 0", e.value, step), true
}

func (c Check) lengthSQL(e expression) (string, bool) {
	length := e.dialect.Length(e.value)
	switch {
	case c.Type.Kind == datatype.List && e.dialect.Name() == dialect.DuckDB.Name():
		length = "len(" + e.value + ")"
	case c.Type.Kind != datatype.String:
		return "", false
	}
	var parts []string
	if c.MinLength != nil {
		parts = append(parts, fmt.Sprintf("%s < %d", length, *c.MinLength))
	}
	if c.MaxLength != nil {
		parts = append(parts, fmt.Sprintf("%s > %d", length, *c.MaxLength))
	}
	return "(" + strings.Join(parts, " OR ") + ")", len(parts) > 0
}

func (c Check) valuesSQL(e expression, column string) (string, bool) {
	literals := make([]string, 0, len(c.Values))
	for _, text := range c.Values {
		if v, flaw := value.ParseFloat(text, 64); c.Type.IsFloat() && flaw == value.Sound && math.IsNaN(v) {
			continue // it equals nothing, itself included
		}
		literal, ok := c.literal(e, text)
		if !ok {
			return "", false
		}
		literals = append(literals, literal)
	}
	if c.Kind == KindEnum {
		if len(literals) == 0 {
			return e.value + " IS NOT NULL", true
		}
		return e.value + " NOT IN (" + strings.Join(literals, ", ") + ")", true
	}
	var parts []string
	if len(literals) > 0 {
		parts = append(parts, e.value+" IN ("+strings.Join(literals, ", ")+")")
	}
	if c.Nulls {
		parts = append(parts, column+" IS NULL")
	}
	if len(parts) == 0 {
		return "FALSE", true
	}
	return "(" + strings.Join(parts, " OR ") + ")", true
}
