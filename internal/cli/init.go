package cli

import (
	"embed"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/tidemill/tidemill/internal/core/fault"
)

//go:embed all:template
var template embed.FS

type initCommand struct {
	Folder string `arg:"" optional:"" default:"." help:"The folder of the new project; it may hold other files."`
}

// Run writes a small project that runs as it is. No file that is there is touched.
func (c initCommand) Run(s *session) error {
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
		return fault.New(fault.Internal, "the template: %w", err)
	}
	for _, name := range sortedKeys(files) {
		if _, err := os.Stat(filepath.Join(c.Folder, name)); !errors.Is(err, fs.ErrNotExist) {
			return fault.New(fault.Conflict, "%s is there already; nothing was written", filepath.Join(c.Folder, name))
		}
	}
	for _, name := range sortedKeys(files) {
		full := filepath.Join(c.Folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			return fault.New(fault.Unavailable, "make the project: %w", err)
		}
		if err := os.WriteFile(full, files[name], 0o644); err != nil {
			return fault.New(fault.Unavailable, "make the project: %w", err)
		}
		s.say("wrote %s", name)
	}
	here := ""
	if c.Folder != "." {
		here = "cd " + c.Folder + " && "
	}
	s.say("next: %stidemill check, then: tidemill run land --window 2026-01-05, then: tidemill sql 'SELECT * FROM raw.orders'", here)
	return nil
}
