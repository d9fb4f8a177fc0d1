package cli_test

import (
	"bytes"
	"context"
	"flag"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tidemill/tidemill/internal/cli"
	"github.com/tidemill/tidemill/internal/testserver"
)

// demo is the folder of a flights example that has run to its end. Without it,
// the commands that need one are held against the grammar alone.
var demo = flag.String("demo", "", "the folder of a finished flights example, to run the commands that need one")

// repository is the root of the repository, as seen from this package.
const repository = "../.."

// TestMain makes the test binary the program itself, where it is started as one:
// under the program's name by a shell, or as the child of a command.
func TestMain(m *testing.M) {
	internal := func(arg string) bool { return strings.HasPrefix(arg, "internal-") }
	if slices.ContainsFunc(os.Args[1:], internal) {
		os.Exit(cli.Main(os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
	}
	testscript.Main(m, map[string]func(){"tidemill": func() {
		os.Exit(cli.Main(os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
	}})
}

func TestEveryDocumentedCommandRuns(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(repository, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, page := range append(pages, filepath.Join(repository, "README.md"), filepath.Join(repository, "examples/flights/README.md")) {
		steps := readPage(t, page)
		ran += len(steps)
		t.Run(filepath.Base(page), func(t *testing.T) {
			r := reader{root: root, ids: map[string]string{}}
			for _, s := range steps {
				r.follow(t, s)
			}
		})
	}
	if ran < 30 {
		t.Errorf("the pages have %d steps: are their console blocks still found?", ran)
	}
}

// step is one thing that a reader of a page does.
type step struct {
	place   string
	setup   string // begin anew in a folder that is prepared so
	file    string // write text to this file
	command string
	text    string // of a file, or what the page shows as the command's answer
	exit    int
}

var directive = regexp.MustCompile(`^<!-- (setup|file|exit): (\S+) -->$`)

// readPage returns what a reader of the page does: comments prepare it, console blocks do it.
func readPage(t *testing.T, page string) []step {
	t.Helper()
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	port, err := testserver.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	content = bytes.ReplaceAll(content, []byte(documentedPort), []byte(strconv.Itoa(port)))
	var out []step
	file, exit, fence := "", 0, ""
	first := 0 // the block's first step
	for i, line := range strings.Split(string(content), "\n") {
		place := filepath.Base(page) + ":" + strconv.Itoa(i+1)
		last := len(out) - 1
		switch d := directive.FindStringSubmatch(line); {
		case fence == "" && d != nil && d[1] == "setup":
			out = append(out, step{place: place, setup: d[2]})
		case fence == "" && d != nil && d[1] == "file":
			file = d[2]
		case fence == "" && d != nil:
			if exit, err = strconv.Atoi(d[2]); err != nil {
				t.Fatalf("%s: %v", place, err)
			}
		case fence == "" && strings.HasPrefix(line, "```"):
			fence, first = strings.TrimPrefix(line, "```"), len(out)
			if fence == "" {
				fence = "text"
			}
			if file != "" {
				out = append(out, step{place: place, file: file})
			}
		case strings.HasPrefix(line, "```"):
			if fence == "console" && len(out) > first {
				out[last].exit, exit = exit, 0
			}
			file, fence = "", ""
		case fence == "console" && strings.HasPrefix(line, "$ "):
			out = append(out, step{place: place, command: strings.TrimPrefix(line, "$ ")})
		case fence != "" && len(out) > first:
			out[last].text += line + "\n"
		}
	}
	return out
}

// documentedPort is where the pages have a receiver of alerts listen; a reader
// whose machine uses it already takes another.
const documentedPort = "8099"

// reader follows a page, in a folder of its own.
type reader struct {
	root   string
	folder string
	setup  string
	ids    map[string]string // the page's ids of runs → those of this reader's
	server chan int          // the exit code of a command in the background
}

func (r *reader) follow(t *testing.T, s step) {
	t.Helper()
	switch {
	case s.setup != "":
		r.begin(t, s)
	case r.setup == "":
		t.Fatalf("%s: no setup stands above it", s.place)
	case s.file != "":
		name := filepath.Join(r.folder, filepath.FromSlash(s.file))
		if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(s.text), 0o600); err != nil {
			t.Fatal(err)
		}
	case r.setup == "demo" && *demo == "":
		r.parse(t, s)
	default:
		r.do(t, s)
	}
}

func (r *reader) begin(t *testing.T, s step) {
	t.Helper()
	r.setup, r.folder = s.setup, t.TempDir()
	switch s.setup {
	case "empty":
	case "init":
		if code := cli.Run(t.Context(), []string{"init", r.folder}, cli.Streams{Out: io.Discard, Err: io.Discard}); code != 0 {
			t.Fatalf("%s: init ended with %d", s.place, code)
		}
	case "flights":
		copyProject(t, filepath.Join(r.root, "examples/flights"), r.folder)
	case "demo":
		if *demo != "" {
			r.folder = *demo
		}
	default:
		t.Fatalf("%s: there is no setup %q", s.place, s.setup)
	}
	t.Chdir(r.folder)
}

// copyProject copies a project folder without what its runs left there.
func copyProject(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil || d.IsDir() && d.Name() == ".tidemill" {
			return filepath.SkipDir
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o750)
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), content, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// parse holds a command against the grammar: help is only printed for what parses.
func (r *reader) parse(t *testing.T, s step) {
	t.Helper()
	words, ok := wordsOf(s.command)
	if !ok || words[0] != "tidemill" {
		return
	}
	var talk bytes.Buffer
	if code := cli.Run(t.Context(), append(words[1:], "--help"), cli.Streams{Out: io.Discard, Err: &talk}); code != 0 {
		t.Errorf("%s: %s: %s", s.place, s.command, talk.String())
	}
}

// do runs a command and compares its exit code.
func (r *reader) do(t *testing.T, s step) {
	t.Helper()
	for shown, real := range r.ids {
		s.command = strings.ReplaceAll(s.command, shown, real)
	}
	var answer bytes.Buffer
	streams := cli.Streams{In: strings.NewReader(""), Out: &answer, Err: &answer}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	code := 0
	command, background := strings.CutSuffix(s.command, " &")
	words, plain := wordsOf(command)
	switch {
	case background:
		r.start(t, words)
	case plain && words[0] == "cd":
		t.Chdir(words[1])
		r.folder, _ = os.Getwd()
	case plain && words[0] == "tidemill":
		code = cli.Run(ctx, words[1:], streams)
	default:
		code = r.shell(ctx, t, s.command, &answer)
	}
	if code != s.exit {
		t.Fatalf("%s: %s: ended with %d, not %d:\n%s", s.place, s.command, code, s.exit, answer.String())
	}
	if r.server != nil && slices.Contains(words, "down") {
		if code := <-r.server; code != 0 {
			t.Errorf("%s: the server ended with %d", s.place, code)
		}
		r.server = nil
	}
	r.learn(s.text, answer.String())
}

// start runs a server in the background and waits until it is ready.
func (r *reader) start(t *testing.T, words []string) {
	t.Helper()
	r.server = make(chan int, 1)
	silent := cli.Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}
	ctx, ended := t.Context(), r.server
	go func() { ended <- cli.Run(ctx, words[1:], silent) }()
	patience := time.After(30 * time.Second)
	for cli.Run(t.Context(), []string{"ready"}, silent) != 0 {
		select {
		case <-patience:
			t.Fatal("the server is not ready")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// shell runs what is no plain command of ours, with the program on its path.
func (r *reader) shell(ctx context.Context, t *testing.T, command string, answer io.Writer) int {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(self, filepath.Join(bin, "tidemill")); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(ctx, "sh", "-ec", command)
	c.Dir, c.Stdout, c.Stderr = r.folder, answer, answer
	c.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	if err := c.Run(); err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode()
}

// learn pairs the ids that a page shows with those of the answer, in their order.
func (r *reader) learn(shown, real string) {
	pattern := regexp.MustCompile(`\b0[0-9a-z]{15}\b`)
	unique := func(text string) (out []string) {
		for _, id := range pattern.FindAllString(text, -1) {
			if !slices.Contains(out, id) {
				out = append(out, id)
			}
		}
		return out
	}
	ids := unique(real)
	for i, id := range unique(shown) {
		if _, known := r.ids[id]; !known && i < len(ids) {
			r.ids[id] = ids[i]
		}
	}
}

// wordsOf splits a plain command; false where only a shell can say what it means.
func wordsOf(command string) (words []string, plain bool) {
	var word strings.Builder
	quote, open := rune(0), false
	for _, c := range command {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == '\'' || quote == '"' && c != '$' && c != '`' && c != '\\':
			word.WriteRune(c)
		case quote == 0 && (c == '\'' || c == '"'):
			quote, open = c, true
		case c == ' ':
			if open {
				words = append(words, word.String())
			}
			word.Reset()
			open = false
		case strings.ContainsRune("$`\\|;<>&*(){}", c):
			return nil, false
		default:
			word.WriteRune(c)
			open = true
		}
	}
	if open {
		words = append(words, word.String())
	}
	return words, len(words) > 0
}

func TestTheCommandsReferenceIsCurrent(t *testing.T) {
	for file, args := range map[string][]string{
		"docs/reference/cli.md":               {"internal-reference"},
		"docs/reference/project-files.md":     {"schema", "--markdown"},
		"docs/reference/tidemill.schema.json": {"schema"},
	} {
		written, err := os.ReadFile(filepath.Join(repository, file))
		if err != nil {
			t.Error(err)
			continue
		}
		var printed bytes.Buffer
		if code := cli.Run(t.Context(), args, cli.Streams{Out: &printed, Err: io.Discard}); code != 0 {
			t.Errorf("%v ended with %d", args, code)
		}
		if !bytes.Equal(written, printed.Bytes()) {
			t.Errorf("%s is not what the program prints: run make generate", file)
		}
	}
}
