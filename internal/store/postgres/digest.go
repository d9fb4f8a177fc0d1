package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
)

// Digest returns a digest of a table's visible rows and columns, whatever order
// the rows lie in, and their number. Equal digests mean the same rows: values
// are written in one way each, and minus zero is zero. It is compared with
// digests of this kind of store alone.
func (s *Store) Digest(ctx context.Context, table project.Table) (string, int64, error) {
	found, err := s.find(ctx, table)
	if err != nil {
		return "", 0, err
	}
	if found == absent {
		return "", 0, fault.New(fault.NotFound, "table %s: %w", table, store.ErrAbsent)
	}
	q, err := s.connect(ctx)
	if err != nil {
		return "", 0, err
	}
	defer q.close()
	name := qualified(table.Schema, table.Name)
	_, _, columns, err := q.describe(ctx, dialect.Statement{SQL: "SELECT * FROM " + name})
	if err != nil {
		return "", 0, err
	}
	head := sha256.New()
	var parts []string
	for _, c := range columns {
		if c.name == "_seq" {
			continue
		}
		fmt.Fprintf(head, "%q %s\n", c.name, c.typ)
		text := canonical(quote(c.name), c.typ)
		// Each value with its length before it, so that no two rows can look alike.
		parts = append(parts, fmt.Sprintf("coalesce(octet_length(%[1]s) || ':' || %[1]s, '-')", text))
	}
	half := func(start int) string {
		return fmt.Sprintf("coalesce(sum(('x' || substr(line, %d, 16))::bit(64)::bigint::numeric), 0)::text", start)
	}
	var rows int64
	var low, high string
	if err := q.row(ctx, fmt.Sprintf("SELECT count(*), %s, %s FROM (SELECT md5(%s) AS line FROM %s) AS lines", half(1), half(17), strings.Join(parts, " || "), name),
		nil, &rows, &low, &high); err != nil {
		return "", 0, failed(ctx, "digesting "+table.String(), err)
	}
	fmt.Fprintf(head, "%d %s %s", rows, low, high)
	return hex.EncodeToString(head.Sum(nil)), rows, nil
}

// canonical is the one text of a value.
func canonical(expression string, t datatype.Type) string {
	switch {
	case t.IsFloat():
		return fmt.Sprintf("(CASE WHEN %[1]s = 0 THEN '0' ELSE %[1]s::text END)", expression)
	case t.Kind == datatype.JSON:
		return expression + "::jsonb::text"
	default:
		return expression + "::text"
	}
}
