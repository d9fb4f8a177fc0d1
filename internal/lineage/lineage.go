// Package lineage finds the tables that SQL texts read, by reading the texts.
//
// A Parser does the reading; Cache asks it only about texts that it has not seen,
// in this process or an earlier one. An answer depends on the text alone, so that
// a cached one is as good as a new one.
package lineage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"

	"github.com/tidemill/tidemill/internal/core/project"
)

// Parser reads texts of SQL. The answers are in the order of the texts; an error
// means that nothing could be asked.
type Parser interface {
	Tables(ctx context.Context, texts []string) ([]project.Lineage, error)
}

// version is part of every key: another parser may answer otherwise.
const version = "duckdb 1.5 / 2"

// Cache remembers the answers of a parser.
type Cache struct {
	parser Parser
	path   string // of the file that outlives the process; empty: none

	mu    sync.Mutex
	known map[string]project.Lineage
}

// NewCache returns a cache in front of a parser. What the file holds that cannot
// be read is asked again.
func NewCache(p Parser, path string) *Cache {
	c := &Cache{parser: p, path: path, known: map[string]project.Lineage{}}
	if b, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(b, &c.known) // a broken file is an empty one
		if c.known == nil {
			c.known = map[string]project.Lineage{}
		}
	}
	return c
}

func key(text string) string {
	sum := sha256.Sum256([]byte(version + "\n" + text))
	return hex.EncodeToString(sum[:16])
}

// Tables answers from memory where it can.
func (c *Cache) Tables(ctx context.Context, texts []string) ([]project.Lineage, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var unknown []string
	asked := map[string]bool{}
	for _, t := range texts {
		if k := key(t); !asked[k] {
			if _, ok := c.known[k]; !ok {
				unknown = append(unknown, t)
			}
			asked[k] = true
		}
	}
	if len(unknown) > 0 {
		found, err := c.parser.Tables(ctx, unknown)
		if err != nil {
			return nil, err
		}
		for i, t := range unknown {
			if found[i].Fault == nil || found[i].Fault.Kind != project.FaultParser {
				c.known[key(t)] = found[i]
			}
		}
		c.save()
	}
	out := make([]project.Lineage, len(texts))
	for i, t := range texts {
		known, ok := c.known[key(t)]
		if !ok {
			known = project.Lineage{Fault: &project.LineageFault{Kind: project.FaultParser, Message: "the parser gave no answer", Offset: -1}}
		}
		out[i] = known
	}
	return out, nil
}

// save writes the file whole. A cache that cannot be kept costs time and nothing else.
func (c *Cache) save() {
	if c.path == "" {
		return
	}
	b, err := json.Marshal(c.known)
	if err != nil || os.MkdirAll(filepath.Dir(c.path), 0o700) != nil {
		return
	}
	file, err := os.CreateTemp(filepath.Dir(c.path), ".lineage-")
	if err != nil {
		return
	}
	_, err = file.Write(b)
	if e := file.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(file.Name(), c.path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
}
