package app

import (
	"github.com/tidemill/tidemill/internal/lineage"
	"github.com/tidemill/tidemill/internal/lineage/duckparse"
	"github.com/tidemill/tidemill/internal/lineage/pyread"
	"github.com/tidemill/tidemill/internal/source"
)

// Readers are the child processes that read SQL and Python for a project.
type Readers struct {
	layout Layout
	parser *duckparse.Client
	cache  *lineage.Cache
}

// OpenReaders prepares them; the processes start when they are first needed.
func OpenReaders(l Layout, executable string) (*Readers, error) {
	parser := duckparse.NewClient(executable, "internal-duckparse")
	return &Readers{layout: l, parser: parser, cache: lineage.NewCache(parser, l.cacheFile("lineage.json"))}, nil
}

// Options are what a project is read with.
func (r *Readers) Options(environment string) source.Options {
	return source.Options{Environment: environment, Lineage: r.cache, Signatures: pyread.Reader{}}
}

// Close ends the processes.
func (r *Readers) Close() error { return r.parser.Close() }
