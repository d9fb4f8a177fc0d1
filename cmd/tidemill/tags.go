//go:build !duckdb_arrow

package main

// The warehouse speaks Arrow, and the DuckDB library compiles that in only under
// its build tag. Without it the build stops here, by name, and not at a missing
// symbol somewhere inside.
var _ = build_tidemill_with_the_tag_duckdb_arrow__go_build_tags_duckdb_arrow
