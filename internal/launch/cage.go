package launch

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// cage is the cgroup of an attempt, where this process may make one: on the
// unified hierarchy for killing everything at once (cgroup.kill), and on the
// memory controller, of whichever version, for limits.
type cage struct {
	unified string   // folder; empty: not permitted
	folder  *os.File // open while the process is started into it
	memoryV string   // folder of the memory controller; may equal unified
	limit   int64
}

// hierarchy is what the machine offers; it is looked at once.
type hierarchy struct {
	unified string // our own folder on the unified hierarchy
	memory  string // our own folder on the version 1 memory controller
}

var machine = sync.OnceValue(func() hierarchy {
	var h hierarchy
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return h
	}
	var v2, v1memory string
	for line := range strings.Lines(string(mounts)) {
		before, after, ok := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(kind) < 3 {
			continue
		}
		switch {
		case kind[0] == "cgroup2":
			v2 = fields[4]
		case kind[0] == "cgroup" && strings.Contains(","+kind[2]+",", ",memory,"):
			v1memory = fields[4]
		}
	}
	paths := ownPaths()
	if v2 != "" {
		h.unified = usable(filepath.Join(v2, paths[""]), "cgroup.kill")
	}
	if v1memory != "" {
		h.memory = usable(filepath.Join(v1memory, paths["memory"]), "memory.limit_in_bytes")
	}
	return h
})

// ownPaths returns this process's cgroup by controller; "" is the unified one.
func ownPaths() map[string]string {
	paths := map[string]string{}
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return paths
	}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(parts[1], ",") {
			paths[controller] = parts[2]
		}
	}
	return paths
}

// usable returns a folder below which groups can be made that have the file; else nothing.
func usable(dir, file string) string {
	probe := filepath.Join(dir, "tidemill-probe-"+strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(probe, 0o700); err != nil {
		return ""
	}
	defer func() { _ = os.Remove(probe) }()
	if _, err := os.Stat(filepath.Join(probe, file)); err != nil {
		return ""
	}
	return dir
}

// cageName is the folder of a marker's cage; of a part of a marker, how its folders begin.
func cageName(marker string) string { return "tidemill-" + strings.ReplaceAll(marker, "/", "-") }

func newCage(marker string, limit int64) *cage {
	c := &cage{}
	name := cageName(marker)
	if dir := machine().unified; dir != "" && os.Mkdir(filepath.Join(dir, name), 0o700) == nil {
		c.unified = filepath.Join(dir, name)
	}
	if limit <= 0 {
		return c
	}
	text := []byte(strconv.FormatInt(limit, 10))
	if c.unified != "" && os.WriteFile(filepath.Join(c.unified, "memory.max"), text, 0o600) == nil {
		c.memoryV, c.limit = c.unified, limit
		return c
	}
	if dir := machine().memory; dir != "" && os.Mkdir(filepath.Join(dir, name), 0o700) == nil {
		folder := filepath.Join(dir, name)
		if os.WriteFile(filepath.Join(folder, "memory.limit_in_bytes"), text, 0o600) == nil {
			c.memoryV, c.limit = folder, limit
		} else {
			_ = os.Remove(folder)
		}
	}
	return c
}

func (c *cage) caged() bool { return c.unified != "" }

// prepare has the process born inside the cage.
func (c *cage) prepare(attr *syscall.SysProcAttr) {
	if c.unified == "" {
		return
	}
	folder, err := os.Open(c.unified)
	if err != nil {
		return
	}
	c.folder = folder
	attr.UseCgroupFD, attr.CgroupFD = true, int(folder.Fd())
}

// add puts a started process under a version 1 memory limit, which nothing can be born into.
func (c *cage) add(pid int) {
	if c.folder != nil {
		_ = c.folder.Close()
	}
	if c.memoryV != "" && c.memoryV != c.unified {
		_ = os.WriteFile(filepath.Join(c.memoryV, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o600)
	}
}

func (c *cage) kill() {
	if c.unified != "" {
		_ = os.WriteFile(filepath.Join(c.unified, "cgroup.kill"), []byte("1"), 0o600)
	}
}

// count is how many processes are in the cage.
func (c *cage) count() int {
	text, err := os.ReadFile(filepath.Join(c.unified, "cgroup.procs"))
	if err != nil {
		return 0
	}
	return bytes.Count(text, []byte("\n"))
}

// memory says whether the limit killed something, and the peak; otherwise is the peak known without a cage.
func (c *cage) memory(otherwise int64) (oom bool, limit, peak int64) {
	if c.memoryV == "" {
		return false, 0, otherwise
	}
	events, high := "memory.oom_control", "memory.max_usage_in_bytes"
	if c.memoryV == c.unified {
		events, high = "memory.events", "memory.peak"
	}
	peak = max(otherwise, number(filepath.Join(c.memoryV, high)))
	text, err := os.ReadFile(filepath.Join(c.memoryV, events))
	if err != nil {
		return false, c.limit, peak
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "oom_kill "); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(rest))
			oom = n > 0
		}
	}
	return oom, c.limit, peak
}

func number(path string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n
}

// remove takes the cage away; its processes need a moment to be gone.
func (c *cage) remove() {
	for _, dir := range []string{c.unified, c.memoryV} {
		if dir == "" {
			continue
		}
		for range 100 {
			err := os.Remove(dir)
			if err == nil || errors.Is(err, os.ErrNotExist) {
				break
			}
			time.Sleep(2 * time.Millisecond) //nolint:forbidigo // the kernel tells nobody when the last one is reaped
		}
	}
}

// removeCages removes the empty cages of an installation's other sessions: a
// worker that was killed could not. A cage with a process in it stays.
func removeCages(installation, session string) {
	for _, root := range []string{machine().unified, machine().memory} {
		if root == "" {
			continue
		}
		entries, err := os.ReadDir(root)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), cageName(installation+"/")) && !strings.HasPrefix(e.Name(), cageName(installation+"/"+session+"/")) {
				_ = os.Remove(filepath.Join(root, e.Name()))
			}
		}
	}
}

// killMarked kills every process whose marker is wanted. A process may fork
// while we look, so it looks until a look finds nobody.
func killMarked(wanted func(string) bool) int {
	killed := map[int]bool{}
	for range 20 {
		found := false
		for _, pid := range marked(wanted) {
			killed[pid], found = true, true
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if !found {
			break
		}
		time.Sleep(5 * time.Millisecond) //nolint:forbidigo // bounded, while they die
	}
	return len(killed)
}

// marked lists the processes whose environment holds a wanted marker.
func marked(wanted func(string) bool) []int {
	folders, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var out []int
	for _, f := range folders {
		pid, err := strconv.Atoi(f.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		environ, err := os.ReadFile(filepath.Join("/proc", f.Name(), "environ"))
		if err != nil {
			continue // gone, or another user's
		}
		if m, ok := markerIn(environ); ok && wanted(m) && !zombie(pid) {
			out = append(out, pid)
		}
	}
	return out
}

func markerIn(environ []byte) (string, bool) {
	s := bufio.NewScanner(bytes.NewReader(environ))
	s.Buffer(nil, len(environ)+1)
	s.Split(func(data []byte, end bool) (int, []byte, error) {
		if i := bytes.IndexByte(data, 0); i >= 0 {
			return i + 1, data[:i], nil
		}
		if end && len(data) > 0 {
			return len(data), data, nil
		}
		return 0, nil, nil
	})
	for s.Scan() {
		if v, ok := strings.CutPrefix(s.Text(), MarkerVariable+"="); ok {
			return v, true
		}
	}
	return "", false
}

func zombie(pid int) bool {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return true
	}
	_, after, ok := strings.Cut(string(text), ") ")
	return ok && strings.HasPrefix(after, "Z")
}
