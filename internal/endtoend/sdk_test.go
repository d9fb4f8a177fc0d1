package endtoend_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/tidemill/tidemill/internal/api"
)

// unpack writes a project of testdata into a folder.
func unpack(t *testing.T, name string) folder {
	t.Helper()
	a, err := txtar.ParseFile(filepath.Join("testdata", name+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	f := folder{t, t.TempDir()}
	for _, file := range a.Files {
		target := filepath.Join(f.dir, filepath.FromSlash(file.Name))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, file.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// rows are the rows of a SELECT, as comma-separated texts without the header.
func (f folder) rows(sql string) []string {
	f.t.Helper()
	return strings.Split(strings.TrimSpace(f.must("sql", "--output", "csv", "--most", "0", sql)), "\n")[1:]
}

func (f folder) want(sql string, want ...string) {
	f.t.Helper()
	if got := f.rows(sql); fmt.Sprint(got) != fmt.Sprint(want) {
		f.t.Errorf("%s:\n%s\nwant:\n%s", sql, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestEveryWordOfTheSDKWorksInARealRun runs the SDK's own file, in Python,
// against the session of a real worker: without a library, and with pandas,
// pyarrow and LightGBM.
func TestEveryWordOfTheSDKWorksInARealRun(t *testing.T) {
	t.Setenv("WORDS_DOOR", "sesame")
	f := unpack(t, "sdk")
	server := f.up()
	defer f.down(server)

	// Without any library: write, sql, value, check, log, progress, secret, artifact.
	for _, day := range []string{"2024-01-01", "2024-01-02"} {
		f.must("run", "land", "--window", day)
		f.must("run", "facts", "--window", day)
	}
	f.want("SELECT count(*), count(DISTINCT id), min(came), max(note) FROM raw.visits", "96,48,2024-01-01 05:00:00Z,last")
	f.want("SELECT price, length(long), body FROM raw.visits WHERE id = 101 AND first", `7.50,200000,"{""a"": [1, null]}"`)
	f.want("SELECT * FROM land.told", "5,true,48,sesame")
	landed := ask[[]api.Run](f, "runs", "land")[0].ID
	if log := f.must("logs", landed, "visits"); !strings.Contains(log, "info: landed 48 of 48") || !strings.Contains(log, "progress: 1 of 2") || strings.Contains(log, "sesame") {
		t.Errorf("the log: %s", log)
	}

	// With data frames: training_set, metric, explain and model.
	f.must("run", "learn", "--window", "2024-01-02")
	type version struct {
		Version     int
		Pin         string
		Features    []string
		Aliases     []string
		Params      map[string]int
		Metrics     map[string]float64
		Importances []struct {
			Feature string
			Mean    float64 `json:"mean_abs"`
		}
	}
	models := ask[[]version](f, "models", "list")
	if len(models) != 1 {
		t.Fatalf("models %+v", models)
	}
	m := models[0]
	if m.Pin == "" || len(m.Importances) != 2 || m.Importances[0].Feature != "x" || m.Importances[0].Mean <= 0 {
		t.Errorf("the model %+v", m)
	}
	m.Pin, m.Importances = "", nil
	want := version{
		Version: 1, Features: []string{"x", "rest"}, Aliases: []string{"champion"},
		Params: map[string]int{"rounds": 5, "depth": 3}, Metrics: map[string]float64{"auc": 1},
	}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Errorf("the model:\n%s", diff)
	}

	// load_model, features, predictions with contributions.
	f.must("run", "score", "--window", "2024-01-02")
	f.want("SELECT count(*), count(DISTINCT prediction_id), min(model_version), min(id), max(id) FROM score.late", "24,24,1,100,123")
	f.want(`SELECT count(*), sum(n) FROM (SELECT prediction_id, sum(contribution) AS margin, count(*) AS n FROM score.late__contributions GROUP BY 1) AS c
		JOIN score.late AS p USING (prediction_id) WHERE abs(1 / (1 + exp(-margin)) - prediction) < 1e-9`, "24,72")
}

// TestValuesOfAScriptArriveExactlyWithoutAnyLibrary writes without a contract, in
// two writes whose decimals differ in their digits, and reads back.
func TestValuesOfAScriptArriveExactlyWithoutAnyLibrary(t *testing.T) {
	f := unpack(t, "sdk")
	server := f.up()
	defer f.down(server)
	f.must("run", "exact", "--window", "2024-01-01")
	f.want("SELECT d, isnan(f), j, typeof(d), typeof(j) FROM exact.values ORDER BY id",
		`0.100,true,"{""a"": [1, ""x""]}","DECIMAL(21,3)",JSON`, `7.000,false,[],"DECIMAL(21,3)",JSON`,
		`12345678901234567.890,,,"DECIMAL(21,3)",JSON`, `0.000,false,[{}],"DECIMAL(21,3)",JSON`)
	f.want("SELECT rows FROM exact.back", "4")
}

// TestMillionsOfRowsOfAScriptLeaveTheWorkerSmall writes some 1.2 GB by run.write
// beside a warehouse that may use 512 MiB.
func TestMillionsOfRowsOfAScriptLeaveTheWorkerSmall(t *testing.T) {
	f := unpack(t, "sdk")
	server := f.up()
	defer f.down(server)
	f.must("run", "bulk", "--task", "many", "--window", "2024-01-01")
	f.want("SELECT count(*), sum(n) FROM bulk.many", "3000000,4499998500000")
	if peak := peak(t, f.rows("SELECT pid FROM bulk.worker")[0]); peak > 1000<<20 { // held whole, the rows alone would need more
		t.Errorf("the worker had %d MiB at its peak", peak>>20)
	}
	_, talk, code := f.try("run", "bulk", "--task", "broken", "--window", "2024-01-01")
	const want = `table bulk.broken: the contract broken@1.0.0 refused row 1999992 by the rule "n.range": n 1999991 is more than 1999990`
	if code == 0 || !strings.Contains(talk, want) {
		t.Errorf("rows that the contract rejects: %d\n%s", code, talk)
	}
	if _, _, code := f.try("sql", "SELECT * FROM bulk.broken"); code == 0 {
		t.Error("the rows before the refused one are there")
	}
}

// peak is the most memory that a process has had.
func peak(t *testing.T, pid string) int64 {
	t.Helper()
	status, err := os.ReadFile(filepath.Join("/proc", pid, "status"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatalf("the system does not tell of process %s", pid)
	return 0
}
