package task

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/protocol"
	"github.com/tidemill/tidemill/internal/secret"
)

// receiver keeps what was shipped, as the server does.
type receiver struct {
	mu   sync.Mutex
	text []byte
	away int
}

func (r *receiver) ship(_ context.Context, h protocol.LogHeader, chunk []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away > 0 {
		r.away--
		return fault.New(fault.Unavailable, "away")
	}
	if h.Offset != int64(len(r.text)) {
		return fault.New(fault.Conflict, "at %d, not %d", h.Offset, len(r.text))
	}
	r.text = append(r.text, chunk...)
	return nil
}

func book(t *testing.T, r *receiver) *logbook {
	t.Helper()
	l := newLogbook(filepath.Join(t.TempDir(), "log"), run.Ref{Run: "r"}, 1, r.ship)
	l.now = func() time.Time { return time.Date(2013, 1, 2, 3, 4, 5, 6e6, time.UTC) }
	return l
}

func TestLinesCarryTimeAndStreamAndNoSecret(t *testing.T) {
	t.Parallel()
	r := &receiver{away: 2}
	l := book(t, r)
	l.mask(secret.New("hunter22"))
	l.note("attempt %d begins", 1)
	_, _ = fmt.Fprint(l.stream("stdout"), "one\ntw")
	_, _ = fmt.Fprint(l.stream("stderr"), "oops: hun")
	_, _ = fmt.Fprint(l.stream("stdout"), "o\nlast without an end")
	_, _ = fmt.Fprint(l.stream("stderr"), "ter22\n")
	l.close()
	want := "2013-01-02T03:04:05.006Z tidemill attempt 1 begins\n" +
		"2013-01-02T03:04:05.006Z stdout   one\n" +
		"2013-01-02T03:04:05.006Z stdout   two\n" +
		"2013-01-02T03:04:05.006Z stderr   oops: ***\n" +
		"2013-01-02T03:04:05.006Z stdout   last without an end\n"
	if got := string(r.text); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestAHugeLineIsCutAndNothingIsLost(t *testing.T) {
	t.Parallel()
	r := &receiver{}
	l := book(t, r)
	line := strings.Repeat("0123456789", 100_000)
	out := l.stream("stdout")
	for i := 0; i < len(line); i += 7777 {
		_, _ = out.Write([]byte(line[i:min(i+7777, len(line))]))
	}
	_, _ = out.Write([]byte("\n\xff\x00binary\n"))
	l.close()
	var rest strings.Builder
	for text := range strings.Lines(string(r.text)) {
		if len(text) > longestLine+100 {
			t.Fatalf("a line of %d bytes", len(text))
		}
		rest.WriteString(strings.TrimSuffix(strings.TrimSuffix(text[len("2013-01-02T03:04:05.006Z stdout   "):], "\n"), " (cut)"))
	}
	if rest.String() != line+"\xff\x00binary" {
		t.Errorf("%d bytes came back of %d", rest.Len(), len(line))
	}
}

func TestAShortLogMakesNoFile(t *testing.T) {
	t.Parallel()
	for _, lines := range []int{0, 1, 100} {
		r := &receiver{}
		l := book(t, r)
		_ = l.stream("stdout")
		for range lines {
			l.note("a line")
		}
		l.close()
		if strings.Count(string(r.text), "a line\n") != lines {
			t.Errorf("%d lines arrived as %q", lines, r.text)
		}
		if _, err := os.Stat(l.path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%d lines made a file: %v", lines, err)
		}
	}
}

func TestTheLastLineThatSaysSomethingIsKnownWithoutItsSecrets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ written, want string }{
		{"", ""},
		{"\n  \n", ""},
		{"warning: old\ncp: cannot stat 'x': No such file\n\n", "cp: cannot stat 'x': No such file"},
		{"no end of line", "no end of line"},
		{"\x1b[31merror:\x1b[0m bad\tkey\r\n", "error: bad key"},
		{"login hunter22 refused\n", "login *** refused"},
		{"login hunter2", "login hunter2"}, // kept back as the beginning of a secret, and none
		{strings.Repeat("é", 200) + "\n", strings.Repeat("é", 150) + " …"},
		{strings.Repeat("x", 100_000), strings.Repeat("x", 300) + " …"},
	} {
		l := book(t, &receiver{})
		l.mask(secret.New("hunter22"))
		_, _ = fmt.Fprint(l.stream("stderr"), c.written)
		_, _ = fmt.Fprint(l.stream("stdout"), "other words\n")
		if got := l.saying("stderr"); got != c.want {
			t.Errorf("%.40q: %q, want %q", c.written, got, c.want)
		}
		l.close()
	}
}

func TestTheReasonOfAFailureCarriesNoSecret(t *testing.T) {
	t.Parallel()
	a := &attempt{Runner: &Runner{}, log: book(t, &receiver{})}
	defer a.log.close()
	a.log.mask(secret.New("hunter22"))
	if e := a.end(fault.New(fault.Failed, "ValueError: cannot log in with hunter22")); e.Reason != "ValueError: cannot log in with ***" {
		t.Errorf("the reason is %q", e.Reason)
	}
}
