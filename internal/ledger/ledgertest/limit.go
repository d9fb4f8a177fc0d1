package ledgertest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/ledger"
)

var limited = map[string]func(*testing.T, *bundle){
	"what is full holds back those that need it, and nobody else":         limits,
	"what an attempt held is given back however it ends":                  limitsOfEnds,
	"a task that needs much is not starved by those that need little":     limitsOfMuch,
	"priority goes first, and no pipeline holds up another":               turns,
	"what is counted is what is held, and nobody is forgotten in a queue": limitsAtRandom,
}

// limit makes these the limits of the live version.
func (b *bundle) limit(limits map[string]int) {
	b.t.Helper()
	if err := b.Activate(b.t.Context(), environment, "b1", []string{"land"}, limits); err != nil {
		b.t.Fatal(err)
	}
}

// taken returns how much of a limit is held, and how many wait for it.
func (b *bundle) taken(name string) (used, waiting int) {
	b.t.Helper()
	all, err := b.Limits(b.t.Context(), environment)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, l := range all {
		if l.Name == name {
			return l.Used, l.Waiting
		}
	}
	return 0, 0
}

func names(grants []run.Grant) string {
	var out []string
	for _, g := range grants {
		out = append(out, g.Task)
	}
	return strings.Join(out, " ")
}

func needs(pairs ...any) (out []ledger.Need) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, ledger.Need{Limit: pairs[i].(string), Amount: pairs[i+1].(int)})
	}
	return out
}

// What is full holds back those that need it and nobody else; who is given back
// to goes to the first in the queue.
func limits(t *testing.T, b *bundle) {
	b.limit(map[string]int{"pool:gpu": 2, "store:w": 1})
	b.create("r1", ledger.NewRun{},
		ledger.NewTask{Name: "a", Needs: needs("pool:gpu", 1)}, ledger.NewTask{Name: "b", Needs: needs("pool:gpu", 1)},
		ledger.NewTask{Name: "c", Needs: needs("pool:gpu", 1)}, ledger.NewTask{Name: "d", Needs: needs("pool:gpu", 1, "store:w", 1)},
		ledger.NewTask{Name: "e", Needs: needs("store:w", 1)}, ledger.NewTask{Name: "f"})
	first := b.claim("s1", 10)
	if got := names(first); got != "a b e f" {
		t.Errorf("claimed %s, want a b e f: c and d have no room, and hold nobody up", got)
	}
	if used, waiting := b.taken("pool:gpu"); used != 2 || waiting != 2 {
		t.Errorf("%d of the pool is taken and %d wait, want 2 and 2", used, waiting)
	}
	name, holders, err := b.HeldBack(t.Context(), run.Ref{Environment: environment, Run: "r1", Task: "c"})
	if err != nil || name != "pool:gpu" || len(holders) != 2 || holders[0].Task != "a" {
		t.Errorf("c is held back by %s, held by %v, %v", name, holders, err)
	}
	if got := b.claim("s1", 10); len(got) != 0 {
		t.Errorf("claimed %s though everything is full", names(got))
	}
	b.succeed(first[0])
	if got := names(b.claim("s1", 10)); got != "c" {
		t.Errorf("after a place was given back %q was claimed, want c", got)
	}
	// d is next for the pool; it waits for the store then, and takes nothing of the pool meanwhile.
	b.succeed(first[1])
	if got := b.claim("s1", 10); len(got) != 0 {
		t.Errorf("claimed %s", names(got))
	}
	if used, waiting := b.taken("pool:gpu"); used != 1 || waiting != 0 {
		t.Errorf("%d of the pool is taken and %d wait, want 1 and 0", used, waiting)
	}
	b.create("r2", ledger.NewRun{Window: day(2), Pipeline: "other"}, ledger.NewTask{Name: "g", Needs: needs("pool:gpu", 1)})
	if got := names(b.claim("s1", 10)); got != "g" {
		t.Errorf("claimed %q, want g: the pool has room", got)
	}
	b.succeed(first[2])
	if got := b.claim("s1", 10); len(got) != 0 {
		t.Errorf("claimed %s, though the pool is full again", names(got))
	}
	// More of it: what waits comes in. Without a limit nobody waits.
	b.limit(map[string]int{"pool:gpu": 3, "store:w": 1})
	if got := names(b.claim("s1", 10)); got != "d" {
		t.Errorf("claimed %q, want d", got)
	}
	b.limit(nil)
	if used, _ := b.taken("pool:gpu"); used != 0 {
		t.Errorf("a limit that is there no more is listed with %d", used)
	}
	b.limit(map[string]int{"pool:gpu": 3})
	if used, _ := b.taken("pool:gpu"); used != 3 {
		t.Errorf("the limit that came back counts %d, want the 3 that run", used)
	}
	b.clean()
}

// A loss, a failure and a cancel give back what was held; a loss costs no retry.
func limitsOfEnds(t *testing.T, b *bundle) {
	b.limit(map[string]int{"pool:one": 1})
	b.create("r1", ledger.NewRun{}, ledger.NewTask{Name: "a", Needs: needs("pool:one", 1), Retries: 1, Backoff: time.Minute}, ledger.NewTask{Name: "b", Needs: needs("pool:one", 1)})
	g := b.one("s1")
	b.must(g.Ref, run.Acknowledged{Epoch: g.Epoch})
	if _, err := b.EndSession(t.Context(), "s1", "gone", false); err != nil {
		t.Fatal(err)
	}
	b.session("s2")
	if used, _ := b.taken("pool:one"); used != 0 {
		t.Errorf("a lost attempt still holds %d", used)
	}
	next := b.claim("s2", 10)
	if len(next) != 1 {
		t.Fatalf("claimed %s, want one", names(next))
	}
	b.must(next[0].Ref, run.Acknowledged{Epoch: next[0].Epoch}, run.AttemptFailed{Epoch: next[0].Epoch, Kind: fault.Failed, Reason: "x"})
	if used, _ := b.taken("pool:one"); used != 0 {
		t.Errorf("a failed attempt still holds %d", used)
	}
	last := b.claim("s2", 10)
	if len(last) != 1 || last[0].Task == next[0].Task {
		t.Fatalf("claimed %s, want the other one: the failed one rests", names(last))
	}
	// Who rests does not stand in a queue, and waits its turn when the rest is over.
	b.now = b.now.Add(2 * time.Minute)
	if got := b.claim("s2", 10); len(got) != 0 {
		t.Errorf("claimed %s beside what holds the pool", names(got))
	}
	if err := b.CancelRun(t.Context(), ledger.RunRef{Environment: environment, Run: "r1"}, "me"); err != nil {
		t.Fatal(err)
	}
	if _, waiting := b.taken("pool:one"); waiting != 0 {
		t.Errorf("%d of a cancelled run still wait", waiting)
	}
}

// A task that needs much is not starved by those that need little: they stand behind it.
func limitsOfMuch(t *testing.T, b *bundle) {
	b.limit(map[string]int{"pool:p": 3})
	b.create("r1", ledger.NewRun{}, ledger.NewTask{Name: "a", Needs: needs("pool:p", 2)}, ledger.NewTask{Name: "b", Needs: needs("pool:p", 3)}, ledger.NewTask{Name: "c", Needs: needs("pool:p", 1)})
	first := b.claim("s1", 10)
	if got := names(first); got != "a" {
		t.Errorf("claimed %s, want a: c stands behind b", got)
	}
	b.succeed(first[0])
	if got := names(b.claim("s1", 10)); got != "b" {
		t.Errorf("claimed %s, want b", got)
	}
	// One that is withdrawn lets those behind it in.
	b.create("r2", ledger.NewRun{Window: day(2), Pipeline: "q"}, ledger.NewTask{Name: "big", Needs: needs("pool:p", 3), Priority: 1})
	b.create("r3", ledger.NewRun{Window: day(3), Pipeline: "r"}, ledger.NewTask{Name: "small", Needs: needs("pool:p", 1)})
	if got := b.claim("s1", 10); len(got) != 0 {
		t.Errorf("claimed %s", names(got))
	}
	b.limit(map[string]int{"pool:p": 4})
	if got := b.claim("s1", 10); len(got) != 0 {
		t.Errorf("claimed %s, though big stands first and has no room", names(got))
	}
	if err := b.CancelRun(t.Context(), ledger.RunRef{Environment: environment, Run: "r2"}, "me"); err != nil {
		t.Fatal(err)
	}
	if got := names(b.claim("s1", 10)); got != "small" {
		t.Errorf("claimed %q, want small: its pipeline had no turn yet", got)
	}
}

// Priority goes first, low priority is overtaken so often and no more, and a
// pipeline with many tasks does not hold up another.
func turns(t *testing.T, b *bundle) {
	var many []ledger.NewTask
	for n := range 50 {
		many = append(many, ledger.NewTask{Name: fmt.Sprintf("t%02d", n)})
	}
	b.create("r1", ledger.NewRun{Pipeline: "wide"}, many...)
	if got := names(b.claim("s1", 5)); got != "t00 t01 t02 t03 t04" {
		t.Errorf("claimed %s", got)
	}
	b.create("r2", ledger.NewRun{Pipeline: "small"}, ledger.NewTask{Name: "only"}, ledger.NewTask{Name: "second"})
	b.create("r3", ledger.NewRun{Pipeline: "urgent"}, ledger.NewTask{Name: "now", Priority: 1})
	b.create("r4", ledger.NewRun{Pipeline: "late"}, ledger.NewTask{Name: "some day", Priority: -1})
	if got := names(b.claim("s1", 6)); got != "now only t05 second t06 t07" && got != "now only second t05 t06 t07" {
		t.Errorf("claimed %s, want the urgent one, and both pipelines in turn", got)
	}
	rest := b.claim("s1", 100)
	if got := rest[len(rest)-1].Task; got != "some day" {
		t.Errorf("the last one is %s, want that of low priority", got)
	}
}

// Whatever happens, what is counted is what is held, nothing exceeds its limit, and
// nobody waits for what has room.
func limitsAtRandom(t *testing.T, b *bundle) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 7))
	all := []string{"pool:a", "pool:b", "store:c"}
	capacity := map[string]int{}
	change := func() {
		for _, name := range all {
			capacity[name] = 3 + random.IntN(4)
		}
		b.limit(capacity)
	}
	change()
	need := map[string]map[string]int{} // run/task → what it takes
	held := map[string]run.Grant{}
	for n := range 120 {
		switch random.IntN(10) {
		case 0, 1, 2:
			id := fmt.Sprintf("r%d", n)
			var tasks []ledger.NewTask
			for k := range 1 + random.IntN(4) {
				task := ledger.NewTask{Name: fmt.Sprintf("t%d", k), Priority: random.IntN(3) - 1, Retries: 1}
				takes := map[string]int{}
				for _, name := range all {
					if random.IntN(2) == 0 {
						takes[name] = 1 + random.IntN(3)
						task.Needs = append(task.Needs, ledger.Need{Limit: name, Amount: takes[name]})
					}
				}
				need[id+"/"+task.Name] = takes
				tasks = append(tasks, task)
			}
			b.create(id, ledger.NewRun{Pipeline: fmt.Sprintf("p%d", n), Window: day(1 + n%27)}, tasks...)
		case 3:
			change()
		default:
			for id, g := range held {
				b.must(g.Ref, run.Acknowledged{Epoch: g.Epoch})
				if random.IntN(3) == 0 {
					b.must(g.Ref, run.Lost{Epoch: g.Epoch, Reason: "x"})
				} else {
					b.must(g.Ref, run.AttemptSucceeded{Epoch: g.Epoch})
				}
				delete(held, id)
				break
			}
		}
		for _, g := range b.claim("s1", 1+random.IntN(3)) {
			held[g.Run+"/"+g.Task] = g
		}
		b.now = b.now.Add(time.Hour)
		for _, name := range all {
			sum := 0
			for id := range held {
				sum += need[id][name]
			}
			used, _ := b.taken(name)
			if used != sum {
				t.Fatalf("step %d: %s counts %d, and %d are held", n, name, used, sum)
			}
			if sum > 6 { // the most that the limit ever was
				t.Fatalf("step %d: %s holds %d of %d", n, name, sum, capacity[name])
			}
		}
	}
	// Everything ends: nobody was forgotten in a queue.
	for range 1000 {
		for _, g := range b.claim("s1", 100) {
			held[g.Run+"/"+g.Task] = g
		}
		if len(held) == 0 {
			break
		}
		for id, g := range held {
			b.must(g.Ref, run.Acknowledged{Epoch: g.Epoch}, run.AttemptSucceeded{Epoch: g.Epoch})
			delete(held, id)
		}
		b.now = b.now.Add(time.Hour)
	}
	for _, name := range all {
		if used, waiting := b.taken(name); used != 0 || waiting != 0 {
			t.Errorf("in the end %d of %s are held and %d wait", used, name, waiting)
		}
	}
}
