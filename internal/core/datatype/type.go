package datatype

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/internal/core/fault"
)

// Kind names a family of types. Kinds travel in bundles and receipts: never rename one.
type Kind string

// The closed set of kinds.
const (
	Bool        Kind = "bool"
	Int16       Kind = "int16"
	Int32       Kind = "int32"
	Int64       Kind = "int64"
	Uint64      Kind = "uint64"
	Float32     Kind = "float32"
	Float64     Kind = "float64"
	Decimal     Kind = "decimal"     // Precision 0: no bound, carried as text
	String      Kind = "string"      // Length: at most so many characters; 0: no limit
	Bytes       Kind = "bytes"       //
	UUID        Kind = "uuid"        // carried as lower-case text
	Date        Kind = "date"        // a calendar day, years 1 to 9999
	Time        Kind = "time"        // a time of day; Precision 9: nanoseconds, else microseconds
	Timestamp   Kind = "timestamp"   // a wall clock without zone; Precision as in Time
	TimestampTZ Kind = "timestamptz" // an instant, kept in UTC; Precision as in Time
	JSON        Kind = "json"        // a JSON document, carried as text; Shape: which documents are admitted
	List        Kind = "list"
	Struct      Kind = "struct"
)

var kinds = []Kind{
	Bool, Int16, Int32, Int64, Uint64, Float32, Float64, Decimal, String, Bytes, UUID,
	Date, Time, Timestamp, TimestampTZ, JSON, List, Struct,
}

// Kinds returns every kind, in a fixed order.
func Kinds() []Kind { return slices.Clone(kinds) }

// MaxPrecision is the largest number of digits of a bounded decimal.
const MaxPrecision = 38

// Shape narrows JSON documents to one kind. It is a rule about values, not a fact
// about where they are kept: neither Arrow nor a store carries it.
type Shape string

// The closed set of shapes.
const (
	AnyShape    Shape = ""
	ObjectShape Shape = "object"
	ArrayShape  Shape = "array"
)

// Type is the type of a column or of a value inside one.
type Type struct {
	Kind      Kind    `json:"kind"`
	Precision int     `json:"precision,omitempty"`
	Scale     int     `json:"scale,omitempty"`
	Length    int     `json:"length,omitempty"`
	Shape     Shape   `json:"shape,omitempty"`
	Elem      *Type   `json:"elem,omitempty"`
	Fields    []Field `json:"fields,omitempty"`
}

// Field is a named column, or a member of a struct.
type Field struct {
	Name     string `json:"name"`
	Type     Type   `json:"type"`
	Required bool   `json:"required,omitempty"` // the value is never null
}

// Of returns the type of a kind that needs no further facts.
func Of(k Kind) Type { return Type{Kind: k} }

// DecimalOf returns the decimal type with precision digits, scale of them after the point.
func DecimalOf(precision, scale int) Type {
	return Type{Kind: Decimal, Precision: precision, Scale: scale}
}

// ListOf returns the type of lists of elem.
func ListOf(elem Type) Type { return Type{Kind: List, Elem: &elem} }

// StructOf returns the struct type with the given members.
func StructOf(fields ...Field) Type { return Type{Kind: Struct, Fields: fields} }

// Equal reports whether both types are the same in every fact.
func (t Type) Equal(o Type) bool {
	if t.Kind != o.Kind || t.Precision != o.Precision || t.Scale != o.Scale || t.Length != o.Length || t.Shape != o.Shape {
		return false
	}
	if (t.Elem == nil) != (o.Elem == nil) || t.Elem != nil && !t.Elem.Equal(*o.Elem) {
		return false
	}
	return slices.EqualFunc(t.Fields, o.Fields, Field.Equal)
}

// Equal reports whether both fields have the same name, type and requiredness.
func (f Field) Equal(o Field) bool {
	return f.Name == o.Name && f.Required == o.Required && f.Type.Equal(o.Type)
}

// WithoutShapes returns the type as it is kept, without what it asks of the
// shape of JSON documents.
func (t Type) WithoutShapes() Type {
	t.Shape = AnyShape
	return t.inside(Type.WithoutShapes)
}

// InMicroseconds returns the type with instants as engines hold them: none has
// instants of nanoseconds, which pandas writes whatever its times are.
func (t Type) InMicroseconds() Type {
	if t.Kind == TimestampTZ {
		t.Precision = 0
	}
	return t.inside(Type.InMicroseconds)
}

// inside returns the type with its members and items changed.
func (t Type) inside(change func(Type) Type) Type {
	if t.Elem != nil {
		elem := change(*t.Elem)
		t.Elem = &elem
	}
	t.Fields = slices.Clone(t.Fields)
	for i := range t.Fields {
		t.Fields[i].Type = change(t.Fields[i].Type)
	}
	return t
}

// String returns the type as people read it: decimal(10,2), list<int32>, struct<a int32, b string>.
func (t Type) String() string {
	switch t.Kind {
	case Decimal:
		if t.Precision > 0 {
			return fmt.Sprintf("decimal(%d,%d)", t.Precision, t.Scale)
		}
	case String:
		if t.Length > 0 {
			return fmt.Sprintf("string(%d)", t.Length)
		}
	case Time, Timestamp, TimestampTZ:
		if t.Precision > 0 {
			return fmt.Sprintf("%s(%d)", t.Kind, t.Precision)
		}
	case JSON:
		if t.Shape != AnyShape {
			return fmt.Sprintf("json(%s)", t.Shape)
		}
	case List:
		if t.Elem != nil {
			return "list<" + t.Elem.String() + ">"
		}
	case Struct:
		parts := make([]string, len(t.Fields))
		for i, f := range t.Fields {
			parts[i] = f.Name + " " + f.Type.String()
		}
		return "struct<" + strings.Join(parts, ", ") + ">"
	default:
	}
	return string(t.Kind)
}

// Validate reports, as an error of kind Invalid, facts that contradict the kind.
func (t Type) Validate() error {
	if !slices.Contains(kinds, t.Kind) {
		return fault.New(fault.Invalid, "unknown type %q", t.Kind)
	}
	temporal := t.Kind == Time || t.Kind == Timestamp || t.Kind == TimestampTZ
	switch {
	case t.Kind == Decimal && (t.Precision < 0 || t.Precision > MaxPrecision || t.Scale < 0 || t.Scale > t.Precision):
		return fault.New(fault.Invalid, "decimal(%d,%d): precision is 1 to %d, scale 0 to precision", t.Precision, t.Scale, MaxPrecision)
	case temporal && t.Precision != 0 && t.Precision != 9:
		return fault.New(fault.Invalid, "%s(%d): the precision is 9 (nanoseconds) or not given (microseconds)", t.Kind, t.Precision)
	case t.Kind != Decimal && !temporal && (t.Precision != 0 || t.Scale != 0), temporal && t.Scale != 0:
		return fault.New(fault.Invalid, "%s takes no precision and scale", t.Kind)
	case t.Kind == String && t.Length < 0, t.Kind != String && t.Length != 0:
		return fault.New(fault.Invalid, "%s takes no length of %d", t.Kind, t.Length)
	case t.Shape != AnyShape && (t.Kind != JSON || t.Shape != ObjectShape && t.Shape != ArrayShape):
		return fault.New(fault.Invalid, "%s takes no shape %q", t.Kind, t.Shape)
	case (t.Kind == List) != (t.Elem != nil):
		return fault.New(fault.Invalid, "a list, and nothing else, has an element type")
	case (t.Kind == Struct) != (len(t.Fields) > 0):
		return fault.New(fault.Invalid, "a struct, and nothing else, has fields")
	}
	if t.Elem != nil {
		if err := t.Elem.Validate(); err != nil {
			return fmt.Errorf("element: %w", err)
		}
	}
	return validateFields(t.Fields)
}

func validateFields(fields []Field) error {
	seen := make(map[string]bool, len(fields))
	for _, f := range fields {
		if f.Name == "" {
			return fault.New(fault.Invalid, "a field has no name")
		}
		if seen[f.Name] {
			return fault.New(fault.Invalid, "two fields are called %q", f.Name)
		}
		seen[f.Name] = true
		if err := f.Type.Validate(); err != nil {
			return fmt.Errorf("field %q: %w", f.Name, err)
		}
	}
	return nil
}

// IsInteger reports whether the values of the type are whole numbers of fixed width.
func (t Type) IsInteger() bool {
	return t.Kind == Int16 || t.Kind == Int32 || t.Kind == Int64 || t.Kind == Uint64
}

// IsFloat reports whether the values of the type are binary floating-point numbers.
func (t Type) IsFloat() bool { return t.Kind == Float32 || t.Kind == Float64 }

// IsNumber reports whether the values of the type can be compared as numbers.
func (t Type) IsNumber() bool { return t.IsInteger() || t.IsFloat() || t.Kind == Decimal }

// IsNested reports whether values of the type hold other values.
func (t Type) IsNested() bool { return t.Kind == List || t.Kind == Struct }

// IsText reports whether Arrow carries the values as UTF-8 text.
func (t Type) IsText() bool {
	return t.Kind == String || t.Kind == UUID || t.Kind == JSON || t.Kind == Decimal && t.Precision == 0
}

// parseLeaf reads what String writes for types without members.
func parseLeaf(text string) (Type, error) {
	name, rest, bounded := strings.Cut(text, "(")
	t := Type{Kind: Kind(name)}
	if bounded {
		inner, ok := strings.CutSuffix(rest, ")")
		if !ok {
			return Type{}, fault.New(fault.Invalid, "type %q has no closing parenthesis", text)
		}
		first, second, _ := strings.Cut(inner, ",")
		n, err := strconv.Atoi(first)
		if err != nil {
			return Type{}, fault.New(fault.Invalid, "type %q: %w", text, err)
		}
		switch t.Kind {
		case String:
			t.Length = n
		case Decimal:
			t.Precision = n
			if t.Scale, err = strconv.Atoi(second); err != nil {
				return Type{}, fault.New(fault.Invalid, "type %q: %w", text, err)
			}
		default:
			t.Precision = n
		}
	}
	return t, t.Validate()
}
