package postgres_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
	"github.com/tidemill/tidemill/internal/store/postgres"
	"github.com/tidemill/tidemill/internal/store/storetest"
	"github.com/tidemill/tidemill/internal/testserver"
)

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }

type opened struct{ *postgres.Store }

func (o opened) Table(ctx context.Context, table project.Table) (store.Batches, error) {
	reading, err := o.Read(ctx, store.Request{Table: table})
	if err != nil {
		return nil, err
	}
	return reading.Batches, nil
}

// serverVariable hands the server of a test to the processes that it starts.
const serverVariable = "TIDEMILL_POSTGRES_TEST_SERVER"

// database makes a database, and returns its address.
func database(t *testing.T, place string) string {
	t.Helper()
	server := os.Getenv(serverVariable)
	if server == "" {
		return testserver.Database(t)
	}
	conn, err := pgx.Connect(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	name := fmt.Sprintf("at_%x", sha256.Sum256([]byte(place)))[:40]
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	address, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	address.Path = "/" + name
	return address.String()
}

// harness opens a database for each place, whose address lies there.
func harness(t *testing.T) storetest.Harness {
	return storetest.Harness{
		Open: func(ctx context.Context, place string) (storetest.Opened, error) {
			file := filepath.Join(place, "dsn")
			address, err := os.ReadFile(file)
			if err != nil {
				address = []byte(database(t, place))
				if err := os.WriteFile(file, address, 0o600); err != nil {
					return nil, err
				}
			}
			s, err := postgres.Open(ctx, string(address))
			if err != nil {
				return nil, err
			}
			return opened{s}, nil
		},
		Modes: postgres.Capabilities().Modes,
		Types: []storetest.Column{
			{Type: datatype.Of(datatype.UUID), Values: []any{"00112233-4455-6677-8899-aabbccddeeff", "ffffffff-ffff-ffff-ffff-ffffffffffff", nil}},
			{Type: datatype.Of(datatype.JSON), Values: []any{`{"a": [1, null]}`, `"x"`, nil}},
			{Type: datatype.Of(datatype.Bytes), Values: []any{"\x00\xff", "", nil}},
			{Type: datatype.Of(datatype.Time), Values: []any{"00:00:00.000001", "23:59:59.999999", nil}},
			{Type: datatype.DecimalOf(38, 0), Values: []any{"99999999999999999999999999999999999999", "-1", nil}},
			{Type: datatype.DecimalOf(38, 38), Values: []any{"0.99999999999999999999999999999999999999", "-0.00000000000000000000000000000000000001", nil}},
			{Type: datatype.DecimalOf(9, 3), Values: []any{"100000.000", "0.000", nil}},
		},
	}
}

func TestADatabaseIsAStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, harness(t))
}
