package contract

import "github.com/tidemill/tidemill/internal/core/problem"

// Position is where a mapping stands in its file, and each of its keys.
type Position struct {
	problem.Place
	Keys map[string]problem.Place
}

// Of returns the place of a key's value, or of the mapping where it is not known.
func (p Position) Of(key string) problem.Place {
	if place, ok := p.Keys[key]; ok {
		return place
	}
	return p.Place
}

// Document is a contract file in the terms of ODCS 3.1: the part of it that has
// a meaning here. The file has passed the standard's own JSON Schema before.
type Document struct {
	Position
	ID               string
	Name             string
	Version          string
	Status           string
	Team             string // team.name
	Tables           []TableDocument
	SLA              []SLADocument // slaProperties
	CustomProperties []CustomProperty
}

// TableDocument is one element of schema.
type TableDocument struct {
	Position
	Name             string
	PhysicalName     string
	Description      string
	Properties       []PropertyDocument
	Quality          []QualityDocument
	CustomProperties []CustomProperty
}

// PropertyDocument is one element of properties, or items.
type PropertyDocument struct {
	Position
	Name               string
	PhysicalName       string
	LogicalType        string
	PhysicalType       string
	Description        string
	Classification     string
	Required           bool
	Unique             bool
	PrimaryKey         bool
	PrimaryKeyPosition int // 0 or less: not given
	Options            OptionsDocument
	Properties         []PropertyDocument // of an object
	Items              *PropertyDocument  // of an array
	Quality            []QualityDocument
	CustomProperties   []CustomProperty
}

// OptionsDocument is logicalTypeOptions. Bounds are numbers or texts; in ODCS
// 3.0 the exclusive ones were flags, and a bool is read as such.
type OptionsDocument struct {
	Position
	MinLength        *int64
	MaxLength        *int64
	Pattern          string
	Format           string
	Minimum          any
	Maximum          any
	ExclusiveMinimum any
	ExclusiveMaximum any
	MultipleOf       any
	Timezone         *bool
	DefaultTimezone  string
	MinItems         *int64
	MaxItems         *int64
	UniqueItems      bool
	MinProperties    *int64
	MaxProperties    *int64
	Required         []string
}

// QualityDocument is one element of quality.
type QualityDocument struct {
	Position
	Name             string
	ID               string
	Type             string // library (also when empty), text, sql, custom
	Metric           string // also from 3.0's rule
	Query            string
	Unit             string
	Severity         string
	Arguments        ArgumentsDocument
	Operators        []OperatorDocument // the keys mustBe… that the element has
	CustomProperties []CustomProperty
}

// ArgumentsDocument is arguments of a library metric.
type ArgumentsDocument struct {
	Position
	ValidValues   []any
	MissingValues []any // nil stands for null
	Pattern       string
	Properties    []string
	Unknown       []string // further keys
}

// OperatorDocument is one of the keys mustBe, mustBeBetween and so on.
type OperatorDocument struct {
	problem.Place
	Name   string
	Values []any // one, or two
}

// CustomProperty is one element of customProperties. Value is what YAML holds:
// nil, bool, int64, uint64, float64, string, []any or map[string]any.
type CustomProperty struct {
	Position
	Property string
	Value    any
}

// SLADocument is one element of slaProperties.
type SLADocument struct {
	Position
	Property string
	Value    any
	Unit     string
	Element  string
}
