package app

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/dustin/go-humanize"

	"github.com/tidemill/tidemill/internal/core/expr"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/secret"
	"github.com/tidemill/tidemill/internal/store"
	"github.com/tidemill/tidemill/internal/store/duckdb"
	"github.com/tidemill/tidemill/internal/store/files"
	"github.com/tidemill/tidemill/internal/store/postgres"
	"github.com/tidemill/tidemill/internal/unittest"
)

// kind opens one kind of store.
type kind func(ctx context.Context, l Layout, settings map[string]string) (store.Store, error)

// warehouseMemory is what the worker may use for the warehouse, in bytes, unless
// its memory: says otherwise; what does not fit spills to disk. It is what keeps resident memory flat from a
// million rows to fifty (DESIGN §6).
const warehouseMemory = 2 << 30

// kinds is the built-in set.
var kinds = map[string]kind{
	"duckdb": func(ctx context.Context, l Layout, settings map[string]string) (store.Store, error) {
		path := l.resolve(settings["path"])
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, fault.New(fault.Unavailable, "make the folder of the warehouse: %w", err)
		}
		memory := uint64(warehouseMemory)
		if text := settings["memory"]; text != "" {
			var err error
			if memory, err = humanize.ParseBytes(text); err != nil {
				return nil, fault.New(fault.Invalid, "memory of the warehouse: %w", err)
			}
		}
		return duckdb.Open(ctx, duckdb.Config{Path: path, TempDir: filepath.Join(l.Home, "spill"), MemoryBytes: int64(memory)})
	},
	"files": func(_ context.Context, l Layout, settings map[string]string) (store.Store, error) {
		return files.Open(l.resolve(settings["path"]))
	},
	"postgres": func(ctx context.Context, _ Layout, settings map[string]string) (store.Store, error) {
		return postgres.Open(ctx, settings["dsn"])
	},
}

// resolve makes a path of the project absolute.
func (l Layout) resolve(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(l.Project, path)
}

// stores opens the stores of projects and keeps them open: the same settings are
// the same store, whichever bundle names them.
type stores struct {
	layout Layout

	mu   sync.Mutex
	open map[string]store.Store
}

// Open returns the open store of that name.
func (s *stores) Open(ctx context.Context, p *project.Project, name string) (store.Store, error) {
	for _, one := range p.Stores {
		if one.Name == name {
			return s.ensure(ctx, p, one)
		}
	}
	return nil, fault.New(fault.Invalid, "the project has no store %s", name)
}

func (s *stores) ensure(ctx context.Context, p *project.Project, one project.Store) (store.Store, error) {
	key, err := json.Marshal([]any{one.Kind, one.Settings})
	if err != nil {
		return nil, fault.New(fault.Internal, "store %s: %w", one.Name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if opened, ok := s.open[string(key)]; ok {
		return opened, nil
	}
	open, ok := kinds[one.Kind]
	if !ok {
		return nil, fault.New(fault.Invalid, "store %s: no kind %q", one.Name, one.Kind)
	}
	settings, err := expandAll(s.layout.Project, p, one.Settings)
	if err != nil {
		return nil, fault.New(fault.KindOf(err), "store %s: %w", one.Name, err)
	}
	opened, err := open(ctx, s.layout, settings)
	if err != nil {
		return nil, fault.New(fault.KindOf(err), "store %s: %w", one.Name, err)
	}
	s.open[string(key)] = opened
	return opened, nil
}

// Close closes every open store.
func (s *stores) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var first error
	for key, one := range s.open {
		if err := one.Close(); err != nil && first == nil {
			first = err
		}
		delete(s.open, key)
	}
	return first
}

// expandAll replaces {secret.NAME} in settings by the secrets' values.
func expandAll(folder string, p *project.Project, settings map[string]string) (map[string]string, error) {
	out := map[string]string{}
	for name, text := range settings {
		t, err := expr.ParseTemplate(text)
		if err != nil {
			return nil, fault.New(fault.Invalid, "%s: %w", name, err)
		}
		if out[name], err = t.Expand(expr.Values{Secret: secretOf(folder, p)}.Resolve); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func secretOf(folder string, p *project.Project) func(string) (string, error) {
	return func(name string) (string, error) {
		for _, s := range p.Secrets {
			if s.Name == name {
				v, err := secret.Resolve(folder, s.Ref)
				if err != nil {
					return "", fmt.Errorf("secret %s: %w", name, err)
				}
				return v.Reveal(), nil
			}
		}
		return "", fault.New(fault.Invalid, "the project declares no secret %s", name)
	}
}

func newStores(l Layout) *stores { return &stores{layout: l, open: map[string]store.Store{}} }

// WithScratch gives do an empty warehouse in a folder, for tests of SQL tasks.
func WithScratch(ctx context.Context, dir string, do func(unittest.Scratch) error) error {
	s, err := duckdb.Open(ctx, duckdb.Config{Path: filepath.Join(dir, "scratch.duckdb"), TempDir: dir})
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	return do(s)
}
