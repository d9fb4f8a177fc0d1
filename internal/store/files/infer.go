package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/format"
)

// How much of the files decides the types of their columns.
const (
	sampledRows  = 20_000
	sampledFiles = 50
	leastRows    = sampledRows / sampledFiles
)

// infer reads the beginning of the files, or of some that are spread over all of
// them, and says what types their values have.
func (s *Store) infer(ctx context.Context, names []string, f project.Format) (datatype.Schema, int64, error) {
	var sample format.Sample
	n := min(len(names), sampledFiles)
	for i := range n {
		if err := context.Cause(ctx); err != nil {
			return datatype.Schema{}, 0, fmt.Errorf("looking for types: %w", err)
		}
		// The first and the last are among them.
		name := names[0]
		if n > 1 {
			name = names[i*(len(names)-1)/(n-1)]
		}
		if err := s.look(&sample, name, f, max(leastRows, sampledRows/n)); err != nil {
			return datatype.Schema{}, 0, err
		}
	}
	return sample.Schema(), sample.Rows(), nil
}

func (s *Store) look(sample *format.Sample, name string, f project.Format, rows int) (err error) {
	if f, err = format.Guess(name, f); err != nil || f.Kind == format.Parquet {
		return err // a Parquet file among those of text is refused where it is read
	}
	file, err := s.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it went away, and the reading will say so
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return sample.Add(file, name, f, rows)
}
