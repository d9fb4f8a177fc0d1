package contract

import (
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/value"
)

// Metric returns the query whose answer Met judges: one row with the measured
// value and, but for KindSQL, the number of rows. The table is an SQL expression
// (quoted) whose columns have the types of the contract. It is a stage check, or
// the freshness of a published table, whose value is the newest instant. False
// means that the engine cannot say it exactly.
func (c Check) Metric(d dialect.Dialect, table string) (sql string, ok bool) {
	column := d.Quote(c.Field)
	switch c.Kind {
	case KindRowCount:
		return "SELECT count(*), count(*) FROM " + table, true
	case KindKey, KindUnique, KindDuplicateValues:
		return fmt.Sprintf("SELECT coalesce(sum(n - 1), 0), (SELECT count(*) FROM %s) FROM (%s) AS g", table, c.groups(d, table)), true
	case KindNullValues:
		return countSQL(column+" IS NULL", table), true
	case KindMissingValues, KindInvalidValues:
		var parts []string
		for _, single := range c.Single() {
			predicate, ok := single.SQL(d, column, c.Type)
			if !ok {
				return "", false
			}
			parts = append(parts, predicate)
		}
		return countSQL(strings.Join(parts, " OR "), table), len(parts) > 0
	case KindFreshness:
		return fmt.Sprintf("SELECT max(%s), count(*) FROM %s", column, table), true
	case KindSQL:
		return strings.NewReplacer(
			"${object}", table, "{object}", table, "${property}", column, "{property}", column,
		).Replace(c.Query), true
	default:
		return "", false
	}
}

func countSQL(predicate, table string) string {
	return fmt.Sprintf("SELECT coalesce(sum(CASE WHEN %s THEN 1 ELSE 0 END), 0), count(*) FROM %s", predicate, table)
}

// Duplicates returns the query of the values that more than one row has, each
// with its number n, for the checks key, unique and duplicate_values.
func (c Check) Duplicates(d dialect.Dialect, table string) string {
	return c.groups(d, table) + " HAVING count(*) > 1"
}

// groups counts the rows of each value. Rows with a null are aside, as in SQL's
// own UNIQUE; a key has none.
func (c Check) groups(d dialect.Dialect, table string) string {
	columns := d.QuoteAll(c.Fields...)
	where := ""
	if c.Kind != KindKey {
		conditions := make([]string, len(c.Fields))
		for i, f := range c.Fields {
			conditions[i] = d.Quote(f) + " IS NOT NULL"
		}
		where = " WHERE " + strings.Join(conditions, " AND ")
	}
	return fmt.Sprintf("SELECT %s, count(*) AS n FROM %s%s GROUP BY %s", columns, table, where, columns)
}

// Single returns the row checks that a count of missing or invalid values
// counts: a row that fails one of them counts once.
func (c Check) Single() []Check {
	single := c
	single.Operator, single.Operands = "", nil
	switch c.Kind {
	case KindNullValues:
		single.Kind = KindRequired
		return []Check{single}
	case KindMissingValues:
		single.Kind = KindForbidden
		return []Check{single}
	case KindInvalidValues:
		return invalidKinds(single)
	default:
		return nil
	}
}

// invalidKinds splits invalidValues into its list and its pattern.
func invalidKinds(c Check) []Check {
	var out []Check
	if len(c.Values) > 0 {
		enum := c
		enum.Kind, enum.Pattern = KindEnum, nil
		out = append(out, enum)
	}
	if c.Pattern != nil {
		pattern := c
		pattern.Kind, pattern.Values = KindPattern, nil
		out = append(out, pattern)
	}
	return out
}

// Stale judges a freshness check by the newest value of its field: it says what is
// wrong, and nothing where the promise holds.
func (c Check) Stale(newest, now time.Time) string {
	if age := now.Sub(newest); age > c.Within {
		return fmt.Sprintf("the newest %s is %s, %s ago; within %s is promised",
			c.Field, newest.UTC().Format(time.RFC3339), calendar.FormatDuration(age.Truncate(time.Minute)), calendar.FormatDuration(c.Within))
	}
	return ""
}

// Met judges what Metric measured: a number, a bool, or a decimal text; rows is
// the number of rows, for percentages. Of no rows every percentage is 0. It has
// no answer for freshness, which needs a clock.
func (c Check) Met(measured any, rows int64) Finding {
	if c.Kind == KindKey || c.Kind == KindUnique {
		c.Operator, c.Operands = MustBe, []string{"0"}
	}
	number, ok := measuredNumber(measured)
	if !ok {
		return Finding{c.OnFail, fmt.Sprintf("the query returned %v, which is no number", measured)}
	}
	unit := ""
	if c.Percent {
		unit = " %"
		if number.Mul(number, big.NewRat(100, 1)); rows > 0 {
			number.Quo(number, new(big.Rat).SetInt64(rows))
		}
	}
	if c.holds(number) {
		return Finding{}
	}
	return Finding{c.OnFail, fmt.Sprintf("%s is %s%s, %s %s", c.subject(), shortNumber(number), unit, wordsOf[c.Operator], strings.Join(c.Operands, " and "))}
}

var wordsOf = map[Operator]string{
	MustBe: "must be", MustNotBe: "must not be", MustBeGreaterThan: "must be greater than",
	MustBeGreaterOrEqualTo: "must be at least", MustBeLessThan: "must be less than",
	MustBeLessOrEqualTo: "must be at most", MustBeBetween: "must be between", MustNotBeBetween: "must not be between",
}

func (c Check) subject() string {
	of := ""
	if c.Field != "" {
		of = " of " + c.Field
	} else if len(c.Fields) > 0 {
		of = " of " + strings.Join(c.Fields, ", ")
	}
	switch c.Kind {
	case KindRowCount:
		return "the number of rows"
	case KindKey:
		return "the number of rows with a key that another row has"
	case KindUnique, KindDuplicateValues:
		return "the number of duplicates" + of
	case KindNullValues:
		return "the number of nulls" + of
	case KindMissingValues:
		return "the number of missing values" + of
	case KindInvalidValues:
		return "the number of invalid values" + of
	default:
		return "the value of the query"
	}
}

func (c Check) holds(v *big.Rat) bool {
	bounds := make([]*big.Rat, 2)
	for i, text := range c.Operands {
		if i < 2 {
			bounds[i] = value.Rat(text)
		}
	}
	if bounds[0] == nil {
		return false
	}
	first := v.Cmp(bounds[0])
	switch c.Operator {
	case MustBe:
		return first == 0
	case MustNotBe:
		return first != 0
	case MustBeGreaterThan:
		return first > 0
	case MustBeGreaterOrEqualTo:
		return first >= 0
	case MustBeLessThan:
		return first < 0
	case MustBeLessOrEqualTo:
		return first <= 0
	default: // the two with two operands, below
	}
	if bounds[1] == nil {
		return false
	}
	between := first >= 0 && v.Cmp(bounds[1]) <= 0
	return between == (c.Operator == MustBeBetween)
}

func measuredNumber(v any) (*big.Rat, bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return big.NewRat(1, 1), true
		}
		return new(big.Rat), true
	case string:
		if !value.IsFloat(v) || len(v) > 400 {
			return nil, false
		}
		n, f := value.Caster{Type: datatype.Of(datatype.Decimal)}.Lossy().Text(v)
		r, ok := n.(*big.Rat)
		return r, ok && f == value.Sound
	case *big.Int:
		return new(big.Rat).SetInt(v), true
	case nil:
		return nil, false
	}
	text, exact := value.DecimalText(v)
	if !exact {
		return nil, false
	}
	return value.Rat(text), true
}

func shortNumber(r *big.Rat) string {
	if r.IsInt() {
		return r.Num().String()
	}
	return strings.TrimRight(r.FloatString(6), "0")
}
