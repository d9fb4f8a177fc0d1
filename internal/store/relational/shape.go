package relational

import (
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
)

// Shape is how a table is kept.
type Shape string

// The shapes.
const (
	Plain   Shape = "plain"
	Rows    Shape = "rows"    // a view on a table with the number of each row's commit
	History Shape = "history" // a view on all that was ever known
	View    Shape = "view"
)

// ShapeOf is the shape that a mode keeps.
func ShapeOf(m project.Mode) Shape {
	switch m {
	case project.ModeAppend:
		return Rows
	case project.ModeFeature:
		return History
	case project.ModeView:
		return View
	default:
		return Plain
	}
}

// Physical is the name of the table that holds the rows.
func (s Shape) Physical(t project.Table) string {
	switch s {
	case Rows:
		return t.Name + "__rows"
	case History:
		return t.History().Name
	default:
		return t.Name
	}
}

// Reshape turns a table that was kept in another way into the wanted one, where no row gets lost.
func (w *Writer) Reshape(before Shape) error {
	t := w.Spec.Table
	kept := w.Qualified(Rows.Physical(t))
	var statements []string
	switch {
	case before == View:
		statements = []string{"DROP VIEW " + w.Name}
	case before == Plain && w.Shape == Rows:
		statements = []string{
			"ALTER TABLE " + w.Name + " RENAME TO " + w.quote(Rows.Physical(t)),
			"ALTER TABLE " + kept + " ADD COLUMN _seq BIGINT DEFAULT 0",
			"ALTER TABLE " + kept + " ALTER COLUMN _seq DROP DEFAULT",
		}
	case before == Rows && w.Shape == Plain:
		statements = []string{
			"DROP VIEW " + w.Name,
			"ALTER TABLE " + kept + " DROP COLUMN _seq",
			"ALTER TABLE " + kept + " RENAME TO " + w.quote(t.Name),
		}
	default:
		return fault.New(fault.Refused, "%s is kept as %s and mode %s keeps %s: rows would get lost; write to another table, or drop this one first",
			t, before, w.Spec.Mode, w.Shape)
	}
	for _, s := range statements {
		if _, err := w.exec(s); err != nil {
			return err
		}
	}
	return nil
}
