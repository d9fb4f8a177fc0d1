package value

import (
	"math"
	"math/big"
	"strings"
	"time"
)

// Compare orders two values of one type; false where they have no order, as NaN has none.
func Compare(a, b any) (int, bool) {
	if IsNaN(a) || IsNaN(b) {
		return 0, false
	}
	switch a := a.(type) {
	case float64:
		if b, ok := b.(float64); ok {
			return compareFloats(a, b), true
		}
	case float32:
		if b, ok := b.(float32); ok {
			return compareFloats(float64(a), float64(b)), true
		}
	case string:
		if b, ok := b.(string); ok {
			return strings.Compare(a, b), true
		}
	case bool:
		if b, ok := b.(bool); ok && a == b {
			return 0, true
		}
		return 0, false
	case []byte:
		if b, ok := b.([]byte); ok {
			return strings.Compare(string(a), string(b)), true
		}
	case Day:
		if b, ok := b.(Day); ok {
			return int(a) - int(b), true
		}
	case Clock:
		if b, ok := b.(Clock); ok {
			return int(min(max(a-b, -1), 1)), true
		}
	case Wall:
		if b, ok := b.(Wall); ok {
			return a.Compare(b.Time), true
		}
	case time.Time:
		if b, ok := b.(time.Time); ok {
			return a.Compare(b), true
		}
	}
	return compareRationals(a, b)
}

func compareFloats(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// compareRationals compares whole and bounded numbers.
func compareRationals(a, b any) (int, bool) {
	x, ok1 := rational(a)
	y, ok2 := rational(b)
	if !ok1 || !ok2 {
		return 0, false
	}
	return x.Cmp(y), true
}

func rational(v any) (*big.Rat, bool) {
	switch v := v.(type) {
	case *big.Rat:
		return v, true
	case int64:
		return new(big.Rat).SetInt64(v), true
	case uint64:
		return new(big.Rat).SetUint64(v), true
	}
	return nil, false
}

// IsNaN reports whether v is a floating-point number that is none.
func IsNaN(v any) bool {
	switch v := v.(type) {
	case float64:
		return math.IsNaN(v)
	case float32:
		return math.IsNaN(float64(v))
	}
	return false
}
