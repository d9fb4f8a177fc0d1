package cli

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/tidemill/tidemill/internal/app"
	"github.com/tidemill/tidemill/internal/cli/doctor"
	"github.com/tidemill/tidemill/internal/cli/output"
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
	file := filepath.Join(c.Target, "tidemill.py")
	return s.done(writtenFile{file}, "import tidemill now works: %s", file)
}

type doctorCommand struct{}

// Run looks at the machine and the project's state.
func (doctorCommand) Run(s *session) error {
	list := []doctor.Finding{
		{What: "program", State: doctor.Good, Detail: fmt.Sprintf("tidemill %s, %s/%s, %d processors", Version, runtime.GOOS, runtime.GOARCH, runtime.NumCPU())},
	}
	if layout, err := s.layout(); err != nil {
		list = append(list, doctor.Finding{What: "project", State: doctor.Note, Detail: err.Error()})
	} else {
		list = append(list, examineServer(s, layout))
	}
	folder, err := filepath.Abs(s.dir)
	if err != nil {
		return fault.New(fault.Invalid, "project folder: %w", err)
	}
	list = append(list, doctor.Machine(s.ctx, folder)...)
	t := output.Table{Columns: []string{"", "what", "detail", "remedy"}, Values: list}
	bad := false
	for _, f := range list {
		t.Rows = append(t.Rows, []string{f.State, f.What, f.Detail, f.Remedy})
		bad = bad || f.State == doctor.Bad
	}
	return s.judge(t, bad, fault.Unavailable)
}

func examineServer(s *session, l app.Layout) doctor.Finding {
	if h, ok := app.HolderOf(l.ServerLock()); ok {
		return doctor.Finding{What: "server", State: doctor.Good, Detail: fmt.Sprintf("process %d since %s, version %s", h.PID, s.local(h.Since), h.Version)}
	}
	return doctor.Finding{What: "server", State: doctor.Note, Detail: "none runs; commands run one for their own duration", Remedy: "tidemill up"}
}
