package source_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tidemill/tidemill/internal/source"
)

func compileSchema(t *testing.T, kind string) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(source.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(source.SchemaID, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(source.SchemaID + "#/$defs/" + kind)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestThePublishedSchemaTakesTheFlightsExample(t *testing.T) {
	t.Parallel()
	const root = "../../examples/flights/"
	for pattern, kind := range map[string]string{
		"tidemill.yaml": "tidemill", "pipelines/*/pipeline.yaml": "pipeline", "pipelines/*/*.yaml": "task",
		"features/*.yaml": "feature_set", "tests/*/*.yaml": "test",
	} {
		schema := compileSchema(t, kind)
		files, err := filepath.Glob(root + pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, name := range files {
			if kind == "task" && strings.HasSuffix(name, "pipeline.yaml") {
				continue
			}
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			asJSON, err := yaml.YAMLToJSON(text)
			if err != nil {
				t.Fatal(err)
			}
			instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(instance); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestThePublishedSchemaRefusesUnknownKeys(t *testing.T) {
	t.Parallel()
	schema := compileSchema(t, "pipeline")
	instance, err := jsonschema.UnmarshalJSON(strings.NewReader(`{"shedule": {"cron": "@daily"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if schema.Validate(instance) == nil {
		t.Error("a misspelt key was taken")
	}
}

func TestTheReferenceNamesEveryKeyOfTheSchema(t *testing.T) {
	t.Parallel()
	page := string(source.Reference())
	for _, key := range []string{"`project`", "`stores.NAME.kind`", "`schedule.window.shift`", "`move.format.csv.nulls`", "`features[].ttl`", "`feature.keys`", "`promote`"} {
		if !strings.Contains(page, "| "+key+" |") {
			t.Errorf("the page lacks %s", key)
		}
	}
	if strings.Contains(page, "||") || strings.Contains(page, "|  |  |  |") {
		t.Error("a row without words")
	}
}
