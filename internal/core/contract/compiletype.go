package contract

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/problem"
)

// typeOf resolves a property's type: own precision and scale, else the physical
// type, else the logical type with its options. False: it was reported.
func (c *compiler) typeOf(p *PropertyDocument, settings map[string]*CustomProperty, zone string) (datatype.Type, TypeOrigin, bool) {
	precision := c.whole(settings[customPrecision], 1, datatype.MaxPrecision)
	if settings[customPrecision] == nil && settings[customScale] != nil {
		c.add(problem.MissingKey, settings[customScale].at(), "add tidemill.precision", "tidemill.scale has no meaning without tidemill.precision")
		return datatype.Type{}, FromCustom, false
	}
	if settings[customPrecision] != nil {
		scale := max(c.whole(settings[customScale], 0, max(precision, 0)), 0)
		if precision < 0 {
			return datatype.Type{}, FromCustom, false
		}
		if p.LogicalType != "number" && p.LogicalType != "integer" && p.LogicalType != "" {
			c.add(problem.BadType, settings[customPrecision].at(), "use it with logicalType: number", "a %s takes no precision", p.LogicalType)
			return datatype.Type{}, FromCustom, false
		}
		return datatype.DecimalOf(precision, scale), FromCustom, true
	}
	if p.PhysicalType != "" {
		if t, ok := physicalType(p); ok {
			t, ok = c.settle(p, t, zone)
			return t, FromPhysical, ok
		}
		if p.LogicalType == "" {
			c.add(problem.BadType, p.Of("physicalType"), "add a logicalType", "the physical type %q cannot be read", p.PhysicalType)
			return datatype.Type{}, FromPhysical, false
		}
	}
	t, ok := c.logicalType(p)
	if ok {
		t, ok = c.settle(p, t, zone)
	}
	return t, FromLogical, ok
}

// physicalType reads physicalType; false where it cannot, or where its words
// say less than the logical type's members do.
func physicalType(p *PropertyDocument) (datatype.Type, bool) {
	if len(p.Properties) > 0 || p.Items != nil {
		return datatype.Type{}, false
	}
	t, err := dialect.PostgreSQL.ParseType(p.PhysicalType)
	return t, err == nil
}

// categories are the kinds that each logical type admits.
var categories = map[string][]datatype.Kind{
	"string":    {datatype.String, datatype.UUID, datatype.JSON, datatype.Bytes},
	"integer":   {datatype.Int16, datatype.Int32, datatype.Int64, datatype.Uint64, datatype.Decimal},
	"number":    {datatype.Int16, datatype.Int32, datatype.Int64, datatype.Uint64, datatype.Decimal, datatype.Float32, datatype.Float64},
	"boolean":   {datatype.Bool},
	"date":      {datatype.Date},
	"time":      {datatype.Time},
	"timestamp": {datatype.Timestamp, datatype.TimestampTZ},
	"object":    {datatype.Struct, datatype.JSON},
	"array":     {datatype.List, datatype.JSON},
}

// settle checks a type against the logical type, bounds it, and gives timestamps their zone.
func (c *compiler) settle(p *PropertyDocument, t datatype.Type, zone string) (datatype.Type, bool) {
	if admitted, known := categories[p.LogicalType]; known && !slices.Contains(admitted, t.Kind) {
		c.add(problem.BadType, p.Of("physicalType"), "change one of the two", "the physical type %s is no %s", p.PhysicalType, p.LogicalType)
		return t, false
	}
	if t.Kind == datatype.Decimal && t.Precision == 0 {
		c.add(problem.BadType, p.Of("physicalType"), "write DECIMAL(precision, scale), or tidemill.precision and tidemill.scale", "%s does not say how many digits it keeps", p.PhysicalType)
		return t, false
	}
	zoned := p.Options.Timezone
	switch t.Kind {
	case datatype.Time:
		if zoned != nil && *zoned {
			c.add(problem.BadType, p.Options.Of("timezone"), "use a timestamp", "a time of day with a time zone is not supported")
			return t, false
		}
	case datatype.Timestamp, datatype.TimestampTZ:
		if zoned != nil && *zoned {
			t.Kind = datatype.TimestampTZ
		}
		if zoned != nil && !*zoned {
			t.Kind = datatype.Timestamp
		}
		if t.Kind == datatype.Timestamp && zone == "" {
			c.add(problem.NaiveTimestamp, p.Place, "write logicalTypeOptions: {timezone: true}, or timezone: false with defaultTimezone",
				"the timestamp %q has no time zone", p.Name)
			return t, false
		}
	case datatype.JSON:
		t.Shape = shapes[p.LogicalType]
	default:
	}
	return t, true
}

// shapes are what a document has to be, where a logical type says it.
var shapes = map[string]datatype.Shape{"object": datatype.ObjectShape, "array": datatype.ArrayShape}

// logicalType is the type by logicalType and its format. A whole number without
// format has 64 bits: the standard's default of 32 would refuse sound numbers.
func (c *compiler) logicalType(p *PropertyDocument) (datatype.Type, bool) {
	format := p.Options.Format
	switch p.LogicalType {
	case "":
		c.add(problem.MissingKey, p.Place, "add a logicalType", "the column %q has no type", p.Name)
		return datatype.Type{}, false
	case "string":
		if format == "uuid" {
			return datatype.Of(datatype.UUID), true
		}
		return datatype.Of(datatype.String), true
	case "boolean":
		return datatype.Of(datatype.Bool), true
	case "date":
		return datatype.Of(datatype.Date), true
	case "time":
		return datatype.Of(datatype.Time), true
	case "timestamp":
		return datatype.Of(datatype.Timestamp), true
	case "integer":
		if t, ok := integerFormats[format]; ok {
			return t, true
		}
	case "number":
		if t, ok := map[string]datatype.Type{"": datatype.Of(datatype.Float64), "f64": datatype.Of(datatype.Float64), "f32": datatype.Of(datatype.Float32)}[format]; ok {
			return t, true
		}
	case "object":
		return c.members(p)
	case "array":
		return c.items(p)
	default:
		c.add(problem.BadType, p.Of("logicalType"), suggestion(p.LogicalType, logicalTypes), "unknown logical type %q", p.LogicalType)
		return datatype.Type{}, false
	}
	c.add(problem.BadType, p.Options.Of("format"), "", "unknown format %q of %s", format, p.LogicalType)
	return datatype.Type{}, false
}

var logicalTypes = []string{"string", "date", "timestamp", "time", "number", "integer", "object", "array", "boolean"}

var integerFormats = map[string]datatype.Type{
	"": datatype.Of(datatype.Int64), "i8": datatype.Of(datatype.Int16), "i16": datatype.Of(datatype.Int16),
	"i32": datatype.Of(datatype.Int32), "i64": datatype.Of(datatype.Int64), "i128": datatype.DecimalOf(38, 0),
	"u8": datatype.Of(datatype.Int16), "u16": datatype.Of(datatype.Int32), "u32": datatype.Of(datatype.Int64),
	"u64": datatype.Of(datatype.Uint64), "u128": datatype.DecimalOf(38, 0),
}

// formatRange narrows a format to the numbers that it has and its type has not only.
var formatRange = map[string][2]string{
	"i8": {"-128", "127"}, "u8": {"0", "255"}, "u16": {"0", "65535"}, "u32": {"0", "4294967295"},
	"u128": {"0", strings.Repeat("9", 38)},
}

func (c *compiler) members(p *PropertyDocument) (datatype.Type, bool) {
	if len(p.Properties) == 0 {
		return datatype.Of(datatype.JSON), true
	}
	fields := make([]datatype.Field, 0, len(p.Properties))
	sound := true
	for i := range p.Properties {
		member := &p.Properties[i]
		t, ok := c.inner(member)
		required := member.Required || slices.Contains(p.Options.Required, member.Name)
		fields = append(fields, datatype.Field{Name: columnName(member), Type: t, Required: required})
		sound = sound && ok
	}
	t := datatype.StructOf(fields...)
	if sound {
		if err := t.Validate(); err != nil {
			c.add(problem.BadType, p.Of("properties"), "", "%s", err)
			return t, false
		}
	}
	return t, sound
}

func (c *compiler) items(p *PropertyDocument) (datatype.Type, bool) {
	if p.Items == nil {
		return datatype.Of(datatype.JSON), true
	}
	elem, ok := c.inner(p.Items)
	return datatype.ListOf(elem), ok
}

// inner resolves the type of a member or an item. Rules there are refused: a
// row has one verdict per column, and none for a part of it.
func (c *compiler) inner(p *PropertyDocument) (datatype.Type, bool) {
	settings := c.customs(p.CustomProperties, "a value inside another", []string{customPrecision, customScale, customDefaultTimezone})
	t, _, ok := c.typeOf(p, settings, c.zone(p, settings[customDefaultTimezone]))
	probe := Field{Field: datatype.Field{Name: p.Name, Type: t}}
	if ok && (len(p.Quality) > 0 || p.Unique || p.PrimaryKey || len(c.optionChecks(p, &probe)) > 0 || p.Options.Format != "" && formatRange[p.Options.Format] != [2]string{}) {
		c.add(problem.UnknownRule, p.Place, "move the value into a column of its own, or remove the rule", "rules of %s, a value inside another, are not judged", describe(p))
		return t, false
	}
	return t, ok
}

func describe(p *PropertyDocument) string {
	if p.Name == "" {
		return "an item"
	}
	return fmt.Sprintf("%q", p.Name)
}
