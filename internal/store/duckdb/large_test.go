package duckdb_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
	"github.com/tidemill/tidemill/internal/store/duckdb"
)

// Some 720 MiB of text.
const largeSQL = "SELECT i, repeat(md5(i::VARCHAR), 6) AS s FROM range(4000000) r(i)"

// The process is one of its own, since the others of this package share theirs.
func TestAnAnswerFarAboveTheMemoryLimitIsReadWithFlatMemory(t *testing.T) {
	t.Parallel()
	const variable = "TIDEMILL_DUCKDB_LARGE"
	which := os.Getenv(variable)
	if which == "" {
		for _, which := range []string{"query", "read", "view", "table"} {
			binary, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			child := exec.CommandContext(t.Context(), binary, "-test.run=^"+t.Name()+"$", "-test.v")
			child.Env = append(os.Environ(), variable+"="+which)
			if output, err := child.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", which, err, output)
			}
		}
		return
	}
	s := open(t, duckdb.Config{MemoryBytes: 200 << 20, Threads: 2})
	var batches store.Batches
	var err error
	switch which {
	case "query":
		_, batches, err = s.Query(t.Context(), statement(largeSQL))
	case "read":
		var reading *store.Reading
		if reading, err = s.Read(t.Context(), store.Request{Query: statement(largeSQL)}); err == nil {
			batches = reading.Batches
		}
	case "view":
		v, open := s.View(t.Context())
		if open != nil {
			t.Fatal(open)
		}
		defer func() { _ = v.Close() }()
		_, batches, err = v.Query(t.Context(), statement(largeSQL))
	case "table":
		load := store.TableSpec{Table: table, Mode: project.ModeReplace}
		load.Schema = schema("i", integer, "s", datatype.Of(datatype.String))
		if _, err := fill(t, s, "large", load, true, largeSQL); err != nil {
			t.Fatal(err)
		}
		var reading *store.Reading
		if reading, err = s.Read(t.Context(), store.Request{Table: table}); err == nil {
			batches = reading.Batches
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	rows := int64(0)
	for batch, err := range batches {
		if err != nil {
			t.Fatal(err)
		}
		if got := batch.Column(0).ValueStr(0); got != fmt.Sprint(rows) {
			t.Fatalf("row %d is %s", rows, got)
		}
		rows += batch.NumRows()
	}
	if rows != 4_000_000 {
		t.Errorf("%d rows", rows)
	}
	if peak := peakMemory(t); peak > 500<<20 {
		t.Errorf("the process had %d MiB at its peak", peak>>20)
	}
}

// peakMemory is the most memory that this process has had.
func peakMemory(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(status) {
		if text, ok := strings.CutPrefix(string(line), "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("peak: %d MiB", kib>>10)
			return kib << 10
		}
	}
	t.Fatal("the system does not tell")
	return 0
}

func TestAReadThatNobodyConsumesHoldsNothing(t *testing.T) {
	t.Parallel()
	s := open(t, duckdb.Config{})
	held := func() string {
		return query(t, s, "SELECT (SELECT count FROM duckdb_connection_count()), (SELECT sum(memory_usage_bytes + temporary_storage_bytes) > 20000000 FROM duckdb_memory())")[0]
	}
	before := held()
	for range 5 {
		if _, err := s.Read(t.Context(), store.Request{Query: statement(largeSQL)}); err != nil {
			t.Fatal(err)
		}
	}
	if after := held(); after != before {
		t.Errorf("connections and memory are %s, and were %s", after, before)
	}
}
