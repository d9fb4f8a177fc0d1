package pattern_test

import (
	"regexp"
	"testing"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/pattern"
)

func TestPatternsMeanInRE2WhatTheyMeanInECMA(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern string
		yes, no []string
	}{
		{"^N[0-9A-Z]{1,5}$", []string{"N1", "N14228"}, []string{"D942DN", "N", "n1", "N1\n", "N123456"}},
		{`^\d+$`, []string{"12"}, []string{"١٢", "", "1a"}},
		{`^\w$`, []string{"_"}, []string{"ä", "-"}},
		{`^\s$`, []string{"\u00a0", "\ufeff", "\v", " "}, []string{"\u200b", "x"}},
		{`^\S$`, []string{"x"}, []string{"\u00a0"}},
		{"^.$", []string{"ä", "\t"}, []string{"\u2028", "\r", "\n"}},
		{"a{2}", []string{"baa"}, []string{"aba"}},
		{"^[^]$", []string{"\n", "x"}, []string{""}},
		{"^[]$", nil, []string{"", "x"}},
		{`^[\-a\]]+$`, []string{"a-]"}, []string{"b"}},
		{`^[\w.-]+@[\d]$`, []string{"a.b-c@1"}, []string{"a b@1"}},
		{`^\u00e4\u{1F600}\x41\t\/$`, []string{"ä😀A\t/"}, []string{"a"}},
		{"^(?<year>[0-9]{4})(?:x|y)+?$", []string{"2013xy"}, []string{"2013"}},
		{`^\cA\0$`, []string{"\x01\x00"}, []string{"A0"}},
		{`^[\b]$`, []string{"\b"}, []string{"b"}},
		{"(?:a*)*b", []string{"ab"}, []string{"a"}},
		{"^a|b$", []string{"ax", "xb"}, []string{"xa"}},
	} {
		p, err := pattern.New(c.pattern)
		if err != nil || p.RE2 == "" {
			t.Errorf("%s: %+v, %v", c.pattern, p, err)
			continue
		}
		re := regexp.MustCompile(p.RE2)
		for _, text := range c.yes {
			if !re.MatchString(text) {
				t.Errorf("%s (%s) does not match %q", c.pattern, p.RE2, text)
			}
		}
		for _, text := range c.no {
			if re.MatchString(text) {
				t.Errorf("%s (%s) matches %q", c.pattern, p.RE2, text)
			}
		}
	}
}

func TestWhatRE2CannotSayIsLeftToAnotherMatcher(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"(?=a)b", "(?!a)b", "(?<=a)b", "(?<!a)b", `(a)\1`, `(?<x>a)\k<x>`, `\p{L}`, `[\S]`, "a{1001}", `\ud83d`} {
		p, err := pattern.New(text)
		if err != nil || p.RE2 != "" || p.Backtrack == "" || p.Text != text {
			t.Errorf("%s: %+v, %v", text, p, err)
		}
	}
}

func TestWhatIsNoPatternIsInvalid(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"(", ")", "[", "[a", "*", "a**", "a{2,1}", "a{", "{", "}", "]", `\`, `\q`, `\x4`, `\u12`, "(?i)a", "(?P<a>b)", "(?<>a)", "[z-a]", `[a-\d]`, `[\d-z]`, `\01`, `\c1`, `\k`, `\p`, "\xff", "^*", `\u{110000}`, `[a-`, `[\`, `\1`, `\1(a)`, `\k<x>(?<x>a)`, "(?<x>a)(?<x>b)", `\p{}`, `\p{L=}`,
	} {
		if p, err := pattern.New(text); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q is accepted: %+v, %v", text, p, err)
		}
	}
}

func FuzzNew(f *testing.F) {
	f.Add(`^[\w.-]+(?:a|b)*?\u00e4{2,3}$`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := pattern.New(text)
		if err == nil && p.RE2 != "" {
			regexp.MustCompile(p.RE2)
		}
	})
}
