// Package settings tells the settings of a task: each one's value, where it was
// decided, and how a contract spells it.
//
// It shows the task as the project resolved it, so nothing is told that does not
// hold, and nothing that holds is left out.
package settings

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
)

// Setting is one setting of a task.
type Setting struct {
	Name     string
	Value    string
	From     string // the place, with the level where the setting has one; or default
	Contract string // the same setting's spelling in a contract; empty where it has none
}

// spellings are the settings that a contract may decide, as it writes them.
var spellings = map[string]string{
	"keys": "primaryKey", "event_time": "tidemill.eventTime", "known_at": "tidemill.knownAt",
	"available_after": "tidemill.availableAfter", "feature": "tidemill.feature",
}

// durations are the settings that are kept as nanoseconds.
var durations = []string{"timeout", "backoff", "lookback", "available_after", "move.missing.wait"}

// aside is what a task holds beside its settings.
var aside = []string{"name", "place", "origins", "digest"}

// Of returns the settings of a task, in the order of their names.
func Of(t *project.Task) ([]Setting, error) {
	b, err := json.Marshal(t)
	if err != nil {
		return nil, fault.New(fault.Internal, "settings of %s: %w", t.Name, err)
	}
	var all map[string]any
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fault.New(fault.Internal, "settings of %s: %w", t.Name, err)
	}
	for _, key := range aside {
		delete(all, key)
	}
	w := walk{task: t}
	w.mapping("", all, t.Place)
	return w.out, nil
}

// walk collects settings.
type walk struct {
	task *project.Task
	out  []Setting
}

func (w *walk) mapping(path string, m map[string]any, at problem.Place) {
	if own, ok := m["place"].(map[string]any); ok {
		at = placeOf(own)
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if key != "place" {
			w.value(strings.TrimPrefix(path+"."+key, "."), key, m[key], at)
		}
	}
}

func (w *walk) value(path, key string, v any, at problem.Place) {
	switch v := v.(type) {
	case map[string]any:
		w.mapping(path, v, at)
		return
	case []any:
		if len(v) > 0 && isMapping(v[0]) {
			for i, one := range v {
				name := path
				if len(v) > 1 {
					name = fmt.Sprintf("%s[%d]", path, i)
				}
				w.mapping(name, one.(map[string]any), at)
			}
			return
		}
	}
	s := Setting{Name: path, Value: text(path, key, v), From: at.String()}
	if o, ok := w.task.Origins[key]; ok {
		s.From = strings.TrimSpace(o.Level + " " + o.Place.String())
	}
	s.Contract = spellings[key]
	w.out = append(w.out, s)
}

func isMapping(v any) bool {
	_, ok := v.(map[string]any)
	return ok
}

func placeOf(m map[string]any) problem.Place {
	number := func(key string) int {
		n, _ := m[key].(float64)
		return int(n)
	}
	file, _ := m["file"].(string)
	return problem.Place{File: file, Line: number("line"), Column: number("column")}
}

// longest is how much of a text is shown; a SELECT is read in its own file.
const longest = 70

// text writes a value on one line; durations as people write them.
func text(path, key string, v any) string {
	switch v := v.(type) {
	case float64:
		if slices.Contains(durations, key) || slices.Contains(durations, path) {
			return time.Duration(v).String()
		}
		return fmt.Sprint(v)
	case string:
		line := []rune(strings.Join(strings.Fields(v), " "))
		if len(line) > longest {
			return string(line[:longest]) + "…"
		}
		return string(line)
	case []any:
		words := make([]string, len(v))
		for i, one := range v {
			words[i] = text(path, key, one)
		}
		return strings.Join(words, ", ")
	}
	return fmt.Sprint(v)
}
