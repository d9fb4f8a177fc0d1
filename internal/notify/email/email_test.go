package email_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/notify"
	"github.com/tidemill/tidemill/internal/notify/email"
	"github.com/tidemill/tidemill/internal/notify/notifytest"
	"github.com/tidemill/tidemill/internal/testserver"
)

// box is what lies in a Mailpit, the oldest message first, as it came over the wire.
func box(t *testing.T, api string) (out []*mail.Message) {
	t.Helper()
	var list struct{ Messages []struct{ ID string } }
	if err := json.Unmarshal(get(t, api+"/api/v1/messages"), &list); err != nil {
		t.Fatal(err)
	}
	for i := range list.Messages {
		raw := get(t, api+"/api/v1/message/"+list.Messages[len(list.Messages)-1-i].ID+"/raw")
		m, err := mail.ReadMessage(strings.NewReader(string(raw)))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

func get(t *testing.T, url string) []byte {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, resp.Status, err)
	}
	return body
}

// chaos tells a Mailpit to refuse senders with a code; 0: no more.
func chaos(t *testing.T, api string, code int) {
	t.Helper()
	trigger := map[string]any{"ErrorCode": max(code, 451), "Probability": 100}
	if code == 0 {
		trigger["Probability"] = 0
	}
	body, err := json.Marshal(map[string]any{"Sender": trigger})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, api+"/api/v1/chaos", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("chaos: %v, %v", resp, err)
	}
	_ = resp.Body.Close()
}

func settings(t *testing.T, smtp string, more ...string) map[string]string {
	t.Helper()
	host, port, err := net.SplitHostPort(smtp)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{"host": host, "port": port, "tls": "none", "from": "Tidemill <tidemill@example.net>", "to": "Ada <ada@example.net>, bob@example.org"}
	for i := 0; i < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}

func channel(t *testing.T, s map[string]string) email.Channel {
	t.Helper()
	c, err := email.Open("office", s)
	if err != nil {
		t.Fatal(err)
	}
	return c.(email.Channel)
}

func incident(id int64, action string) notify.Message {
	opened := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	i := ledger.Incident{
		Environment: "prod", ID: "06h0t5ks7z074jzm", Fingerprint: "prod/land/orders/task_failed", Kind: "task_failed", Severity: "error", Pipeline: "land", Task: "orders",
		Owner: "data", State: "open", Summary: "exit code 4: a < b, größer", Opened: opened, Runs: []ledger.IncidentRun{{Run: "r1", Task: "orders"}},
	}
	if action == "resolved" {
		i.State, i.Resolved, i.Resolution = "resolved", opened.Add(time.Hour), "run r2 succeeded"
	}
	return notify.Message{ID: id, Action: action, Told: notify.Told{Incident: i}}
}

func TestAnIncidentIsOneThreadInARealMailbox(t *testing.T) {
	t.Parallel()
	server := testserver.Mailpit(t)
	c := channel(t, settings(t, server.SMTP))
	var earlier []notify.Sent
	for id, action := range []string{"firing", "firing", "resolved"} {
		m := incident(int64(id+7), action)
		m.Earlier = earlier
		answer, err := c.Send(t.Context(), m)
		if err != nil || !strings.Contains(answer, "250") && !strings.Contains(strings.ToLower(answer), "ok") {
			t.Fatalf("%q, %v", answer, err)
		}
		earlier = append(earlier, notify.Sent{Action: action, Answer: answer})
	}
	got := box(t, server.API)
	if len(got) != 3 {
		t.Fatalf("%d messages arrived", len(got))
	}
	const root = "<tidemill.06h0t5ks7z074jzm.office@example.net>"
	for i, want := range []struct{ id, refers, subject string }{
		{root, "", "[firing] land/orders failed [prod]"},
		{"<tidemill.06h0t5ks7z074jzm.office.8@example.net>", root, "[firing] land/orders failed [prod]"},
		{"<tidemill.06h0t5ks7z074jzm.office.9@example.net>", root, "[resolved] land/orders failed [prod]"},
	} {
		h := got[i].Header
		if h.Get("Message-Id") != want.id || h.Get("References") != want.refers || h.Get("In-Reply-To") != want.refers || h.Get("Subject") != want.subject {
			t.Errorf("message %d has the headers %v", i+1, h)
		}
		if h.Get("Auto-Submitted") != "auto-generated" || h.Get("From") != `"Tidemill" <tidemill@example.net>` || !strings.Contains(h.Get("To"), "bob@example.org") {
			t.Errorf("message %d has the headers %v", i+1, h)
		}
	}
	body, err := io.ReadAll(got[0].Body)
	if err != nil {
		t.Fatal(err)
	}
	plain, html := strings.Index(string(body), "text/plain"), strings.Index(string(body), "text/html")
	if plain < 0 || html < plain {
		t.Errorf("the text is not the first part:\n%s", body)
	}
	var shown struct{ Text, HTML string }
	if err := json.Unmarshal(get(t, server.API+"/api/v1/message/latest"), &shown); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(shown.Text, "after 1h0m: run r2 succeeded") || !strings.Contains(shown.Text, "it was: exit code 4: a < b, größer") || !strings.Contains(shown.HTML, "a &lt; b") {
		t.Errorf("a reader sees %+v", shown)
	}
}

func TestWhatIsSentTwiceHasTheSameID(t *testing.T) {
	t.Parallel()
	server := testserver.Mailpit(t)
	c := channel(t, settings(t, server.SMTP))
	for range 2 {
		if _, err := c.Send(t.Context(), incident(7, "firing")); err != nil {
			t.Fatal(err)
		}
	}
	if got := box(t, server.API); len(got) != 2 || got[0].Header.Get("Message-Id") != got[1].Header.Get("Message-Id") {
		t.Errorf("%d messages", len(got))
	}
}

// certificate writes a certificate for the loopback address with its key, and
// returns who trusts it.
func certificate(t *testing.T) (cert, key string, trust *tls.Config) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, bytes []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert, key = write("cert.pem", "CERTIFICATE", der), write("key.pem", "EC PRIVATE KEY", secret)
	pool := x509.NewCertPool()
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(parsed)
	return cert, key, &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

func TestTLSAndThePasswordAreAsTheProjectSays(t *testing.T) {
	t.Parallel()
	cert, key, trust := certificate(t)
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte("tidemill:s3cretword\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, flag := range map[string]string{"starttls": "--smtp-require-starttls", "tls": "--smtp-require-tls"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			server := testserver.Mailpit(t, flag, "--smtp-tls-cert", cert, "--smtp-tls-key", key, "--smtp-auth-file", users)
			send := func(trust *tls.Config, more ...string) error {
				c := channel(t, settings(t, server.SMTP, more...))
				c.TLS = trust
				_, err := c.Send(t.Context(), incident(7, "firing"))
				return err
			}
			if err := send(trust, "tls", mode, "user", "tidemill", "password", "s3cretword"); err != nil {
				t.Error(err)
			}
			if n := len(box(t, server.API)); n != 1 {
				t.Errorf("%d messages arrived", n)
			}
			err := send(trust, "tls", mode, "user", "tidemill", "password", "wr0ngword")
			if !errors.Is(err, notify.ErrUnusable) || !fault.Is(err, fault.Unavailable) || strings.Contains(err.Error(), "wr0ng") {
				t.Errorf("a wrong password: %v", err)
			}
			if err := send(nil, "tls", mode, "user", "tidemill", "password", "s3cretword"); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "certificate") {
				t.Errorf("a certificate that nobody trusts: %v", err)
			}
			if err := send(trust, "tls", "none"); err == nil {
				t.Error("a server that wants TLS took a message in clear")
			}
		})
	}
	t.Run("a server without TLS gets nothing in clear", func(t *testing.T) {
		t.Parallel()
		server := testserver.Mailpit(t)
		_, err := channel(t, settings(t, server.SMTP, "tls", "starttls")).Send(t.Context(), incident(7, "firing"))
		if !fault.Is(err, fault.Unavailable) || len(box(t, server.API)) != 0 {
			t.Errorf("%v", err)
		}
	})
}

func TestARefusalThatPassesIsTriedAgainAndAnotherIsFinal(t *testing.T) {
	t.Parallel()
	server := testserver.Mailpit(t)
	c := channel(t, settings(t, server.SMTP))
	for code, want := range map[int]fault.Kind{451: fault.Unavailable, 550: fault.Invalid} {
		chaos(t, server.API, code)
		if _, err := c.Send(t.Context(), incident(7, "firing")); fault.KindOf(err) != want {
			t.Errorf("code %d: %v, want kind %s", code, err, want)
		}
	}
	chaos(t, server.API, 0)
	if _, err := c.Send(t.Context(), incident(7, "firing")); err != nil {
		t.Error(err)
	}
	server.Stop()
	if _, err := c.Send(t.Context(), incident(7, "firing")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestOneWrongAddressKeepsNobodyElseFromHearing(t *testing.T) {
	t.Parallel()
	server := testserver.Mailpit(t, "--smtp-allowed-recipients", `@example\.net$`)
	answer, err := channel(t, settings(t, server.SMTP)).Send(t.Context(), incident(7, "firing"))
	if err != nil || !strings.Contains(answer, "1 of 2 were refused") || !strings.Contains(answer, "bob@example.org") {
		t.Errorf("%q, %v", answer, err)
	}
	if got := box(t, server.API); len(got) != 1 || !strings.Contains(got[0].Header.Get("To"), "ada@example.net") {
		t.Errorf("%d messages arrived", len(got))
	}
	if _, err := channel(t, settings(t, server.SMTP, "to", "bob@example.org, eve@example.org")).Send(t.Context(), incident(7, "firing")); !fault.Is(err, fault.Invalid) {
		t.Errorf("nobody left: %v", err)
	}
}

func TestAMailServerThatComesBackGetsWhatWaited(t *testing.T) {
	t.Parallel()
	server := testserver.Mailpit(t)
	server.Stop()
	bench := notifytest.Start(t, channel(t, settings(t, server.SMTP)), 0)
	bench.Fail()
	bench.Recover()
	notifytest.Await(t, "a try that fails", func() bool {
		list := bench.Messages()
		return len(list) == 2 && list[0].Attempts > 0 && strings.Contains(list[0].Answer, "refused")
	})
	server = testserver.MailpitAt(t, server.SMTP)
	var got []*mail.Message
	notifytest.Await(t, "both messages", func() bool { got = box(t, server.API); return len(got) == 2 })
	if !strings.HasPrefix(got[0].Header.Get("Subject"), "[firing]") || !strings.HasPrefix(got[1].Header.Get("Subject"), "[resolved]") ||
		got[1].Header.Get("References") != got[0].Header.Get("Message-Id") {
		t.Errorf("the mailbox holds %v and %v", got[0].Header, got[1].Header)
	}
}
