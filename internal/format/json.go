package format

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
)

type recordBatch = arrow.RecordBatch

const (
	sampleLines = 1000     // lines that decide which columns there are
	maxLine     = 64 << 20 // bytes of one line
)

// ReadJSON reads one file of JSON objects, one per line. The columns are the
// keys of the first lines and those that are wanted; a key that appears only
// later is refused, because its values would be lost, unless only what is wanted
// is asked for. Texts are delivered
// without quotes; numbers, objects and lists as they are written; null as NULL.
func ReadJSON(r io.Reader, file string, f project.Format, want []string, only bool) (datatype.Schema, Batches, error) {
	j, err := openJSON(r, file, f)
	if err != nil {
		return datatype.Schema{}, nil, err
	}
	j.only = only
	var sample []jsonLine
	names := []string{}
	for range sampleLines {
		line, err := j.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return datatype.Schema{}, nil, err
		}
		for _, key := range line.keys {
			if !slices.Contains(names, key) && (!only || slices.Contains(want, key)) {
				names = append(names, key)
			}
		}
		sample = append(sample, line)
	}
	for _, n := range want {
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	for _, n := range names {
		if datatype.Hidden(n) {
			return datatype.Schema{}, nil, fault.New(fault.Refused, "%s: a key is named %q, which Tidemill uses itself", file, n)
		}
	}
	return datatype.Text(names...), j.batches(names, sample), nil
}

func openJSON(r io.Reader, file string, f project.Format) (*jsonReader, error) {
	plain, err := decompress(r, f.Compression)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	buffered := bufio.NewReaderSize(plain, headBytes)
	return &jsonReader{lines: buffered, plain: plain, file: file}, skipBOM(buffered, file)
}

type jsonReader struct {
	only  bool // keys that no column has are left out
	lines *bufio.Reader
	plain io.Closer
	file  string
	line  int64
}

// jsonLine is one object: keys in the order of the text, with the raw values.
type jsonLine struct {
	number int64
	keys   []string
	values []json.RawMessage
}

// next reads the next line that is not blank.
func (j *jsonReader) next() (jsonLine, error) {
	for {
		text, err := j.readLine()
		if err != nil {
			return jsonLine{}, err
		}
		j.line++
		if text = bytes.TrimSpace(text); len(text) > 0 {
			return j.parse(text)
		}
	}
}

func (j *jsonReader) readLine() ([]byte, error) {
	var text []byte
	for {
		part, err := j.lines.ReadSlice('\n')
		text = append(text, part...)
		switch {
		case err == nil:
			return text, nil
		case errors.Is(err, io.EOF) && len(text) > 0:
			return text, nil
		case errors.Is(err, io.EOF):
			return nil, io.EOF
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fault.New(fault.Refused, "%s:%d: %w", j.file, j.line+1, err)
		case len(text) > maxLine:
			return nil, fault.New(fault.Refused, "%s:%d: the line is longer than %d MiB; is it really one object per line?", j.file, j.line+1, maxLine>>20)
		}
	}
}

func (j *jsonReader) parse(text []byte) (jsonLine, error) {
	fail := func(what string, args ...any) (jsonLine, error) {
		return jsonLine{}, fault.New(fault.Refused, "%s:%d: %s", j.file, j.line, fmt.Sprintf(what, args...))
	}
	if !utf8.Valid(text) {
		return fail("the line is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fail("the line is no JSON object")
	}
	out := jsonLine{number: j.line}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return fail("the line is not JSON: %v", err)
		}
		key, ok := t.(string)
		if !ok {
			return fail("a key is no text")
		}
		if slices.Contains(out.keys, key) {
			return fail("the key %q is given twice", key)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return fail("the value of %q is not JSON: %v", key, err)
		}
		out.keys, out.values = append(out.keys, key), append(out.values, value)
	}
	if _, err := d.Token(); err != nil {
		return fail("the object is not closed")
	}
	if d.More() {
		return fail("more than one value on the line")
	}
	return out, nil
}

func (j *jsonReader) batches(names []string, sample []jsonLine) Batches {
	return func(yield func(recordBatch, error) bool) {
		defer func() { _ = j.plain.Close() }()
		t := newTextBatch(names)
		defer t.release()
		flush := func() bool {
			batch := t.take()
			defer batch.Release()
			return yield(batch, nil)
		}
		for n := 0; ; n++ {
			var line jsonLine
			var err error
			if n < len(sample) {
				line = sample[n]
			} else if line, err = j.next(); errors.Is(err, io.EOF) {
				break
			}
			if err == nil {
				err = j.append(t, names, line)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if t.full() && !flush() {
				return
			}
		}
		if t.rows > 0 {
			flush()
		}
	}
}

func (j *jsonReader) append(t *textBatch, names []string, line jsonLine) error {
	for _, key := range line.keys {
		if !j.only && !slices.Contains(names, key) {
			return fault.New(fault.Refused, "%s:%d: the key %q appears here for the first time, after %d lines without it; name it in the contract", j.file, line.number, key, sampleLines)
		}
	}
	for c, name := range names {
		i := slices.Index(line.keys, name)
		if i < 0 || string(line.values[i]) == "null" {
			t.columns[c].AppendNull()
			continue
		}
		text, err := j.text(line, i)
		if err != nil {
			return err
		}
		t.columns[c].Append(text)
		t.bytes += len(text)
	}
	t.end(j.file, line.number)
	return nil
}

// text is a value as it is delivered: a text without its quotes, anything else as it is written.
func (j *jsonReader) text(line jsonLine, i int) (string, error) {
	text := string(line.values[i])
	if text[0] == '"' {
		if err := json.Unmarshal(line.values[i], &text); err != nil {
			return "", fault.New(fault.Refused, "%s:%d: the value of %q is not JSON: %v", j.file, line.number, line.keys[i], err)
		}
	}
	return text, nil
}
