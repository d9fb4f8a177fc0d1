package cli

import "github.com/tidemill/tidemill/internal/cli/scaffold"

type initCommand struct {
	Folder string `arg:"" optional:"" default:"." help:"The folder of the new project; it may hold other files."`
}

// newProject is a folder with the files that were written into it.
type newProject struct {
	Folder string   `json:"folder"`
	Files  []string `json:"files"`
}

// Run writes a small project that runs as it is. No file that is there is touched.
func (c initCommand) Run(s *session) error {
	names, err := scaffold.Write(c.Folder)
	if err != nil {
		return err
	}
	for _, name := range names {
		s.say("wrote %s", name)
	}
	here := ""
	if c.Folder != "." {
		here = "cd " + c.Folder + " && "
	}
	return s.done(newProject{c.Folder, names}, "next: %stidemill check, then: tidemill run land --window 2026-01-05, then: tidemill sql 'SELECT * FROM raw.orders'", here)
}
