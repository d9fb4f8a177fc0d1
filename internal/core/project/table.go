package project

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/tidemill/tidemill/internal/core/fault"
)

// Warehouse is the store of every table that names none.
const Warehouse = "warehouse"

// Table names a table: store:schema.name.
type Table struct {
	Store  string // never empty in a checked project
	Schema string
	Name   string
}

var tableName = regexp.MustCompile(`^(?:([a-z][a-z0-9_]{0,62}):)?([A-Za-z_][A-Za-z0-9_]*)\.([A-Za-z_][A-Za-z0-9_]*)$`)

// ParseTable reads `schema.name` or `store:schema.name`.
func ParseTable(text string) (Table, error) {
	m := tableName.FindStringSubmatch(text)
	if m == nil {
		return Table{}, fault.New(fault.Invalid, "%q is not a table name; write schema.name or store:schema.name", text)
	}
	t := Table{Store: m[1], Schema: m[2], Name: m[3]}
	if t.Store == "" {
		t.Store = Warehouse
	}
	return t, nil
}

// String returns the name as a user types it: the warehouse is left out.
func (t Table) String() string {
	if t.Store == "" || t.Store == Warehouse {
		return t.Schema + "." + t.Name
	}
	return fmt.Sprintf("%s:%s.%s", t.Store, t.Schema, t.Name)
}

// Quarantine is the table beside t that holds the rows it refused.
func (t Table) Quarantine() Table { t.Name += "__quarantine"; return t }

// History is the append-only table that holds every value of the feature table t.
func (t Table) History() Table { t.Name += "__history"; return t }

// IsZero reports whether t names no table.
func (t Table) IsZero() bool { return t == Table{} }

// MarshalText makes a table a JSON text, also as a key.
func (t Table) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what MarshalText wrote; the empty text is the zero table.
func (t *Table) UnmarshalText(b []byte) error {
	if len(b) == 0 || strings.TrimSpace(string(b)) == "." {
		*t = Table{}
		return nil
	}
	p, err := ParseTable(string(b))
	*t = p
	return err
}
