package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"
)

func TestTheCagesOfAKilledWorkerAreRemoved(t *testing.T) {
	t.Parallel()
	installation := fmt.Sprintf("cage-test-%d", os.Getpid())
	old, mine := newCage(installation+"/old/7", 0), newCage(installation+"/mine/8", 0)
	defer mine.remove()
	if !old.caged() {
		t.Log("this machine lets us make no cgroup: there is none to be left behind")
		return
	}
	removeCages(installation, "mine")
	if _, err := os.Stat(old.unified); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the cage of the session that is gone: %v", err)
	}
	if _, err := os.Stat(mine.unified); err != nil {
		t.Errorf("the cage of the living session: %v", err)
	}
}
