package contract

import (
	"cmp"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/value"
)

// warningSeverities are the words by which contracts say that a rule only warns.
var warningSeverities = []string{"warning", "warn", "info", "informational", "low", "minor"}

// quality compiles one quality rule of a field, or of the table where f is nil.
func (c *compiler) quality(q *QualityDocument, f *Field) {
	settings := c.customs(q.CustomProperties, "a rule", []string{customOnFail})
	r := ruling{
		verdict: c.verdict(settings[customOnFail]),
		warning: slices.Contains(warningSeverities, strings.ToLower(q.Severity)),
		name:    cmp.Or(q.Name, q.ID),
		nameAt:  q.Of("name"),
	}
	if p := settings[customOnFail]; p != nil {
		r.at = p.at()
	}
	check := Check{Place: q.Place}
	if f != nil {
		check = f.check(q.Place)
		r.key = slices.Contains(c.keyColumns(), f.Name)
	}
	switch {
	case q.Type == "text":
		return // words for people
	case q.Type == "sql":
		check.Kind, check.Query = KindSQL, q.Query
		if strings.TrimSpace(q.Query) == "" {
			c.add(problem.MissingKey, q.Place, "add query", "the rule has no query")
			return
		}
	case q.Type == "" || q.Type == "library":
		if !c.metric(q, f, &check) {
			return
		}
	default:
		c.add(problem.UnknownRule, q.Of("type"), "say it as a library metric or as sql", "rules of the type %s are not judged", q.Type)
		return
	}
	if !c.operator(q, &check) || !c.unit(q, &check) {
		return
	}
	c.addQuality(q, check, r)
}

// keyColumns are the key's columns, while the fields are still being read.
func (c *compiler) keyColumns() []string {
	var columns []string
	for i := range c.in.Properties {
		if c.in.Properties[i].PrimaryKey {
			columns = append(columns, columnName(&c.in.Properties[i]))
		}
	}
	return columns
}

var metricKinds = map[string]Kind{
	"nullValues": KindNullValues, "missingValues": KindMissingValues, "invalidValues": KindInvalidValues,
	"duplicateValues": KindDuplicateValues, "rowCount": KindRowCount,
}

var metrics = []string{"nullValues", "missingValues", "invalidValues", "duplicateValues", "rowCount"}

// metric reads a library metric with its arguments.
func (c *compiler) metric(q *QualityDocument, f *Field, check *Check) bool {
	kind, known := metricKinds[q.Metric]
	a := &q.Arguments
	switch {
	case !known:
		c.add(problem.UnknownRule, q.Of("metric"), suggestion(q.Metric, metrics), "the metric %q is not known", q.Metric)
		return false
	case (f == nil) == (kind == KindNullValues || kind == KindMissingValues || kind == KindInvalidValues):
		if f == nil || kind == KindRowCount {
			c.add(problem.UnknownRule, q.Of("metric"), "move the rule", "the metric %s has no meaning here", q.Metric)
			return false
		}
	case len(a.Unknown) > 0:
		c.add(problem.UnknownKey, a.Place, "", "%s takes no argument %q", q.Metric, a.Unknown[0])
		return false
	}
	check.Kind = kind
	ok := true
	switch kind {
	case KindMissingValues:
		check.Values, check.Nulls, ok = c.values(a.MissingValues, a.Of("missingValues"))
		if len(a.MissingValues) == 0 {
			c.add(problem.MissingKey, q.Place, "add arguments: {missingValues: [...]}", "missingValues does not say which")
			return false
		}
	case KindInvalidValues:
		nulls := false
		check.Values, nulls, ok = c.values(a.ValidValues, a.Of("validValues"))
		_ = nulls // null is never invalid: required says whether it may be there
		if a.Pattern != "" {
			var sound bool
			check.Pattern, sound = c.pattern(a.Pattern, a.Of("pattern"))
			ok = ok && sound
		}
		if a.ValidValues == nil && a.Pattern == "" {
			c.add(problem.MissingKey, q.Place, "add arguments: {validValues: [...]} or a pattern", "invalidValues does not say what is valid")
			return false
		}
	case KindDuplicateValues:
		return c.duplicates(q, f, check)
	default:
	}
	return ok
}

func (c *compiler) duplicates(q *QualityDocument, f *Field, check *Check) bool {
	if f != nil {
		check.Fields = []string{f.Name}
		return true
	}
	if len(q.Arguments.Properties) == 0 {
		c.add(problem.MissingKey, q.Place, "add arguments: {properties: [...]}", "duplicateValues does not say of which columns")
		return false
	}
	for _, name := range q.Arguments.Properties {
		column := c.needColumn(name, q.Arguments.Of("properties"))
		if column == nil {
			return false
		}
		check.Fields = append(check.Fields, column.Name)
	}
	return true
}

func (c *compiler) values(list []any, at problem.Place) (texts []string, nulls, ok bool) {
	for _, v := range list {
		if v == nil {
			nulls = true
			continue
		}
		text, ok := valueText(v)
		if !ok {
			c.add(problem.BadValue, at, "write texts, numbers, dates or booleans", "%v cannot be a value of the list", v)
			return nil, false, false
		}
		texts = append(texts, text)
	}
	return texts, nulls, true
}

func (c *compiler) operator(q *QualityDocument, check *Check) bool {
	if len(q.Operators) != 1 {
		c.add(problem.UnknownRule, q.Place, "add one of mustBe, mustBeLessThan, mustBeBetween …", "the rule has %d conditions; it needs one", len(q.Operators))
		return false
	}
	op := q.Operators[0]
	operator, wanted := Operator(op.Name), 1
	if operator == MustBeBetween || operator == MustNotBeBetween {
		wanted = 2
	}
	if !slices.Contains(operators, operator) {
		names := make([]string, len(operators))
		for i, o := range operators {
			names[i] = string(o)
		}
		c.add(problem.UnknownKey, op.Place, suggestion(op.Name, names), "unknown condition %q", op.Name)
		return false
	}
	for _, v := range op.Values {
		text, ok := valueText(v)
		if b, isBool := v.(bool); isBool {
			text = map[bool]string{true: "1", false: "0"}[b] // a query may return a boolean
		}
		if !ok || !value.IsDecimal(text) {
			c.add(problem.BadValue, op.Place, "write a number", "%s cannot be %v", op.Name, v)
			return false
		}
		check.Operands = append(check.Operands, text)
	}
	if len(check.Operands) != wanted {
		c.add(problem.BadValue, op.Place, "", "%s takes %d numbers", op.Name, wanted)
		return false
	}
	if wanted == 2 && value.Rat(check.Operands[0]).Cmp(value.Rat(check.Operands[1])) > 0 {
		c.add(problem.BadValue, op.Place, "swap them", "%s ends before it begins", op.Name)
		return false
	}
	check.Operator = operator
	return true
}

func (c *compiler) unit(q *QualityDocument, check *Check) bool {
	switch q.Unit {
	case "", "rows":
		return true
	case "percent", "%":
		if check.Kind == KindSQL || check.Kind == KindRowCount {
			c.add(problem.BadValue, q.Of("unit"), "remove the unit", "a %s has no percentage", check.Kind)
			return false
		}
		check.Percent = true
		return true
	}
	c.add(problem.BadValue, q.Of("unit"), "write rows or percent", "unknown unit %q", q.Unit)
	return false
}

// addQuality appends the rule: as a check of each row where none may fail, else as a count.
func (c *compiler) addQuality(q *QualityDocument, check Check, r ruling) {
	none := check.Operator == MustBe && value.Rat(check.Operands[0]).Sign() == 0
	singles := check.Single()
	for i := range singles {
		singles[i].Percent = false
		if !c.prepares(singles[i], q.Place) {
			return
		}
	}
	switch {
	case none && len(singles) > 0:
		for i, single := range singles {
			named := r
			if r.name != "" && i > 0 {
				named.name += "." + string(single.Kind)
			}
			c.addCheck(single, string(single.Kind), named)
		}
	case none && check.Kind == KindDuplicateValues:
		check.Kind, check.Operator, check.Operands, check.Percent = KindUnique, "", nil, false
		c.addCheck(check, "unique", r)
	default:
		c.addCheck(check, string(check.Kind), r)
	}
}

var slaUnits = map[string]time.Duration{
	"s": time.Second, "sec": time.Second, "second": time.Second, "seconds": time.Second,
	"m": time.Minute, "min": time.Minute, "minute": time.Minute, "minutes": time.Minute,
	"h": time.Hour, "hr": time.Hour, "hour": time.Hour, "hours": time.Hour,
	"d": 24 * time.Hour, "day": 24 * time.Hour, "days": 24 * time.Hour,
	"w": 7 * 24 * time.Hour, "week": 7 * 24 * time.Hour, "weeks": 7 * 24 * time.Hour,
}

// slaDuration reads value and unit of a promise, above zero and at most a century.
func slaDuration(s *SLADocument) (time.Duration, bool) {
	unit, known := slaUnits[strings.ToLower(s.Unit)]
	text, ok := valueText(s.Value)
	if !known || !ok || !value.IsDecimal(text) {
		return 0, false
	}
	length := new(big.Rat).Mul(value.Rat(text), new(big.Rat).SetInt64(int64(unit)))
	if length.Sign() <= 0 || length.Cmp(new(big.Rat).SetInt64(int64(100*365*24*time.Hour))) > 0 {
		return 0, false
	}
	whole, _ := length.Float64()
	return time.Duration(whole), true
}
