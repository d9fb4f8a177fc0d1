package calendar

import (
	"errors"
	"fmt"
	"strings"
)

// Names of the parts that a ParseError can blame.
const (
	FieldMinute     = "minute"
	FieldHour       = "hour"
	FieldDayOfMonth = "day of month"
	FieldMonth      = "month"
	FieldDayOfWeek  = "day of week"
	FieldExpression = "expression" // the cron expression as a whole
	FieldEvery      = "every"
	FieldDuration   = "duration"
	FieldMoment     = "moment"
	FieldWindow     = "window"
	FieldCalendar   = "calendar"
)

// ParseError says which part of a text cannot be understood, and how to mend it.
type ParseError struct {
	Field   string // one of the Field constants
	Text    string // the offending piece, as it was written
	Offset  int    // where Text begins in the parsed text, in bytes
	Problem string // what is wrong, lower case, without a full stop
	Remedy  string // one sentence that says what to write instead
}

// Error names the field, the offending text and its place.
func (e *ParseError) Error() string {
	return fmt.Sprintf("%s %q at offset %d: %s", e.Field, e.Text, e.Offset, e.Problem)
}

// Explain says in one sentence what is wrong with a text that a person typed, and how to mend it.
func Explain(err error) string {
	e, ok := errors.AsType[*ParseError](err)
	if !ok {
		return err.Error()
	}
	text := fmt.Sprintf("%q: %s", e.Text, e.Problem)
	if e.Field != FieldExpression && e.Field != FieldMoment && e.Field != FieldEvery && e.Field != FieldWindow {
		text = e.Field + " " + text
	}
	if e.Remedy != "" {
		text += "; " + strings.ToLower(e.Remedy[:1]) + strings.TrimSuffix(e.Remedy[1:], ".")
	}
	return text
}

// EmptyWindowError says that a schedule comes due more often than its windows end.
type EmptyWindowError struct {
	Unit   Unit
	First  string // example of two due times that would share one window, in words
	Remedy string
}

// Error says which alignment the schedule outruns.
func (e *EmptyWindowError) Error() string {
	return fmt.Sprintf("the schedule makes an empty window: %s, but a window ends once per %s", e.First, e.Unit)
}
