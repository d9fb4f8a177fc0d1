// Package pyenv prepares the Python environments of scripts.
//
// An environment is named by what it is made of (driver, interpreter, platform,
// dependencies or lock), made once, shared by every attempt that needs it, and
// never changed. Two processes that need it at once make it once. Nothing is
// installed into an interpreter that is not ours.
package pyenv

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/tidemill/tidemill/internal/core/fault"
)

// The drivers.
const (
	DriverUV     = "uv"
	DriverVenv   = "venv"
	DriverSystem = "system"
)

// Spec is what a script asks for.
type Spec struct {
	Driver       string   // empty: uv where it is found, else venv
	Requires     string   // requires-python, such as ">=3.11"
	Dependencies []string // PEP 508
	Lock         []byte   // a requirements list with exact versions; empty: none
}

// Environment is an environment that is ready.
type Environment struct {
	Python string // the interpreter
	Digest string // sha256 of what is installed: names and exact versions
	Made   bool   // it was made just now
}

// Preparer makes environments in a folder.
type Preparer struct {
	Dir    string
	Python string // the base interpreter; empty: python3 on the PATH
	UV     string // empty: uv on the PATH
}

// Prepare returns the environment of a spec and makes it where needed; what the
// installer says goes to log.
func (p *Preparer) Prepare(ctx context.Context, s Spec, log io.Writer) (Environment, error) {
	base, version, err := p.interpreter(ctx)
	if err != nil {
		return Environment{}, err
	}
	if err := satisfies(version, s.Requires); err != nil {
		return Environment{}, err
	}
	uv := p.uv()
	switch s.Driver {
	case "":
		s.Driver = DriverVenv
		if uv != "" {
			s.Driver = DriverUV
		}
		if len(s.Dependencies) == 0 && len(s.Lock) == 0 {
			s.Driver = DriverSystem
		}
	case DriverUV:
		if uv == "" {
			return Environment{}, fault.New(fault.Invalid, "the script wants the driver uv, and there is no uv on the PATH; install it with: pip install uv")
		}
	case DriverVenv, DriverSystem:
	default:
		return Environment{}, fault.New(fault.Invalid, "no driver of Python environments %q; there are uv, venv and system", s.Driver)
	}
	if s.Driver == DriverSystem {
		return p.system(ctx, base, version, s)
	}
	return p.ensure(ctx, base, version, uv, s, log)
}

func (p *Preparer) uv() string {
	if p.UV != "" {
		return p.UV
	}
	path, _ := exec.LookPath("uv")
	return path
}

// interpreter finds the base interpreter and asks it for its version.
func (p *Preparer) interpreter(ctx context.Context) (path string, version [3]int, err error) {
	path = p.Python
	if path == "" {
		if path, err = exec.LookPath("python3"); err != nil {
			return "", version, fault.New(fault.Invalid, "there is no python3 on the PATH; install Python 3.11 or newer")
		}
	}
	out, err := exec.CommandContext(ctx, path, "-c", "import sys; print(*sys.version_info[:3])").Output()
	if err != nil {
		return "", version, fault.New(fault.Unavailable, "ask %s for its version: %w", path, err)
	}
	if _, err := fmt.Sscan(string(out), &version[0], &version[1], &version[2]); err != nil {
		return "", version, fault.New(fault.Unavailable, "ask %s for its version: it said %q", path, out)
	}
	return path, version, nil
}

// satisfies holds a version against a specifier such as ">=3.11,<3.13".
func satisfies(version [3]int, requires string) error {
	for clause := range strings.SplitSeq(requires, ",") {
		clause = strings.TrimSpace(clause)
		if clause == "" {
			continue
		}
		i := strings.IndexFunc(clause, func(r rune) bool { return r >= '0' && r <= '9' })
		if i <= 0 {
			return fault.New(fault.Invalid, "requires-python %q cannot be read", requires)
		}
		operator := strings.TrimSpace(clause[:i])
		var want [3]int
		parts := strings.SplitN(strings.TrimSuffix(clause[i:], ".*"), ".", 3)
		for n, part := range parts {
			v, err := strconv.Atoi(part)
			if err != nil {
				return fault.New(fault.Invalid, "requires-python %q cannot be read", requires)
			}
			want[n] = v
		}
		c := slices.Compare(version[:], want[:])
		same := slices.Equal(version[:len(parts)], want[:len(parts)])
		ok := map[string]bool{">=": c >= 0, ">": c > 0, "<=": c <= 0, "<": c < 0, "==": same, "!=": !same, "~=": c >= 0 && slices.Equal(version[:len(parts)-1], want[:len(parts)-1])}
		if met, known := ok[operator]; !known {
			return fault.New(fault.Invalid, "requires-python %q cannot be read", requires)
		} else if !met {
			return fault.New(fault.Invalid, "the script requires Python %s, and the interpreter is %d.%d.%d", requires, version[0], version[1], version[2])
		}
	}
	return nil
}

// system uses the interpreter as it is, and says what is missing in it.
func (p *Preparer) system(ctx context.Context, base string, version [3]int, s Spec) (Environment, error) {
	sum := sha256.Sum256(fmt.Appendf(nil, "system %s %v %v", base, version, s.Dependencies))
	env := Environment{Python: base, Digest: hex.EncodeToString(sum[:])}
	if len(s.Dependencies) == 0 {
		return env, nil
	}
	names, err := json.Marshal(s.Dependencies)
	if err != nil {
		return env, fault.New(fault.Internal, "dependencies: %w", err)
	}
	const ask = `import importlib.metadata as m, json, re, sys
missing = []
for d in json.loads(sys.argv[1]):
    name = re.match(r"[A-Za-z0-9._-]+", d).group()
    try: m.version(name)
    except m.PackageNotFoundError: missing.append(d)
print("\n".join(missing))`
	out, err := exec.CommandContext(ctx, base, "-c", ask, string(names)).Output()
	if err != nil {
		return env, fault.New(fault.Unavailable, "ask %s what is installed: %w", base, err)
	}
	if missing := strings.Fields(string(out)); len(missing) > 0 {
		return env, fault.New(fault.Invalid, "the interpreter %s lacks %s, and the driver system installs nothing; use uv or venv", base, strings.Join(missing, ", "))
	}
	return env, nil
}

// ensure finds a made environment by its name, or makes it under a lock.
func (p *Preparer) ensure(ctx context.Context, base string, version [3]int, uv string, s Spec, log io.Writer) (Environment, error) {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "2\n%s\n%s\n%v\n%s/%s\n%q\n%s", s.Driver, base, version, runtime.GOOS, runtime.GOARCH, s.Dependencies, s.Lock)
	dir := filepath.Join(p.Dir, hex.EncodeToString(h.Sum(nil))[:20])
	env := Environment{Python: filepath.Join(dir, "bin", "python")}
	if digest, err := os.ReadFile(filepath.Join(dir, digestFile)); err == nil {
		env.Digest = string(digest)
		return env, nil
	}
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return env, fault.New(fault.Unavailable, "make the folder of environments: %w", err)
	}
	unlock, err := lock(ctx, dir+".lock")
	if err != nil {
		return env, err
	}
	defer unlock()
	if digest, err := os.ReadFile(filepath.Join(dir, digestFile)); err == nil {
		env.Digest = string(digest)
		return env, nil
	}
	_, _ = fmt.Fprintf(log, "making the Python environment (%s, Python %d.%d.%d): %s\n", s.Driver, version[0], version[1], version[2], strings.Join(s.Dependencies, ", "))
	if err := os.RemoveAll(dir); err != nil { // a half-made one
		return env, fault.New(fault.Unavailable, "make the Python environment: %w", err)
	}
	if err := build(ctx, dir, base, uv, s, log); err != nil {
		return env, err
	}
	digest, err := installed(ctx, env.Python)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, digestFile), []byte(digest), 0o600)
	}
	env.Digest, env.Made = digest, true
	return env, err
}

// digestFile is written last: an environment that has it is whole.
const digestFile = "tidemill-digest"

func lock(ctx context.Context, path string) (func(), error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "lock %s: %w", path, err)
	}
	got := make(chan error, 1)
	go func() { got <- syscall.Flock(int(file.Fd()), syscall.LOCK_EX) }()
	select {
	case err = <-got:
	case <-ctx.Done():
		_ = file.Close()
		return nil, context.Cause(ctx)
	}
	if err != nil {
		_ = file.Close()
		return nil, fault.New(fault.Unavailable, "lock %s: %w", path, err)
	}
	return func() { _ = file.Close() }, nil
}

func build(ctx context.Context, dir, base, uv string, s Spec, log io.Writer) error {
	list := strings.Join(s.Dependencies, "\n") + "\n"
	if len(s.Lock) > 0 {
		list = string(s.Lock)
	}
	python := filepath.Join(dir, "bin", "python")
	requirements := filepath.Join(dir, "requirements.txt")
	steps := [][]string{
		{base, "-m", "venv", dir},
		{python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "-r", requirements},
	}
	if s.Driver == DriverUV {
		steps = [][]string{
			{uv, "venv", "--quiet", "--no-config", "--no-project", "--python", base, dir},
			{uv, "pip", "install", "--quiet", "--no-config", "--python", python, "-r", requirements},
		}
	}
	for n, args := range steps {
		if n == 1 {
			if err := os.WriteFile(requirements, []byte(list), 0o600); err != nil {
				return fault.New(fault.Unavailable, "make the Python environment: %w", err)
			}
		}
		if err := install(ctx, args, log); err != nil {
			return err
		}
	}
	return nil
}

func install(ctx context.Context, args []string, log io.Writer) error {
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = io.MultiWriter(log, &said), io.MultiWriter(log, &said)
	err := cmd.Run()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if _, ok := errors.AsType[*exec.ExitError](err); ok {
		return fault.New(fault.Failed, "the Python environment cannot be made: %s", lastLine(said.String(), err))
	}
	return fault.New(fault.Unavailable, "run %s: %w", args[0], err)
}

func lastLine(text string, err error) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return last
	}
	return err.Error()
}

// installed is a digest of names and exact versions.
func installed(ctx context.Context, python string) (string, error) {
	const ask = `import importlib.metadata as m, sys
print(sys.version.split()[0], *sorted(f"{d.name.lower()}=={d.version}" for d in m.distributions()), sep="\n")`
	out, err := exec.CommandContext(ctx, python, "-c", ask).Output()
	if err != nil {
		return "", fault.New(fault.Unavailable, "ask %s what is installed: %w", python, err)
	}
	sum := sha256.Sum256(out)
	return hex.EncodeToString(sum[:]), nil
}
