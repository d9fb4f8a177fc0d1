package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/tidemill/tidemill/internal/app"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/python"
)

type sdkCommand struct {
	Install sdkInstallCommand `cmd:"" help:"Put the SDK into a Python environment, for notebooks and editors."`
}

type sdkInstallCommand struct {
	Python string `default:"python3" help:"The interpreter of the environment."`
	Target string `help:"This folder instead of the environment's site-packages."`
}

// Run puts the SDK's one file where Python finds it.
func (c sdkInstallCommand) Run(s *session) error {
	if c.Target == "" {
		out, err := exec.CommandContext(s.ctx, c.Python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").Output()
		if err != nil {
			return fault.New(fault.Invalid, "ask %s where its packages lie: %w", c.Python, err)
		}
		c.Target = strings.TrimSpace(string(out))
	}
	if err := python.Install(c.Target); err != nil {
		return err
	}
	s.say("import tidemill now works: %s", filepath.Join(c.Target, "tidemill.py"))
	return nil
}

type doctorCommand struct{}

// finding is one thing that the doctor looked at.
type finding struct {
	What   string `json:"what"`
	State  string `json:"state"` // good, note, bad
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

// Run looks at the machine and the project's state.
func (doctorCommand) Run(s *session) error {
	layout, err := app.NewLayout(s.dir)
	if err != nil {
		return err
	}
	list := []finding{
		{What: "program", State: "good", Detail: fmt.Sprintf("tidemill %s, %s/%s, %d processors", Version, runtime.GOOS, runtime.GOARCH, runtime.NumCPU())},
		examineDisk(layout.Home), examineServer(layout), examinePython(s), examineProgram("uv", "environments of Python tasks are made with venv and pip, which is slower", "pip install uv"),
		examineCgroup(),
	}
	t := table{columns: []string{"", "what", "detail", "remedy"}, values: list}
	bad := false
	for _, f := range list {
		t.rows = append(t.rows, []string{f.State, f.What, f.Detail, f.Remedy})
		bad = bad || f.State == "bad"
	}
	if err := s.give(t); err != nil {
		return err
	}
	if bad {
		return silent{fault.Unavailable}
	}
	return nil
}

// reserve is how much free disk a project should have.
const reserve = 1 << 30

func examineDisk(dir string) finding {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return finding{"disk", "bad", err.Error(), "give the project folder a disk that can be read"}
	}
	free := st.Bavail * uint64(st.Bsize)
	f := finding{What: "disk", State: "good", Detail: fmt.Sprintf("%.1f GiB free under %s", float64(free)/(1<<30), dir)}
	if free < reserve {
		f.State, f.Remedy = "bad", "free some space: below 1 GiB loads may fail"
	}
	return f
}

func examineServer(l app.Layout) finding {
	if h, ok := app.HolderOf(l.ServerLock()); ok {
		return finding{What: "server", State: "good", Detail: fmt.Sprintf("process %d since %s, version %s", h.PID, local(h.Since), h.Version)}
	}
	return finding{What: "server", State: "note", Detail: "none runs; commands run one for their own duration", Remedy: "tidemill up"}
}

func examinePython(s *session) finding {
	out, err := exec.CommandContext(s.ctx, "python3", "-c", "import sys, venv; print(sys.version.split()[0]); sys.exit(sys.version_info < (3, 11))").Output()
	if err != nil {
		return finding{"python", "note", strings.TrimSpace("python3 3.11 or newer with venv is not there " + string(out)), "apt-get install python3 python3-venv; only Python tasks need it"}
	}
	return finding{What: "python", State: "good", Detail: "python3 " + strings.TrimSpace(string(out))}
}

func examineProgram(name, without, remedy string) finding {
	path, err := exec.LookPath(name)
	if err != nil {
		return finding{name, "note", "is not on the PATH: " + without, remedy}
	}
	return finding{What: name, State: "good", Detail: path}
}

func examineCgroup() finding {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err == nil && strings.Contains(string(text), " - cgroup2 ") {
		return finding{What: "cgroups", State: "good", Detail: "the unified hierarchy is mounted"}
	}
	return finding{What: "cgroups", State: "note", Detail: "not mounted: processes of ended attempts are found by process group and marker, and memory limits are not enforced"}
}
