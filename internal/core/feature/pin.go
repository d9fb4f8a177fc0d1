package feature

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/project"
)

// Plain turns a JSON default into a value that can be bound.
func Plain(raw json.RawMessage) any {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return nil
	}
	if f, ok := v.(float64); ok {
		if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
			return n
		}
		return f
	}
	return v
}

// Pin freezes a training set: what was asked, of which commits, and a digest of
// every column of the answer. It never expires while a model refers to it.
type Pin struct {
	ID        string                  `json:"id"`
	Set       project.FeatureSet      `json:"set"`
	SetDigest string                  `json:"set_digest"`
	SQL       string                  `json:"sql"` // as it was rendered, to be read by people
	Params    map[string]any          `json:"params,omitempty"`
	Until     time.Time               `json:"until,omitzero"`
	Strict    bool                    `json:"strict,omitempty"`
	Tables    []PinnedTable           `json:"tables"`
	Spine     string                  `json:"spine"`        // name of the kept rows: keys, instant, label
	SpineSum  string                  `json:"spine_digest"` // of these rows
	Columns   Columns                 `json:"columns"`
	Rows      int64                   `json:"rows"`
	Digests   map[string]ColumnDigest `json:"digests"`
	Engine    string                  `json:"engine"`
	Run       string                  `json:"run"`
	Task      string                  `json:"task"`
	Attempt   int                     `json:"attempt"`
	Made      time.Time               `json:"made"`
}

// PinnedTable is a feature table as of a commit.
type PinnedTable struct {
	Table     project.Table `json:"table"`
	Keys      []string      `json:"keys"`
	EventTime string        `json:"event_time"`
	Seq       int64         `json:"seq"`
}

// ColumnDigest is a digest of one column that does not depend on the order of rows.
type ColumnDigest struct {
	Sum   string `json:"sum"`
	Nulls int64  `json:"nulls"`
}

// Vector returns the pinned tables as a join needs them.
func (p Pin) Vector() map[project.Table]Table {
	out := map[project.Table]Table{}
	for _, t := range p.Tables {
		out[t.Table] = Table{Keys: t.Keys, EventTime: t.EventTime, Seq: t.Seq}
	}
	return out
}

// DigestOf is the identity of a value: sha256 over its JSON.
func DigestOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil { // only values that the core itself defines are digested
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Digest returns the statement that digests every column of a relation: rows,
// then per column the digest and the number of NULLs. A value is taken together
// with its row's key and instant, so that two values that change places change
// the digest. A float is digested by its shortest exact text.
func Digest(d dialect.Dialect, relation string, identity, columns []string) dialect.Statement {
	q := d.Quote
	id := make([]string, len(identity))
	for i, c := range identity {
		id[i] = "coalesce(" + q(c) + "::VARCHAR, chr(0))"
	}
	var parts []string
	for _, c := range columns {
		// A sum, not an exclusive or: two equal rows must not cancel out. 2^63 rows
		// of 64 bits fit.
		parts = append(parts,
			"coalesce(sum(md5_number_lower(__id || coalesce("+q(c)+"::VARCHAR, chr(0)))::HUGEINT), 0)::VARCHAR",
			"count(*) FILTER ("+q(c)+" IS NULL)",
		)
	}
	rows := "(SELECT *, md5(" + strings.Join(id, " || chr(31) || ") + ") AS __id FROM " + relation + ")"
	return dialect.Statement{SQL: "SELECT count(*), " + strings.Join(parts, ", ") + " FROM " + rows}
}

// Difference is how one column of a rebuilt set differs from its pin.
type Difference struct {
	Column string `json:"column"`
	Was    string `json:"was"`
	Is     string `json:"is"`
}

// Compare lists the columns whose digests differ, in the order of the names.
func Compare(was, is map[string]ColumnDigest) []Difference {
	var out []Difference
	for name, digest := range was {
		if other, ok := is[name]; !ok || other != digest {
			out = append(out, Difference{Column: name, Was: digest.Sum, Is: other.Sum})
		}
	}
	for name, digest := range is {
		if _, ok := was[name]; !ok {
			out = append(out, Difference{Column: name, Is: digest.Sum})
		}
	}
	slices.SortFunc(out, func(a, b Difference) int { return strings.Compare(a.Column, b.Column) })
	return out
}
