package contract

import (
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/pattern"
	"github.com/tidemill/tidemill/internal/core/problem"
)

// Verdict is what happens to a row, or a load, that fails a rule.
type Verdict string

// The verdicts. A contract uses the first four; Drop is only for rows outside a
// window, Pass only the answer of a judge.
const (
	Pass       Verdict = ""
	Reject     Verdict = "reject"     // nothing is published
	Quarantine Verdict = "quarantine" // the row goes to the table beside
	Coerce     Verdict = "coerce"     // the value is replaced by one that passes, or by null, and counted
	Warn       Verdict = "warn"       // the row goes on, and is counted
	Drop       Verdict = "drop"       // the row is left out, and counted
)

var onFail = []Verdict{Reject, Quarantine, Coerce, Warn}

// Kind names a kind of check. Kinds travel in bundles: never rename one.
type Kind string

// The closed set of checks.
const (
	KindType      Kind = "type"        // the value can be cast to the field's type
	KindRequired  Kind = "required"    // the value is not null
	KindRange     Kind = "range"       // Min and Max
	KindMultiple  Kind = "multiple_of" // MultipleOf
	KindLength    Kind = "length"      // MinLength and MaxLength: characters of a text, items of a list
	KindPattern   Kind = "pattern"     // the text matches Pattern
	KindEnum      Kind = "enum"        // the value is one of Values
	KindForbidden Kind = "forbidden"   // the value is none of Values: missingValues with mustBe 0

	KindKey             Kind = "key"              // no two rows have the same Fields
	KindUnique          Kind = "unique"           // no two rows have the same value, nulls aside
	KindNullValues      Kind = "null_values"      // the number of nulls
	KindMissingValues   Kind = "missing_values"   // the number of Values, and of nulls where Nulls says so
	KindInvalidValues   Kind = "invalid_values"   // the number of values not among Values, or not matching Pattern
	KindDuplicateValues Kind = "duplicate_values" // the number of rows beyond the first of each value of Fields
	KindRowCount        Kind = "row_count"        // the number of rows
	KindSQL             Kind = "sql"              // the value that Query returns

	KindFreshness Kind = "freshness" // the newest value of Field is at most Within old
)

// Scope says where a check is judged.
type Scope string

// The scopes.
const (
	ScopeRow   Scope = "row"   // by the gate, value by value
	ScopeStage Scope = "stage" // over the staged rows, before they are published
	ScopeWatch Scope = "watch" // over the table, whether or not a run comes
)

// Scope returns where checks of the kind are judged.
func (k Kind) Scope() Scope {
	switch k {
	case KindType, KindRequired, KindRange, KindMultiple, KindLength, KindPattern, KindEnum, KindForbidden:
		return ScopeRow
	case KindFreshness:
		return ScopeWatch
	default:
		return ScopeStage
	}
}

// coercible reports whether a value that fails can be replaced by one that passes.
func (k Kind) coercible() bool { return k.Scope() == ScopeRow && k != KindRequired }

// quarantinable reports whether single rows can be set aside for failing.
func (k Kind) quarantinable() bool {
	return k.Scope() == ScopeRow || k == KindKey || k == KindUnique
}

// Operator compares a count, or the value of a query, with Operands.
type Operator string

// The operators, as ODCS spells them. Between is closed at both ends.
const (
	MustBe                 Operator = "mustBe"
	MustNotBe              Operator = "mustNotBe"
	MustBeGreaterThan      Operator = "mustBeGreaterThan"
	MustBeGreaterOrEqualTo Operator = "mustBeGreaterOrEqualTo"
	MustBeLessThan         Operator = "mustBeLessThan"
	MustBeLessOrEqualTo    Operator = "mustBeLessOrEqualTo"
	MustBeBetween          Operator = "mustBeBetween"
	MustNotBeBetween       Operator = "mustNotBeBetween"
)

var operators = []Operator{
	MustBe, MustNotBe, MustBeGreaterThan, MustBeGreaterOrEqualTo,
	MustBeLessThan, MustBeLessOrEqualTo, MustBeBetween, MustNotBeBetween,
}

// Bound is one end of a range, as text that the field's type reads.
type Bound struct {
	Value     string `json:"value"`
	Exclusive bool   `json:"exclusive,omitempty"`
}

// Check is one rule of a contract, compiled. Which members have a meaning
// follows from Kind.
type Check struct {
	Kind   Kind          `json:"kind"`
	Rule   string        `json:"rule"`            // stable and unique in the table: tailnum.pattern, or the name given
	Field  string        `json:"field,omitempty"` // the column; empty: the table
	Type   datatype.Type `json:"type,omitzero"`   // of the column
	Zone   string        `json:"zone,omitempty"`  // the column's default time zone
	Format string        `json:"format,omitempty"`
	OnFail Verdict       `json:"on_fail"`
	Place  problem.Place `json:"place,omitzero"`

	Min        *Bound           `json:"min,omitempty"`
	Max        *Bound           `json:"max,omitempty"`
	MultipleOf string           `json:"multiple_of,omitempty"`
	MinLength  *int64           `json:"min_length,omitempty"`
	MaxLength  *int64           `json:"max_length,omitempty"`
	Pattern    *pattern.Pattern `json:"pattern,omitempty"`
	Values     []string         `json:"values,omitempty"` // as text that the field's type reads
	Nulls      bool             `json:"nulls,omitempty"`  // null counts as missing

	Fields   []string      `json:"fields,omitempty"`
	Query    string        `json:"query,omitempty"` // {object} and {property} stand for the staged table and the column
	Operator Operator      `json:"operator,omitempty"`
	Operands []string      `json:"operands,omitempty"` // one decimal text, or two
	Percent  bool          `json:"percent,omitempty"`  // the count is of 100 rows
	Within   time.Duration `json:"within,omitempty"`
}

// Scope returns where the check is judged.
func (c Check) Scope() Scope { return c.Kind.Scope() }

// IsVerdict reports whether v can be what a contract says about a rule.
func (v Verdict) IsVerdict() bool { return slices.Contains(onFail, v) }
