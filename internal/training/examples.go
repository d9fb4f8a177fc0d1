package training

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/feature"
)

// Examples is how the rows that a set asks about differ today from those of a pin,
// which keeps its own by design.
type Examples struct {
	Arrived int64  `json:"arrived"`           // rows that a new pin with the same until would have more
	Later   int64  `json:"later"`             // rows more whose label became known after until
	Gone    int64  `json:"gone"`              // rows of the pin that are no longer there
	Unknown string `json:"unknown,omitempty"` // why nobody can tell
}

// examples asks the spine and the labels again, all of them, and counts what is new.
func examples(ctx context.Context, then *Answer, d dialect.Dialect, r Request, o feature.Options) (Examples, error) {
	var out Examples
	o.Spine, o.Until = "", time.Time{}
	statement, err := feature.Spine(r.Set, d, o)
	if err != nil {
		return out, err
	}
	now, _, err := then.View.Keep(ctx, "examples", statement)
	if err != nil {
		return out, err
	}
	q := dialect.DuckDB.Quote
	var same []string
	for _, c := range append([]string{r.Set.At}, r.Set.Key...) {
		same = append(same, fmt.Sprintf("n.%s IS NOT DISTINCT FROM s.%s", q(c), q(c)))
	}
	late := dialect.Statement{SQL: "false"}
	if !r.Until.IsZero() {
		late.SQL = "n." + q(feature.LabelTime) + " > $until"
		late.Params = []dialect.Param{{Name: "until", Value: r.Until}}
	}
	only := func(these, those string) string {
		return fmt.Sprintf("FROM %s n WHERE NOT EXISTS (SELECT 1 FROM %s s WHERE %s)", these, those, strings.Join(same, " AND "))
	}
	values, err := oneRow(ctx, then.View, dialect.Statement{
		SQL: fmt.Sprintf("SELECT count(*), count(*) FILTER (%s), (SELECT count(*) %s) %s", late.SQL, only(then.Spine, now), only(now, then.Spine)), Params: late.Params,
	})
	if err != nil {
		return out, err
	}
	out.Later, out.Gone = values[1].number, values[2].number
	out.Arrived = values[0].number - out.Later
	return out, nil
}
