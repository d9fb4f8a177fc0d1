package story

import (
	"fmt"
	"io"
	"strings"

	"github.com/tidemill/tidemill/internal/cli/output"
	"github.com/tidemill/tidemill/internal/training"
)

// Reproduction is a training set built again, held against its pin.
type Reproduction struct {
	Model   string `json:"model"`
	Version int    `json:"version"`
	training.Comparison
}

// Print tells it to people.
func (out Reproduction) Print(w io.Writer) error {
	var b strings.Builder
	if out.Equal {
		fmt.Fprintf(&b, "%s:%d is equal: %s rows rebuilt from pin %s, every column the same.\n", out.Model, out.Version, output.Number(out.Rows), out.Pin)
	} else {
		fmt.Fprintf(&b, "%s:%d differs from pin %s: %s rows then, %s now.\n", out.Model, out.Version, out.Pin, output.Number(out.Rows), output.Number(out.RowsNow))
		for _, d := range out.Differences {
			fmt.Fprintf(&b, "  column %s: digest %s then, %s now\n", d.Column, d.Was, d.Is)
		}
	}
	for _, t := range out.Today {
		if t.Rows == 0 {
			fmt.Fprintf(&b, "A new pin would see commits %d to %d of %s, and the same values.\n", t.From+1, t.To, t.Table)
			continue
		}
		fmt.Fprintf(&b, "A new pin would see other values of %s in %s rows, after commits %d to %d of %s:\n", strings.Join(t.Columns, ", "), output.Number(t.Rows), t.From+1, t.To, t.Table)
		for _, one := range t.Commits {
			fmt.Fprintf(&b, "  commit %s\n", one)
		}
	}
	switch e := out.Examples; {
	case e.Unknown != "":
		fmt.Fprintf(&b, "Whether training rows arrived since cannot be said: %s\n", e.Unknown)
	default:
		if e.Arrived > 0 {
			fmt.Fprintf(&b, "A new pin would have %s more rows, which arrived since: a pin keeps its own, by design.\n", output.Number(e.Arrived))
		}
		if e.Later > 0 {
			fmt.Fprintf(&b, "A new pin with a later until would have %s more rows, whose labels became known after this one's.\n", output.Number(e.Later))
		}
		if e.Gone > 0 {
			fmt.Fprintf(&b, "%s rows of the pin are no longer where they were taken from.\n", output.Number(e.Gone))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
