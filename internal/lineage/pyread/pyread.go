// Package pyread reads the arguments of Python tasks with Python's own parser.
//
// The files are parsed in one child process and never run. The process has
// limits, and is ended when it takes too long: then the files it had not answered
// say so, and nothing else is lost.
package pyread

import (
	"bufio"
	"bytes"
	"context"
	_ "embed" // the reader
	"encoding/json"
	"os/exec"
	"syscall"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/source"
)

//go:embed read.py
var reader string

// patience is for all files of one reading.
const patience = 30 * time.Second

// Reader reads files with an interpreter.
type Reader struct {
	Python string // empty: python3 on the PATH
}

// answer is what the child says of one file.
type answer struct {
	Function string
	Line     int
	Error    string
	Syntax   bool
	At       [2]int
	Args     []struct {
		Name    string
		Type    string
		Default json.RawMessage
		At      [2]int
	}
}

// Signatures reads the files' texts, in order.
func (r Reader) Signatures(ctx context.Context, texts []string) ([]source.Signature, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	python := r.Python
	if python == "" {
		python = "python3"
	}
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	// Memory for the parser, and no more: a file can be made to need much.
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", `ulimit -v 2097152; exec "$0" -I -c "$1"`, python, reader)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var in, out bytes.Buffer
	encoder := json.NewEncoder(&in)
	for _, t := range texts {
		if err := encoder.Encode(t); err != nil {
			return nil, fault.New(fault.Internal, "read Python files: %w", err)
		}
	}
	cmd.Stdin, cmd.Stdout = &in, &out
	runErr := cmd.Run()
	signatures := make([]source.Signature, len(texts))
	answers := bufio.NewScanner(&out)
	answers.Buffer(nil, 64<<20)
	n := 0
	for ; n < len(texts) && answers.Scan(); n++ {
		var a answer
		if err := json.Unmarshal(answers.Bytes(), &a); err != nil {
			return nil, fault.New(fault.Internal, "read Python files: %w", err)
		}
		signatures[n] = source.Signature{Function: a.Function, Line: a.Line, Error: a.Error, Syntax: a.Syntax, At: a.At}
		for _, arg := range a.Args {
			signatures[n].Args = append(signatures[n].Args, source.Argument{Name: arg.Name, Type: arg.Type, Default: arg.Default, At: arg.At})
		}
	}
	if n == 0 && runErr != nil {
		return nil, fault.New(fault.Unavailable, "run %s to read Python files: %w", python, runErr)
	}
	for ; n < len(texts); n++ {
		signatures[n] = source.Signature{Error: "Python's parser gave no answer about this file", At: [2]int{1, 1}}
	}
	return signatures, nil
}
