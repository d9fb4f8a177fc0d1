package task

import (
	"context"
	"errors"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/move"
	"github.com/tidemill/tidemill/internal/publish"
	"github.com/tidemill/tidemill/internal/store"
)

// lookAgain is how long a move that waits for its source rests between looks.
const lookAgain = 30 * time.Second

// move copies rows from a source through the gate into the task's table.
func (a *attempt) move(ctx context.Context) error {
	write := a.task.Writes[0]
	reading, err := a.read(ctx, write)
	switch {
	case errors.Is(err, store.ErrAbsent):
		if reading, err = a.absent(write, err); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	source := publish.From(reading)
	source.Feed = func(ctx context.Context, sink func(context.Context, arrow.RecordBatch) error) error {
		_, err := move.Copy(ctx, reading.Batches, sink, 0, nil)
		return err
	}
	return a.publish(ctx, []publish.Table{{Write: write, Source: source}})
}

// read opens the source.
func (a *attempt) read(ctx context.Context, write project.Write) (*store.Reading, error) {
	m := a.task.Move
	s, err := a.Stores.Open(ctx, a.code.Project, m.FromStore)
	if err != nil {
		return nil, err
	}
	source, ok := s.(store.Source)
	if !ok {
		return nil, fault.New(fault.Invalid, "nothing can be read from the store %s", m.FromStore)
	}
	request := store.Request{Format: m.Format}
	switch {
	case m.Query != "":
		request.Query = dialect.Statement{SQL: m.Query, Params: a.bound()}
	case !m.FromTable.IsZero():
		request.Table = m.FromTable
	default:
		if request.Files, err = a.files(m); err != nil {
			return nil, err
		}
		a.log.note("reading %s:%s", m.FromStore, store.Words(request.Files))
	}
	c := a.code.Contract(write.Table)
	request.Infer = c == nil
	if c != nil {
		request.Only = c.ExtraColumns == contract.ExtraIgnore
		for _, f := range c.Fields {
			request.Columns = append(request.Columns, f.Name)
		}
	}
	reading, err := source.Read(ctx, request)
	if errors.Is(err, store.ErrAbsent) && len(request.Files) > 0 { // a store does not know its name
		err = fault.New(fault.NotFound, "%s:%w", m.FromStore, err)
	}
	if err == nil && len(reading.Inferred.Fields) > 0 {
		a.log.note("no contract says the types of %s: each is that of its column in the table, or else what %d rows show", write.Table, reading.Sampled)
	}
	return reading, err
}

// absent decides what a source that is not there means.
func (a *attempt) absent(write project.Write, missing error) (*store.Reading, error) {
	m := a.task.Move.Missing
	switch m.Policy {
	case "empty":
		c := a.code.Contract(write.Table)
		if c == nil {
			return nil, fault.New(fault.Invalid, "missing: empty needs a contract of %s, which says what an empty load looks like", write.Table)
		}
		a.log.note("the source is not there, and counts as empty: %v", missing)
		return &store.Reading{Schema: c.Schema(), Stable: true, Batches: func(func(arrow.RecordBatch, error) bool) {}}, nil
	case "wait":
		from := a.grant.Due
		if from.IsZero() {
			from = a.grant.Window.End
		}
		now := time.Now()
		if limit := from.Add(m.Wait); now.Before(limit) {
			until := now.Add(lookAgain)
			if until.After(limit) {
				until = limit
			}
			return nil, &deferred{until, missing.Error() + "; looks again until " + limit.In(a.zone).Format("2006-01-02 15:04")}
		}
		return nil, fault.New(fault.NotFound, "%w; it was to come until %s, %s after its time", missing, from.Add(m.Wait).In(a.zone).Format("2006-01-02 15:04"), calendar.FormatDuration(m.Wait))
	}
	return nil, missing
}
