// Package reference writes docs/reference/cli.md: every command, argument and
// flag as Markdown, from the grammar that parses them, so that the page cannot
// say anything else than the program.
package reference

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/tidemill/tidemill/internal/core/fault"
)

// Markdown returns the page.
func Markdown(grammar *kong.Application) string {
	var b strings.Builder
	b.WriteString("# Commands\n\nWritten by `make generate` from the command line itself; do not edit.\n\n")
	b.WriteString("Data go to standard output, talk to standard error. Every command that gives data gives them as a table, JSON or CSV;\nwith JSON or CSV, one that does something gives what it did it to, as it is then.\n")
	b.WriteString("A command speaks to the project's running server, or runs one for its own duration.\n\n")
	b.WriteString("## Everywhere\n\n")
	flagTable(&b, grammar.Flags)
	b.WriteString("\n## Exit codes\n\n| code | meaning |\n|---|---|\n")
	for code, kinds := range exitKinds() {
		fmt.Fprintf(&b, "| %d | %s |\n", code, kinds)
	}
	for _, leaf := range grammar.Leaves(true) {
		commandSection(&b, leaf)
	}
	return b.String()
}

// exitKinds names, for each exit code, the ends that lead to it.
func exitKinds() []string {
	names := make([]string, fault.ExitUnavailable+1)
	names[fault.ExitOK] = "done"
	for _, end := range []struct {
		kind fault.Kind
		text string
	}{
		{fault.Failed, "a run failed, whatever its task lacked; a test failed"},
		{fault.TimedOut, "took longer than its timeout"},
		{fault.OutOfMemory, "ran out of memory"},
		{fault.Cancelled, "was cancelled or interrupted"},
		{fault.Lost, "our machinery died"},
		{fault.Unknown, "the outcome is not known"},
		{fault.Internal, "a bug"},
		{fault.Invalid, "the command line or the request is wrong"},
		{fault.Refused, "data, project or history broke a rule: run, check, contract, reproduce, verify-history"},
		{fault.Denied, "not allowed"},
		{fault.NotFound, "what the command line names does not exist"},
		{fault.Conflict, "it changed, is held by another, or is there already"},
		{fault.Unavailable, "a server, worker, store or channel cannot be reached"},
		{fault.Busy, "try again later"},
	} {
		name := &names[end.kind.ExitCode()]
		if *name != "" {
			*name += "; "
		}
		*name += end.text
	}
	return names
}

func commandSection(b *strings.Builder, n *kong.Node) {
	fmt.Fprintf(b, "\n## tidemill %s\n\n%s\n\n```text\ntidemill %s", commandPath(n), n.Help, commandPath(n))
	for _, a := range n.Positional {
		fmt.Fprintf(b, " %s", a.Summary())
	}
	flags := slices.DeleteFunc(slices.Clone(n.Flags), func(f *kong.Flag) bool { return f.Hidden || f.Name == "help" })
	if len(flags) > 0 {
		b.WriteString(" [flags]")
	}
	b.WriteString("\n```\n")
	if len(n.Positional) > 0 {
		b.WriteString("\n| argument | meaning |\n|---|---|\n")
		for _, a := range n.Positional {
			fmt.Fprintf(b, "| `%s` | %s |\n", a.Name, cell(a.Help))
		}
	}
	if len(flags) > 0 {
		b.WriteString("\n")
		flagTable(b, flags)
	}
}

// commandPath is the words of a command, without the program's name.
func commandPath(n *kong.Node) string {
	if n.Parent == nil || n.Parent.Type == kong.ApplicationNode {
		return n.Name
	}
	return commandPath(n.Parent) + " " + n.Name
}

func flagTable(b *strings.Builder, flags []*kong.Flag) {
	b.WriteString("| flag | meaning | without it |\n|---|---|---|\n")
	for _, f := range flags {
		if f.Hidden {
			continue
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", flagName(f), cell(f.Help), flagDefault(f))
	}
}

func flagName(f *kong.Flag) string {
	name := f.Name
	if f.Tag.Negatable != "" {
		name = "[no-]" + name
	}
	text := "`--" + name
	if !f.IsBool() {
		text += "=" + flagValue(f)
	}
	text += "`"
	if f.Short != 0 {
		text = fmt.Sprintf("`-%c`, ", f.Short) + text
	}
	return text
}

// flagValue says what a flag takes: one of a few words, or a name for the thing.
func flagValue(f *kong.Flag) string {
	switch {
	case f.Enum != "":
		words := slices.DeleteFunc(f.EnumSlice(), func(word string) bool { return word == "" })
		return strings.Join(words, `\|`)
	case f.PlaceHolder != "":
		return f.PlaceHolder
	case f.Target.Kind() == reflect.Int:
		return "N"
	}
	return strings.ToUpper(f.Name)
}

func flagDefault(f *kong.Flag) string {
	switch {
	case f.Required:
		return "required"
	case f.HasDefault && f.Default != "":
		return "`" + f.Default + "`"
	}
	return ""
}

// cell is a text inside a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
