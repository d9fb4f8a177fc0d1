package sim_test

import (
	"flag"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/sim"
)

var (
	seed  = flag.Uint64("seed", 0, "run this seed alone")
	seeds = flag.Uint64("seeds", 2000, "how many seeds to run")
)

func TestNoSeedBreaksAnInvariant(t *testing.T) {
	t.Parallel()
	if *seed != 0 {
		if err := sim.Run(*seed, sim.Faults{}); err != nil {
			t.Fatal(err)
		}
		return
	}
	for s := uint64(1); s <= *seeds; s++ {
		if err := sim.Run(s, sim.Faults{}); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d seeds of %d steps, 0 violations", *seeds, sim.Steps)
}

// The checks are worth something only if they see a rule that is missing.
func TestAMissingRuleIsFoundWithin1000Seeds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		faults sim.Faults
		want   string
	}{
		"the guard of ledger rows": {sim.Faults{NoGuard: true}, "I"},
		"the fence of the store":   {sim.Faults{NoFence: true}, "I2"},
	} {
		found := uint64(0)
		for s := uint64(1); s <= 1000 && found == 0; s++ {
			if err := sim.Run(s, c.faults); err != nil {
				found = s
				if !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s off: found the wrong thing: %.300s", name, err)
				}
			}
		}
		if found == 0 {
			t.Errorf("without %s 1,000 seeds find nothing", name)
		}
		t.Logf("without %s seed %d finds a violation", name, found)
	}
}

func TestNoSeedStartsABackfillsWindowOutOfTurn(t *testing.T) {
	t.Parallel()
	first, last := uint64(1), *seeds
	if *seed != 0 {
		first, last = *seed, *seed
	}
	for s := first; s <= last; s++ {
		if err := sim.Backfill(s, sim.Faults{}); err != nil {
			t.Fatal(err)
		}
	}
	for s := uint64(1); ; s++ {
		if err := sim.Backfill(s, sim.Faults{NoGuard: true}); err != nil {
			t.Logf("without the lock of its row seed %d finds a violation", s)
			return
		}
		if s == 1000 {
			t.Fatal("without the lock of its row 1,000 seeds find nothing")
		}
	}
}
