package blob_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/tidemill/tidemill/internal/blob"
	"github.com/tidemill/tidemill/internal/core/fault"
)

func TestABlobIsThereWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	f, err := blob.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	name, err := blob.Name("base", "run1", "model.txt")
	if err != nil {
		t.Fatal(err)
	}
	broken := io.MultiReader(strings.NewReader("half"), iotest.ErrReader(errors.New("cut")))
	if _, err := f.Put(name, broken); err == nil {
		t.Error("half a blob was kept")
	}
	if _, err := f.Get(name); !fault.Is(err, fault.NotFound) {
		t.Errorf("half a blob can be read: %v", err)
	}
	for _, text := range []string{"first", "second"} {
		if _, err := f.Put(name, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		r, err := f.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(r)
		_ = r.Close()
		if string(got) != text {
			t.Errorf("%q, want %q", got, text)
		}
	}
}

func TestNamesThatCouldLeaveTheFolderAreRefused(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"..", ".", "", "a/b", "../x", `a\b`, ".hidden", "a\x00"} {
		if name, err := blob.Name("run", s); err == nil {
			t.Errorf("%q became %q", s, name)
		}
	}
}
