package cli

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/tidemill/tidemill/internal/app"
	"github.com/tidemill/tidemill/internal/backup"
	"github.com/tidemill/tidemill/internal/cli/output"
	"github.com/tidemill/tidemill/internal/core/fault"
)

type backupCommand struct {
	Create  backupCreateCommand  `cmd:"" help:"Copy ledger, warehouse, logs, artifacts and bundles to a folder while everything runs."`
	Verify  backupVerifyCommand  `cmd:"" help:"Hold a backup against its digests, the invariants and its own receipts."`
	Restore backupRestoreCommand `cmd:"" help:"Put a backup into a project folder in which nothing lives yet."`
}

type backupCreateCommand struct {
	Folder string `arg:"" optional:"" help:"The folder to write; it must not be there yet. Without it: backup-TIME beside the project."`
}

// backedUp is what was copied.
type backedUp struct {
	Path         string    `json:"path"`
	Created      time.Time `json:"created"`
	Installation string    `json:"installation"`
	Warehouses   int       `json:"warehouses"`
	Files        int       `json:"files"`
	Bytes        int64     `json:"bytes"`
}

// Run writes a backup.
func (c backupCreateCommand) Run(s *session, client warehouse) error {
	if c.Folder == "" {
		c.Folder = filepath.Join(filepath.Dir(s.status.Folder), "backup-"+time.Now().UTC().Format("20060102T150405Z"))
	}
	to, err := filepath.Abs(c.Folder)
	if err != nil {
		return fault.New(fault.Invalid, "folder: %w", err)
	}
	tell, end := s.backupProgress("backup")
	m, err := client.Backup(s.ctx, to, tell)
	end()
	if err != nil {
		return err
	}
	out := backedUp{to, m.Created, m.Installation, len(m.Warehouses), len(m.Files), m.Bytes()}
	return s.done(out, "%s holds the installation as it was at %s: %s files, %s; look at it with: tidemill backup verify %s",
		to, s.local(m.Created), output.Number(int64(out.Files)), humanize.IBytes(uint64(out.Bytes)), to)
}

// backupProgress shows steps, and how many MiB of one are done.
func (s *session) backupProgress(what string) (tell func(backup.Progress), end func()) {
	bar := s.progress(what)
	return func(p backup.Progress) {
		if p.Total > 0 {
			bar.Show(int(p.Done>>20), int(p.Total>>20)+1, p.Step+", MiB")
			return
		}
		bar.Show(0, 1, p.Step)
	}, bar.End
}

type backupVerifyCommand struct {
	Folder string `arg:"" help:"The backup."`
}

// Run looks whether a backup is whole.
func (c backupVerifyCommand) Run(s *session) error {
	tell, end := s.backupProgress("verify")
	m, findings, err := app.VerifyBackup(s.ctx, c.Folder, tell)
	end()
	if err != nil {
		return err
	}
	t := output.Table{Columns: []string{"what", "statement", "checked", "wrong", "first"}, Values: findings}
	bad := 0
	for _, f := range findings {
		first := ""
		if f.Count > 0 {
			first = f.Violations[0]
		}
		bad += f.Count
		t.Rows = append(t.Rows, []string{f.Invariant, f.Statement, s.number(f.Checked), fmt.Sprint(f.Count), first})
	}
	if bad > 0 {
		s.say("%s cannot be trusted: %d things are wrong", c.Folder, bad)
	} else {
		s.say("%s is whole: project %s, %s, %s", c.Folder, m.Project, m.Created.Format(time.RFC3339), humanize.IBytes(uint64(m.Bytes())))
	}
	return s.judge(t, bad > 0, fault.Refused)
}

type backupRestoreCommand struct {
	Folder string `arg:"" help:"The backup."`
	Ledger string `help:"Put the ledger into this empty PostgreSQL database (postgres://…), instead of the project's own file."`
}

// Run puts a backup back.
func (c backupRestoreCommand) Run(s *session) error {
	p, err := s.project()
	if err != nil {
		return err
	}
	tell, end := s.backupProgress("restore")
	home := app.Home{Folder: s.dir, Project: p, Environment: s.env, Ledger: c.Ledger, Version: Version}
	out, err := app.Restore(s.ctx, home, c.Folder, tell)
	end()
	if err != nil {
		return err
	}
	return s.done(out, "restored the installation of %s: %s files, %s; %d attempts that ran then will run again; next: tidemill verify-history, then: tidemill up",
		out.Created.Format(time.RFC3339), output.Number(int64(out.Files)), humanize.IBytes(uint64(out.Bytes)), out.Lost)
}
