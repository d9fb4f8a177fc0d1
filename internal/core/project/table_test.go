package project_test

import (
	"encoding/json"
	"testing"

	"github.com/tidemill/tidemill/internal/core/project"
)

func TestATableNameNamesStoreSchemaAndName(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]project.Table{
		"raw.flights":           {Store: "warehouse", Schema: "raw", Name: "flights"},
		"warehouse:raw.flights": {Store: "warehouse", Schema: "raw", Name: "flights"},
		"pg:public.Orders":      {Store: "pg", Schema: "public", Name: "Orders"},
	} {
		got, err := project.ParseTable(text)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "flights", "a.b.c", ":a.b", "P:a.b", "a b.c", "a.", ".b", "a.b;drop", `"a".b`} {
		if got, err := project.ParseTable(text); err == nil {
			t.Errorf("%q is taken for the table %+v", text, got)
		}
	}
}

func TestATableIsATextInJSON(t *testing.T) {
	t.Parallel()
	in := map[project.Table]project.Write{
		{Store: "pg", Schema: "a", Name: "b"}: {Table: project.Table{Store: "warehouse", Schema: "c", Name: "d"}},
	}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out map[project.Table]project.Write
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	if out[project.Table{Store: "pg", Schema: "a", Name: "b"}].Table.String() != "c.d" {
		t.Errorf("%s became %+v", b, out)
	}
}
