package bundle_test

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/bundle"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
)

func open(t *testing.T) *bundle.Store {
	t.Helper()
	s, err := bundle.OpenStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var (
	plan  = bundle.Plan{Project: project.Project{Name: "p", Pipelines: []project.Pipeline{{Name: "land"}}}}
	files = map[string][]byte{"tidemill.yaml": []byte("project: p\n"), "pipelines/land/a.sql": []byte("SELECT 1")}
)

func TestTheSameContentIsTheSameBundleEverywhere(t *testing.T) {
	t.Parallel()
	here, there := open(t), open(t)
	a, err := here.Put(plan, files)
	if err != nil {
		t.Fatal(err)
	}
	var sent bytes.Buffer
	if err := here.Archive(&sent, a.Hash); err != nil {
		t.Fatal(err)
	}
	b, err := there.Extract(bytes.NewReader(sent.Bytes()), a.Hash)
	if err != nil || b.Hash != a.Hash || !cmp.Equal(a.Plan, b.Plan) {
		t.Fatalf("%+v, %v", b, err)
	}
	text, err := os.ReadFile(filepath.Join(b.Dir, "pipelines/land/a.sql"))
	if err != nil || string(text) != "SELECT 1" {
		t.Errorf("%q, %v", text, err)
	}
	again, err := there.Put(plan, files)
	if err != nil || again.Hash != a.Hash {
		t.Errorf("%v, %v", again, err)
	}
	changed := map[string][]byte{"tidemill.yaml": []byte("project: p\n"), "pipelines/land/a.sql": []byte("SELECT 2")}
	if c, err := here.Put(plan, changed); err != nil || c.Hash == a.Hash {
		t.Errorf("another text has the same hash: %v", err)
	}
}

func archive(t *testing.T, entries ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write(make([]byte, h.Size))
	}
	_ = w.Close()
	return b.Bytes()
}

func TestWhatIsNoBundleIsRefusedAndLeavesNothing(t *testing.T) {
	t.Parallel()
	s := open(t)
	const hash = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for name, b := range map[string][]byte{
		"leaves the folder": archive(t, tar.Header{Name: "files/../../x", Size: 1}),
		"absolute":          archive(t, tar.Header{Name: "/etc/x", Size: 1}),
		"a link":            archive(t, tar.Header{Name: "files/x", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}),
		"beside the files":  archive(t, tar.Header{Name: "other/x", Size: 1}),
		"another hash":      archive(t, tar.Header{Name: "plan.json", Size: 2}),
		"not a tar":         []byte("hello"),
	} {
		if _, err := s.Extract(bytes.NewReader(b), hash); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Open(hash); !fault.Is(err, fault.NotFound) {
		t.Errorf("something was kept: %v", err)
	}
	if _, err := s.Open("../x"); !fault.Is(err, fault.Invalid) {
		t.Errorf("a hash that is a path: %v", err)
	}
}

func FuzzExtract(f *testing.F) {
	f.Add([]byte("hello"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := bundle.OpenStore(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Extract(bytes.NewReader(b), "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"); err == nil {
			t.Error("random bytes are a bundle")
		}
	})
}
