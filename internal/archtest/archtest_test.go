package archtest_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/tidemill/tidemill/"
	// everybody may import these besides what the map says.
	openToAll = "secret failpoint"
	lineLimit = 600
	// packageLimit counts the lines outside of tests.
	packageLimit = 3000
)

// readMap returns the packages of the map with what each may import.
func readMap(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs/ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	may := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 5 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
			continue
		}
		name := strings.Trim(strings.TrimSpace(cells[1]), "`")
		may[name] = strings.Fields(strings.ReplaceAll(cells[3], "–", ""))
	}
	if len(may) < 30 {
		t.Fatalf("the map has %d packages: is the table still there?", len(may))
	}
	return may
}

// goFile is a source file outside of tests.
type goFile struct {
	name    string // below the root
	pkg     string // as in the map
	file    *ast.File
	lines   int
	imports []string
}

// readCode parses every Go file: reading files, and not asking the go command,
// lets go test see what this test depends on.
func readCode(t *testing.T) []goFile {
	t.Helper()
	var out []goFile
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() {
			if base == "testdata" || base == "tools" || base != ".." && base != "." && strings.HasPrefix(base, ".") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(base, ".go") {
			return nil
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		if n := strings.Count(string(src), "\n"); n > lineLimit {
			t.Errorf("%s has %d lines, the limit is %d", relative, n, lineLimit)
		}
		if strings.HasSuffix(base, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ParseComments|parser.ImportsOnly)
		if err != nil {
			return err
		}
		one := goFile{lines: strings.Count(string(src), "\n"), name: relative, pkg: strings.TrimPrefix(filepath.ToSlash(filepath.Dir(relative)), "internal/"), file: f}
		for _, spec := range f.Imports {
			one.imports = append(one.imports, strings.Trim(spec.Path.Value, `"`))
		}
		out = append(out, one)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func mapped(pkg string) bool { return !strings.HasPrefix(pkg, "bench/") && pkg != "bench" }

func TestTheMapAndTheCodeNameTheSamePackages(t *testing.T) {
	t.Parallel()
	may, code := readMap(t), map[string]bool{}
	for _, f := range readCode(t) {
		if mapped(f.pkg) {
			code[f.pkg] = true
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(code)) {
		if _, ok := may[pkg]; !ok {
			t.Errorf("the map lacks the package %s", pkg)
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(may)) {
		if !code[pkg] {
			t.Errorf("the map names %s, and there is no such package", pkg)
		}
	}
}

func TestNoPackageIsTooLargeToReadInOneSitting(t *testing.T) {
	t.Parallel()
	lines := map[string]int{}
	for _, f := range readCode(t) {
		lines[f.pkg] += f.lines
	}
	for _, pkg := range slices.Sorted(maps.Keys(lines)) {
		if lines[pkg] > packageLimit {
			t.Errorf("%s has %d lines, the limit is %d", pkg, lines[pkg], packageLimit)
		}
	}
}

func TestPackagesImportWhatTheMapAllows(t *testing.T) {
	t.Parallel()
	may := readMap(t)
	for _, f := range readCode(t) {
		if !mapped(f.pkg) {
			continue
		}
		allowed := slices.Concat(may[f.pkg], strings.Fields(openToAll))
		for _, imported := range f.imports {
			dep, ours := strings.CutPrefix(imported, module)
			if !ours {
				continue
			}
			dep = strings.TrimPrefix(dep, "internal/")
			core, inCore := strings.CutPrefix(dep, "core/")
			switch {
			case strings.HasPrefix(f.pkg, "core/") && !inCore:
				t.Errorf("%s imports %s: core imports core alone", f.name, dep)
			case strings.HasPrefix(f.pkg, "core/") && !slices.Contains(allowed, core):
				t.Errorf("%s imports core/%s; the map allows it %v", f.name, core, may[f.pkg])
			case strings.HasPrefix(f.pkg, "core/") || inCore:
			case f.pkg == dep || strings.HasPrefix(dep, f.pkg+"/"): // its own parts
			case slices.Contains(allowed, "all") && dep != "cli":
			case !slices.Contains(allowed, dep):
				t.Errorf("%s imports %s; the map allows it %v", f.name, dep, may[f.pkg])
			}
		}
	}
}

func TestTheCoreIsPure(t *testing.T) {
	t.Parallel()
	forbidden := []string{"os", "net", "net/http", "database/sql", "log", "log/slog", "io/fs", "math/rand", "math/rand/v2", "os/exec", "sync"}
	for _, f := range readCode(t) {
		if !strings.HasPrefix(f.pkg, "core/") {
			continue
		}
		for _, imported := range f.imports {
			if slices.Contains(forbidden, imported) {
				t.Errorf("%s imports %s: the core holds no I/O, clock, goroutine or logger", f.name, imported)
			}
			first, _, _ := strings.Cut(imported, "/")
			outside := strings.Contains(first, ".") && !strings.HasPrefix(imported, module)
			if outside && !strings.HasPrefix(imported, "github.com/apache/arrow-go/") && !strings.HasPrefix(imported, "cel.dev/") {
				t.Errorf("%s imports %s: beside the standard library the core may use Arrow's types and CEL", f.name, imported)
			}
		}
		src, err := os.ReadFile(filepath.Join(root, f.name))
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range []string{"time.Now(", "time.Since(", "time.Sleep(", "\tgo func"} {
			if strings.Contains(string(src), call) {
				t.Errorf("%s calls %s: now is an argument", f.name, strings.TrimSpace(call))
			}
		}
	}
}

func TestDuckDBIsReachedFromTwoPlacesAlone(t *testing.T) {
	t.Parallel()
	for _, f := range readCode(t) {
		for _, imported := range f.imports {
			if strings.HasPrefix(imported, "github.com/duckdb/") && f.pkg != "store/duckdb" && f.pkg != "lineage/duckparse" && mapped(f.pkg) {
				t.Errorf("%s imports %s", f.name, imported)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	t.Parallel()
	documented, seen := map[string]bool{}, map[string]bool{}
	for _, f := range readCode(t) {
		seen[f.pkg] = true
		if f.file.Doc != nil && len(f.file.Doc.Text()) > 60 {
			documented[f.pkg] = true
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(seen)) {
		if !documented[pkg] {
			t.Errorf("package %s has no comment that says what it guarantees", pkg)
		}
	}
	for pkg := range seen {
		for _, bad := range []string{"util", "common", "helpers", "manager", "types", "models", "misc"} {
			if path.Base(pkg) == bad {
				t.Errorf("a package is called %s", bad)
			}
		}
	}
}
