package file

import (
	"slices"

	"github.com/tidemill/tidemill/internal/core/project"
)

// Setting is a setting of a kind of store.
type Setting struct {
	Name, Doc string
	Required  bool
}

// StoreKind is what a project may say of a kind of store, and what the kind can
// publish whole.
type StoreKind struct {
	Name     string
	Doc      string
	Settings []Setting
	Modes    []project.Mode
	SQL      bool // runs SELECTs beside its tables
	Files    bool // its sources are paths
}

var transactional = []project.Mode{project.ModeReplace, project.ModeAppend, project.ModeReplaceWindow, project.ModeMerge}

// StoreKinds are the kinds of store.
var StoreKinds = []StoreKind{
	{
		Name: "duckdb", Doc: "A DuckDB file, opened by the home worker alone.", SQL: true,
		Modes: append(slices.Clone(transactional), project.ModeFeature, project.ModeView),
		Settings: []Setting{
			{Name: "path", Doc: "The file, below the project folder unless absolute.", Required: true},
			{Name: "memory", Doc: "What the worker may use for it, such as 8GiB (default 2GiB); the rest spills to disk."},
		},
	},
	{
		Name: "files", Doc: "A folder of CSV, JSON lines and Parquet files; tables in it are Parquet under numbered manifests.", Files: true,
		Modes:    []project.Mode{project.ModeReplace, project.ModeAppend, project.ModeReplaceWindow},
		Settings: []Setting{{Name: "path", Doc: "The folder, below the project folder unless absolute.", Required: true}},
	},
	{
		Name: "postgres", Doc: "A PostgreSQL database.", SQL: true,
		Modes: append(slices.Clone(transactional), project.ModeView),
		Settings: []Setting{
			{Name: "dsn", Doc: "Connection string or URL.", Required: true},
		},
	},
}

// KindOf returns the kind of store of that name.
func KindOf(name string) (StoreKind, bool) {
	for _, k := range StoreKinds {
		if k.Name == name {
			return k, true
		}
	}
	return StoreKind{}, false
}
