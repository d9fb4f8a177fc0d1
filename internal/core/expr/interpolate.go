package expr

import (
	"fmt"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
)

// Reference is one {…} of a template.
type Reference struct {
	Path   []string // window, start, utc
	Format string   // after the colon; empty: the value's own text
	Offset int      // in bytes, of the opening brace
}

// String is the reference as written, without its format.
func (r Reference) String() string { return strings.Join(r.Path, ".") }

// Template is a text with interpolations, as in Python's f-strings: {name},
// {name:format}, {{ and }} for braces. No expression is ever evaluated.
type Template struct {
	parts []part
}

type part struct {
	text string
	ref  *Reference
}

// ParseTemplate reads a template. A fault is a *SyntaxError.
func ParseTemplate(text string) (Template, error) {
	var t Template
	var literal strings.Builder
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c != '{' && c != '}':
			literal.WriteByte(c)
			i++
		case i+1 < len(text) && text[i+1] == c:
			literal.WriteByte(c)
			i += 2
		case c == '}':
			return Template{}, &SyntaxError{i, "a } without its {; write }} for a brace"}
		default:
			length := strings.IndexByte(text[i:], '}')
			if length < 0 {
				return Template{}, &SyntaxError{i, "a { without its }; write {{ for a brace"}
			}
			ref, err := parseReference(text[i+1:i+length], i)
			if err != nil {
				return Template{}, err
			}
			if literal.Len() > 0 {
				t.parts = append(t.parts, part{text: literal.String()})
				literal.Reset()
			}
			t.parts = append(t.parts, part{ref: &ref})
			i += length + 1
		}
	}
	if literal.Len() > 0 {
		t.parts = append(t.parts, part{text: literal.String()})
	}
	return t, nil
}

func parseReference(inner string, at int) (Reference, error) {
	name, format, _ := strings.Cut(inner, ":")
	ref := Reference{Path: strings.Split(name, "."), Format: format, Offset: at}
	for _, p := range ref.Path {
		if p == "" || strings.TrimFunc(p, isNameRune) != "" {
			return Reference{}, &SyntaxError{at, fmt.Sprintf("{%s} names no value; write a name such as window.start or param.region", inner)}
		}
	}
	if strings.ContainsRune(format, '{') {
		return Reference{}, &SyntaxError{at, "a format cannot hold another interpolation"}
	}
	return ref, nil
}

func isNameRune(r rune) bool {
	return r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// References returns the template's references in order.
func (t Template) References() []Reference {
	var refs []Reference
	for _, p := range t.parts {
		if p.ref != nil {
			refs = append(refs, *p.ref)
		}
	}
	return refs
}

// Expand replaces every reference by what value returns for it.
func (t Template) Expand(value func(Reference) (string, error)) (string, error) {
	var b strings.Builder
	for _, p := range t.parts {
		if p.ref == nil {
			b.WriteString(p.text)
			continue
		}
		v, err := value(*p.ref)
		if err != nil {
			return "", fmt.Errorf("{%s}: %w", p.ref, err)
		}
		b.WriteString(v)
	}
	return b.String(), nil
}

// Values are what templates of a run can name.
type Values struct {
	Start, End time.Time      // the window; zero where there is none
	Zone       *time.Location // of the schedule
	Params     map[string]any
	Secret     func(name string) (string, error) // nil: secrets are not allowed here
	Run, Task  string
}

// Resolve is the value of a reference: window.start, window.end, window.date,
// each also with .utc; param.NAME; secret.NAME; run.id; task.name.
func (v Values) Resolve(r Reference) (string, error) {
	switch head := r.Path[0]; {
	case head == "window":
		return v.window(r)
	case head == "param" && len(r.Path) == 2:
		p, ok := v.Params[r.Path[1]]
		if !ok {
			return "", fault.New(fault.Invalid, "no param named %s", r.Path[1])
		}
		return text(p, r.Format)
	case head == "secret" && len(r.Path) == 2 && r.Format == "":
		if v.Secret == nil {
			return "", fault.New(fault.Invalid, "secrets are not allowed here")
		}
		return v.Secret(r.Path[1])
	case r.String() == "run.id" && r.Format == "":
		return v.Run, nil
	case r.String() == "task.name" && r.Format == "":
		return v.Task, nil
	}
	return "", fault.New(fault.Invalid, "no such value; there are window.start, window.end, window.date, param.NAME, secret.NAME, run.id and task.name")
}

func (v Values) window(r Reference) (string, error) {
	path, zone := r.Path[1:], v.Zone
	if len(path) == 2 && path[1] == "utc" {
		path, zone = path[:1], time.UTC
	}
	if len(path) != 1 {
		return "", fault.New(fault.Invalid, "no such value; there are window.start, window.end and window.date, each also with .utc")
	}
	if v.Start.IsZero() && v.End.IsZero() {
		return "", fault.New(fault.Invalid, "the run has no window")
	}
	if zone == nil {
		zone = time.UTC
	}
	switch path[0] {
	case "start":
		return moment(v.Start.In(zone), r.Format, time.RFC3339)
	case "end":
		return moment(v.End.In(zone), r.Format, time.RFC3339)
	case "date":
		return moment(v.Start.In(zone), r.Format, time.DateOnly)
	}
	return "", fault.New(fault.Invalid, "no such value; there are window.start, window.end and window.date")
}

func moment(t time.Time, format, layout string) (string, error) {
	if format == "" {
		return t.Format(layout), nil
	}
	return Strftime(t, format)
}

func text(v any, format string) (string, error) {
	if t, ok := v.(time.Time); ok {
		return moment(t, format, time.RFC3339)
	}
	if format != "" {
		return "", fault.New(fault.Invalid, "a format has a meaning for times only")
	}
	return fmt.Sprint(v), nil
}

var directives = map[byte]string{
	'Y': "2006", 'm': "01", 'd': "02", 'H': "15", 'M': "04", 'S': "05", 'y': "06",
	'j': "002", 'b': "Jan", 'B': "January", 'a': "Mon", 'A': "Monday", 'I': "03", 'p': "PM",
	'F': "2006-01-02", 'T': "15:04:05", 'z': "-0700", 'Z': "MST", 'f': ".000000",
}

// Strftime formats t as Python's strftime does, for the directives
// Y m d H M S y j b B a A I p F T z Z f s and %.
func Strftime(t time.Time, format string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			b.WriteByte(format[i])
			continue
		}
		i++
		if i == len(format) {
			return "", fault.New(fault.Invalid, "the format %q ends in a single %%", format)
		}
		switch c := format[i]; c {
		case '%':
			b.WriteByte('%')
		case 's':
			fmt.Fprint(&b, t.Unix())
		default:
			layout, ok := directives[c]
			if !ok {
				return "", fault.New(fault.Invalid, "the format %q has the unknown directive %%%c", format, c)
			}
			b.WriteString(strings.TrimPrefix(t.Format(layout), "."))
		}
	}
	return b.String(), nil
}
