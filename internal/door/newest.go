package door

import (
	"context"
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/store"
)

// newest reads the newest value of a column. A table that is not there yet has none.
func (d *Door) newest(ctx context.Context, in Column) (Newest, error) {
	s, _, err := d.open(ctx, in.Bundle, in.Table.Store)
	if err != nil {
		return Newest{}, err
	}
	q, ok := s.(store.Queryer)
	if !ok {
		return Newest{}, fault.New(fault.Invalid, "the store %s answers no query", in.Table.Store)
	}
	if there, err := exists(ctx, q, in.Table); err != nil || !there {
		return Newest{}, err
	}
	zone, err := time.LoadLocation(in.Zone)
	if err != nil {
		return Newest{}, fault.New(fault.Invalid, "zone %q: %w", in.Zone, err)
	}
	_, batches, err := q.Query(ctx, dialect.Statement{
		SQL: fmt.Sprintf("SELECT max(%s) FROM %s", q.Dialect().Quote(in.Column), q.Dialect().Table(in.Table.Schema, in.Table.Name)),
	})
	if err != nil {
		return Newest{}, err
	}
	var out Newest
	for batch, err := range batches {
		if err != nil {
			return out, err
		}
		if batch.NumRows() > 0 && batch.Column(0).IsValid(0) {
			if out.At, err = instant(batch.Column(0), zone); err != nil {
				return out, err
			}
		}
	}
	return out, nil
}

// instant is the first value of a column of times; zone is that of wall clocks and dates.
func instant(column arrow.Array, zone *time.Location) (time.Time, error) {
	var wall time.Time
	switch c := column.(type) {
	case *array.Timestamp:
		kind := c.DataType().(*arrow.TimestampType)
		wall = c.Value(0).ToTime(kind.Unit).UTC()
		if kind.TimeZone != "" {
			return wall, nil
		}
	case *array.Date32:
		wall = c.Value(0).ToTime()
	default:
		return time.Time{}, fault.New(fault.Invalid, "%s is no type of times", column.DataType())
	}
	return time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), wall.Nanosecond(), zone).UTC(), nil
}
