// Package message writes what a person reads in five seconds on a phone: what is
// broken, for whom, the first line of the error, what to type next. Every channel
// sets the same parts in its own way.
//
// It holds no secrets and no rows: what an incident says was masked where it was
// written, the values that a contract refused are left out, and of a long text only
// the first line is told. It must not know any channel.
package message

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/notify"
)

// Bounds of what is told. The whole story is in the ledger.
const (
	maxError = 300
	maxRuns  = 5
)

// channelPrefix stands before the channel that an incident of our own is about.
const channelPrefix = "alerts:"

// Note is a message in its parts. Parts that are not known are empty.
type Note struct {
	Status  string // firing, resolved, test
	Title   string // what is broken, without the status
	Owner   string
	Error   string // its first line
	Attempt string // which attempt failed, and when the next one comes
	Ended   string // after how long, and how: of a resolved incident
	Since   string
	Runs    []string
	More    int // runs that are not listed
	Runbook string
	Type    []Command // what to type next
}

// Command is something to type, with what it is for.
type Command struct{ For, Text string }

// Of returns the parts of a message.
func Of(m notify.Message) Note {
	i := m.Incident
	n := Note{Status: m.Action, Title: title(i), Owner: i.Owner, Error: firstLine(withoutValues(i.Summary)), Runbook: firstLine(m.Facts.Runbook)}
	if i.Environment != "" && i.Environment != "base" {
		n.Title += " [" + i.Environment + "]"
	}
	n.Since = clock(i.Opened, m.Zone)
	n.More = max(len(i.Runs)-maxRuns, 0)
	n.Runs = Runs(i.Runs[:len(i.Runs)-n.More], m.Zone)
	if m.Action == "resolved" {
		n.Ended = "after " + span(i.Resolved.Sub(i.Opened))
		if i.Resolution != "" {
			n.Ended += ": " + firstLine(i.Resolution)
		}
		return n
	}
	n.Attempt = attempt(m.Facts, m.Zone)
	n.Type = commands(i)
	return n
}

// Runs are the lines that say which runs, or slots that never became one, an
// incident is about.
func Runs(list []ledger.IncidentRun, zone *time.Location) []string {
	var out []string
	for _, r := range list {
		line := "run " + r.Run
		if strings.Contains(r.Run, "@") {
			line = "slot " + r.Run
		}
		if w := r.Window.Text(zone); w != "" {
			line += ", window " + w
		}
		out = append(out, line)
	}
	return out
}

// Headline is the one line that stands for the whole: of a list, a lock screen, a subject.
func (n Note) Headline() string { return "[" + n.Status + "] " + n.Title }

// Text is the whole note in lines, the most important ones first.
func (n Note) Text() string { return n.Headline() + "\n" + n.Body() }

// Body is the note below its headline.
func (n Note) Body() string {
	lines := n.Lines()
	if len(n.Type) > 0 {
		lines = append(lines, "")
		for _, c := range n.Type {
			lines = append(lines, fmt.Sprintf("%-6s %s", c.For+":", c.Text))
		}
	}
	return strings.Join(lines, "\n")
}

// Lines are the note below its headline, without what to type.
func (n Note) Lines() []string {
	var out []string
	add := func(before, text string) {
		if text != "" {
			out = append(out, before+text)
		}
	}
	if n.Ended != "" {
		add("", n.Ended)
		add("it was: ", n.Error)
	} else {
		add("", n.Error)
	}
	add("for ", n.Owner)
	add("", n.Attempt)
	add("since ", n.Since)
	out = append(out, n.Runs...)
	if n.More > 0 {
		out = append(out, fmt.Sprintf("and %d more", n.More))
	}
	add("runbook: ", n.Runbook)
	return out
}

// Where is the pipeline, or the task of it, that an incident is about.
func Where(i ledger.Incident) string {
	if i.Task == "" {
		return i.Pipeline
	}
	return i.Pipeline + "/" + i.Task
}

// title says what is broken.
func title(i ledger.Incident) string {
	where := Where(i)
	if where == "" {
		where = "the project"
	}
	switch i.Kind {
	case "task_failed":
		return where + " failed"
	case "backfill_failed":
		return where + ": windows of a backfill failed"
	case "check_failed":
		return where + ": a check came out wrong"
	case "contract_broken":
		return where + ": the data broke their contract"
	case "late":
		return where + " is late"
	case "stale":
		return where + ": its table is stale"
	case "missed_slot":
		return where + ": slots were left out"
	case "definition_error":
		return where + ": its files are broken"
	case "worker_lost":
		return where + " lost its worker again and again"
	case "notification_failed":
		if name, ok := strings.CutPrefix(where, channelPrefix); ok {
			return "channel " + name + " reaches nobody"
		}
		return "the heartbeat reaches nobody"
	case "test":
		return "a test of Tidemill's alerts"
	}
	return where + ": " + strings.ReplaceAll(i.Kind, "_", " ")
}

// commands are how to look, read the log and run again.
func commands(i ledger.Incident) []Command {
	program := "tidemill "
	if i.Environment != "" && i.Environment != "base" {
		program += "--env " + i.Environment + " "
	}
	switch i.Kind {
	case "definition_error":
		return []Command{{"look", program + "check"}}
	case "notification_failed":
		if !strings.HasPrefix(i.Pipeline, channelPrefix) {
			return []Command{{"look", program + "incidents"}}
		}
		return []Command{{"look", program + "incidents --sent"}, {"try", program + "alert test " + strings.TrimPrefix(i.Pipeline, channelPrefix)}}
	case "test":
		return nil
	}
	if i.Backfill != "" {
		return []Command{
			{"look", program + "backfill show " + i.Backfill},
			{"again", program + "backfill " + i.Pipeline + " --reprocess failed --from START --to END"},
		}
	}
	if len(i.Runs) == 0 {
		return []Command{{"look", program + "why " + i.Pipeline}}
	}
	last := i.Runs[len(i.Runs)-1]
	if strings.Contains(last.Run, "@") { // a slot that never became a run
		again := program + "run " + i.Pipeline
		if !last.Window.IsZero() {
			again += " --window " + last.Window.String()
		}
		return []Command{{"look", program + "why " + last.Run}, {"again", again}}
	}
	log := program + "logs " + last.Run
	if i.Task != "" {
		log += " " + i.Task
	}
	out := []Command{{"look", program + "why " + last.Run}, {"log", log}}
	if i.Kind != "late" && i.Kind != "worker_lost" { // those still go on
		out = append(out, Command{"again", program + "rerun " + last.Run})
	}
	return out
}

func attempt(f notify.Facts, zone *time.Location) string {
	if f.Attempt == 0 {
		return ""
	}
	text := fmt.Sprintf("attempt %d of %d", f.Attempt, max(f.Attempt, f.Attempts))
	switch {
	case !f.NextTry.IsZero():
		return text + ", the next one at " + clock(f.NextTry, zone)
	case f.Last:
		return text + ", no other follows"
	}
	return text
}

func clock(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return ""
	}
	if zone == nil {
		zone = time.UTC
	}
	return t.In(zone).Format("2006-01-02 15:04 MST")
}

// span is a length of time as people say it.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < 48*time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%d days", int(d.Round(24*time.Hour)/(24*time.Hour)))
}

// values are what a refusal says of the row that it shows as an example.
var values = []*regexp.Regexp{
	regexp.MustCompile(`(?s)( by the rule "(?:[^"\\]|\\.)*"): .*$`),                 // one row, which a contract rejects
	regexp.MustCompile(`(?s)(; most by "(?:[^"\\]|\\.)*" \([0-9]+\)), such as .*$`), // the first of many in quarantine
}

// withoutValues takes the values of rows out of what a contract's refusal says.
// They stay where the rows are: in the log, the ledger and the quarantine.
func withoutValues(text string) string {
	for _, v := range values {
		text = v.ReplaceAllString(text, "$1")
	}
	return text
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return Cut(strings.TrimSpace(line), maxError)
}

// Cut shortens a text to so many bytes, between characters.
func Cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	const mark = "…"
	at := max(most-len(mark), 0)
	for at > 0 && !utf8.RuneStart(text[at]) {
		at--
	}
	return text[:at] + mark
}

// Key is the name under which a receiver knows a cause: its fingerprint, or where
// that is too long its beginning and a hash of the whole.
func Key(fingerprint string, most int) string {
	if len(fingerprint) <= most {
		return fingerprint
	}
	sum := sha256.Sum256([]byte(fingerprint))
	hash := "-" + hex.EncodeToString(sum[:16])
	return strings.TrimSuffix(Cut(fingerprint, most-len(hash)), "…") + hash
}

// Labels identify an incident, as Alertmanager's family names them.
func Labels(i ledger.Incident) map[string]string {
	labels := map[string]string{"alertname": i.Kind, "environment": i.Environment, "pipeline": i.Pipeline, "severity": i.Severity}
	if i.Task != "" {
		labels["task"] = i.Task
	}
	if i.Owner != "" {
		labels["owner"] = i.Owner
	}
	return labels
}

// Annotations explain an incident in the same family.
func Annotations(m notify.Message) map[string]string {
	return map[string]string{"summary": withoutValues(m.Incident.Summary), "description": describe(m), "incident": m.Incident.ID}
}

// describe is the annotation that says what is wrong for whom, and what to type next.
func describe(m notify.Message) string {
	i := m.Incident
	var b strings.Builder
	what := Where(i)
	if m.Action == "resolved" {
		fmt.Fprintf(&b, "%s is well again: %s.", what, i.Resolution)
		return b.String()
	}
	fmt.Fprintf(&b, "%s: %s", what, withoutValues(i.Summary))
	for n, r := range i.Runs {
		if n == maxRuns {
			fmt.Fprintf(&b, "\nand %d more runs", len(i.Runs)-n)
			break
		}
		fmt.Fprintf(&b, "\nrun %s, window %s", r.Run, r.Window)
	}
	if i.Backfill != "" {
		fmt.Fprintf(&b, "\nlook: tidemill backfill show %s", i.Backfill)
		return b.String()
	}
	if len(i.Runs) > 0 {
		last := i.Runs[len(i.Runs)-1].Run
		if strings.Contains(last, "@") { // a slot that never became a run
			fmt.Fprintf(&b, "\nlook: tidemill why %s   make up for it: tidemill run %s --window START/END", last, i.Pipeline)
			return b.String()
		}
		fmt.Fprintf(&b, "\nlook: tidemill why %s   log: tidemill logs %s   again: tidemill rerun %s", last, last, last)
	}
	return b.String()
}
