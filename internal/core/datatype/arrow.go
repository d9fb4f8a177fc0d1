package datatype

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/tidemill/tidemill/internal/core/fault"
)

// typeKey is the field metadata that keeps what Arrow's own type cannot say.
const typeKey = "tidemill.type"

// extensionKey is where Arrow keeps the name of an extension type that is not registered.
const extensionKey = "ARROW:extension:name"

// Arrow returns the Arrow schema that carries s. FromArrow turns it back exactly,
// but for shapes.
func (s Schema) Arrow() *arrow.Schema {
	fields := make([]arrow.Field, len(s.Fields))
	for i, f := range s.Fields {
		fields[i] = f.Arrow()
	}
	return arrow.NewSchema(fields, nil)
}

// Arrow returns the Arrow field that carries f.
func (f Field) Arrow() arrow.Field {
	out := arrow.Field{Name: f.Name, Type: f.Type.Arrow(), Nullable: !f.Required}
	if f.Type.needsMetadata() {
		out.Metadata = arrow.NewMetadata([]string{typeKey}, []string{f.Type.WithoutShapes().String()})
	}
	return out
}

func (t Type) needsMetadata() bool {
	return t.IsText() && (t.Kind != String || t.Length > 0)
}

// Arrow returns the Arrow type that carries values of t.
func (t Type) Arrow() arrow.DataType {
	unit := arrow.Microsecond
	if t.Precision == 9 {
		unit = arrow.Nanosecond
	}
	switch t.Kind {
	case Bool:
		return arrow.FixedWidthTypes.Boolean
	case Int16:
		return arrow.PrimitiveTypes.Int16
	case Int32:
		return arrow.PrimitiveTypes.Int32
	case Int64:
		return arrow.PrimitiveTypes.Int64
	case Uint64:
		return arrow.PrimitiveTypes.Uint64
	case Float32:
		return arrow.PrimitiveTypes.Float32
	case Float64:
		return arrow.PrimitiveTypes.Float64
	case Decimal:
		if t.Precision > 0 {
			return &arrow.Decimal128Type{Precision: int32(t.Precision), Scale: int32(t.Scale)}
		}
	case Bytes:
		return arrow.BinaryTypes.Binary
	case Date:
		return arrow.FixedWidthTypes.Date32
	case Time:
		return &arrow.Time64Type{Unit: unit}
	case Timestamp:
		return &arrow.TimestampType{Unit: unit}
	case TimestampTZ:
		return &arrow.TimestampType{Unit: unit, TimeZone: "UTC"}
	case List:
		return arrow.ListOfField(Field{Name: "item", Type: *t.Elem}.Arrow())
	case Struct:
		return arrow.StructOf(Schema{Fields: t.Fields}.Arrow().Fields()...)
	case String, UUID, JSON:
	}
	return arrow.BinaryTypes.String
}

// FromArrow returns the schema that an Arrow schema stands for. Types of other
// makers become the narrowest type that holds each of their values; a type
// without such a counterpart is an error of kind Invalid.
func FromArrow(s *arrow.Schema) (Schema, error) {
	fields := make([]Field, s.NumFields())
	for i, f := range s.Fields() {
		var err error
		if fields[i], err = FieldFromArrow(f); err != nil {
			return Schema{}, err
		}
	}
	return Schema{Fields: fields}, nil
}

// FieldFromArrow returns the field that an Arrow field stands for.
func FieldFromArrow(f arrow.Field) (Field, error) {
	t, err := fromArrow(f)
	if err != nil {
		return Field{}, fmt.Errorf("column %q: %w", f.Name, err)
	}
	return Field{Name: f.Name, Type: t, Required: !f.Nullable}, nil
}

func fromArrow(f arrow.Field) (Type, error) {
	if own, ok := f.Metadata.GetValue(typeKey); ok {
		return parseLeaf(own)
	}
	name, _ := f.Metadata.GetValue(extensionKey)
	if ext, ok := f.Type.(arrow.ExtensionType); ok {
		name = ext.ExtensionName()
		f.Type = ext.StorageType()
	}
	switch name {
	case "arrow.uuid":
		return Of(UUID), nil
	case "arrow.json":
		return Of(JSON), nil
	}
	switch t := f.Type.(type) {
	case *arrow.DictionaryType:
		return fromArrow(arrow.Field{Type: t.ValueType})
	case arrow.DecimalType:
		return decimalFromArrow(t)
	case *arrow.Time64Type:
		return temporal(Time, t.Unit), nil
	case *arrow.TimestampType:
		if t.TimeZone != "" {
			return temporal(TimestampTZ, t.Unit), nil
		}
		return temporal(Timestamp, t.Unit), nil
	case *arrow.StructType:
		s, err := FromArrow(arrow.NewSchema(t.Fields(), nil))
		if err != nil {
			return Type{}, err
		}
		return StructOf(s.Fields...), nil
	case *arrow.MapType:
		return Type{}, fault.New(fault.Invalid, "Arrow type %s has no counterpart", f.Type)
	case arrow.ListLikeType:
		elem, err := fromArrow(t.ElemField())
		if err != nil {
			return Type{}, fmt.Errorf("element: %w", err)
		}
		return ListOf(elem), nil
	}
	if k, ok := fromSimple[f.Type.ID()]; ok {
		return Of(k), nil
	}
	return Type{}, fault.New(fault.Invalid, "Arrow type %s has no counterpart", f.Type)
}

var fromSimple = map[arrow.Type]Kind{
	arrow.NULL: String, arrow.BOOL: Bool,
	arrow.INT8: Int16, arrow.UINT8: Int16, arrow.INT16: Int16, arrow.UINT16: Int32, arrow.INT32: Int32,
	arrow.UINT32: Int64, arrow.INT64: Int64, arrow.UINT64: Uint64,
	arrow.FLOAT16: Float32, arrow.FLOAT32: Float32, arrow.FLOAT64: Float64,
	arrow.STRING: String, arrow.LARGE_STRING: String, arrow.STRING_VIEW: String,
	arrow.BINARY: Bytes, arrow.LARGE_BINARY: Bytes, arrow.BINARY_VIEW: Bytes, arrow.FIXED_SIZE_BINARY: Bytes,
	arrow.DATE32: Date, arrow.DATE64: Date, arrow.TIME32: Time,
}

func temporal(k Kind, unit arrow.TimeUnit) Type {
	if unit == arrow.Nanosecond {
		return Type{Kind: k, Precision: 9}
	}
	return Of(k)
}

func decimalFromArrow(t arrow.DecimalType) (Type, error) {
	d := DecimalOf(int(t.GetPrecision()), int(t.GetScale()))
	if d.Precision == 0 {
		return Type{}, fault.New(fault.Invalid, "Arrow type %s has no precision", t)
	}
	return d, d.Validate()
}

// ValueText is a value of a column as text. Arrow's own text of a decimal leaves
// out the zeros at its end and writes small ones with an exponent.
func ValueText(column arrow.Array, row int) string {
	if column.IsValid(row) {
		switch c := column.(type) {
		case *array.Decimal128:
			return c.Value(row).ToString(c.DataType().(*arrow.Decimal128Type).Scale)
		case *array.Decimal256:
			return c.Value(row).ToString(c.DataType().(*arrow.Decimal256Type).Scale)
		}
	}
	return column.ValueStr(row)
}
