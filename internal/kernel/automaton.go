package kernel

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"unicode"
	"unicode/utf8"
)

// automaton matches ASCII texts by one look into a table per byte. It is built
// once from the program of a regular expression; texts with other characters,
// and patterns that would need too many states, go to package regexp.
type automaton struct {
	next   [][utf8.RuneSelf]uint16
	accept []bool // the text matches if it ends in this state
}

// The first two states are absorbing.
const (
	stateFailed  = 0
	stateMatched = 1
	maxStates    = 256
	maxProgram   = 256 // instructions: beyond, building the table could take longer than the load
)

// position is a state before it has a number: the instructions that wait for a
// character, before those that need none are followed, and what was read last.
type position struct {
	at    []uint32
	after rune // -1: the beginning
}

// newAutomaton returns nil where the pattern has no table of reasonable size.
func newAutomaton(re2 string) *automaton {
	tree, err := syntax.Parse(re2, syntax.Perl)
	if err != nil {
		return nil
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil || len(program.Inst) > maxProgram {
		return nil
	}
	b := &automatonBuilder{program: program, numbers: make(map[string]uint16)}
	b.add(position{after: -2}, false) // failed
	b.add(position{after: -2}, true)  // matched
	for c := range utf8.RuneSelf {
		b.out.next[stateMatched][c] = stateMatched
	}
	b.numbers = make(map[string]uint16)
	b.number(position{at: []uint32{uint32(program.Start)}, after: -1})
	for i := 2; i < len(b.positions); i++ {
		if len(b.positions) > maxStates {
			return nil
		}
		b.expand(i)
	}
	return &b.out
}

type automatonBuilder struct {
	program   *syntax.Prog
	positions []position
	numbers   map[string]uint16
	out       automaton
}

func (b *automatonBuilder) add(p position, accept bool) uint16 {
	b.positions = append(b.positions, p)
	b.out.next = append(b.out.next, [utf8.RuneSelf]uint16{})
	b.out.accept = append(b.out.accept, accept)
	return uint16(len(b.positions) - 1)
}

// number returns the state of the position, a new one where it is not known.
func (b *automatonBuilder) number(p position) uint16 {
	slices.Sort(p.at)
	p.at = slices.Compact(p.at)
	key := []byte{'b'} // what empty-width conditions can tell about the last character
	switch {
	case p.after == '\n':
		key[0] = 'n'
	case p.after >= 0 && syntax.IsWordChar(p.after):
		key[0] = 'w'
	case p.after >= 0:
		key[0] = 'o'
	}
	for _, at := range p.at {
		key = append(key, byte(at), byte(at>>8), byte(at>>16))
	}
	if n, known := b.numbers[string(key)]; known {
		return n
	}
	_, matched := b.follow(p, -1)
	n := b.add(p, matched)
	b.numbers[string(key)] = n
	return n
}

// expand fills the row of state i.
func (b *automatonBuilder) expand(i int) {
	p := b.positions[i]
	for c := range rune(utf8.RuneSelf) {
		waiting, matched := b.follow(p, c)
		if matched {
			b.out.next[i][c] = stateMatched
			continue
		}
		// A match may begin at every character.
		after := position{at: []uint32{uint32(b.program.Start)}, after: c}
		for _, at := range waiting {
			inst := &b.program.Inst[at]
			if inst.MatchRune(c) {
				after.at = append(after.at, inst.Out)
			}
		}
		n := b.number(after)
		b.out.next[i][c] = n
		if len(b.positions) > maxStates {
			return
		}
	}
}

// follow passes the instructions that need no character, before character next
// (-1: the end), and returns those that wait for one.
func (b *automatonBuilder) follow(p position, next rune) (waiting []uint32, matched bool) {
	held := syntax.EmptyOpContext(p.after, next)
	seen := make([]bool, len(b.program.Inst))
	stack := slices.Clone(p.at)
	for len(stack) > 0 {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[at] {
			continue
		}
		seen[at] = true
		switch inst := &b.program.Inst[at]; inst.Op {
		case syntax.InstMatch:
			return nil, true
		case syntax.InstAlt, syntax.InstAltMatch:
			stack = append(stack, inst.Out, inst.Arg)
		case syntax.InstCapture, syntax.InstNop:
			stack = append(stack, inst.Out)
		case syntax.InstEmptyWidth:
			if syntax.EmptyOp(inst.Arg)&^held == 0 {
				stack = append(stack, inst.Out)
			}
		case syntax.InstFail:
		default:
			waiting = append(waiting, at)
		}
	}
	return waiting, false
}

// match reports whether the text matches; false for ok where it is not ASCII
// and nothing was decided before.
func (a *automaton) match(text string) (matched, ok bool) {
	state := uint16(2)
	for i := range len(text) {
		c := text[i]
		if c > unicode.MaxASCII {
			return false, false
		}
		if state = a.next[state][c]; state == stateMatched {
			return true, true
		}
	}
	return a.accept[state], true
}

// matcher matches texts with an RE2 pattern.
type matcher struct {
	table *automaton
	slow  *regexp.Regexp
}

func newMatcher(re2 string) (*matcher, error) {
	re, err := regexp.Compile(re2)
	if err != nil {
		return nil, err
	}
	return &matcher{table: newAutomaton(re2), slow: re}, nil
}

func (m *matcher) match(text string) bool {
	if m.table != nil {
		if matched, ok := m.table.match(text); ok {
			return matched
		}
	}
	return m.slow.MatchString(text)
}
