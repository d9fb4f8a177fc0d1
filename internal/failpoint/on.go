//go:build failpoint

package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Enabled reports whether this binary can be made to die.
const Enabled = true

// variable lists points as name or name=n: die at the n-th pass, 1 where it is left out.
const variable = "TIDEMILL_FAILPOINTS"

var armed = sync.OnceValue(func() map[Point]*countdown {
	points := map[Point]*countdown{}
	for _, item := range strings.Split(os.Getenv(variable), ",") { //nolint:forbidigo // the switch of a test binary
		name, count, _ := strings.Cut(strings.TrimSpace(item), "=")
		n, err := strconv.Atoi(count)
		if err != nil {
			n = 1
		}
		if name != "" {
			points[Point(name)] = &countdown{left: n}
		}
	}
	return points
})

type countdown struct {
	mu   sync.Mutex
	left int
}

// Hit passes a point, or dies there as by kill -9.
func Hit(p Point) {
	c, ok := armed()[p]
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left--
	if c.left == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	}
}
