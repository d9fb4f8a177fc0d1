package source

import (
	"context"
	"fmt"

	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/source/file"
)

// ask asks the parsers of SQL and Python about everything at once.
func (v *version) ask(ctx context.Context) error {
	if v.options.Lineage != nil {
		if err := v.askSQL(ctx); err != nil {
			return fmt.Errorf("parse the project's SQL: %w", err)
		}
	}
	var scripts []string
	for _, name := range v.names {
		f := v.files[name]
		if p := f.parsed; p == nil || p.Unread || p.Role != file.RoleTask || p.Task.Kind != project.KindPython {
			continue
		}
		if f.signature != nil {
			v.signature[name] = *f.signature
		} else {
			scripts = append(scripts, name)
		}
	}
	if v.options.Signatures != nil && len(scripts) > 0 {
		bodies := make([]string, len(scripts))
		for i, name := range scripts {
			bodies[i] = string(v.files[name].Data)
		}
		answers, err := v.options.Signatures.Signatures(ctx, bodies)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			// A machine without Python still reads the rest of the project.
			p := problem.New(problem.BadSignature, problem.Place{File: scripts[0], Line: 1, Column: 1}, "install Python 3.11 or newer", "the arguments of Python tasks are not known: %s", err)
			p.Severity = problem.SeverityWarning
			v.fail(nil, p)
			v.silent = true
			return nil
		}
		for i, name := range scripts {
			v.signature[name] = answers[i]
			// An answer depends on the text alone; an odd one may be the reader's own fault.
			if answers[i].Error == "" || answers[i].Syntax {
				v.files[name].signature = &answers[i]
			}
		}
	}
	return nil
}

// askSQL asks about the texts of files that were not asked about before.
func (v *version) askSQL(ctx context.Context) error {
	var list []string
	known := map[string]int{}
	var open []*entry
	for _, name := range v.names {
		f := v.files[name]
		if f.parsed == nil || len(f.parsed.SQL) == 0 || f.answers != nil {
			continue
		}
		open = append(open, f)
		for _, t := range f.parsed.SQL {
			if _, ok := known[t]; !ok {
				known[t] = len(list)
				list = append(list, t)
			}
		}
	}
	if len(list) == 0 {
		return nil
	}
	answers, err := v.options.Lineage.Tables(ctx, list)
	if err != nil {
		return err
	}
	for _, f := range open {
		f.answers = make(map[string]project.Lineage, len(f.parsed.SQL))
		for _, t := range f.parsed.SQL {
			a := answers[known[t]]
			f.answers[t] = a
			v.silent = v.silent || a.Fault != nil && a.Fault.Kind == project.FaultParser
		}
	}
	return nil
}

// forget lets files be asked about again whose texts the parser gave no answer to.
func (v *version) forget() {
	for _, name := range v.names {
		f := v.files[name]
		for _, a := range f.answers {
			if a.Fault != nil && a.Fault.Kind == project.FaultParser {
				f.answers = nil
				break
			}
		}
	}
}
