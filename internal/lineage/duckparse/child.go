package duckparse

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"sync"
	"syscall"
	"time"

	_ "github.com/duckdb/duckdb-go/v2" // the parser

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
)

const (
	patience  = 10 * time.Second // for one text
	memory    = "512MB"
	maxAnswer = 64 << 20
)

// Serve answers texts, one JSON string per line, with lineages, one per line,
// until in ends. It is what the child process does.
func Serve(in io.Reader, out io.Writer) error {
	db, err := sql.Open("duckdb", "?access_mode=automatic&threads=1&memory_limit="+memory+"&enable_external_access=false&autoinstall_known_extensions=false&autoload_known_extensions=false")
	if err != nil {
		return fault.New(fault.Internal, "open the parser: %w", err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	ctx := context.Background()
	texts, answers := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var text string
		if err := texts.Decode(&text); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fault.New(fault.Internal, "read a text: %w", err)
		}
		var tree string
		answer := project.Lineage{}
		if err := db.QueryRowContext(ctx, "SELECT json_serialize_sql($1::VARCHAR)::VARCHAR", text).Scan(&tree); err != nil {
			answer = refused(project.FaultSyntax, err.Error(), -1)
		} else {
			answer = read(tree)
		}
		if err := answers.Encode(answer); err != nil {
			return fault.New(fault.Internal, "write an answer: %w", err)
		}
	}
}

// Client asks a child process, which it starts when it is first needed.
type Client struct {
	command func() *exec.Cmd

	mu    sync.Mutex
	child *child
}

type child struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers *bufio.Scanner
}

// NewClient returns a client whose child is a program with arguments that calls Serve.
func NewClient(executable string, args ...string) *Client {
	return &Client{command: func() *exec.Cmd { return exec.Command(executable, args...) }} //nolint:noctx // it outlives one question
}

// Tables asks about texts, one after the other. A text over which the child dies
// or hangs is answered as a fault of the parser, and the next one has a new child.
func (c *Client) Tables(ctx context.Context, texts []string) ([]project.Lineage, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]project.Lineage, len(texts))
	for i, text := range texts {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if c.child == nil {
			if err := c.start(); err != nil {
				return nil, err
			}
		}
		answer, err := c.child.ask(ctx, text)
		if err != nil {
			c.kill()
			answer = refused(project.FaultParser, "the parser died over this text: "+err.Error(), -1)
		}
		out[i] = answer
	}
	return out, nil
}

func (c *Client) start() error {
	cmd := c.command()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		return fault.New(fault.Internal, "start the parser: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fault.New(fault.Internal, "start the parser: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fault.New(fault.Unavailable, "start the parser: %w", err)
	}
	answers := bufio.NewScanner(out)
	answers.Buffer(nil, maxAnswer)
	c.child = &child{cmd, in, answers}
	return nil
}

func (c *child) ask(ctx context.Context, text string) (project.Lineage, error) {
	type result struct {
		answer project.Lineage
		err    error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		b, err := json.Marshal(text)
		if err == nil {
			_, err = c.in.Write(append(b, '\n'))
		}
		if err == nil && !c.answers.Scan() {
			if err = c.answers.Err(); err == nil {
				err = io.ErrUnexpectedEOF
			}
		}
		if err == nil {
			err = json.Unmarshal(c.answers.Bytes(), &r.answer)
		}
		r.err = err
		done <- r
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.answer, r.err
	case <-timer.C:
		_ = c.cmd.Process.Kill()
		<-done
		return project.Lineage{}, fault.New(fault.TimedOut, "no answer within %s", patience)
	case <-ctx.Done():
		_ = c.cmd.Process.Kill()
		<-done
		return project.Lineage{}, context.Cause(ctx)
	}
}

func (c *Client) kill() {
	if c.child == nil {
		return
	}
	_ = c.child.in.Close()
	_ = c.child.cmd.Process.Kill()
	_ = c.child.cmd.Wait()
	c.child = nil
}

// Close ends the child.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kill()
	return nil
}
