package file

import (
	"github.com/tidemill/tidemill/internal/source/form"
)

// Project is tidemill.yaml.
type Project struct {
	form.Mapping
	Project      form.Text                 `key:"project" required:"" is:"name" doc:"Name of the project."`
	Timezone     form.Text                 `key:"timezone" is:"zone" default:"UTC" doc:"IANA time zone of schedules that name none."`
	Secrets      []form.Named[form.Text]   `key:"secrets" is:"name" doc:"Secrets by name: env:NAME or file:PATH. The values are never part of a project."`
	Stores       []form.Named[Store]       `key:"stores" is:"name" doc:"Places where data live. Without one named warehouse there is a DuckDB file in .tidemill."`
	Defaults     Defaults                  `key:"defaults" doc:"Settings of pipelines and tasks that say nothing themselves."`
	Alerts       Alerts                    `key:"alerts" doc:"Who is told about incidents."`
	Pools        []form.Named[form.Whole]  `key:"pools" is:"name" doc:"Things of which there is only so much, such as cards or licences, and how much: what running attempts hold of them never exceeds it."`
	Include      []form.Text               `key:"include" one:"" doc:"Further files of the bundle, as paths or globs below the project folder."`
	Environments []form.Named[Environment] `key:"environments" is:"name" doc:"Overlays by name, chosen with --env or TIDEMILL_ENV. Mappings merge, lists and whole stores are replaced."`
}

// Environment is an overlay of tidemill.yaml.
type Environment struct {
	form.Mapping
	Timezone  form.Text               `key:"timezone" is:"zone" doc:"Replaces the project's."`
	Secrets   []form.Named[form.Text] `key:"secrets" is:"name" doc:"Laid over the project's."`
	Stores    []form.Named[Store]     `key:"stores" is:"name" doc:"Each replaces the store of its name whole."`
	Defaults  Defaults                `key:"defaults" doc:"Laid over the project's."`
	Alerts    Alerts                  `key:"alerts" doc:"Laid over the project's; routes are replaced as a list."`
	Include   []form.Text             `key:"include" one:"" doc:"Replaces the project's."`
	Schedules []form.Named[Schedule]  `key:"schedules" is:"name" doc:"By pipeline; each replaces the pipeline's schedule whole."`
}

// Store is a place where data live.
type Store struct {
	form.Mapping
	Kind     form.Text               `key:"kind" required:"" doc:"duckdb, files or postgres."`
	External []form.Text             `key:"external" one:"" doc:"Patterns such as public.* of tables that somebody else writes."`
	Limit    form.Whole              `key:"limit" doc:"How many attempts may use the store at once; without it any number."`
	Settings []form.Named[form.Text] `rest:"" loose:"" fill:"secret" doc:"Settings of the kind."`
}

// Defaults hold for pipelines and tasks that say nothing themselves.
type Defaults struct {
	form.Mapping
	TaskDefaults
	Owner    form.Text     `key:"owner" doc:"Who answers for a pipeline."`
	Runbook  form.Text     `key:"runbook" doc:"What to do when a pipeline breaks: an address, or a sentence. It stands in every message."`
	Missed   Missed        `key:"missed" doc:"What becomes of slots that could not start when due."`
	Overlap  form.Text     `key:"overlap" one_of:"queue,queue_all,skip,cancel,allow" default:"queue" doc:"What happens when a run is due while another one of the pipeline goes on."`
	Deadline form.Duration `key:"deadline" doc:"How long after due a run may take before it is late."`
	Spread   form.Duration `key:"spread" default:"0s" doc:"Bound within which the starts of scheduled runs are spread."`
}

// TaskDefaults are the settings of tasks that each level may give.
type TaskDefaults struct {
	Retries  form.Whole    `key:"retries" default:"0" doc:"How often a failed attempt is tried again."`
	Backoff  form.Duration `key:"backoff" default:"30s" doc:"Wait before the first retry; it doubles each time."`
	Timeout  form.Duration `key:"timeout" doc:"How long an attempt may run."`
	Priority form.Whole    `key:"priority" default:"0" doc:"From 0 to 100: among tasks that are ready the higher starts earlier; one of low priority is overtaken by a thousand starts for each step, and no more."`
	Driver   form.Text     `key:"driver" one_of:"uv,venv,system" doc:"What makes the environments of Python tasks; uv where it is found, else venv."`
}

// PipelineDefaults hold for the tasks of one pipeline.
type PipelineDefaults struct {
	form.Mapping
	TaskDefaults
}

// Pipeline is pipeline.yaml.
type Pipeline struct {
	form.Mapping
	Description form.Text           `key:"description" doc:"What the pipeline is for."`
	Owner       form.Text           `key:"owner" doc:"Who answers for the pipeline."`
	Runbook     form.Text           `key:"runbook" doc:"What to do when it breaks: an address, or a sentence. It stands in every message about the pipeline."`
	Schedule    Schedule            `key:"schedule" doc:"When the pipeline is due; without it people and programs start it."`
	Missed      Missed              `key:"missed" doc:"What becomes of slots that could not start when due."`
	Overlap     form.Text           `key:"overlap" one_of:"queue,queue_all,skip,cancel,allow" default:"queue" doc:"What happens when a run is due while another one of the pipeline goes on."`
	Deadline    form.Duration       `key:"deadline" doc:"How long after due a run may take before it is late."`
	Limit       form.Whole          `key:"limit" doc:"How many attempts of all runs of the pipeline may run at once; without it any number."`
	Params      []form.Named[Param] `key:"params" is:"name" doc:"Parameters of all tasks of the pipeline."`
	Defaults    PipelineDefaults    `key:"defaults" doc:"Settings of tasks that say nothing themselves."`
}

// Schedule says when a pipeline is due.
type Schedule struct {
	form.Mapping
	Cron     form.Text     `key:"cron" short:"" is:"cron" doc:"Five fields, or @daily and its family; manual is no schedule."`
	Every    form.Duration `key:"every" doc:"Interval of real time, counted from start."`
	Window   Window        `key:"window" doc:"Aligns the window of data to whole local units; without it a window begins where the last one ended."`
	Calendar Business      `key:"calendar" doc:"Business days alone: the name of a file in calendars/."`
	Start    form.Text     `key:"start" is:"moment" doc:"First moment of data; the first window begins here."`
	End      form.Text     `key:"end" is:"moment" doc:"No window reaches past it."`
	Timezone form.Text     `key:"timezone" is:"zone" default:"the project's" doc:"IANA time zone of the schedule."`
	Spread   form.Duration `key:"spread" default:"0s" doc:"Runs start so long after due at most: how long follows from the pipeline's name, so that what is due at the same time does not start at the same time."`
}

// Business holds a schedule back on days off.
type Business struct {
	form.Mapping
	Name  form.Text `key:"name" short:"" required:"" is:"name" doc:"The calendar."`
	Shift form.Text `key:"shift" one_of:"skip,next,previous" default:"skip" doc:"What becomes of a due time on a day off: it is left out, or moved to the next or the previous business day, at the same time."`
}

// Window aligns windows to local units.
type Window struct {
	form.Mapping
	Unit  form.Text `key:"unit" short:"" required:"" one_of:"hour,day,week,month" doc:"The unit."`
	Shift form.Any  `key:"shift" default:"0" doc:"Whole units later, or earlier when negative."`
}

// Missed says what becomes of slots that could not start.
type Missed struct {
	form.Mapping
	Policy   form.Text     `key:"policy" short:"" one_of:"all,latest,merge,none" default:"all" doc:"Which of the missed slots still run."`
	LookBack form.Duration `key:"look_back" default:"7d" doc:"Slots older than this are not run."`
}

// Param is a parameter with its type or default.
type Param struct {
	form.Mapping
	Type    form.Text `key:"type" one_of:"string,integer,number,boolean" doc:"Type; the default's where it is left out."`
	Default form.Any  `key:"default" short:"" doc:"Value where a run gives none; its type is the param's."`
}

// Read is one thing that a task reads.
type Read struct {
	form.Mapping
	Table form.Text `key:"table" short:"" required:"" doc:"A table, features:SET or model:NAME@ALIAS."`
	Wait  form.Text `key:"wait" one_of:"window,none" default:"window" doc:"none: do not wait until the table covers the window."`
}

// WriteOptions say how a table is written.
type WriteOptions struct {
	Mode      form.Text     `key:"mode" one_of:"replace,append,replace_window,merge,feature,view" default:"replace_window where the contract names an event time, else replace" doc:"How a commit changes the table."`
	Keys      []form.Text   `key:"keys" one:"" default:"the contract's" doc:"Columns that identify a row."`
	EventTime form.Text     `key:"event_time" default:"the contract's" doc:"Column that says when a row happened."`
	Version   form.Text     `key:"version" default:"the event time" doc:"merge: an older row never overwrites a newer one, by this column."`
	Lookback  form.Duration `key:"lookback" doc:"replace_window: how far before the window rows are accepted and replaced."`
	Append    form.Text     `key:"append" one_of:"keep,replace" default:"replace" doc:"append: keep leaves what earlier generations of the window appended."`
}

// Write is one thing that a task writes.
type Write struct {
	form.Mapping
	Table form.Text `key:"table" short:"" required:"" doc:"A table, or model:NAME."`
	WriteOptions
}

// TaskSettings are what every kind of task may say.
type TaskSettings struct {
	Description   form.Text           `key:"description" doc:"What the task is for."`
	Reads         []Read              `key:"reads" one:"" doc:"What the task reads; of SQL it is found by parsing and this replaces it."`
	After         []form.Text         `key:"after" one:"" doc:"Tasks of the pipeline to wait for where no table says so."`
	When          form.Text           `key:"when" is:"cel" doc:"CEL over the states of the tasks waited for, such as task.a == 'succeeded'."`
	RetryIf       form.Text           `key:"retry_if" is:"cel" doc:"CEL over kind, message, exit_code (-1: no process ended by itself) and attempt: which failures are tried again, within retries."`
	Params        []form.Named[Param] `key:"params" is:"name" doc:"Parameters of the task."`
	Secrets       []form.Text         `key:"secrets" one:"" doc:"Secrets that the task may read."`
	Pools         []PoolHold          `key:"pools" one:"" doc:"What an attempt holds of the project's pools while it runs."`
	AfterPrevious form.Flag           `key:"after_previous" default:"false" doc:"Wait until the previous window's run of this task succeeded."`
	TaskDefaults
}

// PoolHold is what an attempt holds of a pool.
type PoolHold struct {
	form.Mapping
	Pool form.Text  `key:"pool" short:"" required:"" doc:"The pool."`
	Take form.Whole `key:"take" default:"1" doc:"How much of it."`
}

// YAMLTask is a task file in YAML.
type YAMLTask struct {
	form.Mapping
	Move    *Move    `key:"move" doc:"Copies rows between stores."`
	Check   *Check   `key:"check" doc:"Judges a table after it was written."`
	Command *Command `key:"command" doc:"Runs a program."`
	TaskSettings
	Writes []Write `key:"writes" one:"" doc:"Tables that a command writes."`
}

// Move copies rows between stores.
type Move struct {
	form.Mapping
	From    form.Text `key:"from" required:"" fill:"window,param,task" doc:"STORE:PATH of files with globs, STORE:schema.name of a table, or STORE alone with query."`
	To      form.Text `key:"to" is:"table" default:"PIPELINE.TASK" doc:"The table to write."`
	Query   form.Text `key:"query" is:"sql" doc:"A SELECT in the source store's own SQL, in place of a table."`
	Format  Format    `key:"format" doc:"How the files are written; found by their names where it is left out."`
	Missing Missing   `key:"missing" doc:"What to do when the source is not there."`
	WriteOptions
}

// Format says how files are written.
type Format struct {
	form.Mapping
	Kind        form.Text `key:"kind" short:"" one_of:"csv,json,parquet" doc:"Kind of file."`
	CSV         *CSV      `key:"csv" doc:"A CSV file whose dialect is given in part or whole."`
	JSON        *Empty    `key:"json" doc:"One JSON object a line."`
	Parquet     *Empty    `key:"parquet" doc:"A Parquet file."`
	Compression form.Text `key:"compression" one_of:"none,gzip,zstd" doc:"Compression; by the name where it is left out."`
}

// Empty is a mapping without keys.
type Empty struct{ form.Mapping }

// CSV is the dialect of CSV files.
type CSV struct {
	form.Mapping
	Header    form.Flag   `key:"header" doc:"The first line names the columns."`
	Delimiter form.Text   `key:"delimiter" doc:"One character between fields."`
	Quote     form.Text   `key:"quote" default:"\"" doc:"One character around fields that hold a delimiter or a line end; none: there are no quotes."`
	Escape    form.Text   `key:"escape" default:"the quote, doubled" doc:"One character that takes the meaning from a quote, delimiter, line end or itself behind it; before anything else it stands for itself."`
	Nulls     []form.Text `key:"nulls" one:"" doc:"Texts that mean null, compared after quotes and escapes are taken away."`
	Columns   []form.Text `key:"columns" doc:"Names of the columns where the file has no header."`
	Encoding  form.Text   `key:"encoding" one_of:"utf-8,latin1,iso-8859-1,windows-1252" default:"found by looking" doc:"Character encoding."`
	Skip      form.Whole  `key:"skip" default:"0" doc:"Lines before the header."`
}

// Missing says what to do when a source is not there.
type Missing struct {
	form.Mapping
	Policy form.Text     `key:"policy" short:"" one_of:"fail,empty,wait" default:"fail" doc:"fail, or take it for no rows, or wait."`
	Wait   form.Duration `key:"wait" doc:"How long after due to wait before failing."`
}

// Check judges a table.
type Check struct {
	form.Mapping
	Table form.Text `key:"table" required:"" is:"table" doc:"The table judged."`
	Rules []Rule    `key:"rules" required:"" doc:"What must hold."`
}

// Rule is one thing that must hold.
type Rule struct {
	form.Mapping
	Name     form.Text `key:"name" required:"" doc:"Name of the rule."`
	Query    form.Text `key:"query" required:"" is:"sql" doc:"A SELECT of one value; $window_start, $window_end and $param_NAME are bound."`
	Severity form.Text `key:"severity" one_of:"error,warning" default:"error" doc:"A warning holds nothing back."`
	Operators
}

// Operators are the conditions of a rule, of which it has one.
type Operators struct {
	MustBe                 form.Any `key:"mustBe" doc:"The value is this."`
	MustNotBe              form.Any `key:"mustNotBe" doc:"The value is not this."`
	MustBeGreaterThan      form.Any `key:"mustBeGreaterThan" doc:"The value is greater."`
	MustBeGreaterOrEqualTo form.Any `key:"mustBeGreaterOrEqualTo" doc:"The value is greater or equal."`
	MustBeLessThan         form.Any `key:"mustBeLessThan" doc:"The value is less."`
	MustBeLessOrEqualTo    form.Any `key:"mustBeLessOrEqualTo" doc:"The value is less or equal."`
	MustBeBetween          form.Any `key:"mustBeBetween" doc:"The value is in the closed range of two numbers."`
	MustNotBeBetween       form.Any `key:"mustNotBeBetween" doc:"The value is outside the closed range of two numbers."`
}

// Command runs a program.
type Command struct {
	form.Mapping
	Args []form.Text             `key:"args" short:"" one:"" loose:"" required:"" fill:"window,param,run,task" doc:"The program and its arguments, one each; never a shell's text."`
	Env  []form.Named[form.Text] `key:"env" loose:"" fill:"window,param,run,task,secret" doc:"Environment variables."`
}

// SQLHeader is the settings block of a .sql file.
type SQLHeader struct {
	form.Mapping
	Writes []Write `key:"writes" one:"" default:"PIPELINE.TASK" doc:"The table to write."`
	WriteOptions
	Feature        *Feature      `key:"feature" doc:"Makes the table a feature table."`
	AvailableAfter form.Duration `key:"available_after" doc:"How long after its time a simulated value became known."`
	TaskSettings
}

// Feature makes a table a feature table.
type Feature struct {
	form.Mapping
	Keys      []form.Text `key:"keys" one:"" required:"" doc:"Columns that identify what the values are about."`
	EventTime form.Text   `key:"event_time" required:"" doc:"Column that says when the values held."`
	KnownAt   form.Text   `key:"known_at" doc:"Column that says when a value became known."`
}

// PythonBlock is [tool.tidemill] in the PEP 723 block of a .py file.
type PythonBlock struct {
	form.Mapping
	Writes []Write `key:"writes" one:"" default:"PIPELINE.TASK" doc:"Tables and models (model:NAME) that the task writes."`
	WriteOptions
	Feature        *Feature                `key:"feature" doc:"Makes the table a feature table."`
	AvailableAfter form.Duration           `key:"available_after" doc:"How long after its time a simulated value became known."`
	Promote        []form.Named[form.Text] `key:"promote" is:"name" doc:"Aliases of the model by name: CEL over its metrics and champion's."`
	Lock           form.Text               `key:"lock" doc:"File of exact requirements beside the task."`
	TaskSettings
}

// Set is a feature set.
type Set struct {
	form.Mapping
	Description form.Text           `key:"description" doc:"What the set is for."`
	Params      []form.Named[Param] `key:"params" is:"name" doc:"Parameters of the set's SQL."`
	Spine       form.Text           `key:"spine" required:"" is:"sql" doc:"A SELECT of the rows to be asked about."`
	Key         []form.Text         `key:"key" one:"" required:"" doc:"Columns of the spine that identify a row."`
	At          form.Text           `key:"at" required:"" doc:"Column of the spine: the instant asked about."`
	Label       *Label              `key:"label" doc:"What a model learns to predict."`
	Features    []SetFeature        `key:"features" required:"" doc:"What is joined to the spine."`
}

// Label is what a model learns to predict.
type Label struct {
	form.Mapping
	SQL     form.Text `key:"sql" required:"" is:"sql" doc:"A SELECT of the key and the label."`
	Column  form.Text `key:"column" required:"" doc:"Column of the label."`
	KnownAt form.Text `key:"known_at" required:"" doc:"Column that says when the label became known."`
}

// SetFeature is one feature of a set.
type SetFeature struct {
	form.Mapping
	Table   form.Text              `key:"table" is:"table" doc:"A feature table."`
	On      []form.Text            `key:"on" one:"" doc:"The table's keys, by the spine's names."`
	Take    []form.Text            `key:"take" one:"" doc:"Columns to take."`
	TTL     form.Duration          `key:"ttl" doc:"Values older than this count as missing."`
	Default []form.Named[form.Any] `key:"default" doc:"Values in place of missing ones, by column."`
	Expr    form.Text              `key:"expr" is:"sql" doc:"An SQL expression over the spine, in place of a table."`
	As      form.Text              `key:"as" doc:"Name of the expression's column."`
}

// Test is a file of tests/.
type Test struct {
	form.Mapping
	Description form.Text              `key:"description" doc:"What the test shows."`
	Window      form.Text              `key:"window" doc:"The run's window: A/B, or a local date."`
	Params      []form.Named[form.Any] `key:"params" is:"name" doc:"Values of params."`
	Given       []form.Named[form.Any] `key:"given" doc:"Rows of the tables that the task reads."`
	Expect      form.Any               `key:"expect" required:"" doc:"Rows of the table that the task writes, in any order."`
}

// NamedText is an entry of a mapping from names to texts.
type NamedText = form.Named[form.Text]

// OperatorValue is a key of the operators with its value.
type OperatorValue struct {
	Name  string
	Value form.Any
}

// Conditions returns the operators that a rule has.
func (o Operators) Conditions() []OperatorValue {
	var out []OperatorValue
	for _, one := range []OperatorValue{
		{"mustBe", o.MustBe},
		{"mustNotBe", o.MustNotBe},
		{"mustBeGreaterThan", o.MustBeGreaterThan},
		{"mustBeGreaterOrEqualTo", o.MustBeGreaterOrEqualTo},
		{"mustBeLessThan", o.MustBeLessThan},
		{"mustBeLessOrEqualTo", o.MustBeLessOrEqualTo},
		{"mustBeBetween", o.MustBeBetween},
		{"mustNotBeBetween", o.MustNotBeBetween},
	} {
		if one.Value != nil {
			out = append(out, one)
		}
	}
	return out
}
