package app

import (
	"context"
	"sync"
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
