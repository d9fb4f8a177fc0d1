//go:build failpoint

package postgres_test

import (
	"testing"

	"github.com/tidemill/tidemill/internal/store/storetest"
)

func TestAKilledPublishLeavesTheOldTableOrTheNew(t *testing.T) {
	t.Parallel()
	storetest.Kill(t, harness(t))
}
