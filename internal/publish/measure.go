package publish

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/store"
)

// measure returns the value that a stage rule is about, and the number of rows.
func (p *plan) measure(ctx context.Context, load store.Load, r Request, c contract.Check, tally *tally) (any, int64, error) {
	engine, ok := load.(store.SQLLoad)
	if !ok {
		return tally.measure(c)
	}
	query, ok := c.Metric(engine.Dialect(), engine.Staged(p.spec.Table))
	if !ok {
		return nil, 0, fault.New(fault.Invalid, "%s cannot say it exactly", engine.Dialect().Name())
	}
	row, err := one(ctx, engine, r.statement(query))
	if err != nil {
		return nil, 0, err
	}
	if c.Kind == contract.KindSQL {
		return row[0], p.out.Evidence.Staged, nil
	}
	var rows int64
	if _, err := fmt.Sscan(fmt.Sprint(row[1]), &rows); err != nil {
		return nil, 0, fault.New(fault.Internal, "the number of rows is %v", row[1])
	}
	return row[0], rows, nil
}

// one returns the single row of a query: nil, bool, or text.
func one(ctx context.Context, load store.SQLLoad, s dialect.Statement) ([]any, error) {
	batches, err := load.Query(ctx, s)
	if err != nil {
		return nil, err
	}
	var row []any
	for batch, err := range batches {
		if err != nil {
			return nil, err
		}
		if batch.NumRows() > 1 || batch.NumRows() == 1 && row != nil {
			return nil, fault.New(fault.Invalid, "the query returned several rows, and one value is wanted")
		}
		for _, column := range batch.Columns() {
			switch truth, isBool := column.(*array.Boolean); {
			case batch.NumRows() == 0:
			case column.IsNull(0):
				row = append(row, nil)
			case isBool:
				row = append(row, truth.Value(0))
			default:
				row = append(row, strings.Clone(column.ValueStr(0)))
			}
		}
	}
	if row == nil {
		return nil, fault.New(fault.Invalid, "the query returned no row, and one value is wanted")
	}
	return row, nil
}

// tally measures the rows on their way where the store has no SQL: their number,
// and a digest of each row's values for rules about duplicates (16 bytes a row).
type tally struct {
	rows    int64
	watched []watched
}

type watched struct {
	check   contract.Check
	digests [][16]byte
}

// newTally watches nothing where the engine can be asked.
func newTally(checks []contract.Check, load store.Load) *tally {
	t := &tally{}
	if _, ok := load.(store.SQLLoad); ok {
		return t
	}
	for _, c := range checks {
		switch c.Kind {
		case contract.KindKey, contract.KindUnique, contract.KindDuplicateValues:
			t.watched = append(t.watched, watched{check: c})
		default:
		}
	}
	return t
}

func (t *tally) add(batch arrow.RecordBatch) {
	t.rows += batch.NumRows()
	for i := range t.watched {
		t.watched[i].add(batch)
	}
}

func (w *watched) add(batch arrow.RecordBatch) {
	columns := make([]arrow.Array, len(w.check.Fields))
	for i, f := range w.check.Fields {
		columns[i] = batch.Column(batch.Schema().FieldIndices(f)[0])
	}
	for row := range int(batch.NumRows()) {
		h := sha256.New()
		aside := false
		for _, c := range columns {
			if c.IsNull(row) {
				aside = aside || w.check.Kind != contract.KindKey
				h.Write([]byte{0})
				continue
			}
			text := c.ValueStr(row)
			h.Write(binary.AppendUvarint([]byte{1}, uint64(len(text))))
			h.Write([]byte(text))
		}
		if !aside {
			w.digests = append(w.digests, [16]byte(h.Sum(nil)))
		}
	}
}

// duplicates counts the rows beyond the first of each value.
func (w *watched) duplicates() int64 {
	slices.SortFunc(w.digests, func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
	return int64(len(w.digests) - len(slices.Compact(slices.Clone(w.digests))))
}

func (t *tally) measure(c contract.Check) (any, int64, error) {
	if c.Kind == contract.KindRowCount {
		return t.rows, t.rows, nil
	}
	for i := range t.watched {
		if t.watched[i].check.Rule == c.Rule {
			return t.watched[i].duplicates(), t.rows, nil
		}
	}
	return nil, 0, fault.New(fault.Invalid, "its store runs no SQL, so that a rule of kind %s cannot be judged there", c.Kind)
}

// separate sends every row whose value another row has to quarantine: nobody can
// tell which of them is right.
func (p *plan) separate(ctx context.Context, load store.Load, c contract.Check) error {
	engine, ok := load.(store.SQLLoad)
	if !ok {
		return fault.New(fault.Invalid, "rule %q: its store runs no SQL, so that single rows cannot be set aside for a value that others have; let it reject or warn", c.Rule)
	}
	d := engine.Dialect()
	fields := d.QuoteAll(c.Fields...)
	among := fmt.Sprintf("(%s) IN (SELECT %s FROM (%s) AS g)", fields, fields, c.Duplicates(d, engine.Staged(p.spec.Table)))
	query := dialect.Statement{SQL: "SELECT " + d.QuoteAll(p.spec.Schema.Names()...) + " FROM " + engine.Staged(p.spec.Table) + " WHERE " + among}
	var found int64
	hit := commit.RuleHits{Rule: c.Rule, Verdict: string(contract.Quarantine), Field: strings.Join(c.Fields, ", ")}
	err := selected(engine, query)(ctx, func(ctx context.Context, batch arrow.RecordBatch) error {
		refused, err := p.duplicates(batch, c)
		if err != nil {
			return err
		}
		defer refused.Release()
		if found == 0 && refused.NumRows() > 0 {
			hit.Value = strings.Clone(refused.Column(3).ValueStr(0))
		}
		found += refused.NumRows()
		return p.setAside(ctx, load, refused)
	})
	if err != nil || found == 0 {
		return err
	}
	gone, err := engine.Discard(ctx, p.spec.Table, among)
	if err != nil {
		return err
	}
	if gone != found {
		return fault.New(fault.Internal, "rule %q: %d rows are set aside and %d removed", c.Rule, found, gone)
	}
	e := &p.out.Evidence
	e.Staged, e.Inserted, e.Quarantined = e.Staged-gone, e.Inserted-gone, e.Quarantined+gone
	hit.Rows = gone
	e.Rules = append(e.Rules, hit)
	slices.SortStableFunc(e.Rules, func(a, b commit.RuleHits) int { return strings.Compare(a.Rule, b.Rule) })
	return p.admit(*e)
}

// duplicates makes quarantine rows of staged rows.
func (p *plan) duplicates(batch arrow.RecordBatch, c contract.Check) (arrow.RecordBatch, error) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, store.QuarantineSchema().Arrow())
	defer b.Release()
	text := func(column int, s string) {
		b.Field(column).(*array.StringBuilder).Append(strings.ToValidUTF8(s, "\uFFFD"))
	}
	for row := range int(batch.NumRows()) {
		original := make(map[string]any, batch.NumCols())
		var values []string
		for i, f := range batch.Schema().Fields() {
			if batch.Column(i).IsNull(row) {
				original[f.Name] = nil
				continue
			}
			original[f.Name] = datatype.ValueText(batch.Column(i), row)
			if slices.Contains(c.Fields, f.Name) {
				values = append(values, datatype.ValueText(batch.Column(i), row))
			}
		}
		object, err := json.Marshal(original)
		if err != nil {
			return nil, fault.New(fault.Internal, "writing a refused row: %w", err)
		}
		text(0, c.Rule)
		text(1, strings.Join(c.Fields, ", "))
		text(2, "other rows of this load have the same value")
		text(3, strings.Join(values, ", "))
		b.Field(4).AppendNull()
		b.Field(5).AppendNull()
		text(6, string(object))
		text(7, p.spec.Contract)
	}
	return b.NewRecordBatch(), nil
}
