// Package secret resolves references to secrets, and holds values that cannot
// be printed by accident.
//
// A reference is env:NAME or file:PATH; a path that is not absolute begins in the
// project's folder. Values are read when they are needed,
// never stored, and given only by Reveal. Masker takes known values out of
// streams of bytes.
package secret

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/tidemill/tidemill/internal/core/fault"
)

const hidden = "(secret)"

// maxBytes bounds a secret file; a longer one is a wrong path.
const maxBytes = 64 << 10

// Value is a secret. Every way of printing it prints a placeholder.
type Value struct{ text string }

// New wraps a text as a secret.
func New(text string) Value { return Value{text} }

// Reveal returns the secret itself.
func (v Value) Reveal() string { return v.text }

// Format implements fmt.Formatter for every verb, %#v included.
func (v Value) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(hidden)) }

// LogValue implements slog.LogValuer.
func (v Value) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText keeps the value out of JSON and every other text form.
func (v Value) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Resolve reads the secret that a reference of the project in a folder names.
func Resolve(folder, ref string) (Value, error) {
	kind, name, ok := strings.Cut(ref, ":")
	if !ok || name == "" {
		return Value{}, fault.New(fault.Invalid, "%q is no reference to a secret; write env:NAME or file:PATH", ref)
	}
	switch kind {
	case "env":
		text, ok := os.LookupEnv(name) //nolint:forbidigo // the reference names it
		if !ok || text == "" {
			return Value{}, fault.New(fault.Invalid, "the environment variable %s is not set", name)
		}
		return Value{text}, nil
	case "file":
		if !filepath.IsAbs(name) {
			name = filepath.Join(folder, name)
		}
		info, err := os.Stat(name)
		if err != nil {
			return Value{}, fault.New(fault.Invalid, "read a secret: %w", err)
		}
		if info.Size() > maxBytes {
			return Value{}, fault.New(fault.Invalid, "read a secret: %s has %d bytes, a secret has at most %d", name, info.Size(), maxBytes)
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return Value{}, fault.New(fault.Invalid, "read a secret: %w", err)
		}
		text := strings.TrimRight(string(b), "\r\n")
		if text == "" {
			return Value{}, fault.New(fault.Invalid, "the secret file %s is empty", name)
		}
		return Value{text}, nil
	}
	return Value{}, fault.New(fault.Invalid, "%q is no kind of secret; write env:NAME or file:PATH", kind)
}
