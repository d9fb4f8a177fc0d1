package source

import "github.com/tidemill/tidemill/internal/source/file"

// SchemaID names the published JSON Schema of project files.
const SchemaID = file.SchemaID

// Schema returns the JSON Schema of every project file, made from the same
// declarations that the files are read by. Its $defs name the kinds of file, so
// that an editor can be pointed at #/$defs/pipeline.
func Schema() []byte { return file.Schema() }

// Reference returns the page of every key of every project file, as Markdown.
func Reference() []byte { return file.Reference() }
