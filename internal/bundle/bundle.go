// Package bundle keeps versions of a project: its files and the resolved plan
// under one hash.
//
// Workers never parse: they run the plan, with the files beside it. The hash
// depends on the content alone, not on the order, the times or the place of the
// files. A bundle is there whole or not at all, and is never changed; two
// processes that write the same one do no harm to each other.
package bundle

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
)

// Plan is a project as it was resolved.
type Plan struct {
	Project   project.Project  `json:"project"`
	Contracts []contract.Table `json:"contracts"`
}

// Bundle is one version.
type Bundle struct {
	Hash string
	Plan Plan
	Dir  string // the project's files
}

// Store keeps bundles in a folder.
type Store struct{ dir string }

const (
	planFile  = "plan.json"
	filesDir  = "files"
	maxBundle = 256 << 20 // bytes of the files together
)

// OpenStore opens or makes a folder of bundles.
func OpenStore(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fault.New(fault.Unavailable, "make the folder of bundles: %w", err)
	}
	return &Store{dir}, nil
}

var hashText = regexp.MustCompile(`^[0-9a-f]{64}$`)

// hashOf is sha256 over the plan and every file, with names and lengths between.
func hashOf(plan []byte, files map[string][]byte) string {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "tidemill bundle 1\n%d\n", len(plan))
	_, _ = h.Write(plan)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		_, _ = fmt.Fprintf(h, "%d %s %d\n", len(name), name, len(files[name]))
		_, _ = h.Write(files[name])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Put keeps a version and returns it.
func (s *Store) Put(plan Plan, files map[string][]byte) (*Bundle, error) {
	text, err := json.Marshal(plan)
	if err != nil {
		return nil, fault.New(fault.Internal, "plan of the project: %w", err)
	}
	for name := range files {
		if !fs.ValidPath(name) {
			return nil, fault.New(fault.Invalid, "%q cannot be in a bundle", name)
		}
	}
	return s.keep(hashOf(text, files), text, files)
}

// keep writes a bundle beside and renames it to its hash.
func (s *Store) keep(hash string, plan []byte, files map[string][]byte) (*Bundle, error) {
	if b, err := s.Open(hash); err == nil {
		return b, nil
	}
	var random [6]byte
	_, _ = rand.Read(random[:])
	temporary := filepath.Join(s.dir, ".partial-"+hex.EncodeToString(random[:]))
	defer func() { _ = os.RemoveAll(temporary) }()
	if err := os.MkdirAll(filepath.Join(temporary, filesDir), 0o700); err != nil {
		return nil, fault.New(fault.Unavailable, "write a bundle: %w", err)
	}
	root, err := os.OpenRoot(filepath.Join(temporary, filesDir))
	if err != nil {
		return nil, fault.New(fault.Unavailable, "write a bundle: %w", err)
	}
	defer func() { _ = root.Close() }()
	for name, content := range files {
		if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
			return nil, fault.New(fault.Unavailable, "write a bundle: %w", err)
		}
		if err := root.WriteFile(name, content, 0o600); err != nil {
			return nil, fault.New(fault.Unavailable, "write a bundle: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(temporary, planFile), plan, 0o600); err != nil {
		return nil, fault.New(fault.Unavailable, "write a bundle: %w", err)
	}
	if err := os.Rename(temporary, filepath.Join(s.dir, hash)); err != nil {
		if b, e := s.Open(hash); e == nil { // another process was faster
			return b, nil
		}
		return nil, fault.New(fault.Unavailable, "write a bundle: %w", err)
	}
	return s.Open(hash)
}

// Open returns a bundle that is there; NotFound where it is not.
func (s *Store) Open(hash string) (*Bundle, error) {
	if !hashText.MatchString(hash) {
		return nil, fault.New(fault.Invalid, "%q is no hash of a bundle", hash)
	}
	text, err := os.ReadFile(filepath.Join(s.dir, hash, planFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotFound, "there is no bundle %s", hash)
	}
	if err != nil {
		return nil, fault.New(fault.Unavailable, "read bundle %s: %w", hash, err)
	}
	b := &Bundle{Hash: hash, Dir: filepath.Join(s.dir, hash, filesDir)}
	if err := json.Unmarshal(text, &b.Plan); err != nil {
		return nil, fault.New(fault.Unavailable, "the plan of bundle %s cannot be read: %w", hash, err)
	}
	return b, nil
}

// Archive writes a bundle as a tar stream.
func (s *Store) Archive(w io.Writer, hash string) error {
	if _, err := s.Open(hash); err != nil {
		return err
	}
	out := tar.NewWriter(w)
	base := filepath.Join(s.dir, hash)
	err := filepath.WalkDir(base, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(base, name)
		if err != nil {
			return err
		}
		if err := out.WriteHeader(&tar.Header{Name: filepath.ToSlash(relative), Mode: 0o600, Size: int64(len(content)), Format: tar.FormatPAX}); err != nil {
			return err
		}
		_, err = out.Write(content)
		return err
	})
	if err == nil {
		err = out.Close()
	}
	if err != nil {
		return fault.New(fault.Unavailable, "send bundle %s: %w", hash, err)
	}
	return nil
}

// Extract keeps a bundle that arrives as a tar stream, if it is what its hash says.
func (s *Store) Extract(r io.Reader, hash string) (*Bundle, error) {
	if !hashText.MatchString(hash) {
		return nil, fault.New(fault.Invalid, "%q is no hash of a bundle", hash)
	}
	in := tar.NewReader(io.LimitReader(r, maxBundle))
	var plan []byte
	files := map[string][]byte{}
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fault.New(fault.Invalid, "bundle %s arrives broken: %w", hash, err)
		}
		if header.Typeflag != tar.TypeReg || !fs.ValidPath(header.Name) {
			return nil, fault.New(fault.Invalid, "bundle %s holds %q, which is no plain file of a project", hash, header.Name)
		}
		var content bytes.Buffer
		if _, err := io.Copy(&content, in); err != nil { //nolint:gosec // bounded by maxBundle
			return nil, fault.New(fault.Invalid, "bundle %s arrives broken: %w", hash, err)
		}
		if header.Name == planFile {
			plan = content.Bytes()
			continue
		}
		dir, name := path.Split(header.Name)
		name = path.Join(dir, name)
		if len(name) <= len(filesDir)+1 || name[:len(filesDir)+1] != filesDir+"/" {
			return nil, fault.New(fault.Invalid, "bundle %s holds %q", hash, header.Name)
		}
		files[name[len(filesDir)+1:]] = content.Bytes()
	}
	if found := hashOf(plan, files); found != hash {
		return nil, fault.New(fault.Invalid, "what arrived as bundle %s has the hash %s", hash, found)
	}
	return s.keep(hash, plan, files)
}

// Files reads the files of a bundle whose names begin with a prefix.
func (b *Bundle) Files(prefix string) map[string][]byte {
	out := map[string][]byte{}
	_ = filepath.WalkDir(b.Dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		relative, err := filepath.Rel(b.Dir, name)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		if len(relative) < len(prefix) || relative[:len(prefix)] != prefix {
			return nil
		}
		content, err := os.ReadFile(name)
		if err == nil {
			out[relative] = content
		}
		return err
	})
	return out
}
