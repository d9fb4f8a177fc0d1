package source

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

// role is what a file is for, by its place in the folder.
type role int

const (
	roleOther role = iota
	roleContract
	rolePipeline
	roleTask
	roleSet
	roleTest
	roleStray // where only tasks, contracts, sets or tests belong
)

// parsed is what one file says, whatever the other files and the environment say.
type parsed struct {
	role       role
	problems   problem.List
	references []form.Reference

	pipeline string // of pipeline, task and test
	name     string // of task, set and test
	variant  string // x.redshift.sql: redshift
	unread   bool   // the file could not be read: what it says is not known
	sql      []string

	contract contractFile
	settings pipelineFile
	task     taskFile
	set      setFile
	test     testFile
}

type contractFile struct {
	document contract.Document
	tables   []contract.Table
	names    []string // of every table that it binds, also of those with problems
}

// taskFile is one of three kinds of task file, brought into one form.
type taskFile struct {
	kind         project.Kind
	move         *moveFile
	check        *checkFile
	command      *commandFile
	sql          string
	statement    string   // sql as it can stand inside of another query
	placeholders []string // of sql
	options      writeOptions
	writes       []writeFile
	feature      *featureFile
	available    form.Duration
	promote      []form.Named[form.Text]
	lock         form.Text
	requires     form.Text
	dependencies []form.Text
	common       taskSettings
}

// content is a file as it was read.
type content struct {
	path string
	data []byte
}

// roleOf tells what a file is for.
func roleOf(name string) (r role, pipeline, base string) {
	parts := strings.Split(name, "/")
	if slices.ContainsFunc(parts, func(p string) bool { return strings.HasPrefix(p, "_") }) {
		return roleOther, "", ""
	}
	ending := path.Ext(name)
	isYAML := ending == ".yaml" || ending == ".yml"
	base = strings.TrimSuffix(parts[len(parts)-1], ending)
	switch {
	case parts[0] == "contracts" && isYAML:
		return roleContract, "", ""
	case parts[0] == "contracts":
		return roleStray, "", ""
	case parts[0] == "features" && len(parts) == 2 && isYAML:
		return roleSet, "", base
	case parts[0] == "features":
		return roleStray, "", ""
	case parts[0] == "pipelines" && len(parts) == 3 && (base == "pipeline" && isYAML):
		return rolePipeline, parts[1], ""
	case parts[0] == "pipelines" && len(parts) == 3 && (isYAML || ending == ".sql" || ending == ".py"):
		return roleTask, parts[1], base
	case parts[0] == "pipelines" && len(parts) <= 3:
		return roleStray, "", ""
	case parts[0] == "tests" && isYAML && (len(parts) == 3 || len(parts) == 4):
		return roleTest, parts[1], strings.TrimSuffix(parts[2], ending)
	}
	return roleOther, "", ""
}

// carried are endings that may lie beside tasks without being one.
var carried = []string{".md", ".txt", ".lock", ".toml"}

// parseFile parses a file by its path.
func parseFile(name string, data []byte, outside contract.Outside) *parsed {
	f := &content{name, data}
	p := &parsed{}
	p.role, p.pipeline, p.name = roleOf(f.path)
	switch p.role {
	case roleContract:
		p.parseContract(f, outside)
	case rolePipeline:
		p.decode(p.yaml(f), f.path, &p.settings)
	case roleTask:
		p.parseTask(f)
	case roleSet:
		p.decode(p.yaml(f), f.path, &p.set)
	case roleTest:
		p.decode(p.yaml(f), f.path, &p.test)
	case roleStray:
		if !slices.Contains(carried, path.Ext(f.path)) {
			p.problems = append(p.problems, problem.New(problem.StrayFile, problem.Place{File: f.path}, "begin its name with _ or move it to lib/", "%s is ignored", f.path))
		}
	case roleOther:
	}
	if !p.unread {
		p.sql = p.texts()
	}
	return p
}

func (p *parsed) yaml(f *content) *tree.Node {
	n, found := tree.YAML(string(f.data), tree.In(f.path))
	p.problems = append(p.problems, found...)
	p.unread = n == nil && len(found) > 0
	return n
}

func (p *parsed) decode(n *tree.Node, name string, out any) {
	if p.unread {
		return
	}
	d := form.Decoder{}
	d.Decode(n, name, out)
	p.problems = append(p.problems, d.Problems...)
	p.references = append(p.references, d.References...)
}

func (p *parsed) parseContract(f *content, outside contract.Outside) {
	n := p.yaml(f)
	if p.unread {
		p.contract.names = odcs.TableNames(f.data)
		return
	}
	doc, found := odcs.Read(n, f.path)
	p.problems = append(p.problems, found...)
	p.contract.document = doc
	for _, t := range doc.Tables {
		if t.PhysicalName != "" {
			p.contract.names = append(p.contract.names, strings.TrimPrefix(t.PhysicalName, project.Warehouse+":"))
		}
	}
	if len(found.Errors()) > 0 {
		return
	}
	tables, found := contract.Compile(doc, outside)
	p.problems = append(p.problems, found...)
	p.contract.tables = tables
}

// kinds that later versions will know: a better answer than "unknown key".
var laterKinds = []string{"wait", "http", "approve", "spark", "dbt"}

func (p *parsed) parseTask(f *content) {
	ending := path.Ext(f.path)
	if code, ok := map[string]problem.Code{".sql": problem.BadSQL, ".py": problem.BadPython}[ending]; ok && !utf8.Valid(f.data) {
		p.unread = true
		p.problems = append(p.problems, problem.New(code, problem.Place{File: f.path}, "save it as UTF-8", "the file is not UTF-8"))
		return
	}
	switch ending {
	case ".sql":
		if base, engine, ok := strings.Cut(p.name, "."); ok {
			p.name, p.variant = base, engine
		}
		p.parseSQL(f)
	case ".py":
		p.parsePython(f)
	default:
		p.parseYAMLTask(f)
	}
	if !form.IsName(p.name) {
		p.problems = append(p.problems, problem.New(problem.BadName, problem.Place{File: f.path}, "rename the file: a-z, 0-9 and _, beginning with a letter, at most 63 characters; begin it with _ if it is no task", "%q cannot be a task's name", p.name))
	}
}

func (p *parsed) parseYAMLTask(f *content) {
	n := p.yaml(f)
	if p.unread {
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
				p.unread = true
				p.problems = append(p.problems, problem.New(problem.NoKind, e.Place, "use move, check or command", "tasks of the kind %s are not there yet", kind))
				return
			}
		}
	}
	var y yamlTask
	p.decode(n, f.path, &y)
	switch {
	case len(kinds) == 0:
		p.unread = true
		p.problems = append(p.problems, problem.New(problem.NoKind, at, "add move:, check: or command: at the top", "the file has no kind of task"))
		return
	case len(kinds) > 1:
		p.unread = true
		two := problem.New(problem.TwoKinds, kinds[1].Place, "make two files of it", "the task is both %s and %s", kinds[0].Key, kinds[1].Key)
		p.problems = append(p.problems, two)
		return
	}
	t := &p.task
	t.kind = project.Kind(kinds[0].Key)
	t.move, t.check, t.command, t.common, t.writes = y.Move, y.Check, y.Command, y.taskSettings, y.Writes
	if t.move != nil {
		t.options = t.move.writeOptions
	}
	if t.kind != project.KindCommand && len(y.Writes) > 0 {
		e, _ := n.Entry("writes")
		remedy := "write to: inside of move"
		if t.kind == project.KindCheck {
			remedy = "remove it: a check writes nothing"
		}
		p.problems = append(p.problems, problem.New(problem.BadSetting, e.Place, remedy, "writes has no meaning for %s", t.kind))
	}
	if t.move == nil && t.check == nil && t.command == nil {
		// The kind key is there without a value.
		p.unread = true
		p.problems = append(p.problems, problem.New(problem.WrongType, kinds[0].Place, "", "%s has no value", kinds[0].Key))
	}
}

func (p *parsed) parseSQL(f *content) {
	text := string(f.data)
	n, found := sqlSettings(f.path, text)
	p.problems = append(p.problems, found...)
	var h sqlHeader
	if n != nil {
		p.decode(n, f.path, &h)
	}
	p.task = taskFile{
		kind: project.KindSQL, sql: text, statement: statement(text),
		placeholders: dialect.Statement{SQL: text}.Placeholders(), options: h.writeOptions, writes: h.Writes,
		feature: h.Feature, available: h.AvailableAfter, common: h.taskSettings,
	}
	if strings.TrimSpace(text) == "" {
		p.unread = true
		p.problems = append(p.problems, problem.New(problem.NotASelect, problem.Place{File: f.path}, "write a SELECT", "the file is empty"))
	}
}

type scriptFile struct {
	form.Mapping
	Requires     form.Text   `key:"requires-python" doc:"Versions of Python, such as >=3.11."`
	Dependencies []form.Text `key:"dependencies" doc:"Requirements of the script."`
	Tool         form.Any    `key:"tool" doc:"Settings of tools; ours stand under [tool.tidemill]."`
}

func (p *parsed) parsePython(f *content) {
	block, found := pythonScript(f.path, string(f.data))
	p.problems = append(p.problems, found...)
	p.task.kind = project.KindPython
	if len(found) > 0 {
		p.unread = true
		return
	}
	if block.root == nil {
		return
	}
	var s scriptFile
	p.decode(block.root, f.path, &s)
	p.task.requires, p.task.dependencies = s.Requires, s.Dependencies
	settings := s.Tool.Get("tidemill")
	if settings == nil {
		return
	}
	var b pythonBlock
	p.decode(settings, f.path, &b)
	p.task.options, p.task.writes, p.task.common = b.writeOptions, b.Writes, b.taskSettings
	p.task.feature, p.task.available = b.Feature, b.AvailableAfter
	p.task.promote, p.task.lock = b.Promote, b.Lock
}

// texts returns the SQL of a file.
func (p *parsed) texts() []string {
	var out []string
	switch p.role {
	case roleTask:
		if p.task.kind == project.KindSQL {
			out = append(out, p.task.sql)
		}
		if p.task.check != nil {
			for _, r := range p.task.check.Rules {
				if r.Query.Given {
					out = append(out, r.Query.V)
				}
			}
		}
	case roleSet:
		if p.set.Spine.Given {
			out = append(out, p.set.Spine.V)
		}
		if p.set.Label != nil && p.set.Label.SQL.Given {
			out = append(out, p.set.Label.SQL.V)
		}
		for _, f := range p.set.Features {
			if f.Expr.Given {
				out = append(out, exprPrefix+f.Expr.V+exprSuffix)
			}
		}
	default:
	}
	return out
}

// An expression is parsed as the only column of a SELECT.
const (
	exprPrefix = "SELECT ("
	exprSuffix = "\n)"
)
