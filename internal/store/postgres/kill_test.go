//go:build failpoint

package postgres_test

import (
	"os"
	"testing"

	"github.com/tidemill/tidemill/internal/store/storetest"
	"github.com/tidemill/tidemill/internal/testserver"
)

func TestAKilledPublishLeavesTheOldTableOrTheNew(t *testing.T) {
	if os.Getenv(serverVariable) == "" { //nolint:forbidigo // how the test talks to itself
		t.Setenv(serverVariable, testserver.Database(t))
	}
	storetest.Kill(t, harness(t))
}
