package file

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/source/form"
)

// SchemaID names the published JSON Schema of project files.
const SchemaID = "https://github.com/tidemill/tidemill/schema/project.json"

// Schema returns the JSON Schema of every project file, made from the same
// declarations that the files are read by. Its $defs name the kinds of file, so
// that an editor can be pointed at #/$defs/pipeline.
func Schema() []byte {
	var s form.Schemas
	kinds := []any{
		form.Add[Project](&s, "tidemill"),
		form.Add[Pipeline](&s, "pipeline"),
		form.Add[YAMLTask](&s, "task"),
		form.Add[Set](&s, "feature_set"),
		form.Add[Test](&s, "test"),
		form.Add[Calendar](&s, "calendar"),
		form.Add[SQLHeader](&s, "sql_header"),
		form.Add[PythonBlock](&s, "python_block"),
	}
	text, err := json.MarshalIndent(form.Object{
		"$schema":     "https://json-schema.org/draft/2020-12/schema",
		"$id":         SchemaID,
		"title":       "Tidemill project files",
		"description": "tidemill.yaml, pipeline.yaml, task files, feature sets, tests, calendars, the header of .sql files and the [tool.tidemill] block of .py files. Contracts follow the Open Data Contract Standard.",
		"anyOf":       kinds,
		"$defs":       s.Definitions(),
	}, "", "  ")
	if err != nil {
		panic(err) // a mapping of texts always has a JSON form
	}
	return append(text, '\n')
}

// Reference returns the page of every key of every project file, as Markdown.
func Reference() []byte {
	var b strings.Builder
	b.WriteString("# Project files\n\nEvery key of every file, made from the declarations that the files are read by.\n" +
		"Unknown keys are errors. Durations are whole numbers with units: `90m`, `6h`, `2d`, `1w`.\n" +
		"Where a text may hold `{…}`, `{{` stands for a brace.\n")
	section := func(title, text string) { fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", title, text) }
	section("`tidemill.yaml`", "The project: where data live, who is told, and what holds where a file says nothing.")
	form.Markdown[Project](&b)
	b.WriteString("\nKinds of store:\n\n| kind | settings | modes | |\n|---|---|---|---|\n")
	for _, k := range StoreKinds {
		var settings, modes []string
		for _, one := range k.Settings {
			settings = append(settings, "`"+one.Name+"`: "+one.Doc)
		}
		for _, m := range k.Modes {
			modes = append(modes, "`"+string(m)+"`")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Name, strings.Join(settings, " "), strings.Join(modes, ", "), k.Doc)
	}
	section("`pipelines/PIPELINE/pipeline.yaml`", "A folder of tasks with one schedule. The file may be missing: then people and programs start the pipeline.")
	form.Markdown[Pipeline](&b)
	section("`pipelines/PIPELINE/TASK.yaml`", "A task without a body. Exactly one of `move`, `check` and `command` says what it is.")
	form.Markdown[YAMLTask](&b)
	section("`pipelines/PIPELINE/TASK.sql`", "A SELECT. Its settings stand in the comment lines that begin with `-- tidemill:` at the top of the file, as YAML; the block ends at the first line that is no comment.")
	form.Markdown[SQLHeader](&b)
	section("`pipelines/PIPELINE/TASK.py`", "A Python script. Its settings stand under `[tool.tidemill]` in its PEP 723 block, beside `requires-python` and `dependencies`. The typed arguments of the function given to `tidemill.main` are params.")
	form.Markdown[PythonBlock](&b)
	section("`features/SET.yaml`", "Which features are joined to which labels.")
	form.Markdown[Set](&b)
	section("`calendars/CALENDAR.yaml`", "Days that are no business days. Holidays may also come as iCalendar, `calendars/CALENDAR.ics`: each whole day of an event is one, rules that repeat included.")
	form.Markdown[Calendar](&b)
	section("`tests/PIPELINE/TASK.yaml`", "Rows given to one task and rows expected of it; also `tests/PIPELINE/TASK/CASE.yaml`.")
	form.Markdown[Test](&b)
	return []byte(b.String())
}
