package datatype

import (
	"fmt"
)

// Fit says what happens to the values of one type in another.
type Fit string

// The closed set of fits.
const (
	Exact    Fit = "exact"    // the same type
	Widened  Fit = "widened"  // another type that holds every value
	Narrowed Fit = "narrowed" // some values may not fit; each is judged, none is changed in silence
	Refused  Fit = "refused"  // there is no such cast
)

// ColumnFit is one line of the type-loss report.
type ColumnFit struct {
	Column string `json:"column"`
	From   Type   `json:"from,omitzero"` // zero where the source has no such column
	To     Type   `json:"to"`
	Fit    Fit    `json:"fit"`
	Reason string `json:"reason"`
}

// Report compares the schema of a source with that of its target, one line per
// visible column of the target, in its order. Columns that only the source has
// are the contract's business and not in the report.
func Report(from, to Schema) []ColumnFit {
	fits := make([]ColumnFit, 0, len(to.Fields))
	for _, f := range to.Fields {
		if Hidden(f.Name) {
			continue
		}
		line := ColumnFit{Column: f.Name, To: f.Type}
		i := from.Index(f.Name)
		switch {
		case i >= 0:
			line.From = from.Fields[i].Type
			line.Fit, line.Reason = Compare(line.From, f.Type)
		case f.Required:
			line.Fit, line.Reason = Refused, "the source has no such column, and it is required"
		default:
			line.Fit, line.Reason = Widened, "the source has no such column: every value is null"
		}
		fits = append(fits, line)
	}
	return fits
}

// Compare says what happens to values of from in to, with a sentence for people.
func Compare(from, to Type) (Fit, string) {
	if from.Equal(to) {
		return Exact, "the same type"
	}
	switch {
	case from.Kind == to.Kind:
		return compareWithin(from, to)
	case from.Kind == String:
		return Narrowed, fmt.Sprintf("text is read as %s; text that is none fails the type rule", to)
	case to.Kind == String:
		return compareToText(from, to)
	case from.IsNumber() && to.IsNumber():
		return compareNumbers(from, to)
	case from.IsNumber() && to.Kind == Bool, from.Kind == Bool && to.IsInteger():
		return refuse(from, to)
	}
	if have, want := from.shape(), to.shape(); have != AnyShape && want != AnyShape && have != want {
		return refuse(from, to)
	}
	if fit, ok := crossings[[2]Kind{from.Kind, to.Kind}]; ok {
		if fit.fit == Widened && from.Precision > to.Precision {
			return Narrowed, "nanoseconds that do not end on a microsecond are refused"
		}
		return fit.fit, fit.reason
	}
	return refuse(from, to)
}

// shape is what documents of the type look like: a struct is an object, a list an array.
func (t Type) shape() Shape {
	switch t.Kind {
	case Struct:
		return ObjectShape
	case List:
		return ArrayShape
	default:
		return t.Shape
	}
}

type crossing struct {
	fit    Fit
	reason string
}

var crossings = map[[2]Kind]crossing{
	{Date, Timestamp}:        {Widened, "a day becomes its midnight"},
	{Date, TimestampTZ}:      {Narrowed, "a day becomes its midnight in the default time zone; without one it is refused"},
	{Timestamp, TimestampTZ}: {Narrowed, "a wall clock becomes an instant in the default time zone; without one, or in the hour that the zone skips or repeats, it is refused"},
	{TimestampTZ, Timestamp}: {Narrowed, "an instant becomes the wall clock of the default time zone; without one it is refused"},
	{Timestamp, Date}:        {Narrowed, "only a midnight is a day; other times are refused"},
	{JSON, List}:             {Narrowed, "a document is read as a list; one that is none fails the type rule"},
	{JSON, Struct}:           {Narrowed, "a document is read as a struct; one that is none fails the type rule"},
	{List, JSON}:             {Widened, "a list becomes a JSON array"},
	{Struct, JSON}:           {Widened, "a struct becomes a JSON object"},
}

func refuse(from, to Type) (Fit, string) {
	return Refused, fmt.Sprintf("there is no cast from %s to %s", from, to)
}

// compareWithin compares two different types of one kind.
func compareWithin(from, to Type) (Fit, string) {
	switch from.Kind {
	case Decimal:
		return compareDecimals(from, to)
	case String:
		if to.Length == 0 || from.Length > 0 && from.Length <= to.Length {
			return Widened, "every text fits"
		}
		return Narrowed, fmt.Sprintf("text of more than %d characters fails the type rule", to.Length)
	case Time, Timestamp, TimestampTZ:
		if from.Precision > to.Precision {
			return Narrowed, "nanoseconds that do not end on a microsecond are refused"
		}
		return Narrowed, "nanoseconds hold only the years 1678 to 2261; others are refused"
	case JSON:
		return compareDocuments(from, to)
	case List:
		return Compare(*from.Elem, *to.Elem)
	case Struct:
		return compareStructs(from, to)
	default:
		return Exact, "the same type"
	}
}

func compareDocuments(from, to Type) (Fit, string) {
	switch {
	case to.Shape == AnyShape:
		return Widened, "every document fits"
	case from.Shape == AnyShape:
		return Narrowed, fmt.Sprintf("a document that is no JSON %s fails the type rule", to.Shape)
	}
	return refuse(from, to)
}

func compareStructs(from, to Type) (Fit, string) {
	for _, f := range from.Fields {
		if (Schema{Fields: to.Fields}).Index(f.Name) < 0 {
			return Refused, fmt.Sprintf("the target has no member %q", f.Name)
		}
	}
	worst, reason := Widened, "every member fits"
	for _, line := range Report(Schema{Fields: from.Fields}, Schema{Fields: to.Fields}) {
		if line.Fit == Refused || line.Fit == Narrowed && worst != Refused {
			worst, reason = line.Fit, fmt.Sprintf("member %q: %s", line.Column, line.Reason)
		}
	}
	return worst, reason
}

func compareToText(from, to Type) (Fit, string) {
	if from.IsNested() || from.Kind == Bytes {
		return refuse(from, to)
	}
	if to.Length > 0 {
		return Narrowed, fmt.Sprintf("values are written as text; more than %d characters fail the type rule", to.Length)
	}
	return Widened, "values are written as text"
}

// digits returns how many digits a number type has before the point, at least and at most.
func digits(t Type) (least, most int) {
	switch t.Kind {
	case Int16:
		return 4, 5
	case Int32:
		return 9, 10
	case Int64:
		return 18, 19
	case Uint64:
		return 19, 20
	default:
		return t.Precision - t.Scale, t.Precision - t.Scale
	}
}

func compareDecimals(from, to Type) (Fit, string) {
	switch {
	case to.Precision == 0:
		return Widened, "every number fits"
	case from.Precision == 0:
		return Narrowed, fmt.Sprintf("numbers beyond %s are refused, not rounded", to)
	case from.Scale <= to.Scale && from.Precision-from.Scale <= to.Precision-to.Scale:
		return Widened, "every number fits"
	case from.Scale > to.Scale:
		return Narrowed, fmt.Sprintf("numbers with more than %d digits after the point are refused, not rounded", to.Scale)
	}
	return Narrowed, fmt.Sprintf("numbers with more than %d digits before the point are refused", to.Precision-to.Scale)
}

func compareNumbers(from, to Type) (Fit, string) {
	switch {
	case from.Kind == Float32 && to.Kind == Float64:
		return Widened, "every number fits"
	case to.IsFloat() && from.IsInteger():
		return compareIntegerToFloat(from, to)
	case to.IsFloat():
		return Narrowed, fmt.Sprintf("numbers that %s cannot hold exactly are refused", to)
	case from.IsFloat() && to.IsInteger():
		return Narrowed, "numbers with a fraction, or out of range, are refused"
	case from.IsFloat():
		return Narrowed, "numbers whose shortest decimal form does not fit are refused, not rounded"
	case from.IsInteger() && to.Kind == Decimal:
		if _, most := digits(from); to.Precision == 0 || most <= to.Precision-to.Scale {
			return Widened, "every number fits"
		}
		return Narrowed, fmt.Sprintf("numbers with more than %d digits before the point are refused", to.Precision-to.Scale)
	case from.Kind == Decimal:
		if least, _ := digits(to); from.Precision > 0 && from.Scale == 0 && from.Precision <= least && to.Kind != Uint64 {
			return Widened, "every number fits"
		}
		return Narrowed, "numbers with a fraction, or out of range, are refused"
	case from.Kind != Uint64 && to.Kind != Uint64 && width(from) < width(to):
		return Widened, "every number fits"
	}
	return Narrowed, fmt.Sprintf("numbers out of the range of %s are refused", to)
}

func width(t Type) int {
	switch t.Kind {
	case Int16:
		return 2
	case Int32:
		return 4
	default:
		return 8
	}
}

func compareIntegerToFloat(from, to Type) (Fit, string) {
	if from.Kind == Int16 || from.Kind == Int32 && to.Kind == Float64 {
		return Widened, "every number fits"
	}
	return Narrowed, fmt.Sprintf("whole numbers that %s cannot hold exactly are refused", to)
}
