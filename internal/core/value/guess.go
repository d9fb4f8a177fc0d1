package value

import (
	"math"
	"math/big"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/datatype"
)

// Guess finds the type of a column from its texts, as the package comment says.
// The zero Guess has seen none. Take it along by pointer.
type Guess struct {
	could likeness // the types that every value so far can have
	sure  likeness // those of them that some value spoke for
	seen  bool
}

// likeness is a set of types.
type likeness uint8

const (
	likeBool likeness = 1 << iota
	likeInteger
	likeFloat
	likeDate
	likeTimestamp
	likeInstant
	likeDocument

	likeTime = likeDate | likeTimestamp | likeInstant
)

// guesses are the types of a likeness, the narrowest first.
var guesses = []struct {
	like likeness
	kind datatype.Kind
}{
	{likeBool, datatype.Bool},
	{likeInteger, datatype.Int64},
	{likeFloat, datatype.Float64},
	{likeDate, datatype.Date},
	{likeTimestamp, datatype.Timestamp},
	{likeInstant, datatype.TimestampTZ},
	{likeDocument, datatype.JSON},
}

// Text takes a value that a format without types wrote, such as CSV.
func (g *Guess) Text(text string) { g.narrow(likeText(text), text) }

// Quoted takes a text of a format that writes numbers and truth in another way, such as
// JSON: it may be a time, and is a text if not.
func (g *Guess) Quoted(text string) { g.narrow(likeText(text)&likeTime, text) }

// Document takes an object or a list of JSON.
func (g *Guess) Document() { g.narrow(likeDocument, "") }

func (g *Guess) narrow(like likeness, text string) {
	if !g.seen {
		g.could, g.seen = like, true
	}
	g.could &= like
	if !isWord(text) {
		g.sure |= like
	}
}

// Type is the narrowest type that holds every value so far: string where there was none.
func (g *Guess) Type() datatype.Type {
	for _, t := range guesses {
		if g.could&g.sure&t.like != 0 {
			return datatype.Of(t.kind)
		}
	}
	return datatype.Of(datatype.String)
}

// likeText is the set of types that read the text and lose nothing of it.
func likeText(text string) likeness {
	if text == "" {
		return 0
	}
	switch c := text[0]; {
	case isDigit(c), c == '-', c == '.':
		if like := likeNumber(text); like != 0 {
			return like
		}
		return likeMoment(text)
	case isWord(text):
		return likeFloat
	case TrueOrFalse(text):
		return likeBool
	}
	return 0
}

// TrueOrFalse reports whether the text is one of these two words, in any case. Y and
// 1 are codes as often.
func TrueOrFalse(text string) bool { return asciiFold(text, "true") || asciiFold(text, "false") }

// isWord reports whether the text is a number that is none, or has no end: alone, such
// words do not make a column one of numbers.
func isWord(text string) bool {
	if len(text) > 0 && text[0] == '-' {
		text = text[1:]
	}
	return asciiFold(text, "nan") || asciiFold(text, "inf") || asciiFold(text, "infinity")
}

func likeNumber(text string) likeness {
	if isWord(text) {
		return likeFloat
	}
	if Padded(text) {
		return 0
	}
	var like likeness
	if _, f := ParseInteger(text, -1<<63, 1<<63-1); f == Sound && plainInteger(text) {
		like |= likeInteger
	}
	if IsFloat(text) && text[len(text)-1] != '.' && exactFloat(text, 64) {
		like |= likeFloat
	}
	return like
}

// Padded reports whether the text begins like a number that is written with
// zeros or a plus in front: 007, -01.5 and +49 are codes as often as numbers, and a
// number would lose what tells them apart.
func Padded(text string) bool {
	if len(text) > 0 && text[0] == '+' {
		return true
	}
	if len(text) > 0 && text[0] == '-' {
		text = text[1:]
	}
	return len(text) > 1 && text[0] == '0' && isDigit(text[1])
}

// plainInteger reports whether the text has digits alone; minus zero is no integer.
func plainInteger(text string) bool {
	for i := range len(text) {
		if !isDigit(text[i]) && (i > 0 || text[i] != '-') {
			return false
		}
	}
	return text != "-0"
}

// What an exact number needs no proof for, and what none is worth.
const (
	exactDigits = 15 // significant ones that every float64 of ordinary size keeps
	smallest    = 1e-300
	longest     = 400 // bytes
)

// Rounded reports whether the text is a finite number of more digits than a
// floating-point number of 32 or 64 bits keeps: its shortest text is another number.
func Rounded(text string, bitSize int) bool {
	v, f := ParseFloat(text, bitSize)
	return f == Sound && !math.IsNaN(v) && !math.IsInf(v, 0) && !exactFloat(text, bitSize)
}

// exactFloat reports whether the shortest text of the nearest floating-point number is the same number.
func exactFloat(text string, bitSize int) bool {
	v, f := ParseFloat(text, bitSize)
	switch {
	case f != Sound || len(text) > longest:
		return false
	case v == 0: // an exponent may be too far below for the proof
		return strings.Trim(strings.SplitN(strings.ToLower(text), "e", 2)[0], "-0.") == ""
	case bitSize == 64 && len(text) <= exactDigits && math.Abs(v) >= smallest:
		return true
	}
	given, ok := new(big.Rat).SetString(text)
	shortest, same := new(big.Rat).SetString(FormatFloat(v, bitSize))
	return ok && same && given.Cmp(shortest) == 0
}

func likeMoment(text string) likeness {
	if len(text) == len("2006-01-02") {
		if _, f := ParseDate(text); f == Sound {
			return likeDate
		}
		return 0
	}
	if _, f := ParseTimestamp(text, time.Microsecond); f == Sound {
		return likeTimestamp
	}
	if _, f := ParseInstant(text, nil, time.Microsecond); f == Sound {
		return likeInstant
	}
	return 0
}
