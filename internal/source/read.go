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
	"github.com/tidemill/tidemill/internal/core/pattern"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/source/file"
	"github.com/tidemill/tidemill/internal/source/folder"
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

// ProjectFile is the file that makes a folder a project.
const ProjectFile = folder.ProjectName

// Read reads a project folder once. An error means that it could not be read at
// all; what is wrong with it is in the result.
func Read(ctx context.Context, dir string, options Options) (*Result, error) {
	return NewReader(dir, options).Read(ctx)
}

// entry is a file of the project with what was made of the same content before.
type entry struct {
	*folder.File
	parsed    *file.Parsed
	signature *Signature                 // of a Python task
	answers   map[string]project.Lineage // of the SQL parser, by text; nil: not asked yet
}

// Reader reads a folder again and again, each time only what changed. It is not
// safe for concurrent use.
type Reader struct {
	dir      string
	options  Options
	scanned  map[string]*folder.File
	files    map[string]*entry
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
	s, err := folder.Read(ctx, root, r.scanned)
	if err != nil {
		return nil, fmt.Errorf("read the project folder: %w", err)
	}
	top := s.Files[folder.ProjectName]
	if top == nil {
		p := problem.New(problem.NoProject, problem.Place{File: folder.ProjectName}, "run tidemill init, or go to a folder that has one", "there is no tidemill.yaml in %s", r.dir)
		return &Result{Problems: append(s.Found, p), Refused: true}, nil
	}
	if r.unchanged(s) {
		return r.last, nil
	}
	r.last = nil
	v := newVersion(&r.options, s.Found)
	v.readProject(top)
	s.Found = nil
	patterns, at := v.includes()
	s.Include(patterns, at)
	v.stray = append(v.stray, s.Found...)
	r.take(s)
	v.files, v.names = r.files, slices.Sorted(maps.Keys(r.files))
	if err := r.parse(ctx, v.names); err != nil {
		return nil, err
	}
	if err := v.ask(ctx); err != nil {
		return nil, err
	}
	result := v.result()
	if !v.silent && len(v.stray) == 0 {
		r.last, r.includes = result, patterns
	}
	return result, nil
}

// take keeps what was made of files whose content is the same.
func (r *Reader) take(s *folder.Scan) {
	old := r.files
	r.scanned, r.files = s.Files, make(map[string]*entry, len(s.Files))
	for name, one := range s.Files {
		f := &entry{File: one}
		if was := old[name]; was != nil && was.Hash == one.Hash {
			f.parsed, f.signature, f.answers = was.parsed, was.signature, was.answers
		}
		r.files[name] = f
	}
}

// unchanged reports whether a scan, with what include: brings in, found the files
// of the last one as they were.
func (r *Reader) unchanged(s *folder.Scan) bool {
	old := r.files[folder.ProjectName]
	if r.last == nil || old == nil || old.Hash != s.Files[folder.ProjectName].Hash || len(s.Found) > 0 {
		return false
	}
	s.Include(r.includes, func(int) problem.Place { return problem.Place{} })
	if len(s.Found) > 0 || len(s.Files) != len(r.files) {
		s.Found = nil // said again with its place
		return false
	}
	for name, f := range s.Files {
		if old := r.files[name]; old == nil || old.File != f && old.Hash != f.Hash {
			return false
		}
	}
	// Files that were only touched need not be read again next time.
	r.scanned = s.Files
	return true
}

// parse parses the files that were not parsed before.
func (r *Reader) parse(ctx context.Context, names []string) error {
	var open []*entry
	for _, name := range names {
		if f := r.files[name]; f.parsed == nil && name != folder.ProjectName {
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
				open[i].parsed = file.Parse(open[i].Path, open[i].Data, r.options.outside())
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

// outside is what contracts need from beyond the core.
func (o *Options) outside() contract.Outside {
	return contract.Outside{Zone: loadZone, Pattern: o.Pattern}
}

// Pattern prepares patterns that need more than RE2.
type Pattern = func(backtrack string) (pattern.Matcher, error)
