package duckdb_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
	"github.com/tidemill/tidemill/internal/store/duckdb"
	"github.com/tidemill/tidemill/internal/store/storetest"
)

type opened struct{ *duckdb.Store }

func (o opened) Table(ctx context.Context, table project.Table) (store.Batches, error) {
	reading, err := o.Read(ctx, store.Request{Table: table})
	if err != nil {
		return nil, err
	}
	return reading.Batches, nil
}

var harness = storetest.Harness{
	Open: func(ctx context.Context, place string) (storetest.Opened, error) {
		s, err := duckdb.Open(ctx, duckdb.Config{Path: filepath.Join(place, "warehouse.duckdb"), MemoryBytes: 1 << 30, Threads: 2})
		return opened{s}, err
	},
	Modes: duckdb.Capabilities().Modes,
	NUL:   true,
	Types: []storetest.Column{
		{Type: datatype.Of(datatype.Uint64), Values: []any{"0", "18446744073709551615", nil}},
		{Type: datatype.Of(datatype.UUID), Values: []any{"00112233-4455-6677-8899-aabbccddeeff", "ffffffff-ffff-ffff-ffff-ffffffffffff", nil}},
		{Type: datatype.Of(datatype.JSON), Values: []any{`{"a": [1, null]}`, `"x"`, nil}},
		{Type: datatype.Of(datatype.Bytes), Values: []any{"\x00\xff", "", nil}},
		{Type: datatype.Of(datatype.Time), Values: []any{"00:00:00.000001", "23:59:59.999999", nil}},
		{Type: datatype.Type{Kind: datatype.Timestamp, Precision: 9}, Values: []any{"2013-01-01T00:00:00.123456789", "1970-01-01T00:00:00.000000001", nil}},
		{Type: datatype.ListOf(datatype.Of(datatype.Int32)), Values: []any{"[1,null,3]", "[]", nil}},
		{
			Type:   datatype.StructOf(datatype.Field{Name: "a", Type: datatype.Of(datatype.Int32)}, datatype.Field{Name: "b", Type: datatype.ListOf(datatype.Of(datatype.String))}),
			Values: []any{`{"a":1,"b":["x","y"]}`, `{"a":null,"b":null}`, nil},
		},
	},
}

func TestTheWarehouseIsAStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, harness)
}
