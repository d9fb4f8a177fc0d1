package secret_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/secret"
)

const canary = `p'a ss"w%rd+`

func TestASecretCannotBePrinted(t *testing.T) {
	t.Parallel()
	v := secret.New(canary)
	wrapped := struct{ V secret.Value }{v}
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v, "w", wrapped)
	j, err := json.Marshal(wrapped)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprint(v), fmt.Sprintf("%s %v %+v %#v %q %x", v, v, v, v, v, v), fmt.Sprintf("%+v %#v", wrapped, wrapped), b.String(), string(j)} {
		if strings.Contains(text, "ss") && strings.Contains(text, "w%rd") || strings.Contains(text, fmt.Sprintf("%x", canary)) {
			t.Errorf("printed: %s", text)
		}
	}
	if v.Reveal() != canary {
		t.Error("lost")
	}
}

func TestReferences(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(file, []byte("from a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TIDEMILL_TEST_SECRET", "from the environment")
	for ref, want := range map[string]string{"env:TIDEMILL_TEST_SECRET": "from the environment", "file:" + file: "from a file", "file:dsn": "from a file"} {
		if v, err := secret.Resolve(filepath.Dir(file), ref); err != nil || v.Reveal() != want {
			t.Errorf("%s: %q, %v", ref, v.Reveal(), err)
		}
	}
	for _, ref := range []string{"", "plain", "env:", "env:TIDEMILL_NOT_SET", "file:/nowhere/at/all", "vault:x"} {
		if _, err := secret.Resolve(filepath.Dir(file), ref); err == nil {
			t.Errorf("%q resolves", ref)
		}
	}
}

func TestTheMaskerKnowsEveryCommonForm(t *testing.T) {
	t.Parallel()
	forms := map[string]string{
		"raw": canary, "URL": url.QueryEscape(canary), "path": url.PathEscape(canary),
		"JSON": string(must(json.Marshal(canary))), "shell": "'" + strings.ReplaceAll(canary, "'", `'\''`) + "'",
		"Python's quote": strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(canary), "%2F", "/"), "+", "%20"),
		"Python's JSON":  pythonJSON(canary),
		"base64":         base64.StdEncoding.EncodeToString([]byte(canary)), "base64, 1": base64.StdEncoding.EncodeToString([]byte("x" + canary + "yz")),
		"base64, 2": base64.URLEncoding.EncodeToString([]byte("xy" + canary + "z")),
	}
	for name, form := range forms {
		text := "before " + form + " after\n"
		for size := 1; size <= len(text); size++ {
			var m secret.Masker
			m.Add(secret.New(canary))
			var out []byte
			for i := 0; i < len(text); i += size {
				out = append(out, m.Write([]byte(text[i:min(i+size, len(text))]))...)
			}
			out = append(out, m.Flush()...)
			if !bytes.Contains(out, []byte("***")) || !bytes.HasPrefix(out, []byte("before ")) || !bytes.HasSuffix(out, []byte(" after\n")) {
				t.Errorf("%s in chunks of %d: %q", name, size, out)
				break
			}
		}
	}
}

func TestTextWithoutSecretsPassesUnchanged(t *testing.T) {
	t.Parallel()
	var m secret.Masker
	m.Add(secret.New(canary))
	m.Add(secret.New("abc")) // too short to mask
	text := []byte("p'a s abc \xff\x00 p'a ss\"w%rd-")
	var out []byte
	for _, b := range text {
		out = append(out, m.Write([]byte{b})...)
	}
	if out = append(out, m.Flush()...); !bytes.Equal(out, text) {
		t.Errorf("%q became %q", text, out)
	}
}

// pythonJSON is what json.dumps makes of a text, by default.
func pythonJSON(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r > 126:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func BenchmarkMask(b *testing.B) {
	var m secret.Masker
	m.Add(secret.New("a secret of ordinary length"))
	chunk := bytes.Repeat([]byte("2013-01-02 03:04:05 INFO loaded 913 rows of raw.flights\n"), 600)
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		m.Write(chunk)
	}
}
