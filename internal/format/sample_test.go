package format_test

import (
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/format"
)

func TestASampleTakesTypesFromTheFirstRecordsOfEachFile(t *testing.T) {
	t.Parallel()
	no := false
	for _, test := range []struct {
		name   string
		format project.Format
		files  []string
		most   int
		rows   int64
		want   string
	}{
		{"csv", project.Format{Kind: format.CSV}, []string{"a;b\n1;x\n2;\n", "b;a\n;2.5\n"}, 10, 3, "a float64, b string"},
		{"no more than asked", project.Format{Kind: format.CSV}, []string{"a\n1\n2\nx\n"}, 2, 2, "a int64"},
		{"nulls", project.Format{Kind: format.CSV, CSV: project.CSVFormat{Nulls: []string{"NA"}}}, []string{"a,b\nNA,\n1,NA\n"}, 10, 2, "a int64, b string"},
		{"without a header", project.Format{Kind: format.CSV, CSV: project.CSVFormat{Header: &no}}, []string{"1,x\n2,y\n"}, 10, 2, "column1 int64, column2 string"},
		{"quotes", project.Format{Kind: format.CSV}, []string{"a,b\n\"1\",\"x\ny\"\n"}, 10, 1, "a int64, b string"},
		{"json", project.Format{Kind: format.JSON}, []string{`{"a": 1, "b": "1", "c": [1], "d": true, "e": null}` + "\n" + `{"a": 1e3, "c": {}, "f": "2026-01-05"}`}, 10, 2, "a float64, b string, c json, d bool, e string, f date"},
		{"mixed json", project.Format{Kind: format.JSON}, []string{`{"a": 1, "b": {}, "c": true, "d": "2026-01-05"}` + "\n" + `{"a": "1", "b": 1, "c": 0, "d": 5}`}, 10, 2, "a string, b string, c string, d string"},
		{"escapes", project.Format{Kind: format.JSON}, []string{`{"a": "\u0032026-01-05"}`}, 10, 1, "a date"},
	} {
		var sample format.Sample
		for _, text := range test.files {
			if err := sample.Add(strings.NewReader(text), "f", test.format, test.most); err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
		}
		if got := strings.Trim(sample.Schema().String(), "()"); got != test.want || sample.Rows() != test.rows {
			t.Errorf("%s: %d rows show %s, want %d and %s", test.name, sample.Rows(), got, test.rows, test.want)
		}
	}
	var sample format.Sample
	err := sample.Add(strings.NewReader("a,b\n1\n"), "f.csv", project.Format{Kind: format.CSV}, 10)
	if !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), "f.csv:2") {
		t.Errorf("a short record: %v", err)
	}
}
