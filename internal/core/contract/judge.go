package contract

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/pattern"
	"github.com/tidemill/tidemill/internal/core/value"
)

// Outside is what the core cannot do by itself and is given: the time zones of
// the machine, and a matcher for patterns beyond RE2. Either may be nil; then
// UTC is the only zone, and such a pattern cannot be prepared.
type Outside struct {
	Zone    func(name string) (*time.Location, error)
	Pattern func(backtrack string) (pattern.Matcher, error) // of pattern.Pattern.Backtrack
}

// Location returns the zone of that name; the empty name is no zone at all.
func (o Outside) Location(name string) (*time.Location, error) {
	switch {
	case name == "":
		return nil, nil
	case name == "UTC" || name == "Etc/UTC":
		return time.UTC, nil
	case o.Zone == nil:
		return nil, fault.New(fault.Invalid, "the time zone %q is not known here", name)
	}
	zone, err := o.Zone(name)
	if err != nil {
		return nil, fault.New(fault.Invalid, "time zone %q: %w", name, err)
	}
	if zone.String() == "UTC" {
		return time.UTC, nil
	}
	return zone, nil
}

// Matcher returns the matcher of a pattern.
func (o Outside) Matcher(p pattern.Pattern) (pattern.Matcher, error) {
	if p.RE2 != "" {
		re, err := regexp.Compile(p.RE2)
		if err != nil {
			return nil, fault.New(fault.Invalid, "pattern %q: %w", p.Text, err)
		}
		return func(text string) (bool, error) { return re.MatchString(text), nil }, nil
	}
	if o.Pattern == nil {
		return nil, fault.New(fault.Invalid, "pattern %q needs a matcher of ECMA-262", p.Text)
	}
	return o.Pattern(p.Backtrack)
}

// Finding is what a judge says about one value.
type Finding struct {
	Verdict Verdict // Pass, or the check's OnFail
	Reason  string  // why it failed, as a sentence about the value
}

// Failed reports whether the value failed.
func (f Finding) Failed() bool { return f.Verdict != Pass }

// Judge judges one value by a row check. The value is as the source delivered
// it: text, or a typed value (see value.Caster). Checks of other scopes say nothing
// about single values: they pass. A check that needs something from outside, a
// zone other than UTC or a pattern beyond RE2, fails every value here; prepare
// it with NewJudge.
func (c Check) Judge(v any) Finding {
	j, err := NewJudge(c, Outside{})
	if err != nil {
		return Finding{c.OnFail, "cannot be judged: " + err.Error()}
	}
	return j.Judge(v)
}

// Judge is a row check, prepared.
type Judge struct {
	check   Check
	caster  value.Caster
	matcher pattern.Matcher
	min     any
	max     any
	step    *big.Rat
	values  []any
}

// NewJudge prepares a row check. Errors are of kind Invalid.
func NewJudge(c Check, outside Outside) (*Judge, error) {
	j := &Judge{check: c}
	if c.Scope() != ScopeRow {
		return j, nil
	}
	zone, err := outside.Location(c.Zone)
	if err != nil {
		return nil, err
	}
	if j.caster, err = value.NewCaster(c.Type, zone, c.Format); err != nil {
		return nil, err
	}
	plain := j.caster.ISO() // bounds and values are, whatever the field's format
	if c.Min != nil {
		if j.min, err = boundOf(plain, c.Min.Value); err != nil {
			return nil, err
		}
	}
	if c.Max != nil {
		if j.max, err = boundOf(plain, c.Max.Value); err != nil {
			return nil, err
		}
	}
	if c.MultipleOf != "" {
		if !value.IsDecimal(c.MultipleOf) || value.Rat(c.MultipleOf).Sign() <= 0 {
			return nil, fault.New(fault.Invalid, "%q is not a number above zero", c.MultipleOf)
		}
		j.step = value.Rat(c.MultipleOf)
	}
	for _, text := range c.Values {
		v, f := plain.Text(text)
		if f != value.Sound {
			return nil, fault.New(fault.Invalid, "%q %s", text, f)
		}
		j.values = append(j.values, v)
	}
	if text := c.Type.Kind == datatype.String || c.Type.Kind == datatype.UUID; !text && (c.Kind == KindPattern || c.Kind == KindLength && c.Type.Kind != datatype.List) {
		return nil, fault.New(fault.Invalid, "a rule of the kind %s has no meaning for a %s", c.Kind, c.Type)
	}
	if c.Pattern != nil {
		if j.matcher, err = outside.Matcher(*c.Pattern); err != nil {
			return nil, err
		}
	}
	return j, nil
}

// boundOf reads one end of a range. The end of a whole or bounded number may be
// finer or larger than the field itself could be.
func boundOf(c value.Caster, text string) (any, error) {
	if c.Type.IsInteger() || c.Type.Kind == datatype.Decimal {
		if !value.IsDecimal(text) {
			return nil, fault.New(fault.Invalid, "%q %s", text, value.NotNumber)
		}
		return value.Rat(text), nil
	}
	v, f := c.Text(text)
	if f == value.Sound && value.IsNaN(v) {
		f = value.NotNumber
	}
	if f != value.Sound {
		return nil, fault.New(fault.Invalid, "%q %s", text, f)
	}
	return v, nil
}

// Judge judges one value: see Check.Judge.
func (j *Judge) Judge(given any) Finding {
	if j.check.Scope() != ScopeRow {
		return Finding{}
	}
	if given == nil {
		if j.check.Kind == KindRequired || j.check.Kind == KindForbidden && j.check.Nulls {
			return j.fail("is missing")
		}
		return Finding{}
	}
	v, f := j.caster.Value(given)
	switch {
	case j.check.Kind == KindType && f != value.Sound:
		return j.fail("%q %s", value.Text(given), f)
	case f != value.Sound, v == nil, j.check.Kind == KindType, j.check.Kind == KindRequired:
		return Finding{}
	}
	return j.judge(v)
}

func (j *Judge) fail(format string, args ...any) Finding {
	return Finding{j.check.OnFail, fmt.Sprintf(format, args...)}
}

// judge judges a value that was cast.
func (j *Judge) judge(v any) Finding {
	c := j.check
	switch c.Kind {
	case KindRange:
		if c.Min != nil && !inOrder(j.min, v, c.Min.Exclusive) {
			return j.fail("%s is less than %s", value.Text(v), c.Min)
		}
		if c.Max != nil && !inOrder(v, j.max, c.Max.Exclusive) {
			return j.fail("%s is more than %s", value.Text(v), c.Max)
		}
	case KindMultiple:
		text, exact := value.DecimalText(v)
		if !exact || !new(big.Rat).Quo(value.Rat(text), j.step).IsInt() {
			return j.fail("%s is no multiple of %s", text, c.MultipleOf)
		}
	case KindLength:
		n, unit := int64(0), "characters"
		switch v := v.(type) {
		case string:
			n = int64(utf8.RuneCountInString(v))
		case []any:
			n, unit = int64(len(v)), "items"
		}
		if c.MinLength != nil && n < *c.MinLength || c.MaxLength != nil && n > *c.MaxLength {
			return j.fail("%q has %d %s, %s", value.Text(v), n, unit, c.lengths())
		}
	case KindPattern:
		text, _ := v.(string)
		switch ok, err := j.matcher(text); {
		case err != nil:
			return j.fail("%q cannot be matched with %s: %s", text, c.Pattern.Text, err)
		case !ok:
			return j.fail("%q does not match %s", text, c.Pattern.Text)
		}
	case KindEnum:
		if !j.among(v) {
			return j.fail("%q is none of %s", value.Text(v), strings.Join(c.Values, ", "))
		}
	case KindForbidden:
		if j.among(v) {
			return j.fail("%q counts as missing", value.Text(v))
		}
	default: // judged elsewhere: on the stage, by its metric, or by the cast
	}
	return Finding{}
}

func (j *Judge) among(v any) bool {
	for _, w := range j.values {
		if order, ok := value.Compare(v, w); ok && order == 0 {
			return true
		}
	}
	return false
}

// String says the bound as part of a sentence.
func (b *Bound) String() string {
	if b.Exclusive {
		return b.Value + " or equal to it"
	}
	return b.Value
}

func (c Check) lengths() string {
	switch {
	case c.MinLength == nil:
		return fmt.Sprintf("more than %d", *c.MaxLength)
	case c.MaxLength == nil:
		return fmt.Sprintf("fewer than %d", *c.MinLength)
	}
	return fmt.Sprintf("not between %d and %d", *c.MinLength, *c.MaxLength)
}

func inOrder(low, high any, exclusive bool) bool {
	order, ok := value.Compare(low, high)
	return ok && (order < 0 || order == 0 && !exclusive)
}
