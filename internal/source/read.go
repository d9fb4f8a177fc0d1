package source

import (
	"context"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
)

// Base is the environment that needs no name: the laptop's.
const Base = "base"

// Lineage finds the tables of SQL texts by reading them. The answers are in the
// order of the texts; an error means that nothing could be asked.
type Lineage interface {
	Tables(ctx context.Context, texts []string) ([]project.Lineage, error)
}

// Signatures reads the arguments of Python tasks without running them. The
// answers are in the order of the texts.
type Signatures interface {
	Signatures(ctx context.Context, texts []string) ([]Signature, error)
}

// Signature is what Python's own parser says about a task file.
type Signature struct {
	Function string     // the one given to tidemill.main; empty: there is no such call
	Line     int        // of the function
	Args     []Argument // after the run
	Error    string     // why the file, or the function, cannot be read
	Syntax   bool       // the error is one of syntax
	At       [2]int     // line and column of the error, from 1
}

// Argument is a typed argument of a task's function.
type Argument struct {
	Name    string
	Type    string // string, integer, number, boolean
	Default []byte // JSON; empty: none
	At      [2]int
}

// Options say for whom a project is read and with which help.
type Options struct {
	Environment string     // empty: base
	Lineage     Lineage    // nil: only declared reads are known
	Signatures  Signatures // nil: only declared params are known
	Pattern     Pattern    // nil: patterns beyond RE2 are taken on trust
}

// Result is what a folder says.
type Result struct {
	Project   project.Project
	Contracts []contract.Table
	Problems  problem.List
	Files     map[string][]byte // of a bundle, by path
	Tests     []Test
	Broken    []string // pipelines that are left out because of an error, sorted
	Refused   bool     // an error concerns all: nothing of this version may go live
}

// Read reads a project folder once. An error means that it could not be read at
// all; what is wrong with it is in the result.
func Read(ctx context.Context, dir string, options Options) (*Result, error) {
	return NewReader(dir, options).Read(ctx)
}

// Reader reads a folder again and again, each time only what changed. It is not
// safe for concurrent use.
type Reader struct {
	dir      string
	options  Options
	files    map[string]*file
	last     *Result  // of the files, if they can be taken for the same again
	includes []string // of the last result
}

// NewReader returns a reader of the folder.
func NewReader(dir string, options Options) *Reader {
	if options.Environment == "" {
		options.Environment = Base
	}
	return &Reader{dir: dir, options: options}
}

// Read reads the folder as it is now. Where nothing changed since the last time it
// returns the very same result, which therefore nobody may change.
func (r *Reader) Read(ctx context.Context) (*Result, error) {
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		return nil, fault.New(fault.NotFound, "open the project folder: %w", err)
	}
	defer func() { _ = root.Close() }()
	s, err := scanFolder(ctx, root, r.files)
	if err != nil {
		return nil, fmt.Errorf("read the project folder: %w", err)
	}
	top := s.files[projectName]
	if top == nil {
		p := problem.New(problem.NoProject, problem.Place{File: projectName}, "run tidemill init, or go to a folder that has one", "there is no tidemill.yaml in %s", r.dir)
		return &Result{Problems: append(s.found, p), Refused: true}, nil
	}
	if r.unchanged(s) {
		return r.last, nil
	}
	r.last = nil
	v := newVersion(&r.options, s.files, s.found)
	v.readProject(top)
	s.found = nil
	patterns, at := v.includes()
	s.include(patterns, at)
	v.stray = append(v.stray, s.found...)
	v.names = slices.Sorted(maps.Keys(s.files))
	if err := r.parse(ctx, s.files, v.names); err != nil {
		return nil, err
	}
	r.files = s.files
	if err := v.ask(ctx); err != nil {
		return nil, err
	}
	result := v.result()
	if !v.silent && len(s.found) == 0 && len(v.stray) == 0 {
		r.last, r.includes = result, patterns
	}
	return result, nil
}

// unchanged reports whether a scan, with what include: brings in, found the files
// of the last one as they were.
func (r *Reader) unchanged(s *scan) bool {
	old := r.files[projectName]
	if r.last == nil || old == nil || old.hash != s.files[projectName].hash || len(s.found) > 0 {
		return false
	}
	s.include(r.includes, func(int) problem.Place { return problem.Place{} })
	if len(s.found) > 0 || len(s.files) != len(r.files) {
		s.found = nil // said again with its place
		return false
	}
	for name, f := range s.files {
		if old := r.files[name]; old != f && (old == nil || old.hash != f.hash) {
			return false
		}
	}
	// Files that were only touched need not be read again next time.
	r.files = s.files
	return true
}

// parse parses the files that were not parsed before.
func (r *Reader) parse(ctx context.Context, files map[string]*file, names []string) error {
	var open []*file
	for _, name := range names {
		if f := files[name]; f.parsed == nil && name != projectName {
			open = append(open, f)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	workers := min(runtime.GOMAXPROCS(0), len(open))
	for w := range workers {
		group.Go(func() error {
			for i := w; i < len(open); i += workers {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				open[i].parsed = parseFile(open[i], &r.options)
			}
			return nil
		})
	}
	return group.Wait()
}

var zones sync.Map // name → *time.Location: reading zone data costs more than a task file

func loadZone(name string) (*time.Location, error) {
	if z, ok := zones.Load(name); ok {
		return z.(*time.Location), nil
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		return nil, err
	}
	zones.Store(name, z)
	return z, nil
}
