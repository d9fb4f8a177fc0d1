// Package doctor looks at a machine: whether it has what projects need, and what
// they do without it. It changes nothing.
package doctor

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// What a finding is.
const (
	Good = "good"
	Note = "note" // works, with less
	Bad  = "bad"
)

// Finding is one thing that the doctor looked at.
type Finding struct {
	What   string `json:"what"`
	State  string `json:"state"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

// Machine looks at the machine; dir is the folder whose disk counts.
func Machine(ctx context.Context, dir string) []Finding {
	return []Finding{
		disk(dir), python(ctx), program("uv", "environments of Python tasks are made with venv and pip, which is slower", "pip install uv"), cgroup(),
	}
}

// reserve is how much free disk a project should have.
const reserve = 1 << 30

func disk(dir string) Finding {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return Finding{"disk", Bad, err.Error(), "give the project folder a disk that can be read"}
	}
	free := st.Bavail * uint64(st.Bsize)
	f := Finding{What: "disk", State: Good, Detail: fmt.Sprintf("%.1f GiB free under %s", float64(free)/(1<<30), dir)}
	if free < reserve {
		f.State, f.Remedy = Bad, "free some space: below 1 GiB loads may fail"
	}
	return f
}

func python(ctx context.Context) Finding {
	out, err := exec.CommandContext(ctx, "python3", "-c", "import sys, venv; print(sys.version.split()[0]); sys.exit(sys.version_info < (3, 11))").Output()
	if err != nil {
		return Finding{"python", Note, strings.TrimSpace("python3 3.11 or newer with venv is not there " + string(out)), "apt-get install python3 python3-venv; only Python tasks need it"}
	}
	return Finding{What: "python", State: Good, Detail: "python3 " + strings.TrimSpace(string(out))}
}

func program(name, without, remedy string) Finding {
	path, err := exec.LookPath(name)
	if err != nil {
		return Finding{name, Note, "is not on the PATH: " + without, remedy}
	}
	return Finding{What: name, State: Good, Detail: path}
}

func cgroup() Finding {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err == nil && strings.Contains(string(text), " - cgroup2 ") {
		return Finding{What: "cgroups", State: Good, Detail: "the unified hierarchy is mounted"}
	}
	return Finding{What: "cgroups", State: Note, Detail: "not mounted: processes of ended attempts are found by process group and marker, and memory limits are not enforced"}
}
