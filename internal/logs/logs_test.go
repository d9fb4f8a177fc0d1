package logs_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/logs"
)

var ref = run.Ref{Environment: "base", Run: "r1", Task: "flights"}

func open(t *testing.T) *logs.Store {
	t.Helper()
	s, err := logs.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestChunksMakeOneLogHoweverOftenTheyArrive(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, c := range []struct {
		offset int64
		text   string
	}{{0, "hello "}, {0, "hello "}, {6, "wor"}, {3, "lo world\n"}, {0, "hello world\n"}, {12, "\xff\x00bytes"}} {
		if err := s.Append(ref, 1, c.offset, []byte(c.text)); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	end, err := s.Copy(&b, ref, 1, 0)
	if err != nil || b.String() != "hello world\n\xff\x00bytes" || end != int64(b.Len()) {
		t.Errorf("%q, %d, %v", b.String(), end, err)
	}
	if err := s.Append(ref, 1, 100, []byte("x")); !fault.Is(err, fault.Conflict) {
		t.Errorf("a hole: %v", err)
	}
}

func TestNoNameLeavesTheFolder(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, bad := range []string{"..", "../x", "a/b", "", ".hidden", "a\x00b", strings.Repeat("x", 200)} {
		r := ref
		r.Run = bad
		if err := s.Append(r, 1, 0, []byte("x")); !fault.Is(err, fault.Invalid) {
			t.Errorf("run %q: %v", bad, err)
		}
	}
}

func TestFollowEndsWithTheAttempt(t *testing.T) {
	t.Parallel()
	s := open(t)
	var b bytes.Buffer
	looks := 0
	err := s.Follow(t.Context(), &b, ref, 1, 0, func() (bool, error) {
		looks++
		text := []string{"one\n", "two\n", "three\n"}[looks-1]
		at, err := s.Size(ref, 1)
		if err != nil {
			return false, err
		}
		return looks == 3, s.Append(ref, 1, at, []byte(text))
	})
	if err != nil || b.String() != "one\ntwo\nthree\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}
