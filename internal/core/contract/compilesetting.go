package contract

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/value"
)

// The own keys inside customProperties.
const (
	customPrefix          = "tidemill."
	customEventTime       = "tidemill.eventTime"
	customKnownAt         = "tidemill.knownAt"
	customFeature         = "tidemill.feature"
	customAvailableAfter  = "tidemill.availableAfter"
	customExtraColumns    = "tidemill.extraColumns"
	customDefaultTimezone = "tidemill.defaultTimezone"
	customOnFail          = "tidemill.onFail"
	customErrorBudget     = "tidemill.errorBudget"
	customPrecision       = "tidemill.precision"
	customScale           = "tidemill.scale"
)

var customKeys = []string{
	customEventTime, customKnownAt, customFeature, customAvailableAfter, customExtraColumns,
	customDefaultTimezone, customOnFail, customErrorBudget, customPrecision, customScale,
}

// customs returns our own properties by name; those of others are theirs.
func (c *compiler) customs(list []CustomProperty, of string, allowed []string) map[string]*CustomProperty {
	out := make(map[string]*CustomProperty)
	for i := range list {
		p := &list[i]
		name := p.Property
		switch {
		case !strings.HasPrefix(name, customPrefix):
		case !slices.Contains(customKeys, name):
			c.add(problem.UnknownKey, p.Of("property"), suggestion(name, customKeys), "unknown property %q", name)
		case !slices.Contains(allowed, name):
			c.add(problem.BadSetting, p.Of("property"), "", "%s has no meaning for %s", name, of)
		case out[name] != nil:
			c.add(problem.DuplicateKey, p.Of("property"), "remove one", "%s is given twice", name)
		default:
			out[name] = p
		}
	}
	return out
}

func (p *CustomProperty) at() problem.Place { return p.Of("value") }

func (c *compiler) text(p *CustomProperty) string {
	if p == nil {
		return ""
	}
	text, ok := p.Value.(string)
	if !ok || text == "" {
		c.add(problem.WrongType, p.at(), "write a text", "%s takes a text", p.Property)
	}
	return text
}

func (c *compiler) flag(p *CustomProperty) bool {
	if p == nil {
		return false
	}
	flag, ok := p.Value.(bool)
	if !ok {
		c.add(problem.WrongType, p.at(), "write true or false", "%s takes true or false", p.Property)
	}
	return flag
}

// whole reads a whole number from least to most; -1 where there is none.
func (c *compiler) whole(p *CustomProperty, least, most int) int {
	if p == nil {
		return -1
	}
	text, _ := numberOf(p.Value)
	n, flaw := value.ParseInteger(text, int64(least), int64(most))
	if flaw != value.Sound {
		c.add(problem.BadValue, p.at(), fmt.Sprintf("write a whole number from %d to %d", least, most), "%s cannot be %v", p.Property, p.Value)
		return -1
	}
	return int(n)
}

// verdict reads tidemill.onFail; Pass where it is not given.
func (c *compiler) verdict(p *CustomProperty) Verdict {
	if p == nil {
		return Pass
	}
	v := Verdict(c.text(p))
	if v != Pass && !v.IsVerdict() {
		names := make([]string, len(onFail))
		for i, v := range onFail {
			names[i] = string(v)
		}
		c.add(problem.BadValue, p.at(), suggestion(string(v), names), "%s is one of %s, not %q", customOnFail, strings.Join(names, ", "), v)
		return Pass
	}
	return v
}

// noWarning reports a verdict warn that the type rules of those fields that say
// own themselves cannot have, and which they have instead. Any text is a string,
// so there the word does what it says.
func (c *compiler) noWarning(p *CustomProperty, own Verdict, fields []Field) {
	if p == nil || p.Value != string(Warn) {
		return
	}
	for _, check := range c.out.Checks {
		at := slices.IndexFunc(fields, func(f Field) bool { return f.Name == check.Field && f.OnFail == own })
		anyText := check.Type.Kind == datatype.String && check.Type.Length == 0
		if check.Kind == KindType && at >= 0 && !anyText {
			c.add(problem.NoWarning, p.at(), "write quarantine to set such rows aside, coerce to load NULL for the value, or reject; rules of quality may still say warn",
				"warn has no meaning for a value that is not of its column's type, such as text in %s: there the verdict is %s", check.Field, check.OnFail)
			return
		}
	}
}

func (c *compiler) tableSettings(settings map[string]*CustomProperty) {
	if v := c.verdict(settings[customOnFail]); v != Pass {
		c.out.OnFail = v
	}
	c.out.Feature = c.flag(settings[customFeature])
	if p := settings[customExtraColumns]; p != nil {
		switch v := ExtraColumns(c.text(p)); v {
		case ExtraRefuse, ExtraIgnore, ExtraAdd:
			c.out.ExtraColumns = v
		case "":
		default:
			c.add(problem.BadValue, p.at(), "write refuse, ignore or add", "%s cannot be %q", customExtraColumns, v)
		}
	}
	if p := settings[customAvailableAfter]; p != nil {
		if text := c.text(p); text != "" {
			d, err := calendar.ParseDuration(text)
			if err != nil {
				c.add(problem.BadDuration, p.at(), "write for example 15m, 6h or 2d", "%s: %s", customAvailableAfter, err)
			}
			c.out.AvailableAfter = d
		}
	}
	if p := settings[customDefaultTimezone]; p != nil {
		c.out.DefaultTimezone = c.zoneName(c.text(p), p.at())
	}
	if p := settings[customErrorBudget]; p != nil {
		c.budget(p)
	}
}

// zoneName returns the name if it is a time zone's, else reports it.
func (c *compiler) zoneName(name string, at problem.Place) string {
	if name == "" || c.outside.Zone == nil {
		return name
	}
	if _, err := c.outside.Location(name); err != nil || name == "Local" {
		c.add(problem.BadZone, at, "write an IANA name such as Europe/Berlin", "unknown time zone %q", name)
		return ""
	}
	return name
}

// zone returns the default time zone of a property: its own, else its table's.
func (c *compiler) zone(p *PropertyDocument, custom *CustomProperty) string {
	switch {
	case p.Options.DefaultTimezone != "":
		return c.zoneName(p.Options.DefaultTimezone, p.Options.Of("defaultTimezone"))
	case custom != nil:
		return c.zoneName(c.text(custom), custom.at())
	}
	return c.out.DefaultTimezone
}

func (c *compiler) budget(p *CustomProperty) {
	limits, ok := p.Value.(map[string]any)
	if !ok || len(limits) == 0 {
		c.add(problem.BadBudget, p.at(), "write for example {percent: 0.5, rows: 1000}", "the error budget is no mapping")
		return
	}
	for _, key := range slices.Sorted(maps.Keys(limits)) {
		text, exact := numberOf(limits[key])
		switch rows, flaw := value.ParseInteger(text, 0, 1<<62); {
		case key == "rows" && exact && flaw == value.Sound:
			c.out.ErrorBudget.Rows = &rows
			continue
		case key == "percent" && exact:
			if percent, f := value.ParseFloat(text, 64); f == value.Sound && percent >= 0 && percent <= 100 {
				c.out.ErrorBudget.Percent = &percent
				continue
			}
		}
		c.add(problem.BadBudget, p.at(), "rows is a whole number, percent a number from 0 to 100", "the error budget cannot have %s: %v", key, limits[key])
	}
}

// moments settles event time, known time, and what a feature table needs.
func (c *compiler) moments(settings map[string]*CustomProperty) {
	for name, target := range map[string]*string{customEventTime: &c.out.EventTime, customKnownAt: &c.out.KnownAt} {
		p := settings[name]
		if p == nil {
			continue
		}
		column := c.text(p)
		if column == "" {
			continue
		}
		f := c.needColumn(column, p.at())
		if f == nil {
			continue
		}
		switch f.Type.Kind {
		case datatype.Timestamp, datatype.TimestampTZ, datatype.Date:
			*target = f.Name
		default:
			if f.Type.Kind != "" {
				c.add(problem.BadValue, p.at(), "name a column of logicalType timestamp or date", "%s names %s, which is a %s", name, f.Name, f.Type)
			}
		}
	}
	if c.out.Feature && len(c.out.Key) == 0 {
		c.add(problem.NoKey, settings[customFeature].at(), "mark the key's columns with primaryKey: true", "the feature table %s has no key", c.out.Name)
	}
	if c.out.Feature && settings[customEventTime] == nil {
		c.add(problem.MissingKey, settings[customFeature].at(), "add tidemill.eventTime", "the feature table %s names no event time", c.out.Name)
	}
}
