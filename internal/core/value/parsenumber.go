package value

import (
	"math"
	"math/bits"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// ParseBool reads a bool as the package comment says.
func ParseBool(text string) (bool, Flaw) {
	switch len(text) {
	case 1:
		switch text[0] {
		case '1', 't', 'T', 'y', 'Y':
			return true, Sound
		case '0', 'f', 'F', 'n', 'N':
			return false, Sound
		}
	case 2, 3, 4, 5:
		switch {
		case asciiFold(text, "true"), asciiFold(text, "yes"):
			return true, Sound
		case asciiFold(text, "false"), asciiFold(text, "no"):
			return false, Sound
		}
	}
	return false, NotBool
}

// asciiFold reports whether text is the lower-case word in any ASCII case.
// strings.EqualFold would also take the long s for an s.
func asciiFold(text, word string) bool {
	if len(text) != len(word) {
		return false
	}
	for i := range len(text) {
		c := text[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// number is a decimal text taken apart: [sign] whole [. fraction].
type number struct {
	negative bool
	whole    string // digits before the point, without leading zeros
	fraction string // digits after the point, without trailing zeros
}

func splitNumber(text string) (n number, ok bool) {
	i := 0
	if i < len(text) && (text[i] == '+' || text[i] == '-') {
		n.negative = text[i] == '-'
		i++
	}
	start := i
	for i < len(text) && isDigit(text[i]) {
		i++
	}
	whole := text[start:i]
	fraction := ""
	if i < len(text) && text[i] == '.' {
		start = i + 1
		for i = start; i < len(text) && isDigit(text[i]); i++ {
		}
		fraction = text[start:i]
	}
	if i != len(text) || len(whole)+len(fraction) == 0 {
		return number{}, false
	}
	for len(whole) > 0 && whole[0] == '0' {
		whole = whole[1:]
	}
	for len(fraction) > 0 && fraction[len(fraction)-1] == '0' {
		fraction = fraction[:len(fraction)-1]
	}
	n.whole, n.fraction = whole, fraction
	return n, true
}

// ParseInteger reads a whole number between least and most.
func ParseInteger(text string, least, most int64) (int64, Flaw) {
	n, ok := splitNumber(text)
	switch {
	case !ok:
		return 0, NotNumber
	case n.fraction != "":
		return 0, HasFraction
	}
	return n.integer(0, least, most)
}

// integer returns the whole part, with carry added to its magnitude.
func (n number) integer(carry uint64, least, most int64) (int64, Flaw) {
	magnitude, fits := n.magnitude(carry)
	switch {
	case !fits:
		return 0, OutOfRange
	case n.negative && magnitude <= 1<<63:
		if v := -int64(magnitude); v >= least && v <= most {
			return v, Sound
		}
	case !n.negative && magnitude <= math.MaxInt64:
		if v := int64(magnitude); v >= least && v <= most {
			return v, Sound
		}
	}
	return 0, OutOfRange
}

func (n number) magnitude(carry uint64) (uint64, bool) {
	if len(n.whole) > 20 {
		return 0, false
	}
	var m uint64
	for i := range len(n.whole) {
		hi, lo := bits.Mul64(m, 10)
		sum, c := bits.Add64(lo, uint64(n.whole[i]-'0'), 0)
		if hi != 0 || c != 0 {
			return 0, false
		}
		m = sum
	}
	sum, c := bits.Add64(m, carry, 0)
	return sum, c == 0
}

// ParseUnsigned reads a whole number of 64 bits without sign. Minus zero is zero.
func ParseUnsigned(text string) (uint64, Flaw) {
	n, ok := splitNumber(text)
	switch {
	case !ok:
		return 0, NotNumber
	case n.fraction != "":
		return 0, HasFraction
	}
	m, fits := n.magnitude(0)
	if !fits || n.negative && m > 0 {
		return 0, OutOfRange
	}
	return m, Sound
}

// ParseDecimal reads a number of at most precision digits, scale of them after
// the point, as a whole number of units of 10^-scale.
func ParseDecimal(text string, precision, scale int) (decimal128.Num, Flaw) {
	n, ok := splitNumber(text)
	if !ok {
		return decimal128.Num{}, NotNumber
	}
	if len(n.fraction) > scale {
		return decimal128.Num{}, TooFine
	}
	return n.decimal(0, precision, scale)
}

// decimal scales the number, whose fraction is at most scale digits long.
func (n number) decimal(carry uint64, precision, scale int) (decimal128.Num, Flaw) {
	if len(n.whole) > precision-scale {
		return decimal128.Num{}, OutOfRange
	}
	var hi, lo uint64
	push := func(digit uint64) {
		h, l := bits.Mul64(lo, 10)
		sum, c := bits.Add64(l, digit, 0)
		hi, lo = hi*10+h+c, sum
	}
	for i := range len(n.whole) {
		push(uint64(n.whole[i] - '0'))
	}
	for i := range scale {
		if i < len(n.fraction) {
			push(uint64(n.fraction[i] - '0'))
		} else {
			push(0)
		}
	}
	sum, c := bits.Add64(lo, carry, 0)
	v := decimal128.New(int64(hi+c), sum)
	if carry > 0 && !v.FitsInPrecision(int32(precision)) {
		return decimal128.Num{}, OutOfRange
	}
	if n.negative {
		v = v.Negate()
	}
	return v, Sound
}

// IsDecimal reports whether the text is a number without exponent.
func IsDecimal(text string) bool {
	_, ok := splitNumber(text)
	return ok
}

// ParseFloat reads the binary number of 32 or 64 bits that is nearest to the text.
func ParseFloat(text string, bitSize int) (float64, Flaw) {
	if !IsFloat(text) {
		return 0, NotNumber
	}
	v, err := strconv.ParseFloat(text, bitSize)
	if err != nil {
		return 0, OutOfRange
	}
	return v, Sound
}

// IsFloat reports whether the text is a number, with or without exponent, or one
// of the words nan, inf and infinity.
func IsFloat(text string) bool {
	// None of the words nan, inf and infinity has an e.
	if end := strings.IndexAny(text, "eE"); end >= 0 {
		return IsDecimal(text[:end]) && isExponent(text[end+1:])
	}
	if IsDecimal(text) || asciiFold(text, "nan") {
		return true
	}
	if text != "" && (text[0] == '+' || text[0] == '-') {
		text = text[1:]
	}
	return asciiFold(text, "inf") || asciiFold(text, "infinity")
}

func isExponent(text string) bool {
	if text != "" && (text[0] == '+' || text[0] == '-') {
		text = text[1:]
	}
	for i := range len(text) {
		if !isDigit(text[i]) {
			return false
		}
	}
	return text != ""
}

// FormatFloat writes the shortest text that reads back as v. Finite numbers are
// decimal texts, with an exponent below 1e-6 and from 1e21 on.
func FormatFloat(v float64, bitSize int) string {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 1):
		return "Infinity"
	case math.IsInf(v, -1):
		return "-Infinity"
	}
	if size := math.Abs(v); size != 0 && (size < 1e-6 || size >= 1e21) {
		return strconv.FormatFloat(v, 'e', -1, bitSize)
	}
	return strconv.FormatFloat(v, 'f', -1, bitSize)
}
