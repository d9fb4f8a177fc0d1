package files_test

import (
	"context"
	"testing"

	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
	"github.com/tidemill/tidemill/internal/store/files"
	"github.com/tidemill/tidemill/internal/store/storetest"
)

type opened struct{ *files.Store }

func (o opened) Table(ctx context.Context, table project.Table) (store.Batches, error) {
	reading, err := o.Read(ctx, store.Request{Table: table})
	if err != nil {
		return nil, err
	}
	return reading.Batches, nil
}

var harness = storetest.Harness{
	Open: func(_ context.Context, place string) (storetest.Opened, error) {
		s, err := files.Open(place)
		return opened{s}, err
	},
	Modes:    files.Capabilities().Modes,
	NUL:      true,
	OneTable: true,
}

func TestAFolderIsAStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, harness)
}
