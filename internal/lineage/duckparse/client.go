package duckparse

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
)

// Limits of a child.
const (
	patience  = 10 * time.Second // for one answer
	starts    = 3                // children in a row that answer nothing before nobody is asked any more
	maxMemory = 1 << 30          // bytes resident
	lookEvery = 50 * time.Millisecond
	perChild  = 200 // texts that make a second child worth its start
)

// Client asks children. It is safe for concurrent use.
type Client struct {
	executable string
	args       []string
	patience   time.Duration
	maxMemory  int64
}

// NewClient returns a client whose children are the executable with these arguments.
func NewClient(executable string, args ...string) *Client {
	return &Client{executable: executable, args: args, patience: patience, maxMemory: maxMemory}
}

// Limit sets how long a child may take for one text, and how many bytes it may use.
func (c *Client) Limit(patience time.Duration, memory int64) {
	c.patience, c.maxMemory = patience, memory
}

// Close is there for clients that keep a child; this one's children end with
// their last answer.
func (*Client) Close() error { return nil }

// Tables parses the texts.
func (c *Client) Tables(ctx context.Context, texts []string) ([]project.Lineage, error) {
	out := make([]project.Lineage, len(texts))
	children := min(runtime.GOMAXPROCS(0), 1+len(texts)/perChild)
	group, ctx := errgroup.WithContext(ctx)
	for i := range children {
		from, to := i*len(texts)/children, (i+1)*len(texts)/children
		group.Go(func() error { return c.part(ctx, texts[from:to], out[from:to]) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

// part parses texts one after the other. A child that ends early is blamed on
// the text that it was reading.
func (c *Client) part(ctx context.Context, texts []string, out []project.Lineage) error {
	silent := 0
	for done := 0; done < len(texts); {
		n, reason, err := c.child(ctx, texts[done:], out[done:])
		done += n
		if silent++; n > 0 {
			silent = 0
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		case silent == starts:
			return fault.New(fault.Unavailable, "the SQL parser answers nothing: it %s", reason)
		}
		if done < len(texts) {
			out[done] = bad(project.FaultParser, -1, "the SQL parser %s on this text", reason)
			done++
		}
	}
	return nil
}

// child runs one child until every text is answered or it ends, and returns how
// many answers there are.
func (c *Client) child(ctx context.Context, texts []string, out []project.Lineage) (done int, reason string, err error) {
	ctx, kill := context.WithCancelCause(ctx)
	defer kill(nil)
	command := exec.CommandContext(ctx, c.executable, c.args...)
	command.Env = []string{}
	command.WaitDelay = time.Second
	var said bytes.Buffer
	command.Stderr = &limited{to: &said, left: 4 << 10}
	in, err := command.StdinPipe()
	if err != nil {
		return 0, "", fault.New(fault.Internal, "start the SQL parser: %w", err)
	}
	answers, err := command.StdoutPipe()
	if err != nil {
		return 0, "", fault.New(fault.Internal, "start the SQL parser: %w", err)
	}
	if err := command.Start(); err != nil {
		return 0, "", fault.New(fault.Internal, "start the SQL parser: %w", err)
	}
	var group errgroup.Group
	group.Go(func() error {
		defer func() { _ = in.Close() }()
		w := bufio.NewWriterSize(in, 64<<10)
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		for _, t := range texts {
			if encoder.Encode(request{t}) != nil {
				return nil // the child ended; the reader sees it
			}
		}
		_ = w.Flush()
		return nil
	})
	var heard atomic.Int64 // answers so far
	watched := make(chan struct{})
	group.Go(func() error { c.watch(command.Process.Pid, &heard, kill, watched); return nil })
	decoder := json.NewDecoder(answers)
	for done < len(texts) {
		var l project.Lineage
		if decoder.Decode(&l) != nil {
			break
		}
		out[done] = l
		done++
		heard.Store(int64(done))
	}
	close(watched)
	kill(errGone) // it has nothing to lose
	failed := command.Wait()
	_ = group.Wait()
	reason = "ended"
	if cause, ok := context.Cause(ctx).(tooMuch); ok { //nolint:errorlint // set by watch alone
		reason = string(cause)
	}
	if text := strings.TrimSpace(said.String()); done == 0 && reason == "ended" && failed != nil && text != "" {
		reason = "ended, saying " + strconv.Quote(firstLine(text))
	}
	return done, reason, nil
}

// tooMuch is why a child was killed.
type tooMuch string

// Error says it.
func (t tooMuch) Error() string { return "the SQL parser " + string(t) }

const errGone = tooMuch("ended")

// watch kills a child that answers nothing for too long, or grows too large.
func (c *Client) watch(pid int, heard *atomic.Int64, kill context.CancelCauseFunc, done <-chan struct{}) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	last, since := heard.Load(), time.Now()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		if now := heard.Load(); now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) > c.patience {
			kill(tooMuch(fmt.Sprintf("gave no answer for %s", c.patience)))
			return
		}
		if resident(pid) > c.maxMemory {
			kill(tooMuch(fmt.Sprintf("needed more than %d MiB", c.maxMemory>>20)))
			return
		}
	}
}

// resident is the memory of a process in bytes; 0 where the system does not say.
func resident(pid int) int64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// limited keeps the beginning of what is written.
type limited struct {
	to   *bytes.Buffer
	left int
}

// Write never fails, so that the child does not block.
func (l *limited) Write(b []byte) (int, error) {
	n := min(len(b), l.left)
	l.to.Write(b[:n])
	l.left -= n
	return len(b), nil
}
