package slot_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/core/slot"
)

func TestStartsAreSpreadEvenlyWithinTheBoundByTheNameAlone(t *testing.T) {
	t.Parallel()
	const bound = 10 * time.Minute
	for _, pattern := range []string{"land_%d", "%d", "team/%04d/daily", "p%d"} {
		perMinute := map[int]int{}
		for n := range 3000 {
			name := fmt.Sprintf(pattern, n)
			by := slot.Spread(name, bound)
			if by < 0 || by >= bound || by%time.Second != 0 || by != slot.Spread(name, bound) {
				t.Fatalf("%s is spread by %s", name, by)
			}
			perMinute[int(by/time.Minute)]++
		}
		for minute := range 10 {
			if n := perMinute[minute]; n < 220 || n > 380 {
				t.Errorf("of 3000 names like %s %d start in minute %d", pattern, n, minute)
			}
		}
	}
	for _, none := range []time.Duration{0, -time.Hour, 999 * time.Millisecond, time.Second} {
		if by := slot.Spread("land", none); by != 0 {
			t.Errorf("a bound of %s spreads by %s", none, by)
		}
	}
}
