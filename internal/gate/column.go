package gate

import (
	"fmt"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/value"
	"github.com/tidemill/tidemill/internal/kernel"
)

// column is one column of the target on its way through its rules.
type column struct {
	field  contract.Field
	source int // position in the source; -1: every value is null
	from   datatype.Type
	cast   *kernel.Caster
	typed  *rule
	rules  []*rule // the others; required is last, since coerce may make nulls
}

// rule is a check with what it found so far.
type rule struct {
	index   int
	name    string
	field   string
	verdict contract.Verdict
	check   contract.Check
	kernel  *kernel.Check
	failed  kernel.Bits // of the batch at hand
	count   int64
	example *Example
}

func (g *Gate) newRule(name, field string, verdict contract.Verdict) *rule {
	r := &rule{index: len(g.rules), name: name, field: field, verdict: verdict}
	g.rules = append(g.rules, r)
	return r
}

func (g *Gate) newColumn(f contract.Field, checks []contract.Check, outside contract.Outside) (*column, error) {
	c := &column{field: f, source: g.source.Index(f.Name)}
	for _, check := range checks {
		if check.Field != f.Name || check.Scope() != contract.ScopeRow {
			continue
		}
		r := g.newRule(check.Rule, f.Name, check.OnFail)
		r.check = check
		if check.Kind == contract.KindType {
			c.typed = r
			continue
		}
		var err error
		if r.kernel, err = kernel.NewCheck(check, outside); err != nil {
			return nil, fmt.Errorf("rule %q: %w", check.Rule, err)
		}
		c.rules = append(c.rules, r)
	}
	slices.SortStableFunc(c.rules, func(a, b *rule) int { return required(a) - required(b) })
	if c.typed == nil {
		return nil, fault.New(fault.Internal, "the column %q has no rule of its type", f.Name)
	}
	if c.source < 0 {
		return c, nil
	}
	c.from = g.source.Fields[c.source].Type
	zone, err := outside.Location(f.Zone)
	if err != nil {
		return nil, err
	}
	c.cast, err = kernel.NewCaster(c.from, f.Type, zone, f.Format, c.typed.verdict == contract.Coerce)
	return c, err
}

func required(r *rule) int {
	if r.check.Kind == contract.KindRequired {
		return 1
	}
	return 0
}

// judge casts the column and applies its rules. The caller releases the array,
// whose rows that coerce changed, or emptied, are as they go on.
func (c *column) judge(g *Gate, batch arrow.RecordBatch) (arrow.Array, error) {
	n := int(batch.NumRows())
	c.typed.failed.Reset(n)
	var out arrow.Array
	if c.source < 0 {
		out = array.MakeArrayOfNull(g.mem, c.field.Type.Arrow(), n)
	} else {
		var err error
		if out, err = c.cast.Cast(g.mem, batch.Column(c.source), &c.typed.failed, &g.scratch.changed); err != nil {
			return nil, fmt.Errorf("casting column %q: %w", c.field.Name, err)
		}
		if c.typed.verdict == contract.Coerce {
			// What was changed and what became null are both what coerce did.
			c.typed.failed.Add(&g.scratch.changed)
		}
		if kind := c.field.Type.Kind; g.guessed && (c.field.Type.IsNumber() || kind == datatype.Bool) {
			c.lossy(batch.Column(c.source))
		}
	}
	for _, r := range c.rules {
		r.kernel.Failures(out, &r.failed)
		if c.typed.verdict != contract.Coerce {
			// What could not be cast is null here, but not missing: the type rule has it already.
			r.failed.Remove(&c.typed.failed)
		}
		if r.verdict == contract.Coerce && r.failed.Any() {
			mended, err := c.mend(g, out, r)
			out.Release()
			if err != nil {
				return nil, err
			}
			out = mended
		}
	}
	return out, nil
}

// lossy fails texts that a number or a boolean would not keep as they are: nobody has said that these are such.
func (c *column) lossy(in arrow.Array) {
	texts, ok := in.(*array.String)
	if !ok {
		return
	}
	for i := range texts.Len() {
		if texts.IsValid(i) && c.loses(texts.Value(i)) != "" {
			c.typed.failed.Set(i)
		}
	}
}

// loses says what of a text the column's numbers or booleans would not keep.
func (c *column) loses(text string) string {
	kind := c.field.Type.Kind
	switch {
	case kind == datatype.Bool && value.TrueOrFalse(text):
	case kind == datatype.Bool:
		return "is neither true nor false, as in the other rows"
	case value.Padded(text):
		return "has a zero or a plus in front, which a number would lose"
	case kind == datatype.Float64 && value.Rounded(text, 64), kind == datatype.Float32 && value.Rounded(text, 32):
		return "has more digits than a " + c.field.Type.String() + " keeps"
	}
	return ""
}

// mend replaces the values that fail a rule with the verdict coerce: too long a
// text is cut, everything else becomes null.
func (c *column) mend(g *Gate, in arrow.Array, r *rule) (arrow.Array, error) {
	texts, isText := in.(*array.String)
	most := r.check.MaxLength
	if r.check.Kind != contract.KindLength || !isText || most == nil {
		return kernel.Null(g.mem, in, &r.failed), nil
	}
	least := int64(0)
	if r.check.MinLength != nil {
		least = *r.check.MinLength
	}
	b := array.NewStringBuilder(g.mem)
	defer b.Release()
	b.Reserve(texts.Len())
	for i := range texts.Len() {
		switch {
		case texts.IsNull(i):
			b.AppendNull()
		case !r.failed.Has(i):
			b.Append(texts.Value(i))
		default:
			cut := value.Cut(texts.Value(i), int(*most))
			if int64(len([]rune(cut))) < least {
				b.AppendNull()
				continue
			}
			b.Append(cut)
		}
	}
	return b.NewArray(), nil
}

// window is the rule of rows outside the window.
type window struct {
	*rule
	column int
	zone   *time.Location
	start  time.Time
	end    time.Time
}

func (g *Gate) newWindow(w Window, t *contract.Table, outside contract.Outside) error {
	at := g.target.Index(w.Column)
	if at < 0 {
		return fault.New(fault.Invalid, "the window is on the column %q, which the table has not", w.Column)
	}
	f := g.target.Fields[at]
	switch f.Type.Kind {
	case datatype.Date, datatype.Timestamp, datatype.TimestampTZ:
	default:
		return fault.New(fault.Invalid, "the window is on the column %q, which is a %s", w.Column, f.Type)
	}
	if w.OnFail == contract.Pass && t != nil {
		w.OnFail = t.OnFail
	}
	switch w.OnFail {
	case contract.Pass, contract.Coerce:
		w.OnFail = contract.Reject // a row cannot be moved into the window
	case contract.Reject, contract.Quarantine, contract.Drop, contract.Warn:
	default:
		return fault.New(fault.Invalid, "rows outside the window cannot have the verdict %q", w.OnFail)
	}
	zone := w.Zone
	if named, err := outside.Location(g.columns[at].field.Zone); err != nil {
		return err
	} else if named != nil {
		zone = named
	}
	if zone == nil {
		zone = time.UTC
	}
	g.window = &window{rule: g.newRule(WindowRule, w.Column, w.OnFail), column: at, zone: zone, start: w.Start, end: w.End}
	return nil
}

// judge fills the set of rows outside the window. Rows that left before stay out of it.
func (w *window) judge(in arrow.Array, gone *kernel.Bits) {
	w.failed.Reset(in.Len())
	for i := range in.Len() {
		if gone.Has(i) {
			continue
		}
		if at, ok := w.at(in, i); !ok || at.Before(w.start) || !at.Before(w.end) {
			w.failed.Set(i)
		}
	}
}

// at returns the instant of a row.
func (w *window) at(in arrow.Array, i int) (time.Time, bool) {
	if in.IsNull(i) {
		return time.Time{}, false
	}
	wall := int64(0)
	switch a := in.(type) {
	case *array.Timestamp:
		t := a.DataType().(*arrow.TimestampType)
		at := a.Value(i).ToTime(t.Unit)
		if t.TimeZone != "" {
			return at, true
		}
		seconds, _ := value.ToInstant(at.Unix(), w.zone)
		return time.Unix(seconds, int64(at.Nanosecond())), true
	case *array.Date32:
		wall = int64(a.Value(i)) * 24 * 60 * 60
	}
	seconds, _ := value.ToInstant(wall, w.zone)
	return time.Unix(seconds, 0), true
}

func (w *window) reason(in arrow.Array, i int) string {
	at, ok := w.at(in, i)
	if !ok {
		return fmt.Sprintf("no time, so not in the window %s", w.words())
	}
	return fmt.Sprintf("%s is not in the window %s", at.UTC().Format(time.RFC3339Nano), w.words())
}

func (w *window) words() string {
	return w.start.UTC().Format(time.RFC3339) + " to " + w.end.UTC().Format(time.RFC3339)
}

// counted is a check that counts single values, judged when all rows were seen.
type counted struct {
	check   contract.Check
	column  int
	singles []*kernel.Check
	failed  kernel.Bits
	some    kernel.Bits
	count   int64
}

// add counts the rows of the batch that pass on.
func (c *counted) add(in arrow.Array, gone *kernel.Bits) {
	c.failed.Reset(in.Len())
	for _, k := range c.singles {
		k.Failures(in, &c.some)
		c.failed.Add(&c.some)
	}
	c.count += int64(c.failed.CountWithout(gone))
}
