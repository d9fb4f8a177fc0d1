package contract

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/value"
)

// Compile gives a contract its one meaning. Every problem of the document is
// reported, each where it stands; tables with an error among theirs are left
// out. Time zones and patterns beyond RE2 are checked as far as outside can.
func Compile(doc Document, outside Outside) ([]Table, problem.List) {
	var tables []Table
	var all problem.List
	bound := make(map[string]problem.Place)
	for i := range doc.Tables {
		c := &compiler{doc: &doc, in: &doc.Tables[i], outside: outside, rules: make(map[string]problem.Place)}
		table := c.table()
		if first, twice := bound[table.Name]; twice && table.Name != "" {
			c.add(problem.DuplicateBinding, c.in.Of("physicalName"), "bind each table once", "the table %s is bound twice", table.Name)
			c.found[len(c.found)-1].Related = []problem.Note{{Place: first, Message: "first bound here"}}
		}
		bound[table.Name] = c.in.Of("physicalName")
		if len(c.found.Errors()) == 0 {
			tables = append(tables, table)
		}
		all = append(all, c.found...)
	}
	known := &compiler{doc: &doc}
	known.customs(doc.CustomProperties, "a contract as a whole", nil)
	known.slaTargets()
	all = append(all, known.found...)
	all.Sort()
	return tables, all
}

// compiler compiles one table and collects its problems.
type compiler struct {
	doc     *Document
	in      *TableDocument
	out     Table
	outside Outside
	found   problem.List
	rules   map[string]problem.Place // rule name → where it was given
}

func (c *compiler) add(code problem.Code, at problem.Place, remedy, format string, args ...any) {
	c.found = append(c.found, problem.New(code, at, remedy, format, args...))
}

func (c *compiler) warn(code problem.Code, at problem.Place, remedy, format string, args ...any) {
	p := problem.New(code, at, remedy, format, args...)
	p.Severity = problem.SeverityWarning
	c.found = append(c.found, p)
}

func (c *compiler) table() Table {
	c.out = Table{
		ContractID: c.doc.ID, Version: c.doc.Version, Status: c.doc.Status, Team: c.doc.Team,
		Description: c.in.Description, Place: c.in.Place,
		ExtraColumns: ExtraRefuse, OnFail: Reject,
	}
	c.out.Name = c.tableName()
	settings := c.customs(c.in.CustomProperties, "a table", []string{
		customEventTime, customKnownAt, customFeature, customAvailableAfter, customExtraColumns,
		customDefaultTimezone, customOnFail, customErrorBudget,
	})
	c.tableSettings(settings)
	c.fields()
	c.noWarning(settings[customOnFail], Pass, c.out.Fields)
	c.key()
	c.moments(settings)
	for i := range c.in.Quality {
		c.quality(&c.in.Quality[i], nil)
	}
	c.freshness()
	return c.out
}

var tableName = regexp.MustCompile(`^(?:([a-z][a-z0-9_]{0,62}):)?[A-Za-z_][A-Za-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*$`)

func (c *compiler) tableName() string {
	name := c.in.PhysicalName
	switch {
	case name == "":
		c.add(problem.MissingKey, c.in.Place, "add physicalName: schema.name", "the contract of %q names no table: physicalName is missing", c.in.Name)
		return ""
	case !tableName.MatchString(name):
		c.add(problem.BadTable, c.in.Of("physicalName"), "write schema.name or store:schema.name", "%q is not a table name", name)
		return ""
	}
	return strings.TrimPrefix(name, "warehouse:")
}

// reserved are the names of hidden columns.
var reserved = []string{"_seq", "_known_at", "_deleted"}

func (c *compiler) fields() {
	seen := make(map[string]problem.Place)
	if len(c.in.Properties) == 0 {
		c.add(problem.MissingKey, c.in.Place, "list the columns under properties", "the contract of %q has no columns", c.in.Name)
	}
	for i := range c.in.Properties {
		p := &c.in.Properties[i]
		f := Field{TypeFrom: FromLogical, Unique: p.Unique, Classification: p.Classification, Description: p.Description, Place: p.Place}
		f.Name, f.Required = columnName(p), p.Required || p.PrimaryKey
		switch lower := strings.ToLower(f.Name); {
		case f.Name == "":
			c.add(problem.MissingKey, p.Place, "give the property a name", "a column has no name")
			continue
		case strings.HasPrefix(lower, "__"), slices.Contains(reserved, lower):
			c.add(problem.BadName, p.Of("name"), "choose another name", "the column name %q is reserved for hidden columns", f.Name)
		default:
			// Engines fold the case of names: two that differ only so are one column there.
			if first, twice := seen[lower]; twice {
				c.add(problem.DuplicateKey, p.Of("name"), "remove one", "the column %q stands twice", f.Name)
				c.found[len(c.found)-1].Related = []problem.Note{{Place: first, Message: "first given here"}}
			}
			seen[lower] = p.Of("name")
		}
		c.field(p, f)
	}
}

func columnName(p *PropertyDocument) string { return cmp.Or(p.PhysicalName, p.Name) }

// field resolves the type and appends the field with its checks.
func (c *compiler) field(p *PropertyDocument, f Field) {
	settings := c.customs(p.CustomProperties, "a column", []string{customOnFail, customPrecision, customScale, customDefaultTimezone})
	f.OnFail = c.verdict(settings[customOnFail])
	f.Zone = c.zone(p, settings[customDefaultTimezone])
	var ok bool
	f.Type, f.TypeFrom, ok = c.typeOf(p, settings, f.Zone)
	if f.Type.Kind != datatype.Timestamp && f.Type.Kind != datatype.TimestampTZ {
		f.Zone = ""
	}
	c.out.Fields = append(c.out.Fields, f)
	if !ok {
		return
	}
	field := &c.out.Fields[len(c.out.Fields)-1]
	c.format(p, field)
	c.fieldChecks(p, field)
	c.noWarning(settings[customOnFail], Warn, c.out.Fields[len(c.out.Fields)-1:])
	for i := range p.Quality {
		c.quality(&p.Quality[i], field)
	}
}

// format checks how dates and times are written, and what string formats mean.
func (c *compiler) format(p *PropertyDocument, f *Field) {
	text := p.Options.Format
	switch f.Type.Kind {
	case datatype.Date, datatype.Time, datatype.Timestamp, datatype.TimestampTZ:
		if text == "" {
			return
		}
		if _, err := value.NewCaster(f.Type, nil, text); err != nil {
			c.add(problem.BadType, p.Options.Of("format"), "use the letters yyyy MM dd HH hh mm ss S a X and quoted text", "%s", err)
			return
		}
		f.Format = text
	case datatype.String:
		if text != "" {
			c.warn(problem.UnknownRule, p.Options.Of("format"), "add a pattern that says it", "the string format %q is not checked", text)
		}
	default:
	}
}

func (c *compiler) key() {
	type member struct {
		position int
		column   string
	}
	var members []member
	taken := make(map[int]bool)
	for i := range c.in.Properties {
		p := &c.in.Properties[i]
		if !p.PrimaryKey {
			continue
		}
		position := p.PrimaryKeyPosition
		if position > 0 && taken[position] {
			c.add(problem.BadValue, p.Of("primaryKeyPosition"), "number the key's columns 1, 2, 3 …", "two columns have the key position %d", position)
		}
		taken[position] = true
		if position <= 0 {
			position = len(c.in.Properties) + i
		}
		members = append(members, member{position, columnName(p)})
	}
	slices.SortStableFunc(members, func(a, b member) int { return a.position - b.position })
	for _, m := range members {
		c.out.Key = append(c.out.Key, m.column)
	}
	if len(c.out.Key) > 0 {
		c.addCheck(Check{Kind: KindKey, Fields: c.out.Key, Place: c.in.Place}, "key", ruling{})
	}
}

// column finds a column by the name of its property, or by its own.
func (c *compiler) column(name string) *Field {
	for i := range c.in.Properties {
		if p := &c.in.Properties[i]; p.Name == name {
			name = columnName(p)
			break
		}
	}
	if i := c.out.Index(name); i >= 0 {
		return &c.out.Fields[i]
	}
	return nil
}

// needColumn is column, with a problem where there is none.
func (c *compiler) needColumn(name string, at problem.Place) *Field {
	f := c.column(name)
	if f == nil {
		c.add(problem.UnknownColumn, at, suggestion(name, c.out.Schema().Names()), "the contract has no column %q", name)
	}
	return f
}

func suggestion(word string, candidates []string) string {
	if near := problem.Nearest(word, candidates); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}
