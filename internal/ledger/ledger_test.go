package ledger_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/ledger/ledgertest"
	"github.com/tidemill/tidemill/internal/testserver"
)

func TestSQLite(t *testing.T) {
	t.Parallel()
	ledgertest.Run(t, func(t *testing.T) *ledger.Ledger {
		t.Helper()
		l, err := ledger.Open(t.Context(), filepath.Join(t.TempDir(), "ledger.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return l
	})
}

func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	ledgertest.Run(t, func(t *testing.T) *ledger.Ledger {
		t.Helper()
		l, err := ledger.Open(t.Context(), testserver.Database(t))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return l
	})
}

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }
