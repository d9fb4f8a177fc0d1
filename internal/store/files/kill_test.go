//go:build failpoint

package files_test

import (
	"testing"

	"github.com/tidemill/tidemill/internal/failpoint"
	"github.com/tidemill/tidemill/internal/store/storetest"
)

func TestAKilledPublishLeavesTheOldTableOrTheNew(t *testing.T) {
	t.Parallel()
	h := harness
	// The first manifest raises the fence, the second holds the rows.
	h.Points = []failpoint.Point{failpoint.ManifestLinked, failpoint.ManifestLinked + "=2"}
	storetest.Kill(t, h)
}
