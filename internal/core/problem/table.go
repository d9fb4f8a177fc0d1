package problem

import (
	"maps"
	"slices"
)

func sortedCodes() []Code { return slices.Sorted(maps.Keys(table)) }

var table = map[Code]entry{
	BadYAML:          {SeverityError, "the file is not YAML", "The YAML parser stopped here. Indentation with tabs, a missing space after a colon and an unclosed quote or bracket are the usual causes."},
	UnknownKey:       {SeverityError, "unknown key", "Tidemill refuses keys that it does not know, because a misspelt setting would otherwise be a silent default. `tidemill schema` prints every key."},
	DuplicateKey:     {SeverityError, "key given twice", "The same key stands twice in one mapping; which of the two would count is not for a parser to guess."},
	WrongType:        {SeverityError, "wrong type of value", "The key takes another type of value, for example a list where a text stands."},
	MissingKey:       {SeverityError, "missing key", "The mapping lacks a key without which it has no meaning."},
	BadName:          {SeverityError, "not a usable name", "Names of pipelines, tasks, stores, params and secrets consist of a-z, 0-9 and _, begin with a letter and have at most 63 characters: they become table names, folder names and URLs."},
	TooLarge:         {SeverityError, "file too large", "Project files are read whole; one over the limit is refused so that a stray data file cannot stop the reader."},
	BadPath:          {SeverityError, "path leaves the project", "A project file is a link to, or names, a place outside the project folder. A bundle could not carry it to a worker."},
	NoProject:        {SeverityError, "no project here", "A project is a folder with a tidemill.yaml. `tidemill init` makes one."},
	BadHeader:        {SeverityError, "settings block cannot be read", "A .sql file holds its settings as YAML in the comment block that begins with `-- tidemill:`; a .py file in its PEP 723 block under [tool.tidemill]."},
	NoKind:           {SeverityError, "task without a kind", "A task file in YAML has exactly one top-level kind key, such as move, check or command."},
	TwoKinds:         {SeverityError, "task with two kinds", "A task does one thing: split the file into two tasks."},
	UnquotedBrace:    {SeverityError, "value begins with an unquoted brace", "YAML reads {…} without quotes as a mapping. Put quotes around a text that begins with an interpolation."},
	BadInterpolation: {SeverityError, "interpolation cannot be read", "Text between { and } names a value, such as {window.start:%Y-%m-%d}, {param.region} or {secret.pg}. {{ stands for a brace. Only the keys that the schema marks are interpolated."},
	BadValue:         {SeverityError, "value not allowed here", "The key takes one of a fixed set of values, or a value within limits."},
	StrayFile:        {SeverityWarning, "file is no task", "A file in a pipeline folder that is neither .yaml, .sql nor .py is ignored. Names that begin with _ are ignored without this warning."},

	Cycle:            {SeverityError, "tasks wait for each other", "Each task of the cycle would wait for the next one for ever. The arrows come from the tables that tasks read and write, and from after:."},
	TwoWriters:       {SeverityError, "two tasks write one table", "A table has one writer: with two, neither the contract nor a rerun has a meaning."},
	UnknownTable:     {SeverityError, "nobody writes this table", "Every table that is read must be written by a task of the project or match external: of its store."},
	UnknownStore:     {SeverityError, "unknown store", "Stores are declared in tidemill.yaml under stores:."},
	UnknownParam:     {SeverityError, "unknown param", "Params are declared under params: in the pipeline, the task or the feature set."},
	UnknownSecret:    {SeverityError, "unknown secret", "Secrets are declared in tidemill.yaml under secrets:."},
	UnknownTask:      {SeverityError, "unknown task", "after: and when: name tasks of the same pipeline."},
	UnknownSet:       {SeverityError, "unknown feature set", "A feature set is a file in features/; its name is the file's name."},
	UnknownModel:     {SeverityError, "nobody trains this model", "A model is written by a Python task with writes = [\"model:NAME\"]."},
	DuplicateTask:    {SeverityError, "two files make one task", "A task's name is its file's name without the ending; two files of one pipeline share it."},
	UnknownChannel:   {SeverityError, "unknown channel", "Routes name channels declared under alerts.channels."},
	UnknownEnv:       {SeverityError, "unknown environment", "Environments are declared in tidemill.yaml under environments:."},
	UnknownPool:      {SeverityError, "unknown pool", "Pools are declared in tidemill.yaml under pools:, each with how much there is of it."},
	UnknownCalendar:  {SeverityError, "unknown calendar", "Calendars are files in calendars/: NAME.yaml, or NAME.ics as it was exported or downloaded."},
	BadTable:         {SeverityError, "not a table name", "A table is store:schema.name; without store: it is in the warehouse."},
	UnknownColumn:    {SeverityError, "unknown column", "The contract of the table has no such field."},
	DuplicateBinding: {SeverityError, "two contracts for one table", "physicalName binds a contract to a table; one table has one contract."},

	BadCron:     {SeverityError, "cron expression cannot be read", "Five fields: minute, hour, day of month, month, day of week; lists, ranges, steps, names, L and #, or @daily and its family."},
	BadZone:     {SeverityError, "unknown time zone", "Zones are IANA names, such as Europe/Berlin."},
	BadDuration: {SeverityError, "duration cannot be read", "Durations are whole numbers with units: 90m, 6h, 2d, 1w."},
	EmptyWindow: {SeverityError, "the schedule makes an empty window", "With window: day a schedule that is due twice a day would make a window without any time in it."},
	BadTime:     {SeverityError, "time cannot be read", "A time is a local date such as 2013-06-01 or an instant in RFC 3339."},
	NoSchedule:  {SeverityError, "setting needs a schedule", "deadline:, missed:, window: and calendar: have a meaning only with a schedule."},
	BadCalendar: {SeverityError, "calendar cannot be used", "A calendar leaves at least one day of the week open; an .ics file is iCalendar (RFC 5545), whose events on whole days are holidays. Only hours that are given as numbers can be moved to another day."},

	BadCEL:       {SeverityError, "expression cannot be read", "when:, retry_if:, promote and alert routes are written in CEL."},
	BadSQL:       {SeverityError, "SQL cannot be read", "The warehouse's parser refused the text. SQL of another engine is fine with reads: in the header."},
	NotASelect:   {SeverityError, "not one SELECT", "A .sql task is one SELECT; Tidemill stages, checks and publishes its rows."},
	BadPython:    {SeverityError, "Python cannot be read", "Python's own parser refused the file; it is read in a child process and never run."},
	BadSignature: {SeverityError, "the task function's arguments cannot be read", "The function given to tidemill.main takes the run first; further arguments need a type (int, float, str, bool) and a default."},
	BadParam:     {SeverityError, "param has the wrong type", "A param's value must have the type of its default."},

	OutsideFunction: {SeverityError, "SQL that leaves the store", "A table function such as read_csv reads what no arrow shows, outside of contracts, bundles and reruns. Data come into a store with a move."},

	BadContract:    {SeverityError, "not an ODCS contract", "The file does not satisfy the JSON Schema of the Open Data Contract Standard."},
	UnknownRule:    {SeverityError, "rule not supported", "The quality rule is valid ODCS but none that Tidemill can judge; leaving it out silently would promise a check that never runs."},
	BadPattern:     {SeverityError, "pattern cannot be compiled", "Patterns are ECMA-262 regular expressions."},
	BadType:        {SeverityError, "type not supported", "The logical type with its options has no exact counterpart in the table's store."},
	NaiveTimestamp: {SeverityError, "timestamp without a zone", "A zone-less timestamp has no instant. Say timezone: true, or timezone: false with defaultTimezone."},
	NoContract:     {SeverityWarning, "table without a contract", "Another pipeline reads the table, and nothing says what both sides agreed."},
	LeftBehind:     {SeverityWarning, "table without a writer", "A task that published the table was renamed or removed. The table keeps its rows; readers of it would no longer get new ones."},
	Unbound:        {SeverityWarning, "contract of a table that nobody writes", "No task of the project writes the table that the contract names, so nothing is judged by it. physicalName binds it; a table that others write is named under external: of its store."},
	NoWarning:      {SeverityWarning, "warn cannot hold for types", "A value that is not of its column's type cannot be loaded, so a row with one cannot pass with a mere warning. Where a field or a table says warn, the rule of its type takes the next verdict that it can have: the table's, else reject."},
	BadBudget:      {SeverityError, "error budget cannot be read", "tidemill.errorBudget takes rows and percent."},
	NoKey:          {SeverityError, "mode needs a key", "merge and feature tables need the key in the contract or in the task's header."},

	ModeImpossible: {SeverityError, "the store cannot do this mode whole", "Each store declares what it can publish atomically; a mode beyond that could leave a mix of old and new rows."},
	UnknownKind:    {SeverityError, "unknown kind of store", "See docs for the kinds of store that this version has."},
	BadSetting:     {SeverityError, "setting not allowed for this kind", "The setting has no meaning for this kind of store, channel or task."},
	TooEarly:       {SeverityWarning, "known_at is earlier than the schedule can deliver", "Training would see values at times when serving cannot have them."},
	Skewed:         {SeverityWarning, "training sees values that scoring cannot", "A run answers for moments that lie after it, and values become known in between: training joins them, a run that is already over does not. Score nearer to the moments, or move at: to before the run."},
}
