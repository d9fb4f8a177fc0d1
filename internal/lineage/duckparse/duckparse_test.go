package duckparse_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/core/fault"

	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/lineage"
	"github.com/tidemill/tidemill/internal/lineage/duckparse"
)

// childArgument makes the test binary the child process.
const childArgument = "serve-duckparse"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childArgument {
		if err := duckparse.Serve(os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func client(t testing.TB) *duckparse.Client {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := duckparse.NewClient(executable, childArgument)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// line writes a lineage as one line: tables with offsets, params, or the fault.
func line(l project.Lineage) string {
	if l.Fault != nil {
		return fmt.Sprintf("%s at %d: %s", l.Fault.Kind, l.Fault.Offset, l.Fault.Message)
	}
	var out []string
	for _, t := range l.Tables {
		name := t.Name
		if t.Schema != "" {
			name = t.Schema + "." + name
		}
		out = append(out, fmt.Sprintf("%s@%d", name, t.Offset))
	}
	for _, p := range l.Params {
		out = append(out, "$"+p)
	}
	return strings.Join(out, " ")
}

func TestTablesAreFoundByReadingTheText(t *testing.T) {
	t.Parallel()
	cases := []struct{ text, want string }{
		{"SELECT 1", ""},
		{"SELECT * FROM raw.flights WHERE t >= $window_start AND d > $param_late", "raw.flights@14 $param_late $window_start"},
		{"SELECT * FROM a.b JOIN c.d USING (k) WHERE x IN (SELECT y FROM e.f)", "a.b@14 c.d@23 e.f@63"},
		{"WITH x AS (SELECT * FROM a.b), y AS (SELECT * FROM x) SELECT * FROM y", "a.b@25"},
		{"WITH RECURSIVE x AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM x WHERE n < 5) SELECT * FROM x", ""},
		{"SELECT * FROM x WHERE EXISTS (WITH x AS (SELECT 1) SELECT * FROM x)", "x@14"},
		{"SELECT * FROM range(5) r, unnest([1, 2])", ""},
		{"FROM a.b SELECT *", "a.b@5"},
		{"SELECT count(*) FROM 'x.parquet'", "x.parquet@21"},
		{"SELECT * FROM read_csv('/etc/passwd')", "function at 14: read_csv() reads outside of the store"},
		{"DELETE FROM a.b", "select at -1: the text is not a SELECT"},
		{"COPY a.b TO 'x'", "select at -1: the text is not a SELECT"},
		{"SELECT 1; SELECT 2", "select at -1: the text holds 2 statements; a task is one SELECT"},
		{"", "select at -1: the text holds 0 statements; a task is one SELECT"},
		{"SELECT 1 FRM x", `syntax at 13: syntax error at or near "x"`},
	}
	texts := make([]string, len(cases))
	for i, c := range cases {
		texts[i] = c.text
	}
	got, err := client(t).Tables(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		if l := line(got[i]); l != c.want {
			t.Errorf("%s\n got  %s\n want %s", c.text, l, c.want)
		}
	}
}

// counting counts the texts that reach the parser.
type counting struct {
	lineage.Parser
	texts int
}

func (c *counting) Tables(ctx context.Context, texts []string) ([]project.Lineage, error) {
	c.texts += len(texts)
	return c.Parser.Tables(ctx, texts)
}

func TestATextIsParsedOnceAlsoAcrossProcesses(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/cache.json"
	parser := &counting{Parser: client(t)}
	texts := []string{"SELECT * FROM a.b", "SELECT * FROM a.b", "SELECT * FROM c.d", "SELEC"}
	for range 2 {
		got, err := lineage.NewCache(parser, path).Tables(t.Context(), texts)
		if err != nil || line(got[1]) != "a.b@14" || line(got[2]) != "c.d@14" || got[3].Fault == nil {
			t.Fatal(got, err)
		}
	}
	if parser.texts != 3 {
		t.Errorf("%d texts were parsed, want 3", parser.texts)
	}
	if err := os.WriteFile(path, []byte("{broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := lineage.NewCache(parser, path).Tables(t.Context(), texts[:1]); err != nil || line(got[0]) != "a.b@14" {
		t.Errorf("a broken cache: %v, %v", got, err)
	}
}

func TestAParserThatDiesHarmsOneAnswer(t *testing.T) {
	t.Parallel()
	c := duckparse.NewClient("/bin/false")
	defer func() { _ = c.Close() }()
	got, err := c.Tables(t.Context(), []string{"SELECT 1", "SELECT 2"})
	if err != nil || len(got) != 2 || got[1].Fault == nil || got[1].Fault.Kind != project.FaultParser {
		t.Errorf("%+v, %v", got, err)
	}
}

// childScript acts a parser that misbehaves, in the test binary.
func childScript(t *testing.T, script string) *duckparse.Client {
	t.Helper()
	return duckparse.NewClient("/bin/sh", "-c", script)
}

func TestAChildThatHangsIsKilledAndTheNextTextHasANewOne(t *testing.T) {
	t.Parallel()
	// Each child answers the first text it is given and hangs over the next one.
	c := childScript(t, `read -r line; echo '{"params":["p"]}'; read -r line; exec sleep 60`)
	c.Limit(200*time.Millisecond, 1<<30)
	got, err := c.Tables(t.Context(), []string{"a", "b", "c", "d", "e"})
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range got {
		hung := i%2 == 1
		if hung != (l.Fault != nil && l.Fault.Kind == project.FaultParser && strings.Contains(l.Fault.Message, "no answer for")) {
			t.Errorf("text %d: %s", i, line(l))
		}
	}
}

func TestAChildThatGrowsIsKilled(t *testing.T) {
	t.Parallel()
	c := childScript(t, `read -r line; echo '{}'; exec sleep 60`)
	c.Limit(time.Minute, 1) // a single byte is too much
	got, err := c.Tables(t.Context(), []string{"a", "b"})
	if err != nil || got[1].Fault == nil || !strings.Contains(got[1].Fault.Message, "needed more than") {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAParserThatNeverAnswersIsAnError(t *testing.T) {
	t.Parallel()
	c := childScript(t, `echo no such engine >&2; exit 1`)
	_, err := c.Tables(t.Context(), []string{"a", "b", "c", "d"})
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "no such engine") {
		t.Errorf("%v", err)
	}
}

func TestAQuestionEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := childScript(t, `exec sleep 60`).Tables(ctx, []string{"a"}); err == nil {
		t.Error("an answer came from nowhere")
	}
}

func TestManyTextsAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	texts := make([]string, 1000)
	for i := range texts {
		texts[i] = fmt.Sprintf("SELECT * FROM a.t%d", i)
	}
	got, err := client(t).Tables(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range got {
		if want := fmt.Sprintf("a.t%d@14", i); line(l) != want {
			t.Fatalf("text %d: %s, want %s", i, line(l), want)
		}
	}
}

// FuzzParse holds any text against the parser: it always answers, and what it
// names lies inside of the text.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"SELECT * FROM a.b", "WITH x AS (SELECT 1) SELECT * FROM x, y.z", "SELECT 'é' FROM ä.b WHERE $p", "((((", "\x00", "\"", "$$"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			return // such files are refused before
		}
		var out bytes.Buffer
		in, err := json.Marshal(map[string]string{"text": text})
		if err != nil {
			t.Fatal(err)
		}
		if err := duckparse.Serve(bytes.NewReader(append(in, '\n')), &out); err != nil {
			t.Fatal(err)
		}
		var l project.Lineage
		if err := json.Unmarshal(out.Bytes(), &l); err != nil {
			t.Fatalf("%q: %v", out.Bytes(), err)
		}
		if l.Fault != nil && l.Fault.Offset > len(text) {
			t.Errorf("fault at %d of %d bytes", l.Fault.Offset, len(text))
		}
		for _, table := range l.Tables {
			if table.Offset > len(text) {
				t.Errorf("%s at %d of %d bytes", table.Name, table.Offset, len(text))
			}
		}
	})
}
