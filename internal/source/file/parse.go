package file

import (
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/source/form"
	"github.com/tidemill/tidemill/internal/source/odcs"
	"github.com/tidemill/tidemill/internal/source/tree"
)

// Role is what a file is for, by its place in the folder.
type Role int

// The roles.
const (
	RoleOther Role = iota
	RoleContract
	RolePipeline
	RoleTask
	RoleSet
	RoleTest
	RoleCalendar
	RoleStray // where only tasks, contracts, sets or tests belong
)

// Parsed is what one file says, whatever the other files and the environment say.
type Parsed struct {
	Role       Role
	Problems   problem.List
	References []form.Reference

	Pipeline string   // of pipeline, task and test
	Name     string   // of task, set and test
	Variant  string   // x.redshift.sql: redshift
	Unread   bool     // the file could not be read: what it says is not known
	SQL      []string // every text of SQL in it

	Contract Contract
	Settings Pipeline
	Task     Task
	Set      Set
	Test     Test
	Days     Days
}

// Contract is what a contract file says.
type Contract struct {
	document contract.Document
	Tables   []contract.Table
	Names    []string // of every table that it binds, also of those with problems
}

// Task is one of three kinds of task file, brought into one form.
type Task struct {
	Kind           project.Kind
	Move           *Move
	Check          *Check
	Command        *Command
	SQL            string
	Statement      string   // sql as it can stand inside of another query
	Placeholders   []string // of sql
	Options        WriteOptions
	Writes         []Write
	Feature        *Feature
	AvailableAfter form.Duration
	Promote        []form.Named[form.Text]
	Lock           form.Text
	Requires       form.Text
	Dependencies   []form.Text
	Common         TaskSettings
}

// content is a file as it was read.
type content struct {
	path string
	data []byte
}

// roleOf tells what a file is for.
func roleOf(name string) (r Role, pipeline, base string) {
	parts := strings.Split(name, "/")
	if slices.ContainsFunc(parts, func(p string) bool { return strings.HasPrefix(p, "_") }) {
		return RoleOther, "", ""
	}
	ending := path.Ext(name)
	isYAML := ending == ".yaml" || ending == ".yml"
	base = strings.TrimSuffix(parts[len(parts)-1], ending)
	switch {
	case parts[0] == "contracts" && isYAML:
		return RoleContract, "", ""
	case parts[0] == "contracts":
		return RoleStray, "", ""
	case parts[0] == "features" && len(parts) == 2 && isYAML:
		return RoleSet, "", base
	case parts[0] == "features":
		return RoleStray, "", ""
	case parts[0] == "calendars" && len(parts) == 2 && (isYAML || ending == ".ics"):
		return RoleCalendar, "", base
	case parts[0] == "calendars":
		return RoleStray, "", ""
	case parts[0] == "pipelines" && len(parts) == 3 && (base == "pipeline" && isYAML):
		return RolePipeline, parts[1], ""
	case parts[0] == "pipelines" && len(parts) == 3 && (isYAML || ending == ".sql" || ending == ".py"):
		return RoleTask, parts[1], base
	case parts[0] == "pipelines" && len(parts) <= 3:
		return RoleStray, "", ""
	case parts[0] == "tests" && isYAML && (len(parts) == 3 || len(parts) == 4):
		return RoleTest, parts[1], strings.TrimSuffix(parts[2], ending)
	}
	return RoleOther, "", ""
}

// carried are endings that may lie beside tasks without being one.
var carried = []string{".md", ".txt", ".lock", ".toml"}

// Parse parses a file by its path.
func Parse(name string, data []byte, outside contract.Outside) *Parsed {
	f := &content{name, data}
	p := &Parsed{}
	p.Role, p.Pipeline, p.Name = roleOf(f.path)
	switch p.Role {
	case RoleContract:
		p.parseContract(f, outside)
	case RolePipeline:
		p.decode(p.yaml(f), f.path, &p.Settings)
	case RoleTask:
		p.parseTask(f)
	case RoleSet:
		p.decode(p.yaml(f), f.path, &p.Set)
	case RoleTest:
		p.decode(p.yaml(f), f.path, &p.Test)
	case RoleCalendar:
		p.parseCalendar(f)
	case RoleStray:
		if !slices.Contains(carried, path.Ext(f.path)) {
			p.Problems = append(p.Problems, problem.New(problem.StrayFile, problem.Place{File: f.path}, "begin its name with _ or move it to lib/", "%s is ignored", f.path))
		}
	case RoleOther:
	}
	if !p.Unread {
		p.SQL = p.texts()
	}
	return p
}

func (p *Parsed) yaml(f *content) *tree.Node {
	n, found := tree.YAML(string(f.data), tree.In(f.path))
	p.Problems = append(p.Problems, found...)
	p.Unread = n == nil && len(found) > 0
	return n
}

func (p *Parsed) decode(n *tree.Node, name string, out any) {
	if p.Unread {
		return
	}
	d := form.Decoder{}
	d.Decode(n, name, out)
	p.Problems = append(p.Problems, d.Problems...)
	p.References = append(p.References, d.References...)
}

func (p *Parsed) parseContract(f *content, outside contract.Outside) {
	n := p.yaml(f)
	if p.Unread {
		p.Contract.Names = odcs.TableNames(f.data)
		return
	}
	doc, found := odcs.Read(n, f.path)
	p.Problems = append(p.Problems, found...)
	p.Contract.document = doc
	for _, t := range doc.Tables {
		if t.PhysicalName != "" {
			p.Contract.Names = append(p.Contract.Names, strings.TrimPrefix(t.PhysicalName, project.Warehouse+":"))
		}
	}
	if len(found.Errors()) > 0 {
		return
	}
	tables, found := contract.Compile(doc, outside)
	p.Problems = append(p.Problems, found...)
	p.Contract.Tables = tables
}

// kinds that later versions will know: a better answer than "unknown key".
var laterKinds = []string{"wait", "http", "approve", "spark", "dbt"}

func (p *Parsed) parseTask(f *content) {
	ending := path.Ext(f.path)
	if code, ok := map[string]problem.Code{".sql": problem.BadSQL, ".py": problem.BadPython}[ending]; ok && !utf8.Valid(f.data) {
		p.Unread = true
		p.Problems = append(p.Problems, problem.New(code, problem.Place{File: f.path}, "save it as UTF-8", "the file is not UTF-8"))
		return
	}
	switch ending {
	case ".sql":
		if base, engine, ok := strings.Cut(p.Name, "."); ok {
			p.Name, p.Variant = base, engine
		}
		p.parseSQL(f)
	case ".py":
		p.parsePython(f)
	default:
		p.parseYAMLTask(f)
	}
	if !form.IsName(p.Name) {
		p.Problems = append(p.Problems, problem.New(problem.BadName, problem.Place{File: f.path}, "rename the file: a-z, 0-9 and _, beginning with a letter, at most 63 characters; begin it with _ if it is no task", "%q cannot be a task's name", p.Name))
	}
}

func (p *Parsed) parseYAMLTask(f *content) {
	n := p.yaml(f)
	if p.Unread {
		return
	}
	at := problem.Place{File: f.path, Line: 1, Column: 1}
	var kinds []tree.Entry
	for _, kind := range []string{"move", "check", "command"} {
		if e, ok := n.Entry(kind); ok {
			kinds = append(kinds, e)
		}
	}
	if len(kinds) == 0 {
		for _, kind := range laterKinds {
			if e, ok := n.Entry(kind); ok {
				p.Unread = true
				p.Problems = append(p.Problems, problem.New(problem.NoKind, e.Place, "use move, check or command", "tasks of the kind %s are not there yet", kind))
				return
			}
		}
	}
	var y YAMLTask
	p.decode(n, f.path, &y)
	switch {
	case len(kinds) == 0:
		p.Unread = true
		p.Problems = append(p.Problems, problem.New(problem.NoKind, at, "add move:, check: or command: at the top", "the file has no kind of task"))
		return
	case len(kinds) > 1:
		p.Unread = true
		two := problem.New(problem.TwoKinds, kinds[1].Place, "make two files of it", "the task is both %s and %s", kinds[0].Key, kinds[1].Key)
		p.Problems = append(p.Problems, two)
		return
	}
	t := &p.Task
	t.Kind = project.Kind(kinds[0].Key)
	t.Move, t.Check, t.Command, t.Common, t.Writes = y.Move, y.Check, y.Command, y.TaskSettings, y.Writes
	if t.Move != nil {
		t.Options = t.Move.WriteOptions
	}
	if t.Kind != project.KindCommand && len(y.Writes) > 0 {
		e, _ := n.Entry("writes")
		remedy := "write to: inside of move"
		if t.Kind == project.KindCheck {
			remedy = "remove it: a check writes nothing"
		}
		p.Problems = append(p.Problems, problem.New(problem.BadSetting, e.Place, remedy, "writes has no meaning for %s", t.Kind))
	}
	if t.Move == nil && t.Check == nil && t.Command == nil {
		// The kind key is there without a value.
		p.Unread = true
		p.Problems = append(p.Problems, problem.New(problem.WrongType, kinds[0].Place, "", "%s has no value", kinds[0].Key))
	}
}

func (p *Parsed) parseSQL(f *content) {
	text := string(f.data)
	n, found := SQLSettings(f.path, text)
	p.Problems = append(p.Problems, found...)
	var h SQLHeader
	if n != nil {
		p.decode(n, f.path, &h)
	}
	p.Task = Task{
		Kind: project.KindSQL, SQL: text, Statement: Statement(text),
		Placeholders: dialect.Statement{SQL: text}.Placeholders(), Options: h.WriteOptions, Writes: h.Writes,
		Feature: h.Feature, AvailableAfter: h.AvailableAfter, Common: h.TaskSettings,
	}
	if strings.TrimSpace(text) == "" {
		p.Unread = true
		p.Problems = append(p.Problems, problem.New(problem.NotASelect, problem.Place{File: f.path}, "write a SELECT", "the file is empty"))
	}
}

type scriptFile struct {
	form.Mapping
	Requires     form.Text   `key:"requires-python" doc:"Versions of Python, such as >=3.11."`
	Dependencies []form.Text `key:"dependencies" doc:"Requirements of the script."`
	Tool         form.Any    `key:"tool" doc:"Settings of tools; ours stand under [tool.tidemill]."`
}

func (p *Parsed) parsePython(f *content) {
	block, found := pythonScript(f.path, string(f.data))
	p.Problems = append(p.Problems, found...)
	p.Task.Kind = project.KindPython
	if len(found) > 0 {
		p.Unread = true
		return
	}
	if block.root == nil {
		return
	}
	var s scriptFile
	p.decode(block.root, f.path, &s)
	p.Task.Requires, p.Task.Dependencies = s.Requires, s.Dependencies
	settings := s.Tool.Get("tidemill")
	if settings == nil {
		return
	}
	var b PythonBlock
	p.decode(settings, f.path, &b)
	p.Task.Options, p.Task.Writes, p.Task.Common = b.WriteOptions, b.Writes, b.TaskSettings
	p.Task.Feature, p.Task.AvailableAfter = b.Feature, b.AvailableAfter
	p.Task.Promote, p.Task.Lock = b.Promote, b.Lock
}

// texts returns the SQL of a file.
func (p *Parsed) texts() []string {
	var out []string
	switch p.Role {
	case RoleTask:
		if p.Task.Kind == project.KindSQL {
			out = append(out, p.Task.SQL)
		}
		if p.Task.Check != nil {
			for _, r := range p.Task.Check.Rules {
				if r.Query.Given {
					out = append(out, r.Query.V)
				}
			}
		}
	case RoleSet:
		if p.Set.Spine.Given {
			out = append(out, p.Set.Spine.V)
		}
		if p.Set.Label != nil && p.Set.Label.SQL.Given {
			out = append(out, p.Set.Label.SQL.V)
		}
		for _, f := range p.Set.Features {
			if f.Expr.Given {
				out = append(out, ExprPrefix+f.Expr.V+ExprSuffix)
			}
		}
	default:
	}
	return out
}

// ExprPrefix and ExprSuffix make a SELECT of an expression, as its only column.
const (
	ExprPrefix = "SELECT ("
	ExprSuffix = "\n)"
)
