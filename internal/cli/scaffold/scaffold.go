// Package scaffold holds the files of a small project that runs as it is.
//
// It never touches a file that is there.
package scaffold

import (
	"embed"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/core/fault"
)

//go:embed all:template
var template embed.FS

// Write writes the project into a folder and returns the names of its files.
// Nothing is written where one of them is there already.
func Write(folder string) ([]string, error) {
	files := map[string][]byte{}
	err := fs.WalkDir(template, "template", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := template.ReadFile(name)
		if err != nil {
			return err
		}
		target := strings.TrimPrefix(name, "template/")
		if path.Base(target) == "gitignore" {
			target = path.Join(path.Dir(target), ".gitignore")
		}
		files[target] = content
		return nil
	})
	if err != nil {
		return nil, fault.New(fault.Internal, "the template: %w", err)
	}
	names := slices.Sorted(maps.Keys(files))
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(folder, name)); !errors.Is(err, fs.ErrNotExist) {
			return nil, fault.New(fault.Conflict, "%s is there already; nothing was written", filepath.Join(folder, name))
		}
	}
	for _, name := range names {
		full := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			return nil, fault.New(fault.Unavailable, "make the project: %w", err)
		}
		if err := os.WriteFile(full, files[name], 0o644); err != nil {
			return nil, fault.New(fault.Unavailable, "make the project: %w", err)
		}
	}
	return names, nil
}
