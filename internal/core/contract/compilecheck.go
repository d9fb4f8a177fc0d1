package contract

import (
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/pattern"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/value"
)

// ruling is what a rule itself, and its severity, say about rows that fail.
type ruling struct {
	verdict Verdict // Pass: nothing
	at      problem.Place
	warning bool // by severity
	name    string
	nameAt  problem.Place
	key     bool // the column belongs to the key, and null has no place in one
}

// possible reports whether the verdict has a meaning for the kind.
func (r ruling) possible(k Kind, v Verdict) bool {
	switch v {
	case Coerce:
		return k.coercible()
	case Quarantine:
		return k.quarantinable()
	case Warn:
		return k != KindType && !r.key // a value that is none has no way on
	default:
		return true
	}
}

// addCheck settles name and verdict of a check and appends it.
func (c *compiler) addCheck(check Check, suffix string, r ruling) {
	check.Rule = suffix
	if check.Field != "" {
		check.Rule = check.Field + "." + suffix
	}
	if r.name != "" {
		check.Rule = r.name
	}
	if first, taken := c.rules[check.Rule]; taken && r.name != "" {
		c.add(problem.DuplicateKey, r.nameAt, "give each rule a name of its own", "two rules are called %q", check.Rule)
		c.found[len(c.found)-1].Related = []problem.Note{{Place: first, Message: "the other one"}}
	} else {
		base := check.Rule
		for n := 2; taken; n++ {
			check.Rule = fmt.Sprintf("%s.%d", base, n)
			_, taken = c.rules[check.Rule]
		}
	}
	c.rules[check.Rule] = check.Place
	switch {
	case r.verdict != Pass && !r.possible(check.Kind, r.verdict):
		c.add(problem.BadValue, r.at, "", "a rule of the kind %s cannot %s", check.Kind, r.verdict)
	case r.verdict != Pass:
		check.OnFail = r.verdict
	case r.warning && r.possible(check.Kind, Warn):
		check.OnFail = Warn
	}
	if check.OnFail == Pass {
		field := Pass
		if i := c.out.Index(check.Field); check.Field != "" && i >= 0 {
			field = c.out.Fields[i].OnFail
		}
		check.OnFail = Reject
		for _, v := range []Verdict{field, c.out.OnFail} {
			if v != Pass && r.possible(check.Kind, v) {
				check.OnFail = v
				break
			}
		}
	}
	c.out.Checks = append(c.out.Checks, check)
}

// fieldChecks appends the checks that follow from a property without its quality rules.
func (c *compiler) fieldChecks(p *PropertyDocument, f *Field) {
	base := f.check(p.Place)
	base.Kind = KindType
	c.addCheck(base, "type", ruling{})
	if f.Required {
		base.Kind = KindRequired
		c.addCheck(base, "required", ruling{key: p.PrimaryKey})
	}
	for _, check := range c.optionChecks(p, f) {
		if c.prepares(check, check.Place) {
			c.addCheck(check, string(check.Kind), ruling{})
		}
	}
	if p.Unique {
		base.Kind, base.Fields = KindUnique, []string{f.Name}
		c.addCheck(base, "unique", ruling{})
	}
}

// check returns the part that all checks of the field share.
func (f *Field) check(at problem.Place) Check {
	return Check{Field: f.Name, Type: f.Type, Zone: f.Zone, Format: f.Format, Place: at}
}

// optionChecks are the row checks of logicalTypeOptions.
func (c *compiler) optionChecks(p *PropertyDocument, f *Field) []Check {
	var checks []Check
	o := &p.Options
	base := f.check(p.Place)
	if low, high := o.MinLength, o.MaxLength; low != nil || high != nil {
		check := base
		check.Kind, check.MinLength, check.MaxLength, check.Place = KindLength, low, high, o.Of("maxLength")
		checks = append(checks, check)
	}
	if low, high := o.MinItems, o.MaxItems; f.Type.Kind == datatype.List && (low != nil && *low > 0 || high != nil) {
		check := base
		check.Kind, check.MinLength, check.MaxLength, check.Place = KindLength, low, high, o.Of("maxItems")
		checks = append(checks, check)
	}
	if o.Pattern != "" {
		if pattern, ok := c.pattern(o.Pattern, o.Of("pattern")); ok {
			check := base
			check.Kind, check.Pattern, check.Place = KindPattern, pattern, o.Of("pattern")
			checks = append(checks, check)
		}
	}
	if o.MultipleOf != nil {
		check := base
		check.Kind, check.Place = KindMultiple, o.Of("multipleOf")
		check.MultipleOf, _ = valueText(o.MultipleOf)
		checks = append(checks, check)
	}
	if check, ok := c.rangeCheck(o, base); ok {
		checks = append(checks, check)
	}
	for key, given := range map[string]bool{
		"uniqueItems": o.UniqueItems, "minProperties": o.MinProperties != nil && *o.MinProperties > 0, "maxProperties": o.MaxProperties != nil,
	} {
		if given {
			c.add(problem.UnknownRule, o.Of(key), "remove it", "the option %s is not checked", key)
		}
	}
	if f.Type.Kind == datatype.JSON && (len(o.Required) > 0 || o.MinItems != nil && *o.MinItems > 0 || o.MaxItems != nil) {
		c.add(problem.UnknownRule, o.Place, "list its properties or items, or remove the options", "the options of %s are not checked inside a document", describe(p))
	}
	return checks
}

// rangeCheck joins the bounds of the options and of an integer format; of two
// lower bounds the higher counts, of two upper ones the lower.
func (c *compiler) rangeCheck(o *OptionsDocument, check Check) (Check, bool) {
	check.Kind, check.Place = KindRange, o.Place
	if limits, ok := formatRange[o.Format]; ok && check.Type.IsNumber() {
		check.Min, check.Max = &Bound{Value: limits[0]}, &Bound{Value: limits[1]}
	}
	for _, b := range []struct {
		key       string
		value     any
		flag      any // 3.0: exclusive is a flag beside the bound
		exclusive bool
		target    **Bound
		sign      int
	}{
		{"minimum", o.Minimum, o.ExclusiveMinimum, false, &check.Min, 1},
		{"maximum", o.Maximum, o.ExclusiveMaximum, false, &check.Max, -1},
		{"exclusiveMinimum", o.ExclusiveMinimum, nil, true, &check.Min, 1},
		{"exclusiveMaximum", o.ExclusiveMaximum, nil, true, &check.Max, -1},
	} {
		if _, isFlag := b.value.(bool); b.value == nil || isFlag {
			continue
		}
		text, ok := valueText(b.value)
		flagged, _ := b.flag.(bool)
		bound := &Bound{Value: text, Exclusive: b.exclusive || flagged}
		probe := check
		probe.Min, probe.Max = bound, nil
		check.Place = o.Of(b.key)
		if !ok || !c.prepares(probe, check.Place) {
			if !ok {
				c.add(problem.BadValue, check.Place, "", "%s cannot be %v", b.key, b.value)
			}
			return check, false
		}
		if *b.target == nil || check.tighter(bound, *b.target, b.sign) {
			*b.target = bound
		}
	}
	if check.Min != nil && check.Max != nil && check.tighter(check.Min, check.Max, 1) {
		c.add(problem.BadValue, check.Place, "swap the bounds", "no value lies between %s and %s", check.Min.Value, check.Max.Value)
		return check, false
	}
	return check, check.Min != nil || check.Max != nil
}

// tighter reports whether bound a excludes more than b; sign is 1 for lower ends.
func (c Check) tighter(a, b *Bound, sign int) bool {
	caster := value.Caster{Type: c.Type}
	x, err1 := boundOf(caster, a.Value)
	y, err2 := boundOf(caster, b.Value)
	if err1 != nil || err2 != nil {
		return false
	}
	order, _ := value.Compare(x, y)
	return order*sign > 0 || order == 0 && a.Exclusive && !b.Exclusive
}

// valueText is a scalar of the file as text.
func valueText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return value.Text(v), true
	}
	return numberOf(v)
}

// numberOf is a number of the file as decimal text.
func numberOf(v any) (string, bool) {
	switch v.(type) {
	case int, int32, int64, uint64, float64:
		return value.DecimalText(v)
	}
	return "", false
}

func (c *compiler) pattern(text string, at problem.Place) (*pattern.Pattern, bool) {
	p, err := pattern.New(text)
	if err == nil && p.RE2 == "" && c.outside.Pattern != nil {
		_, err = c.outside.Pattern(p.Backtrack)
	}
	if err != nil {
		c.add(problem.BadPattern, at, "write an ECMA-262 regular expression", "%s", err)
		return nil, false
	}
	return &p, true
}

// prepares reports whether the values of a check can be read as the field's type.
func (c *compiler) prepares(check Check, at problem.Place) bool {
	text := check.Type.Kind == datatype.String || check.Type.Kind == datatype.UUID
	switch {
	case check.Kind == KindPattern && !text:
		c.add(problem.BadPattern, at, "remove it, or make the field a string", "a pattern has no meaning for a %s", check.Type)
		return false
	case check.Kind == KindLength && !text && check.Type.Kind != datatype.List,
		check.Kind == KindMultiple && !check.Type.IsNumber(),
		check.Kind == KindRange && (text || check.Type.IsNested() || !check.comparable() || check.Type.Kind == datatype.Bool),
		(check.Kind == KindEnum || check.Kind == KindForbidden) && len(check.Values) > 0 && (check.Type.IsNested() || check.Type.Kind == datatype.JSON):
		c.add(problem.BadValue, at, "", "a rule of the kind %s has no meaning for a %s", check.Kind, check.Type)
		return false
	case check.Kind == KindLength && check.MinLength != nil && check.MaxLength != nil && *check.MinLength > *check.MaxLength:
		c.add(problem.BadValue, at, "swap the bounds", "no length lies between %d and %d", *check.MinLength, *check.MaxLength)
		return false
	}
	check.Pattern = nil // read before
	if c.outside.Zone == nil && check.Zone != "" {
		check.Zone = "UTC" // whether text needs a zone is all that can be told
	}
	if _, err := NewJudge(check, c.outside); err != nil {
		c.add(problem.BadValue, at, "write values of the field's type", "%s", err)
		return false
	}
	return true
}

// freshness turns the latency that the contract promises into watches.
func (c *compiler) freshness() {
	for i := range c.doc.SLA {
		s := &c.doc.SLA[i]
		if s.Property != "latency" && s.Property != "freshness" {
			continue
		}
		for element := range strings.SplitSeq(s.Element, ",") {
			table, column, _ := strings.Cut(strings.TrimSpace(element), ".")
			if table != c.in.Name && !(table == "" && len(c.doc.Tables) == 1) {
				continue
			}
			if column == "" {
				column = c.out.EventTime
			}
			c.watch(s, column)
		}
	}
}

func (c *compiler) watch(s *SLADocument, column string) {
	if column == "" {
		c.add(problem.MissingKey, s.Place, "write element: table.column, or tidemill.eventTime", "%s does not say which column is to be fresh", s.Property)
		return
	}
	f := c.needColumn(column, s.Of("element"))
	within, ok := slaDuration(s)
	if !ok {
		c.add(problem.BadDuration, s.Of("value"), "write a number with a unit such as h or d", "%s cannot be %v %s", s.Property, s.Value, s.Unit)
	}
	if f == nil || !ok {
		return
	}
	switch f.Type.Kind {
	case datatype.Timestamp, datatype.TimestampTZ, datatype.Date:
	default:
		c.add(problem.BadValue, s.Of("element"), "name a timestamp or date", "%s of %s, which is a %s, has no meaning", s.Property, f.Name, f.Type)
		return
	}
	check := f.check(s.Place)
	check.Kind, check.Within, check.OnFail = KindFreshness, within, Warn
	c.addCheck(check, "freshness", ruling{verdict: Warn})
}

// slaTargets reports promises about tables that the document has not.
func (c *compiler) slaTargets() {
	for i := range c.doc.SLA {
		s := &c.doc.SLA[i]
		for element := range strings.SplitSeq(s.Element, ",") {
			table, _, _ := strings.Cut(strings.TrimSpace(element), ".")
			known := table == ""
			var names []string
			for j := range c.doc.Tables {
				names = append(names, c.doc.Tables[j].Name)
				known = known || c.doc.Tables[j].Name == table
			}
			if !known {
				c.add(problem.UnknownTable, s.Of("element"), suggestion(table, names), "the contract has no table %q", table)
			}
		}
	}
}
