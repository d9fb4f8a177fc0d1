package contract

import (
	"fmt"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
)

// The grammars of the package comment as patterns that mean the same to RE2 and
// to PostgreSQL.
const (
	numberPattern = "^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)$"
	wholePattern  = "^[+-]?([0-9]+([.]0*)?|[.]0+)$"
	floatPattern  = "^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?$"
	uuidPattern   = "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$"
	datePattern   = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
	clockPattern  = "([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,6}0*)?)?"
	offsetPattern = "([Zz]|[+-](0[0-9]|1[0-5])(:?[0-5][0-9])?)"
)

// expressText says in SQL how the package reads text as a value.
func (c Check) expressText(e expression, x string) (expression, bool) {
	duck := e.dialect.Name() == dialect.DuckDB.Name()
	switch c.Type.Kind {
	case datatype.String:
		return c.expressString(e, x, duck)
	case datatype.Bool:
		e.fits = fmt.Sprintf("lower(%s) IN ('true','t','yes','y','1','false','f','no','n','0')", x)
		e.value = fmt.Sprintf("CASE WHEN %s THEN lower(%s) IN ('true','t','yes','y','1') END", e.fits, x)
		return e, true
	case datatype.Int16, datatype.Int32, datatype.Int64, datatype.Uint64, datatype.Decimal:
		return c.expressNumber(e, x, duck)
	case datatype.UUID:
		cast, ok := e.dialect.CastTry(x, c.Type)
		if !ok {
			return e, false
		}
		return e.matched(x, uuidPattern, cast)
	default: // the others, below
	}
	if !duck {
		return e, false // PostgreSQL has casts that fail the whole statement, and none that return NULL
	}
	switch c.Type.Kind {
	case datatype.Float32, datatype.Float64:
		cast, ok := e.dialect.CastTry(x, c.Type)
		// A number beyond the range comes back as an infinity; only its words are one.
		e.fits = fmt.Sprintf("(CASE WHEN regexp_matches(%s, '%s') THEN coalesce(isfinite(%s), FALSE) ELSE lower(%s) = 'nan' OR regexp_matches(lower(%s), '^[+-]?inf(inity)?$') END)",
			x, floatPattern, cast, x, x)
		e.value = fmt.Sprintf("CASE WHEN %s THEN %s END", e.fits, cast)
		return e, ok
	case datatype.Date:
		e.fits = existingDay(x, "^"+datePattern+"$", x)
		e.value = fmt.Sprintf("CASE WHEN %s THEN TRY_CAST(%s AS DATE) END", e.fits, x)
		return e, true
	case datatype.Time:
		return e.matched(x, "^"+clockPattern+"$", "TRY_CAST("+clockText(x)+" AS TIME)")
	case datatype.Timestamp:
		e.fits = existingDay(x, "^"+datePattern+"[T ]"+clockPattern+"$", "substr("+x+", 1, 10)")
		e.value = fmt.Sprintf("CASE WHEN %s THEN %s END", e.fits, wallClock(x))
		return e, c.Type.Precision == 0
	case datatype.TimestampTZ:
		return c.expressInstant(e, x)
	default: // the others, below
	}
	return e, false
}

func (e expression) matched(x, shape, cast string) (expression, bool) {
	match, ok := e.dialect.Match(x, shape)
	e.fits = match
	e.value = fmt.Sprintf("CASE WHEN %s THEN %s END", match, cast)
	return e, ok
}

func (c Check) expressString(e expression, x string, duck bool) (expression, bool) {
	if duck {
		e.fits = "NOT contains(" + x + ", chr(0))"
	}
	if c.Type.Length > 0 {
		short := fmt.Sprintf("%s <= %d", e.dialect.Length(x), c.Type.Length)
		if e.fits != "" {
			short = e.fits + " AND " + short
		}
		e.fits = short
	}
	if e.fits != "" {
		e.value = fmt.Sprintf("CASE WHEN %s THEN %s END", e.fits, x)
	}
	return e, true
}

func (c Check) expressNumber(e expression, x string, duck bool) (expression, bool) {
	pattern, t := wholePattern, c.Type
	fine := ""
	if t.Kind == datatype.Decimal {
		if t.Precision == 0 {
			return e, false
		}
		pattern = numberPattern
		match, ok := e.dialect.Match(x, fmt.Sprintf("^[^.]*([.][0-9]{0,%d}0*)?$", t.Scale))
		if !ok {
			return e, false
		}
		fine = " AND " + match
	}
	match, ok := e.dialect.Match(x, pattern)
	if !ok {
		return e, false
	}
	guard := match + fine
	if duck {
		// Leading and trailing zeros say nothing, and long runs of them overflow the engine's reader.
		plain := fmt.Sprintf("regexp_replace(regexp_replace(%s, '^([+-]?)0+([0-9])', '\\1\\2'), '[.]0*$|([.][0-9]*[1-9])0+$', '\\1')", x)
		plain = fmt.Sprintf("regexp_replace(regexp_replace(%s, '^[+]', ''), '^-?$', '0')", plain)
		cast, ok := e.dialect.CastTry(plain, t)
		e.fits = fmt.Sprintf("CASE WHEN %s THEN %s IS NOT NULL ELSE %s IS NULL END", guard, cast, x)
		e.value = fmt.Sprintf("CASE WHEN %s THEN %s END", guard, cast)
		return e, ok
	}
	name, err := e.dialect.TypeName(t)
	scale, least, most := grid(t)
	inside := fmt.Sprintf("(%s)::numeric * 1e%d BETWEEN %s AND %s", x, scale, least, most)
	e.fits = fmt.Sprintf("CASE WHEN %s THEN %s ELSE %s IS NULL END", guard, inside, x)
	e.value = fmt.Sprintf("CASE WHEN %s THEN CASE WHEN %s THEN (%s)::numeric::%s END END", guard, inside, x, name)
	return e, err == nil
}

// existingDay is the condition that text matches, and that its date exists. It
// is NULL only for NULL.
func existingDay(x, pattern, date string) string {
	return fmt.Sprintf("(regexp_matches(%s, '%s') AND %s >= '0001' AND TRY_CAST(%s AS DATE) IS NOT NULL)", x, pattern, x, date)
}

// clockText completes HH:MM, which the engine does not read, with its seconds,
// and leaves zeros finer than microseconds out.
func clockText(clock string) string {
	return fmt.Sprintf("CASE WHEN length(%s) = 5 THEN %s || ':00' ELSE substr(%s, 1, 15) END", clock, clock, clock)
}

// wallClock is the timestamp that text shows, offset aside.
func wallClock(x string) string {
	clock := fmt.Sprintf("regexp_extract(substr(%s, 12), '^%s')", x, clockPattern)
	return fmt.Sprintf("TRY_CAST(substr(%s, 1, 10) || ' ' || (%s) AS TIMESTAMP)", x, clockText(clock))
}

// expressInstant reads text with an offset as a timestamp in UTC, by arithmetic:
// an instant that depends on no setting of the session.
func (c Check) expressInstant(e expression, x string) (expression, bool) {
	offset := offsetPattern
	switch c.Zone {
	case "":
	case "UTC", "Etc/UTC":
		offset += "?"
	default:
		return e, false
	}
	if c.Type.Precision != 0 {
		return e, false
	}
	shape := existingDay(x, "^"+datePattern+"[T ]"+clockPattern+offset+"$", "substr("+x+", 1, 10)")
	east := fmt.Sprintf("regexp_extract(substr(%s, 17), '[+-][0-9:]+$')", x)
	minutes := fmt.Sprintf("CASE WHEN %s = '' THEN 0 ELSE (CASE WHEN %s[1] = '-' THEN -1 ELSE 1 END) * (CAST(substr(%s, 2, 2) AS INTEGER) * 60 + coalesce(TRY_CAST(right(%s, 2) AS INTEGER) * CAST(length(%s) > 3 AS INTEGER), 0)) END",
		east, east, east, east, east)
	utc := fmt.Sprintf("(%s - to_minutes(%s))", wallClock(x), minutes)
	e.fits = fmt.Sprintf("CASE WHEN %s THEN %s >= TIMESTAMP '0001-01-01 00:00:00' AND %s < TIMESTAMP '10000-01-01 00:00:00' ELSE %s IS NULL END", shape, utc, utc, x)
	e.value = fmt.Sprintf("CASE WHEN %s THEN %s END", e.fits, utc)
	e.wall = true
	return e, true
}
