// Package pgarrow turns values as PostgreSQL's wire carries them, in the binary
// format, into Arrow's columns and back.
//
// It guarantees that a value is the same on both sides or refused: no number is
// rounded, and what Arrow's columns cannot hold (NaN among decimals, infinite
// days, years outside of 1 to 9999, NUL in a text) is an error of kind refused.
// The package holds no connection and knows no SQL.
package pgarrow

import (
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tidemill/tidemill/internal/core/datatype"
)

// simple are the types without further facts.
var simple = map[uint32]datatype.Kind{
	pgtype.BoolOID: datatype.Bool, pgtype.Int2OID: datatype.Int16, pgtype.Int4OID: datatype.Int32, pgtype.Int8OID: datatype.Int64,
	pgtype.OIDOID: datatype.Int64, pgtype.Float4OID: datatype.Float32, pgtype.Float8OID: datatype.Float64,
	pgtype.TextOID: datatype.String, pgtype.NameOID: datatype.String, pgtype.QCharOID: datatype.String, pgtype.ByteaOID: datatype.Bytes,
	pgtype.UUIDOID: datatype.UUID, pgtype.DateOID: datatype.Date, pgtype.TimeOID: datatype.Time,
	pgtype.TimestampOID: datatype.Timestamp, pgtype.TimestamptzOID: datatype.TimestampTZ,
	pgtype.JSONOID: datatype.JSON, pgtype.JSONBOID: datatype.JSON,
}

// header is what PostgreSQL counts into the length of a text and the digits of a number.
const header = 4

// TypeOf returns the type that holds each value of a column, given as
// PostgreSQL describes it; false where none does. A numeric without precision is
// a decimal without one, which Arrow carries as text.
func TypeOf(oid uint32, modifier int32) (datatype.Type, bool) {
	if kind, ok := simple[oid]; ok {
		return datatype.Of(kind), true
	}
	switch oid {
	case pgtype.VarcharOID, pgtype.BPCharOID:
		t := datatype.Of(datatype.String)
		if modifier > header {
			t.Length = int(modifier) - header
		}
		return t, true
	case pgtype.NumericOID:
		if modifier < header {
			return datatype.Of(datatype.Decimal), true
		}
		facts := modifier - header
		scale := int(facts&0x7ff^1024) - 1024 // eleven bits with a sign
		t := datatype.DecimalOf(int(facts>>16&0xffff), scale)
		return t, scale >= 0 && t.Validate() == nil
	}
	return datatype.Type{}, false
}
