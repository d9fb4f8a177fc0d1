package app

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/tidemill/tidemill/internal/bundle"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/ledger"
)

// openCatalog reads the project and makes what is good of it live.
func (s *Server) openCatalog(ctx context.Context) error {
	var err error
	if s.bundles, err = bundle.OpenStore(s.options.Layout.Bundles()); err != nil {
		return err
	}
	last, err := s.ledger.LiveBundle(ctx, s.options.Environment)
	if err != nil {
		return err
	}
	readers, err := OpenReaders(s.options.Layout, s.options.Executable)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, readers)
	s.catalog = catalog.New(s.options.Layout.Project, readers.Options(s.options.Environment), s.bundles, last)
	return s.Reload(ctx)
}

// Reload reads the project folder now.
func (s *Server) Reload(ctx context.Context) error {
	if _, err := s.catalog.Reload(ctx); err != nil {
		return err
	}
	return s.takeOver(ctx)
}

// Refresh reads the project folder if it has changed: what a person starts now is
// what lies there now.
func (s *Server) Refresh(ctx context.Context) error {
	changed, err := s.catalog.Reload(ctx)
	if err != nil || !changed {
		return err
	}
	return s.takeOver(ctx)
}

// watch reads the folder whenever it changes.
func (s *Server) watch(ctx context.Context) error { return s.catalog.Run(ctx, s.takeOver) }

// takeOver makes the catalog's live version the ledger's, and tells of files that are broken.
func (s *Server) takeOver(ctx context.Context) error {
	if p, hash := s.Live(); p != nil {
		if err := s.ledger.Activate(ctx, s.options.Environment, hash, p.PipelineNames(), p.Limits()); err != nil {
			return err
		}
	}
	return s.tellOfBroken(ctx)
}

// tellOfBroken opens an incident per broken pipeline, and resolves those that were mended.
func (s *Server) tellOfBroken(ctx context.Context) error {
	broken := map[string]problem.Problem{}
	for _, p := range s.catalog.Problems().Errors() {
		for _, owner := range append([]string{p.Owner}, p.Also...) {
			if _, known := broken[owner]; !known {
				broken[owner] = p
			}
		}
	}
	report := func(owner string) ledger.Report {
		return ledger.Report{Environment: s.options.Environment, Kind: "definition_error", Severity: "error", Pipeline: owner}
	}
	for owner, p := range broken {
		r := report(owner)
		r.Summary = p.Error()
		if err := s.ledger.Report(ctx, r); err != nil {
			return err
		}
	}
	open, err := s.ledger.Incidents(ctx, s.options.Environment, false)
	if err != nil {
		return err
	}
	for _, i := range open {
		if _, still := broken[i.Pipeline]; i.Kind == "definition_error" && !still {
			if err := s.ledger.Resolve(ctx, report(i.Pipeline), "the files are good again"); err != nil {
				return err
			}
		}
	}
	return nil
}

// Live returns the live project with its bundle; nil where there is none yet.
func (s *Server) Live() (*project.Project, string) {
	b := s.catalog.Live()
	if b == nil {
		return nil, ""
	}
	return &b.Plan.Project, b.Hash
}

// Problems returns what is wrong with the project folder.
func (s *Server) Problems() problem.List { return s.catalog.Problems() }

// brokenFiles says what is wrong with the files of a pipeline that the live version
// lacks; nothing where it was removed.
func (s *Server) brokenFiles(pipeline string) string {
	all := s.catalog.Problems()
	own := all.Of(pipeline)
	if len(own) == 0 && s.catalog.Live() == nil {
		own = all.Errors()
	}
	if len(own) == 0 {
		return ""
	}
	return own.Summary()
}

// Stale lists the pipelines that run on their last good version.
func (s *Server) Stale() []string { return s.catalog.Stale() }

// cacheFile is where answers about unchanged texts are kept between reads.
func (l Layout) cacheFile(name string) string {
	return filepath.Join(l.Cache(), strings.TrimSpace(name))
}
