package task

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/protocol"
	"github.com/tidemill/tidemill/internal/secret"
)

const (
	shipEvery     = 200 * time.Millisecond
	shipBytes     = 256 << 10
	headBytes     = 32 << 10
	longestLine   = 64 << 10 // a longer one is cut into several, and marked
	longestSaying = 300      // of a line that becomes the reason of a failure
	lastTries     = 50       // for the rest of a log, shipEvery apart
)

// logbook is an attempt's log: lines with time and stream, secrets masked, and
// shipped to the server while they grow. Its beginning is kept in memory, the
// rest in a file of the run directory: memory does not grow with the log, and a
// short one costs no file.
type logbook struct {
	ship    func(ctx context.Context, h protocol.LogHeader, chunk []byte) error
	ref     run.Ref
	attempt int

	mu      sync.Mutex
	path    string
	head    []byte   // the first headBytes of the log
	file    *os.File // what follows; nil while there is nothing
	size    int64    // of both
	err     error
	streams []*stream
	secrets []secret.Value
	now     func() time.Time

	done chan struct{}
	stop context.CancelFunc
}

func newLogbook(path string, ref run.Ref, attempt int, ship func(context.Context, protocol.LogHeader, []byte) error) *logbook {
	return &logbook{path: path, ref: ref, attempt: attempt, ship: ship, now: time.Now}
}

// note writes a line of our own.
func (l *logbook) note(format string, args ...any) {
	s := l.stream("tidemill")
	_, _ = s.Write([]byte(fmt.Sprintf(format, args...) + "\n"))
}

// mask hides a secret from now on, in every stream.
func (l *logbook) mask(v secret.Value) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.secrets = append(l.secrets, v)
	for _, s := range l.streams {
		s.masker.Add(v)
	}
}

// masked is a text without the secrets that the attempt was given.
func (l *logbook) masked(text string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var m secret.Masker
	for _, v := range l.secrets {
		m.Add(v)
	}
	return string(m.Write([]byte(text))) + string(m.Flush())
}

// stream returns the writer of a named stream.
func (l *logbook) stream(name string) io.Writer {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.streams {
		if s.name == name {
			return s
		}
	}
	s := &stream{log: l, name: name}
	for _, v := range l.secrets {
		s.masker.Add(v)
	}
	l.streams = append(l.streams, s)
	return s
}

// stream cuts what is written into lines.
type stream struct {
	log    *logbook
	name   string
	masker secret.Masker
	line   []byte
	newest []byte // the newest line that says something, bounded
}

// Write takes a piece of output. It never fails: a log that cannot be written
// must not end the task that writes it.
func (s *stream) Write(b []byte) (int, error) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.take(s.masker.Write(b))
	return len(b), nil
}

func (s *stream) take(b []byte) {
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			s.line = append(s.line, b...)
			b = nil
		} else {
			s.line = append(s.line, b[:end]...)
			b = b[end+1:]
		}
		for len(s.line) > longestLine {
			s.log.put(s.name, s.line[:longestLine], " (cut)")
			s.line = append(s.line[:0], s.line[longestLine:]...)
		}
		if end >= 0 {
			s.remember()
			s.log.put(s.name, s.line, "")
			s.line = s.line[:0]
		}
	}
}

// remember keeps the line that is complete, if it says something.
func (s *stream) remember() {
	if len(bytes.TrimSpace(s.line)) > 0 {
		s.newest = append(s.newest[:0], s.line[:min(len(s.line), longestSaying)]...)
	}
}

// escapes are what programs write to colour a terminal.
var escapes = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)

// saying returns the last line of a stream that says something, for the reason
// of a failure. The stream has ended: a line without an end counts as one.
func (l *logbook) saying(name string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.streams {
		if s.name != name {
			continue
		}
		s.take(s.masker.Flush())
		s.remember()
		text := strings.ToValidUTF8(escapes.ReplaceAllString(string(s.newest), ""), "")
		text = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return ' '
			}
			return r
		}, text)
		if text = strings.TrimSpace(text); len(s.newest) == longestSaying {
			text += " …"
		}
		return text
	}
	return ""
}

// put writes one line; the caller holds mu.
func (l *logbook) put(name string, line []byte, mark string) {
	if l.err != nil {
		return
	}
	if l.done == nil {
		ctx, stop := context.WithCancel(context.Background()) // until close
		l.stop, l.done = stop, make(chan struct{})
		go l.follow(ctx)
	}
	text := fmt.Appendf(nil, "%s %-8s ", l.now().UTC().Format("2006-01-02T15:04:05.000Z"), name)
	l.err = l.keep(append(append(append(text, line...), mark...), '\n'))
}

// keep takes a line into memory or into the file; the caller holds mu.
func (l *logbook) keep(text []byte) error {
	if l.file == nil && len(l.head)+len(text) <= headBytes {
		l.head = append(l.head, text...)
		l.size += int64(len(text))
		return nil
	}
	if l.file == nil {
		// Not cut to nothing first: ext4 writes such a file to the disk when it is
		// closed. What an earlier attempt left behind the end is never shipped.
		file, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		l.file = file
	}
	n, err := l.file.Write(text)
	l.size += int64(n)
	return err
}

// chunk returns the next bytes behind an offset; none where there are no more.
func (l *logbook) chunk(from int64) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	head := int64(len(l.head))
	if from < head {
		return bytes.Clone(l.head[from:]), nil
	}
	chunk := make([]byte, min(l.size-from, shipBytes))
	if len(chunk) == 0 {
		return nil, nil
	}
	if _, err := l.file.ReadAt(chunk, from-head); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return chunk, nil
}

// follow ships the log as it grows.
func (l *logbook) follow(ctx context.Context) {
	defer close(l.done)
	sent := int64(0)
	tick := time.NewTicker(shipEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			sent, _ = l.shipFrom(ctx, sent)
		case <-ctx.Done():
			last := context.WithoutCancel(ctx)
			for range lastTries {
				var err error
				if sent, err = l.shipFrom(last, sent); err == nil {
					return
				}
				time.Sleep(shipEvery) //nolint:forbidigo // bounded, while the server is away
			}
			return
		}
	}
}

// shipFrom sends what lies behind an offset, in chunks.
func (l *logbook) shipFrom(ctx context.Context, sent int64) (int64, error) {
	for {
		chunk, err := l.chunk(sent)
		if err != nil || len(chunk) == 0 {
			return sent, err
		}
		err = l.ship(ctx, protocol.LogHeader{Ref: l.ref, Attempt: l.attempt, Offset: sent}, chunk)
		if err != nil && fault.Is(err, fault.Unavailable) {
			return sent, err
		}
		sent += int64(len(chunk)) // refused for another reason: repeating would not help
	}
}

// close writes what is left of the last lines and ships everything.
func (l *logbook) close() {
	l.mu.Lock()
	for _, s := range l.streams {
		s.take(s.masker.Flush())
		if len(s.line) > 0 {
			l.put(s.name, s.line, "")
			s.line = nil
		}
	}
	begun, file := l.done != nil, l.file
	l.mu.Unlock()
	if !begun {
		return
	}
	l.stop()
	<-l.done
	if file != nil {
		_ = file.Close()
	}
}
