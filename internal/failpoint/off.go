//go:build !failpoint

package failpoint

// Enabled reports whether this binary can be made to die.
const Enabled = false

// Hit passes a point.
func Hit(Point) {}
