// Package fault names who must act on an error.
//
// Every error that leaves a package is, or wraps, an error with a Kind. Exit
// code, HTTP status, whether a retry helps and whether somebody is told follow
// from the kind alone, in one table. The package must not know any other
// package of Tidemill.
package fault

import (
	"errors"
	"fmt"
)

// Kind says who must act. Kinds are stored in the ledger: never rename one.
type Kind string

// The closed set of kinds.
const (
	Invalid     Kind = "invalid"      // the author: fix the file or the request
	Failed      Kind = "failed"       // the author: the user's code failed
	Refused     Kind = "refused"      // the producer: the user's data broke a contract or a check
	CheckFailed Kind = "check_failed" // the producer: a check that a user wrote came out wrong
	TimedOut    Kind = "timed_out"    // the author: the attempt ran longer than its timeout
	OutOfMemory Kind = "oom"          // the author: the attempt needed more memory than it was given
	Cancelled   Kind = "cancelled"    // nobody: somebody asked for it
	Denied      Kind = "denied"       // the caller: it lacks the right
	NotFound    Kind = "not_found"    // the caller: the named thing does not exist
	Conflict    Kind = "conflict"     // the caller: the thing changed or is held by another
	Busy        Kind = "busy"         // nobody: try again later
	Unavailable Kind = "unavailable"  // the operator: a server, worker or store cannot be reached
	Lost        Kind = "lost"         // nobody: our machinery died; run again, costs the user no retry
	Unknown     Kind = "unknown"      // nobody yet: the outcome is not known; look it up, never repeat blindly
	Internal    Kind = "internal"     // us: a bug
)

// Exit codes of the command line. 8 (changes pending) is no error.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitCheck       = 3
	ExitDenied      = 4
	ExitNotFound    = 5
	ExitConflict    = 6
	ExitUnavailable = 7
)

// consequence is what follows from a kind.
type consequence struct {
	exit   int
	status int
	retry  bool // an attempt that ended so is tried again, within the user's retries
	alert  bool // a final end of this kind opens an incident
}

var consequences = map[Kind]consequence{
	Invalid:     {ExitUsage, 400, false, true},
	Failed:      {ExitFailed, 500, true, true},
	Refused:     {ExitCheck, 422, false, true},
	CheckFailed: {ExitCheck, 422, false, true},
	TimedOut:    {ExitFailed, 504, true, true},
	OutOfMemory: {ExitFailed, 500, true, true},
	Cancelled:   {ExitFailed, 499, false, false},
	Denied:      {ExitDenied, 403, false, true},
	NotFound:    {ExitNotFound, 404, false, true},
	Conflict:    {ExitConflict, 409, false, true},
	Busy:        {ExitUnavailable, 429, true, true},
	Unavailable: {ExitUnavailable, 503, true, true},
	Lost:        {ExitFailed, 500, true, true},
	Unknown:     {ExitFailed, 500, true, true},
	Internal:    {ExitFailed, 500, true, true},
}

// Known reports whether k belongs to the closed set.
func (k Kind) Known() bool { _, ok := consequences[k]; return ok }

// ExitCode is the process exit code that a command ends with.
func (k Kind) ExitCode() int { return of(k).exit }

// HTTPStatus is the status code of an API answer.
func (k Kind) HTTPStatus() int { return of(k).status }

// Retryable reports whether trying an attempt again may help.
func (k Kind) Retryable() bool { return of(k).retry }

// Alerts reports whether a final end of this kind opens an incident.
func (k Kind) Alerts() bool { return of(k).alert }

func of(k Kind) consequence {
	if c, ok := consequences[k]; ok {
		return c
	}
	return consequences[Internal]
}

// Error is an error with the kind that says who must act.
type Error struct {
	Kind Kind
	err  error
}

// Error returns the text of the wrapped error.
func (e *Error) Error() string { return e.err.Error() }

// Unwrap returns the wrapped error.
func (e *Error) Unwrap() error { return e.err }

// New returns an error of kind k; format works as in fmt.Errorf, %w included.
func New(k Kind, format string, args ...any) error {
	return &Error{k, fmt.Errorf(format, args...)}
}

// Wrap gives err the kind k, unless it already carries one. Wrap(k, nil) is nil.
func Wrap(k Kind, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	return &Error{k, err}
}

// KindOf returns the outermost kind that err carries, Internal where it carries
// none, and the empty kind for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

// Is reports whether err carries the kind k.
func Is(err error, k Kind) bool { return err != nil && KindOf(err) == k }
