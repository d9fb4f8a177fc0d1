// Package cli holds the commands.
//
// Data go to stdout, talk to stderr; every command that gives data gives them
// as a table, JSON or CSV. The exit code follows from the kind of the error
// (core/fault). Commands speak to the project's running server, or run one for
// their own duration; they never ask a question without a terminal.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/cli/alert"
	"github.com/tidemill/tidemill/internal/cli/output"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
)

// Version is set by the build.
var Version = "development"

// Streams are what a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	Terminal bool // Err is a terminal: progress bars make sense
	Colour   bool // Out is a terminal, and nobody asked for plain text
}

// grammar is every command with its flags.
type grammar struct {
	Dir    string `short:"C" default:"." placeholder:"DIR" help:"The project folder."`
	Env    string `env:"TIDEMILL_ENV" default:"base" help:"The environment of the project."`
	Output string `short:"o" enum:"table,json,csv" default:"table" help:"How data are written: table, json or csv."`

	Init       initCommand       `cmd:"" help:"Make a new project that runs."`
	Check      checkCommand      `cmd:"" help:"Read the project and say everything that is wrong with it."`
	Plan       planCommand       `cmd:"" help:"Say what the changed files would move: schedules, tasks, and who reads what breaks."`
	Schema     schemaCommand     `cmd:"" help:"Write the JSON Schema of the project files."`
	Test       testCommand       `cmd:"" help:"Run the project's unit tests of SQL tasks."`
	Up         upCommand         `cmd:"" help:"Start the server and its worker, and keep them running."`
	Down       downCommand       `cmd:"" help:"Stop the running server."`
	Ready      readyCommand      `cmd:"" help:"Say whether the server and its worker are ready."`
	Digest     digestCommand     `cmd:"" help:"Print the digest of tables: equal digests are equal rows."`
	Run        runCommand        `cmd:"" help:"Run a pipeline now."`
	Backfill   backfillCommand   `cmd:"" help:"Run a pipeline for a range of time, and look after such runs."`
	Runs       runsCommand       `cmd:"" help:"List runs."`
	Show       showCommand       `cmd:"" help:"Show a run, a pipeline, or PIPELINE/TASK with every setting and its origin."`
	Logs       logsCommand       `cmd:"" help:"Read the log of a task."`
	Why        whyCommand        `cmd:"" help:"Say why something waits, or how it ended."`
	Cancel     cancelCommand     `cmd:"" help:"Cancel a run or a backfill."`
	Rerun      rerunCommand      `cmd:"" help:"Run tasks of a run again."`
	Limits     limitsCommand     `cmd:"" help:"List pools and other limits: how much there is, is taken, and waited for."`
	Pause      pauseCommand      `cmd:"" help:"Pause a pipeline: its slots are written and wait."`
	Resume     resumeCommand     `cmd:"" help:"Resume a paused pipeline."`
	Skip       skipCommand       `cmd:"" help:"Skip a slot before it starts, or a task of a run."`
	Mark       markCommand       `cmd:"" help:"Mark a task accepted: you answer for it, and what follows may run."`
	Schedule   scheduleCommand   `cmd:"" help:"Look at schedules."`
	SQL        sqlCommand        `cmd:"" name:"sql" help:"Ask the warehouse."`
	Snapshot   snapshotCommand   `cmd:"" help:"Write a read-only copy of the warehouse."`
	Contract   contractCommand   `cmd:"" help:"Look at contracts."`
	Quarantine quarantineCommand `cmd:"" help:"Look at refused rows, and send them again."`
	Features   featuresCommand   `cmd:"" help:"Look at feature sets."`
	Models     modelsCommand     `cmd:"" help:"Look at model versions and move aliases."`
	Reproduce  reproduceCommand  `cmd:"" help:"Rebuild the training set of a model version and compare."`
	Explain    explainCommand    `cmd:"" help:"Explain a code of a problem, or a prediction."`
	Incidents  incidentsCommand  `cmd:"" help:"List incidents."`
	Alert      alert.Command     `cmd:"" help:"Test alerts, and see who would hear of what."`
	Verify     verifyCommand     `cmd:"" name:"verify-history" help:"Hold the history against the invariants."`
	Prune      pruneCommand      `cmd:"" help:"Take old runs and resolved incidents out of the history."`
	Backup     backupCommand     `cmd:"" help:"Copy the whole installation, look at a copy, and put one back."`
	SDK        sdkCommand        `cmd:"" name:"sdk" help:"The Python SDK."`
	Doctor     doctorCommand     `cmd:"" help:"Look at this machine and this project's state."`
	Version    versionCommand    `cmd:"" help:"Print the version."`

	Worker    workerCommand    `cmd:"" name:"internal-worker" hidden:""`
	Duckparse duckparseCommand `cmd:"" name:"internal-duckparse" hidden:""`
	Reference referenceCommand `cmd:"" name:"internal-reference" hidden:""`
	Scratch   scratchCommand   `cmd:"" name:"internal-scratch" hidden:""`
}

// session is what a command works with.
type session struct {
	Streams
	ctx    context.Context //nolint:containedctx // a command is one call; its context is that call's
	dir    string
	env    string
	output string
	zone   *time.Location // that windows are shown in
	alone  bool           // the server is there for this command only
	status api.Status     // of the server, as it was when the command began
	client *api.Client    // to the server, from connect on
	ends   []func()       // what the command began, to be ended in reverse
}

// warehouse is a client of a server whose home worker is there.
type warehouse struct{ *api.Client }

// shared is a session for commands that live in packages of their own.
type shared struct{ *session }

// Context is the command's.
func (s shared) Context() context.Context { return s.ctx }

// Project reads the project.
func (s shared) Project() (*project.Project, error) { return s.project() }

// Judge writes data, and ends with the kind's exit code where they are bad.
func (s shared) Judge(t output.Table, bad bool, kind fault.Kind) error { return s.judge(t, bad, kind) }

// end ends what the command began.
func (s *session) end() {
	for _, end := range slices.Backward(s.ends) {
		end()
	}
}

// Main runs a command line and returns its exit code.
func Main(args []string, s Streams) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return Run(ctx, args, s)
}

// Run is Main under a context of the caller's.
func Run(ctx context.Context, args []string, s Streams) int {
	var g grammar
	exited := -1
	parser, err := kong.New(&g,
		kong.Name("tidemill"),
		kong.Description("A scheduler and a data store in one: moves data when it is due, refuses rows that break the contract, and can always say why."),
		kong.Writers(s.Out, s.Err),
		kong.Exit(func(code int) { exited = code; panic(exitNow{}) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.UsageOnError(),
		kong.BindToProvider(func(s *session) (*api.Client, error) { return s.connect(needs{}) }),
		kong.BindToProvider(func(s *session) (alert.Session, error) { return shared{s}, nil }),
		kong.BindToProvider(func(s *session) (warehouse, error) {
			client, err := s.connect(needs{worker: true})
			return warehouse{client}, err
		}),
	)
	if err != nil {
		_, _ = fmt.Fprintln(s.Err, "tidemill:", err)
		return fault.Internal.ExitCode()
	}
	return func() (code int) {
		defer func() {
			if p := recover(); p != nil {
				if _, ok := p.(exitNow); !ok {
					panic(p)
				}
				code = exited
			}
		}()
		c, err := parser.Parse(args)
		if err != nil {
			_, _ = fmt.Fprintf(s.Err, "tidemill: %v\n", err)
			if parse, ok := errors.AsType[*kong.ParseError](err); ok && parse.Context != nil && len(args) > 0 {
				_, _ = fmt.Fprintf(s.Err, "see: tidemill %s\n", strings.TrimSpace(commandOf(parse.Context)+" --help"))
			}
			return fault.ExitUsage
		}
		command := &session{Streams: s, ctx: ctx, dir: g.Dir, env: g.Env, output: g.Output, zone: time.Local}
		err = c.Run(command)
		command.end()
		return report(s.Err, err)
	}()
}

type exitNow struct{}

func commandOf(c *kong.Context) string {
	for _, p := range c.Path {
		if p.Command != nil {
			return p.Command.Name
		}
	}
	return ""
}

// silent is an error whose text was already written.
type silent struct{ kind fault.Kind }

func (e silent) Error() string { return string(e.kind) }

// report writes an error and returns the exit code.
func report(w io.Writer, err error) int {
	if err == nil {
		return fault.ExitOK
	}
	if quiet, ok := errors.AsType[silent](err); ok {
		return quiet.kind.ExitCode()
	}
	if errors.Is(err, context.Canceled) {
		_, _ = fmt.Fprintln(w, "tidemill: interrupted")
		return fault.ExitFailed
	}
	_, _ = fmt.Fprintln(w, "tidemill:", err)
	return fault.KindOf(err).ExitCode()
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(s *session) error {
	if s.output == "table" {
		_, err := fmt.Fprintln(s.Out, "tidemill", Version)
		return err
	}
	return s.give(output.Table{Columns: []string{"version"}, Rows: [][]string{{Version}}, Values: map[string]string{"version": Version}})
}

// me is who acts, for the history.
func me() string {
	if name := os.Getenv("USER"); name != "" { //nolint:forbidigo // a name for people, no setting
		return name
	}
	return fmt.Sprintf("uid %d", os.Getuid())
}

// say writes talk to stderr.
func (s *session) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.Err, format+"\n", args...)
}

// local is a time as people read it, in the project's zone once a server has said which that is.
func (s *session) local(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(s.zone).Format("2006-01-02 15:04:05")
}
