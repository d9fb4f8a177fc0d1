package pyenv_test

import (
	"bytes"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/pyenv"
)

func TestAnEnvironmentIsMadeOnceHoweverManyNeedIt(t *testing.T) {
	t.Parallel()
	p := &pyenv.Preparer{Dir: t.TempDir()}
	spec := pyenv.Spec{Driver: pyenv.DriverVenv, Dependencies: []string{"six==1.16.0"}}
	var all sync.WaitGroup
	envs := make([]pyenv.Environment, 3)
	errs := make([]error, 3)
	for i := range envs {
		all.Go(func() { envs[i], errs[i] = p.Prepare(t.Context(), spec, io.Discard) })
	}
	all.Wait()
	made := 0
	for i, e := range envs {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		if e.Made {
			made++
		}
		if e.Python != envs[0].Python || e.Digest != envs[0].Digest || e.Digest == "" {
			t.Errorf("%+v differs from %+v", e, envs[0])
		}
	}
	if made != 1 {
		t.Errorf("made %d times", made)
	}
	out, err := exec.CommandContext(t.Context(), envs[0].Python, "-c", "import six; print(six.__version__)").Output()
	if err != nil || strings.TrimSpace(string(out)) != "1.16.0" {
		t.Errorf("six in the environment: %q, %v", out, err)
	}
}

func TestWhatCannotBeInstalledIsSaidAndLeavesNothing(t *testing.T) {
	t.Parallel()
	p := &pyenv.Preparer{Dir: t.TempDir()}
	spec := pyenv.Spec{Driver: pyenv.DriverVenv, Dependencies: []string{"six==0.0.0.1"}}
	for range 2 {
		var log bytes.Buffer
		_, err := p.Prepare(t.Context(), spec, &log)
		if !fault.Is(err, fault.Failed) || !strings.Contains(err.Error(), "six") {
			t.Errorf("%v\n%s", err, log.String())
		}
	}
}

func TestTheSystemDriverInstallsNothing(t *testing.T) {
	t.Parallel()
	p := &pyenv.Preparer{Dir: t.TempDir()}
	if _, err := p.Prepare(t.Context(), pyenv.Spec{Driver: pyenv.DriverSystem}, io.Discard); err != nil {
		t.Error(err)
	}
	_, err := p.Prepare(t.Context(), pyenv.Spec{Driver: pyenv.DriverSystem, Dependencies: []string{"no-such-distribution>=1"}}, io.Discard)
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "no-such-distribution") {
		t.Errorf("a missing distribution: %v", err)
	}
}

func TestVersionsOfPythonAreHeldAgainstTheRequirement(t *testing.T) {
	t.Parallel()
	p := &pyenv.Preparer{Dir: t.TempDir()}
	for requires, ok := range map[string]bool{">=3.9": true, ">=3.9,<4": true, "": true, "~=3.9": true, ">=4": false, "<3": false, "three": false, "=>3": false} {
		_, err := p.Prepare(t.Context(), pyenv.Spec{Driver: pyenv.DriverSystem, Requires: requires}, io.Discard)
		if (err == nil) != ok {
			t.Errorf("%q: %v", requires, err)
		}
	}
}
