package datatype

import (
	"slices"
	"strings"
)

// Hidden columns that stand beside the data on its way to the gate. They never
// reach a target table.
const (
	FileColumn = "__file" // string: where a row was read, as the source names it
	LineColumn = "__line" // int64: the line there, counted from 1
	RowColumn  = "__row"  // int64: the row's position in the whole read, counted from 0
)

// Origin is the key of an Arrow schema's metadata that names the one file that
// its batches come from, in their order, where no hidden columns do.
const Origin = "tidemill.file"

// Hidden reports whether the column is one of ours that never reaches a target table.
func Hidden(column string) bool {
	return column == FileColumn || column == LineColumn || column == RowColumn
}

// Schema is the ordered columns of a table or a batch.
type Schema struct {
	Fields []Field `json:"fields"`
}

// Index returns the position of the column, or -1.
func (s Schema) Index(name string) int {
	return slices.IndexFunc(s.Fields, func(f Field) bool { return f.Name == name })
}

// Names returns the column names in order.
func (s Schema) Names() []string {
	names := make([]string, len(s.Fields))
	for i, f := range s.Fields {
		names[i] = f.Name
	}
	return names
}

// Visible returns the schema without hidden columns.
func (s Schema) Visible() Schema {
	fields := make([]Field, 0, len(s.Fields))
	for _, f := range s.Fields {
		if !Hidden(f.Name) {
			fields = append(fields, f)
		}
	}
	return Schema{Fields: fields}
}

// Equal reports whether both schemas have the same fields in the same order.
func (s Schema) Equal(o Schema) bool { return slices.EqualFunc(s.Fields, o.Fields, Field.Equal) }

// String returns the columns as people read them, a required one with an exclamation mark.
func (s Schema) String() string {
	parts := make([]string, len(s.Fields))
	for i, f := range s.Fields {
		parts[i] = f.Name + " " + f.Type.String()
		if f.Required {
			parts[i] += "!"
		}
	}
	return strings.Join(parts, ", ")
}

// Validate reports unnamed, doubled and contradictory fields as an error of kind Invalid.
func (s Schema) Validate() error { return validateFields(s.Fields) }

// Text returns the schema of a text source with these columns: each a string,
// and the hidden columns of file and line after them.
func Text(columns ...string) Schema {
	fields := make([]Field, 0, len(columns)+2)
	for _, c := range columns {
		fields = append(fields, Field{Name: c, Type: Of(String)})
	}
	return Schema{Fields: append(fields,
		Field{Name: FileColumn, Type: Of(String)}, Field{Name: LineColumn, Type: Of(Int64)})}
}
