package source

import (
	"github.com/tidemill/tidemill/internal/source/form"
)

// The structs of this file are what project files may say: the strict decoder,
// `tidemill schema` and the reference page are made from their tags.

type projectFile struct {
	form.Mapping
	Project      form.Text                     `key:"project" required:"" is:"name" doc:"Name of the project."`
	Timezone     form.Text                     `key:"timezone" is:"zone" default:"UTC" doc:"IANA time zone of schedules that name none."`
	Secrets      []form.Named[form.Text]       `key:"secrets" is:"name" doc:"Secrets by name: env:NAME or file:PATH. The values are never part of a project."`
	Stores       []form.Named[storeFile]       `key:"stores" is:"name" doc:"Places where data live. Without one named warehouse there is a DuckDB file in .tidemill."`
	Defaults     defaultsFile                  `key:"defaults" doc:"Settings of pipelines and tasks that say nothing themselves."`
	Alerts       alertsFile                    `key:"alerts" doc:"Who is told about incidents."`
	Include      []form.Text                   `key:"include" one:"" doc:"Further files of the bundle, as paths or globs below the project folder."`
	Environments []form.Named[environmentFile] `key:"environments" is:"name" doc:"Overlays by name, chosen with --env or TIDEMILL_ENV. Mappings merge, lists and whole stores are replaced."`
}

type environmentFile struct {
	form.Mapping
	Timezone  form.Text                  `key:"timezone" is:"zone" doc:"Replaces the project's."`
	Secrets   []form.Named[form.Text]    `key:"secrets" is:"name" doc:"Laid over the project's."`
	Stores    []form.Named[storeFile]    `key:"stores" is:"name" doc:"Each replaces the store of its name whole."`
	Defaults  defaultsFile               `key:"defaults" doc:"Laid over the project's."`
	Alerts    alertsFile                 `key:"alerts" doc:"Laid over the project's; routes are replaced as a list."`
	Include   []form.Text                `key:"include" one:"" doc:"Replaces the project's."`
	Schedules []form.Named[scheduleFile] `key:"schedules" is:"name" doc:"By pipeline; each replaces the pipeline's schedule whole."`
}

type storeFile struct {
	form.Mapping
	Kind     form.Text               `key:"kind" required:"" doc:"duckdb, files or postgres."`
	External []form.Text             `key:"external" one:"" doc:"Patterns such as public.* of tables that somebody else writes."`
	Settings []form.Named[form.Text] `rest:"" loose:"" fill:"secret" doc:"Settings of the kind."`
}

type defaultsFile struct {
	form.Mapping
	taskDefaults
	Owner    form.Text     `key:"owner" doc:"Who answers for a pipeline."`
	Missed   missedFile    `key:"missed" doc:"What becomes of slots that could not start when due."`
	Overlap  form.Text     `key:"overlap" one_of:"queue,skip,cancel,allow" default:"queue" doc:"What happens when a run is due while another one of the pipeline goes on."`
	Deadline form.Duration `key:"deadline" doc:"How long after due a run may take before it is late."`
}

type taskDefaults struct {
	Retries form.Whole    `key:"retries" default:"0" doc:"How often a failed attempt is tried again."`
	Backoff form.Duration `key:"backoff" default:"30s" doc:"Wait before the first retry; it doubles each time."`
	Timeout form.Duration `key:"timeout" doc:"How long an attempt may run."`
	Driver  form.Text     `key:"driver" one_of:"uv,venv,system" doc:"What makes the environments of Python tasks; uv where it is found, else venv."`
}

type pipelineDefaults struct {
	form.Mapping
	taskDefaults
}

type alertsFile struct {
	form.Mapping
	Channels []form.Named[channelFile] `key:"channels" is:"name" doc:"Ways to reach somebody, by name."`
	Routes   []routeFile               `key:"routes" doc:"Which incidents go to which channels; the first match wins."`
}

type channelFile struct {
	form.Mapping
	Kind form.Text `key:"kind" required:"" one_of:"webhook" doc:"Kind of channel."`
	URL  form.Text `key:"url" required:"" fill:"secret" doc:"Where the payload is posted."`
	HMAC form.Text `key:"hmac" fill:"secret" doc:"Key that signs each request."`
}

type routeFile struct {
	form.Mapping
	When   form.Text     `key:"when" is:"cel" doc:"CEL over severity, kind, pipeline, task and owner; without it everything matches."`
	To     []form.Text   `key:"to" one:"" required:"" doc:"Channels; an empty list is seen in command line and UI only."`
	Repeat form.Duration `key:"repeat" doc:"How often an open incident is told again."`
}

type pipelineFile struct {
	form.Mapping
	Description form.Text               `key:"description" doc:"What the pipeline is for."`
	Owner       form.Text               `key:"owner" doc:"Who answers for the pipeline."`
	Schedule    scheduleFile            `key:"schedule" doc:"When the pipeline is due; without it people and programs start it."`
	Missed      missedFile              `key:"missed" doc:"What becomes of slots that could not start when due."`
	Overlap     form.Text               `key:"overlap" one_of:"queue,skip,cancel,allow" default:"queue" doc:"What happens when a run is due while another one of the pipeline goes on."`
	Deadline    form.Duration           `key:"deadline" doc:"How long after due a run may take before it is late."`
	Params      []form.Named[paramFile] `key:"params" is:"name" doc:"Parameters of all tasks of the pipeline."`
	Defaults    pipelineDefaults        `key:"defaults" doc:"Settings of tasks that say nothing themselves."`
}

type scheduleFile struct {
	form.Mapping
	Cron     form.Text     `key:"cron" short:"" is:"cron" doc:"Five fields, or @daily and its family; manual is no schedule."`
	Every    form.Duration `key:"every" doc:"Interval of real time, counted from start."`
	Window   windowFile    `key:"window" doc:"Aligns the window of data to whole local units; without it a window begins where the last one ended."`
	Start    form.Text     `key:"start" is:"moment" doc:"First moment of data; the first window begins here."`
	End      form.Text     `key:"end" is:"moment" doc:"No window reaches past it."`
	Timezone form.Text     `key:"timezone" is:"zone" default:"the project's" doc:"IANA time zone of the schedule."`
}

type windowFile struct {
	form.Mapping
	Unit  form.Text `key:"unit" short:"" required:"" one_of:"hour,day,week,month" doc:"The unit."`
	Shift form.Any  `key:"shift" default:"0" doc:"Whole units later, or earlier when negative."`
}

type missedFile struct {
	form.Mapping
	Policy   form.Text     `key:"policy" short:"" one_of:"all,latest,merge,none" default:"all" doc:"Which of the missed slots still run."`
	LookBack form.Duration `key:"look_back" default:"7d" doc:"Slots older than this are not run."`
}

type paramFile struct {
	form.Mapping
	Type    form.Text `key:"type" one_of:"string,integer,number,boolean" doc:"Type; the default's where it is left out."`
	Default form.Any  `key:"default" short:"" doc:"Value where a run gives none; its type is the param's."`
}

type readFile struct {
	form.Mapping
	Table form.Text `key:"table" short:"" required:"" doc:"A table, features:SET or model:NAME@ALIAS."`
	Wait  form.Text `key:"wait" one_of:"window,none" default:"window" doc:"none: do not wait until the table covers the window."`
}

type writeOptions struct {
	Mode      form.Text     `key:"mode" one_of:"replace,append,replace_window,merge,feature,view" default:"replace_window where the contract names an event time, else replace" doc:"How a commit changes the table."`
	Keys      []form.Text   `key:"keys" one:"" default:"the contract's" doc:"Columns that identify a row."`
	EventTime form.Text     `key:"event_time" default:"the contract's" doc:"Column that says when a row happened."`
	Version   form.Text     `key:"version" default:"the event time" doc:"merge: an older row never overwrites a newer one, by this column."`
	Lookback  form.Duration `key:"lookback" doc:"replace_window: how far before the window rows are accepted and replaced."`
	Append    form.Text     `key:"append" one_of:"keep,replace" default:"replace" doc:"append: keep leaves what earlier generations of the window appended."`
}

type writeFile struct {
	form.Mapping
	Table form.Text `key:"table" short:"" required:"" doc:"A table, or model:NAME."`
	writeOptions
}

type taskSettings struct {
	Description   form.Text               `key:"description" doc:"What the task is for."`
	Reads         []readFile              `key:"reads" one:"" doc:"What the task reads; of SQL it is found by parsing and this replaces it."`
	After         []form.Text             `key:"after" one:"" doc:"Tasks of the pipeline to wait for where no table says so."`
	When          form.Text               `key:"when" is:"cel" doc:"CEL over the states of the tasks waited for, such as task.a == 'succeeded'."`
	RetryIf       form.Text               `key:"retry_if" is:"cel" doc:"CEL over kind, message, exit_code and attempt: which failures are tried again."`
	Params        []form.Named[paramFile] `key:"params" is:"name" doc:"Parameters of the task."`
	Secrets       []form.Text             `key:"secrets" one:"" doc:"Secrets that the task may read."`
	AfterPrevious form.Flag               `key:"after_previous" default:"false" doc:"Wait until the previous window's run of this task succeeded."`
	taskDefaults
}

type yamlTask struct {
	form.Mapping
	Move    *moveFile    `key:"move" doc:"Copies rows between stores."`
	Check   *checkFile   `key:"check" doc:"Judges a table after it was written."`
	Command *commandFile `key:"command" doc:"Runs a program."`
	taskSettings
	Writes []writeFile `key:"writes" one:"" doc:"Tables that a command writes."`
}

type moveFile struct {
	form.Mapping
	From    form.Text   `key:"from" required:"" fill:"window,param,task" doc:"STORE:PATH of files with globs, STORE:schema.name of a table, or STORE alone with query."`
	To      form.Text   `key:"to" is:"table" default:"PIPELINE.TASK" doc:"The table to write."`
	Query   form.Text   `key:"query" is:"sql" doc:"A SELECT in the source store's own SQL, in place of a table."`
	Format  formatFile  `key:"format" doc:"How the files are written; found by their names where it is left out."`
	Missing missingFile `key:"missing" doc:"What to do when the source is not there."`
	writeOptions
}

type formatFile struct {
	form.Mapping
	Kind        form.Text  `key:"kind" short:"" one_of:"csv,json,parquet" doc:"Kind of file."`
	CSV         *csvFile   `key:"csv" doc:"A CSV file whose dialect is given in part or whole."`
	JSON        *emptyFile `key:"json" doc:"One JSON object a line."`
	Parquet     *emptyFile `key:"parquet" doc:"A Parquet file."`
	Compression form.Text  `key:"compression" one_of:"none,gzip,zstd" doc:"Compression; by the name where it is left out."`
}

type emptyFile struct{ form.Mapping }

type csvFile struct {
	form.Mapping
	Header    form.Flag   `key:"header" doc:"The first line names the columns."`
	Delimiter form.Text   `key:"delimiter" doc:"One character between fields."`
	Nulls     []form.Text `key:"nulls" one:"" doc:"Texts that mean null."`
	Columns   []form.Text `key:"columns" doc:"Names of the columns where the file has no header."`
	Encoding  form.Text   `key:"encoding" one_of:"utf-8,latin1,iso-8859-1,windows-1252" default:"found by looking" doc:"Character encoding."`
	Skip      form.Whole  `key:"skip" default:"0" doc:"Lines before the header."`
}

type missingFile struct {
	form.Mapping
	Policy form.Text     `key:"policy" short:"" one_of:"fail,empty,wait" default:"fail" doc:"fail, or take it for no rows, or wait."`
	Wait   form.Duration `key:"wait" doc:"How long after due to wait before failing."`
}

type checkFile struct {
	form.Mapping
	Table form.Text  `key:"table" required:"" is:"table" doc:"The table judged."`
	Rules []ruleFile `key:"rules" required:"" doc:"What must hold."`
}

type ruleFile struct {
	form.Mapping
	Name     form.Text `key:"name" required:"" doc:"Name of the rule."`
	Query    form.Text `key:"query" required:"" is:"sql" doc:"A SELECT of one value; $window_start, $window_end and $param_NAME are bound."`
	Severity form.Text `key:"severity" one_of:"error,warning" default:"error" doc:"A warning holds nothing back."`
	operators
}

type operators struct {
	MustBe                 form.Any `key:"mustBe" doc:"The value is this."`
	MustNotBe              form.Any `key:"mustNotBe" doc:"The value is not this."`
	MustBeGreaterThan      form.Any `key:"mustBeGreaterThan" doc:"The value is greater."`
	MustBeGreaterOrEqualTo form.Any `key:"mustBeGreaterOrEqualTo" doc:"The value is greater or equal."`
	MustBeLessThan         form.Any `key:"mustBeLessThan" doc:"The value is less."`
	MustBeLessOrEqualTo    form.Any `key:"mustBeLessOrEqualTo" doc:"The value is less or equal."`
	MustBeBetween          form.Any `key:"mustBeBetween" doc:"The value is in the closed range of two numbers."`
	MustNotBeBetween       form.Any `key:"mustNotBeBetween" doc:"The value is outside the closed range of two numbers."`
}

type commandFile struct {
	form.Mapping
	Args []form.Text             `key:"args" short:"" one:"" loose:"" required:"" fill:"window,param,run,task" doc:"The program and its arguments, one each; never a shell's text."`
	Env  []form.Named[form.Text] `key:"env" loose:"" fill:"window,param,run,task,secret" doc:"Environment variables."`
}

type sqlHeader struct {
	form.Mapping
	Writes []writeFile `key:"writes" one:"" default:"PIPELINE.TASK" doc:"The table to write."`
	writeOptions
	Feature        *featureFile  `key:"feature" doc:"Makes the table a feature table."`
	AvailableAfter form.Duration `key:"available_after" doc:"How long after its time a simulated value became known."`
	taskSettings
}

type featureFile struct {
	form.Mapping
	Keys      []form.Text `key:"keys" one:"" required:"" doc:"Columns that identify what the values are about."`
	EventTime form.Text   `key:"event_time" required:"" doc:"Column that says when the values held."`
	KnownAt   form.Text   `key:"known_at" doc:"Column that says when a value became known."`
}

type pythonBlock struct {
	form.Mapping
	Writes []writeFile `key:"writes" one:"" default:"PIPELINE.TASK" doc:"Tables and models (model:NAME) that the task writes."`
	writeOptions
	Feature        *featureFile            `key:"feature" doc:"Makes the table a feature table."`
	AvailableAfter form.Duration           `key:"available_after" doc:"How long after its time a simulated value became known."`
	Promote        []form.Named[form.Text] `key:"promote" is:"name" doc:"Aliases of the model by name: CEL over its metrics and champion's."`
	Lock           form.Text               `key:"lock" doc:"File of exact requirements beside the task."`
	taskSettings
}

type setFile struct {
	form.Mapping
	Description form.Text               `key:"description" doc:"What the set is for."`
	Params      []form.Named[paramFile] `key:"params" is:"name" doc:"Parameters of the set's SQL."`
	Spine       form.Text               `key:"spine" required:"" is:"sql" doc:"A SELECT of the rows to be asked about."`
	Key         []form.Text             `key:"key" one:"" required:"" doc:"Columns of the spine that identify a row."`
	At          form.Text               `key:"at" required:"" doc:"Column of the spine: the instant asked about."`
	Label       *labelFile              `key:"label" doc:"What a model learns to predict."`
	Features    []setFeature            `key:"features" required:"" doc:"What is joined to the spine."`
}

type labelFile struct {
	form.Mapping
	SQL     form.Text `key:"sql" required:"" is:"sql" doc:"A SELECT of the key and the label."`
	Column  form.Text `key:"column" required:"" doc:"Column of the label."`
	KnownAt form.Text `key:"known_at" required:"" doc:"Column that says when the label became known."`
}

type setFeature struct {
	form.Mapping
	Table   form.Text              `key:"table" is:"table" doc:"A feature table."`
	On      []form.Text            `key:"on" one:"" doc:"The table's keys, by the spine's names."`
	Take    []form.Text            `key:"take" one:"" doc:"Columns to take."`
	TTL     form.Duration          `key:"ttl" doc:"Values older than this count as missing."`
	Default []form.Named[form.Any] `key:"default" doc:"Values in place of missing ones, by column."`
	Expr    form.Text              `key:"expr" is:"sql" doc:"An SQL expression over the spine, in place of a table."`
	As      form.Text              `key:"as" doc:"Name of the expression's column."`
}

type testFile struct {
	form.Mapping
	Description form.Text              `key:"description" doc:"What the test shows."`
	Window      form.Text              `key:"window" doc:"The run's window: A/B, or a local date."`
	Params      []form.Named[form.Any] `key:"params" is:"name" doc:"Values of params."`
	Given       []form.Named[form.Any] `key:"given" doc:"Rows of the tables that the task reads."`
	Expect      form.Any               `key:"expect" required:"" doc:"Rows of the table that the task writes, in any order."`
}

type namedText = form.Named[form.Text]

// operatorValue is a key of the operators with its value.
type operatorValue struct {
	name  string
	value form.Any
}

// given returns the operators that a rule has.
func (o operators) given() []operatorValue {
	var out []operatorValue
	for _, one := range []operatorValue{
		{"mustBe", o.MustBe},
		{"mustNotBe", o.MustNotBe},
		{"mustBeGreaterThan", o.MustBeGreaterThan},
		{"mustBeGreaterOrEqualTo", o.MustBeGreaterOrEqualTo},
		{"mustBeLessThan", o.MustBeLessThan},
		{"mustBeLessOrEqualTo", o.MustBeLessOrEqualTo},
		{"mustBeBetween", o.MustBeBetween},
		{"mustNotBeBetween", o.MustNotBeBetween},
	} {
		if one.value != nil {
			out = append(out, one)
		}
	}
	return out
}
