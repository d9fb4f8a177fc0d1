package testserver

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// program finds a server that scripts/servers.sh built.
func program(t *testing.T, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if filepath.Dir(dir) == dir {
			t.Fatal("the test does not run in the repository")
		}
		dir = filepath.Dir(dir)
	}
	path := filepath.Join(dir, ".tools", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("there is no %s in .tools; build it with: scripts/servers.sh", name)
	}
	return path
}

// output is what a server says, for when it fails.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write keeps what is written.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// serve runs a server until the test ends or the returned function is called,
// and returns once its address answers.
func serve(t *testing.T, ready, name string, args ...string) (stop func()) {
	t.Helper()
	var said output
	cmd := exec.Command(program(t, name), args...) //nolint:noctx // ends with the test
	cmd.Dir, cmd.Stdout, cmd.Stderr = t.TempDir(), &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	stop = func() {
		_ = cmd.Process.Kill()
		<-ended
	}
	t.Cleanup(stop)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, ready, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return stop
			}
		}
		select {
		case <-ended:
			t.Fatalf("%s ended at once:\n%s", name, said.String())
		case <-ctx.Done():
			t.Fatalf("%s does not answer within 30 s:\n%s", name, said.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// address is a free one of this machine.
func address(t *testing.T) string {
	t.Helper()
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// Alertmanager runs a real Alertmanager under a configuration and returns its address.
func Alertmanager(t *testing.T, config string) (url string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "alertmanager.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	listen := address(t)
	url = "http://" + listen
	serve(t, url+"/-/ready", "alertmanager", "--config.file="+file, "--storage.path="+t.TempDir(), "--web.listen-address="+listen, "--cluster.listen-address=")
	return url
}

// Mail is a running Mailpit.
type Mail struct {
	SMTP string // HOST:PORT
	API  string
	Stop func()
}

// Mailpit runs a real Mailpit with further flags. Chaos is on: it can be told to refuse.
func Mailpit(t *testing.T, flags ...string) Mail {
	t.Helper()
	return MailpitAt(t, address(t), flags...)
}

// MailpitAt is Mailpit at an address of the caller's, such as that of an earlier one.
func MailpitAt(t *testing.T, smtp string, flags ...string) Mail {
	t.Helper()
	listen := address(t)
	m := Mail{SMTP: smtp, API: "http://" + listen}
	m.Stop = serve(t, m.API+"/readyz", "mailpit", append([]string{
		"--smtp", smtp, "--listen", listen, "--disable-version-check", "--smtp-disable-rdns", "--enable-chaos",
	}, flags...)...)
	return m
}
