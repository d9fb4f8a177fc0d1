package duckdb_test

import (
	"fmt"
	"testing"

	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store/duckdb"
)

// What one small commit costs, in each mode.
func BenchmarkCommit(b *testing.B) {
	for _, m := range duckdb.Capabilities().Modes {
		b.Run(string(m), func(b *testing.B) {
			s := open(b, duckdb.Config{Threads: 2})
			n := 0
			for b.Loop() {
				n++
				if _, err := fill(b, s, fmt.Sprint("r", n), spec(m), true, oneRow); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What a million rows cost from a SELECT to the table.
func BenchmarkFill(b *testing.B) {
	s := open(b, duckdb.Config{Threads: 2})
	n := 0
	for b.Loop() {
		n++
		if _, err := fill(b, s, fmt.Sprint("r", n), spec(project.ModeReplace), true, `SELECT i AS id, TIMESTAMPTZ '2013-01-01' + to_seconds(i) AS "at" FROM range(1000000) r(i)`); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(1e6*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
