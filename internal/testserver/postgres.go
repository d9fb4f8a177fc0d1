// Package testserver starts the real servers that tests talk to.
//
// A server is started once per test binary, on a free loopback port with its
// data in a temporary folder, and ends with the binary. Only tests import it.
package testserver

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Postgres is a running PostgreSQL server.
type Postgres struct {
	Port int
	dir  string
	cmd  *exec.Cmd
	log  bytes.Buffer
	next int
	mu   sync.Mutex
}

var shared struct {
	once sync.Once
	pg   *Postgres
	err  error
}

// Main runs the tests of a package and ends the servers that they started.
// Call it from TestMain.
func Main(m *testing.M) int {
	code := m.Run()
	if shared.pg != nil {
		shared.pg.stop()
	}
	return code
}

// Database returns the address of a new, empty database on the shared server.
func Database(t *testing.T) string {
	t.Helper()
	shared.once.Do(func() { shared.pg, shared.err = start() })
	if shared.err != nil {
		t.Fatalf("PostgreSQL does not start: %v\nInstall it, for example with: apt-get install postgresql", shared.err)
	}
	return shared.pg.create(t)
}

func (p *Postgres) address(database string) string {
	return fmt.Sprintf("postgres://tidemill@127.0.0.1:%d/%s?sslmode=disable", p.Port, database)
}

func (p *Postgres) create(t *testing.T) string {
	t.Helper()
	p.mu.Lock()
	p.next++
	name := "test" + strconv.Itoa(p.next)
	p.mu.Unlock()
	conn, err := pgx.Connect(t.Context(), p.address("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return p.address(name)
}

// programs finds the folder of PostgreSQL's server programs, the newest version first.
func programs() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("no initdb on the PATH or under /usr/lib/postgresql")
	}
	return filepath.Dir(found[len(found)-1]), nil
}

func start() (*Postgres, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "tidemill-postgres-")
	if err != nil {
		return nil, err
	}
	p := &Postgres{dir: dir}
	credential, err := credentials(dir)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "tidemill", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync") //nolint:noctx // a test's own server
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	initdb.Dir = dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	p.Port, err = FreePort()
	if err != nil {
		return nil, err
	}
	p.cmd = exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-p", strconv.Itoa(p.Port), "-c", "listen_addresses=127.0.0.1", //nolint:noctx // a test's own server
		"-c", "unix_socket_directories="+dir, "-c", "max_connections=200", "-c", "fsync=off", "-c", "log_min_messages=fatal")
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential, Pdeathsig: syscall.SIGTERM}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	return p, p.await()
}

func (p *Postgres) await() error {
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	defer stop()
	for {
		conn, err := pgx.Connect(ctx, p.address("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			p.stop()
			return fmt.Errorf("no answer within 30 s: %w\n%s", err, p.log.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (p *Postgres) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGINT) // a fast shutdown
	_ = p.cmd.Wait()
	_ = os.RemoveAll(p.dir)
}

// credentials names a user other than root, which PostgreSQL insists on, and gives it the folder.
func credentials(dir string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil //nolint:nilnil // no change of user
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, uid, gid)
	}
	return nil, fmt.Errorf("root cannot run PostgreSQL, and there is neither a user postgres nor nobody")
}

// Ports that are given out lie below those that the kernel gives to whoever asks
// for any: a connection that somebody opens meanwhile never takes one.
const (
	lowestPort  = 10_000
	highestPort = 32_000
)

var (
	portsMu sync.Mutex
	ports   = map[int]bool{} // given out in this process
)

// FreePort returns a port of this machine on which nobody listens, and which it
// returns to nobody else.
func FreePort() (int, error) {
	portsMu.Lock()
	defer portsMu.Unlock()
	const tries = 200
	for try := 1; ; try++ {
		port := lowestPort + rand.IntN(highestPort-lowestPort)
		if ports[port] {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)) //nolint:noctx // closed at once
		if err == nil {
			ports[port] = true
			return port, l.Close()
		}
		if try == tries {
			return 0, err
		}
	}
}
