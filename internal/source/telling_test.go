package source_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// Every example of the page about telling people is read without a complaint.
func TestTheGuidesChannelsAreReadWithoutComplaint(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "telling.md"))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		text := block[1]
		if !strings.HasPrefix(text, "project:") {
			text = "project: p\n" + text
		}
		for _, kind := range regexp.MustCompile(`kind: (\w+)`).FindAllStringSubmatch(text, -1) {
			kinds[kind[1]] = true
		}
		a := &txtar.Archive{Files: []txtar.File{{Name: "tidemill.yaml", Data: []byte(text)}}}
		if r := read(t, unpack(t, a), ""); len(r.Problems) > 0 {
			t.Errorf("%v in:\n%s", r.Problems, text)
		}
	}
	for _, kind := range []string{"webhook", "alertmanager", "slack", "pagerduty", "opsgenie", "email"} {
		if !kinds[kind] {
			t.Errorf("the page shows no channel of the kind %s", kind)
		}
	}
}
