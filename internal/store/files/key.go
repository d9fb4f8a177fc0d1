package files

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
)

// keyState is what a table's manifests know of a publish key.
type keyState struct {
	Fence  int64 `json:"fence"`
	Number int64 `json:"number,omitempty"` // of the manifest with the receipt; 0: not committed
}

// receipt returns what a key committed to a table, nil where it has not.
func (s *Store) receipt(t project.Table, m manifest, key commit.Key) (*commit.Receipt, error) {
	number := m.Keys[key.String()].Number
	if number == 0 {
		return nil, nil //nolint:nilnil // nothing was committed
	}
	if number != m.Number {
		var err error
		if m, err = s.manifest(t, number); err != nil {
			return nil, err
		}
	}
	if m.Receipt == nil {
		return nil, fault.New(fault.Internal, "manifest %d of %s lacks the receipt of %s", number, t, key)
	}
	return m.Receipt, nil
}

// raise brings the fence of a key in a table up to the given number.
func (s *Store) raise(t project.Table, key commit.Key, fence int64) error {
	id := key.String()
	return s.change(t, func(m manifest) (manifest, bool, error) {
		r, err := s.receipt(t, m, key)
		switch {
		case err != nil:
			return m, true, err
		case r != nil:
			return m, true, &store.PublishedError{Receipts: []commit.Receipt{*r}}
		case m.Keys[id].Fence > fence:
			return m, true, store.ErrFenced
		case m.Keys[id].Fence == fence:
			return m, true, nil
		}
		m.Keys = maps.Clone(m.Keys)
		m.Keys[id] = keyState{Fence: fence}
		m.Receipt = nil
		return m, false, nil
	})
}

// Receipts looks through the tables of the store.
func (s *Store) Receipts(_ context.Context, keys ...commit.Key) ([]commit.Receipt, error) {
	tables, err := s.tables()
	if err != nil {
		return nil, err
	}
	var out []commit.Receipt
	for _, k := range keys {
		for _, t := range tables {
			m, err := s.newest(t)
			if err != nil {
				return nil, err
			}
			r, err := s.receipt(t, m, k)
			if err != nil {
				return nil, err
			}
			if r != nil {
				out = append(out, *r)
			}
		}
	}
	return out, nil
}

// CloseKey raises the fence in every table that knows the key, after it has been
// written down for those that do not yet: an attempt raises its fence in its
// table first and looks at what is written down then, so one of the two sees the other.
func (s *Store) CloseKey(_ context.Context, key commit.Key, fence int64) (*commit.Receipt, error) {
	if err := s.writeFence(key, fence); err != nil {
		return nil, err
	}
	tables, err := s.tables()
	if err != nil {
		return nil, err
	}
	for _, t := range tables {
		m, err := s.newest(t)
		if err != nil {
			return nil, err
		}
		if _, known := m.Keys[key.String()]; !known {
			continue
		}
		err = s.raise(t, key, fence)
		if published, ok := errors.AsType[*store.PublishedError](err); ok {
			return &published.Receipts[0], nil
		}
		if err != nil && !errors.Is(err, store.ErrFenced) {
			return nil, err
		}
	}
	return nil, nil //nolint:nilnil // nothing was committed
}

// tables lists the tables of the store: folders that have manifests.
func (s *Store) tables() ([]project.Table, error) {
	found, err := fs.Glob(s.root.FS(), "*/*/_manifest")
	if err != nil {
		return nil, fault.New(fault.Internal, "listing the tables: %w", err)
	}
	var out []project.Table
	for _, name := range found {
		folder := path.Dir(name)
		out = append(out, project.Table{Schema: path.Dir(folder), Name: path.Base(folder)})
	}
	return out, nil
}

// fenceFolder is where the fences of a closed key are written down: files named by number.
func fenceFolder(key commit.Key) string {
	sum := sha256.Sum256([]byte(key.String()))
	return path.Join(".tidemill", "fence", hex.EncodeToString(sum[:]))
}

func (s *Store) writeFence(key commit.Key, fence int64) error {
	folder := fenceFolder(key)
	if err := s.root.MkdirAll(folder, 0o755); err != nil {
		return fault.New(fault.Unavailable, "close the key %s: %w", key, err)
	}
	err := s.writeFile(path.Join(folder, fmt.Sprintf(".%020d", fence)), func(io.Writer) error { return nil })
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return s.syncFolder(folder)
}

// writtenFence is the highest fence that is written down for a key.
func (s *Store) writtenFence(key commit.Key) (int64, error) {
	entries, err := fs.ReadDir(s.root.FS(), fenceFolder(key))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fault.New(fault.Unavailable, "look for the fence of %s: %w", key, err)
	}
	highest := int64(0)
	for _, e := range entries {
		if n, err := strconv.ParseInt(strings.TrimPrefix(e.Name(), "."), 10, 64); err == nil {
			highest = max(highest, n)
		}
	}
	return highest, nil
}
