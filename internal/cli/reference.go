package cli

import (
	"io"

	"github.com/alecthomas/kong"

	"github.com/tidemill/tidemill/internal/cli/reference"
)

// referenceCommand writes docs/reference/cli.md.
type referenceCommand struct{}

// Run writes every command, argument and flag as Markdown.
func (referenceCommand) Run(s *session, k *kong.Kong) error {
	_, err := io.WriteString(s.Out, reference.Markdown(k.Model))
	return err
}
