package project

// Lineage is what a parser tells about one text of SQL. It is found by reading
// the text alone: whether the tables are there is not asked.
type Lineage struct {
	Tables []TableName   `json:"tables,omitempty"` // in the order in which they stand, each place of use once
	Params []string      `json:"params,omitempty"` // names of $name, sorted
	Fault  *LineageFault `json:"fault,omitempty"`  // set where the text is not one readable SELECT
}

// TableName is a table as SQL names it.
type TableName struct {
	Catalog string `json:"catalog,omitempty"`
	Schema  string `json:"schema,omitempty"`
	Name    string `json:"name"`
	Offset  int    `json:"offset"` // in bytes of the text; -1 where it is not known
}

// FaultKind says what is wrong with a text of SQL.
type FaultKind string

// The kinds.
const (
	FaultSyntax   FaultKind = "syntax"   // the parser refused it
	FaultSelect   FaultKind = "select"   // it is not one SELECT
	FaultFunction FaultKind = "function" // it reads through a function that leaves the store
	FaultParser   FaultKind = "parser"   // the parser gave no answer
)

// LineageFault is why a text tells no tables.
type LineageFault struct {
	Kind    FaultKind `json:"kind"`
	Message string    `json:"message"`
	Offset  int       `json:"offset"` // in bytes; -1 where it is not known
}
