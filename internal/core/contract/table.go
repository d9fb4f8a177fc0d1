package contract

import (
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/problem"
)

// ExtraColumns says what becomes of columns that the contract does not name.
type ExtraColumns string

// The ways to treat them.
const (
	ExtraRefuse ExtraColumns = "refuse"
	ExtraIgnore ExtraColumns = "ignore"
	ExtraAdd    ExtraColumns = "add"
)

// TypeOrigin says which part of the contract decided a field's type.
type TypeOrigin string

// The origins, strongest first.
const (
	FromCustom   TypeOrigin = "customProperties"
	FromPhysical TypeOrigin = "physicalType"
	FromLogical  TypeOrigin = "logicalType"
)

// ErrorBudget is how many rows may go to quarantine in one run, of those read.
// Past either limit nothing is published. Without limits any number may.
type ErrorBudget struct {
	Rows    *int64   `json:"rows,omitempty"`
	Percent *float64 `json:"percent,omitempty"`
}

// Table is one compiled contract: what both sides agreed about one table.
type Table struct {
	Name            string        `json:"name"` // schema.name or store:schema.name
	ContractID      string        `json:"contract_id"`
	Version         string        `json:"version"`
	Status          string        `json:"status"`
	Team            string        `json:"team,omitempty"`
	Description     string        `json:"description,omitempty"`
	Fields          []Field       `json:"fields"`
	Key             []string      `json:"key,omitempty"` // in the order of primaryKeyPosition
	EventTime       string        `json:"event_time,omitempty"`
	KnownAt         string        `json:"known_at,omitempty"`
	Feature         bool          `json:"feature,omitempty"`
	AvailableAfter  time.Duration `json:"available_after,omitempty"`
	ExtraColumns    ExtraColumns  `json:"extra_columns"`
	DefaultTimezone string        `json:"default_timezone,omitempty"`
	OnFail          Verdict       `json:"on_fail"` // of rules that say nothing else
	ErrorBudget     ErrorBudget   `json:"error_budget,omitzero"`
	Checks          []Check       `json:"checks,omitempty"` // in the order in which a row meets them
	Place           problem.Place `json:"place,omitzero"`
}

// Field is a column with what the contract says about it beyond its type.
type Field struct {
	datatype.Field
	TypeFrom       TypeOrigin    `json:"type_from"`
	Unique         bool          `json:"unique,omitempty"`
	Classification string        `json:"classification,omitempty"`
	Description    string        `json:"description,omitempty"`
	Zone           string        `json:"zone,omitempty"`   // default time zone of its timestamps
	Format         string        `json:"format,omitempty"` // how its dates and times are written, in JDK letters
	OnFail         Verdict       `json:"on_fail"`          // of its rules that say nothing else
	Place          problem.Place `json:"place,omitzero"`
}

// Reference names the contract and its version, as in quarantine rows.
func (t *Table) Reference() string { return t.ContractID + "@" + t.Version }

// Index returns the position of the column, or -1.
func (t *Table) Index(column string) int {
	return slices.IndexFunc(t.Fields, func(f Field) bool { return f.Name == column })
}

// Schema returns the columns as a target keeps them, which is without the shapes
// that rules ask of JSON documents. A required column may be
// null there only where the contract merely warns of nulls.
func (t *Table) Schema() datatype.Schema {
	fields := make([]datatype.Field, len(t.Fields))
	for i, f := range t.Fields {
		fields[i] = f.Field
		fields[i].Type = f.Type.WithoutShapes()
		fields[i].Required = f.Required && !slices.ContainsFunc(t.Checks, func(c Check) bool {
			return c.Kind == KindRequired && c.Field == f.Name && c.OnFail == Warn
		})
	}
	return datatype.Schema{Fields: fields}
}

// ChecksOf returns the checks of a scope, in order.
func (t *Table) ChecksOf(s Scope) []Check {
	var checks []Check
	for _, c := range t.Checks {
		if c.Scope() == s {
			checks = append(checks, c)
		}
	}
	return checks
}
