package files_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
)

func TestTypesAreInferredFromAllFilesOfAGlob(t *testing.T) {
	t.Parallel()
	content := map[string]string{"docs/a.jsonl": `{"n": 1, "s": "1", "o": {"x": 1}}` + "\n" + `{"n": 2.5, "when": "2026-01-05T10:00:00Z", "o": null}` + "\n"}
	for i := range 120 {
		last := "7"
		if i == 119 {
			last = "7.5"
		}
		content[fmt.Sprintf("days/%03d.csv", i)] = fmt.Sprintf("id,name,price,never\n%d,n%d,%s,\n", i, i, last)
	}
	content["gone/a.csv"] = "id\n1\n"
	s, _ := folder(t, content)
	for _, test := range []struct{ path, want string }{
		{"days/*.csv", "id int64, name string, price float64, never string"},
		{"docs/a.jsonl", "n float64, s string, o json, when timestamptz"},
	} {
		reading, rows, err := read(t, s, store.Request{Files: []store.Files{{Glob: test.path}}, Infer: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := reading.Inferred.String(); strings.Trim(got, "()") != test.want || reading.Sampled == 0 {
			t.Errorf("%s: %d rows show %s, want %s", test.path, reading.Sampled, got, test.want)
		}
		if !reading.Text || len(rows) == 0 {
			t.Errorf("%s: the rows themselves are %v, and text: %v", test.path, rows, reading.Text)
		}
	}
	reading, _, err := read(t, s, store.Request{Files: []store.Files{{Glob: "days/*.csv"}}})
	if err != nil || len(reading.Inferred.Fields) > 0 {
		t.Errorf("types that nobody asked for: %s, %v", reading.Inferred, err)
	}
}

func TestABrokenFileIsToldByTheSampleAsByTheReading(t *testing.T) {
	t.Parallel()
	s, _ := folder(t, map[string]string{
		"empty.csv": "", "short.csv": "a,b\n1,2\n1\n", "no.jsonl": "{\"a\": 1}\n[1]\n", "not.csv.gz": "plain", "header.csv": "a,b\n",
	})
	for name, place := range map[string]string{"empty.csv": "empty.csv", "short.csv": "short.csv:3", "no.jsonl": "no.jsonl:2", "not.csv.gz": "not.csv.gz"} {
		_, _, err := read(t, s, store.Request{Files: []store.Files{{Glob: name}}, Infer: true})
		if !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), place) {
			t.Errorf("%s: %v, want a refusal that names %s", name, err, place)
		}
	}
	reading, rows, err := read(t, s, store.Request{Files: []store.Files{{Glob: "header.csv"}}, Infer: true, Format: project.Format{}})
	if err != nil || len(rows) > 0 || reading.Sampled != 0 || !strings.Contains(reading.Inferred.String(), "a string") {
		t.Errorf("a header alone: %v, %v, %+v", err, rows, reading)
	}
}
