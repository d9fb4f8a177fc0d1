package app

import (
	"context"
	"sync"
	"time"
)

// guests are the commands that use a server which another command runs for its
// own duration.
type guests struct {
	mu     sync.Mutex
	count  int
	closed bool
	gone   chan struct{} // closed when the last one has left; nil while nobody waits
}

// come counts a guest until leave is called; it is not welcome once the server is about to end.
func (g *guests) come() (leave func(), welcome bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, false
	}
	g.count++
	return g.leave, true
}

func (g *guests) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count--
	if g.count == 0 && g.gone != nil {
		g.closed = true
		close(g.gone)
		g.gone = nil
	}
}

// end lets nobody in once the last guest has left. It returns a channel that is
// closed then; nil where nobody is there.
func (g *guests) end() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.count == 0 {
		g.closed = true
		return nil
	}
	g.gone = make(chan struct{})
	return g.gone
}

// AwaitGuests waits until no other command uses the server, and lets none in
// afterwards. Tell is called where there is something to wait for.
func (s *Server) AwaitGuests(ctx context.Context, tell func()) {
	gone := s.guests.end()
	if gone == nil {
		return
	}
	tell()
	select {
	case <-gone:
	case <-ctx.Done():
	}
}

// outboxPatience bounds how long a command stays for the messages of what it did.
const outboxPatience = 5 * time.Second

// AwaitOutbox waits until every message that is due was tried: a command that
// brings its own server tells of what it broke before it ends. What is put off, and
// what is still under way after five seconds, the next server sends.
func (s *Server) AwaitOutbox(ctx context.Context) {
	bounded, stop := context.WithTimeout(ctx, outboxPatience)
	defer stop()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		due, err := s.ledger.DueNotifications(bounded, 1)
		if err != nil || len(due) == 0 {
			return
		}
		select {
		case <-bounded.Done():
			return
		case <-look.C:
		}
	}
}
