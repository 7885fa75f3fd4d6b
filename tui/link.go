package tui

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// Link is the way to one terminal. It counts what passes and never makes its writer wait: what the terminal has not
// taken yet is kept, and [Link.Busy] tells the console to draw no new frame until it is gone. So a slow line sees
// fewer frames, always the newest, and never a queue of old ones.
type Link struct {
	file *os.File

	mu      sync.Mutex
	waiting []byte
	total   uint64
	err     error
	wake    chan struct{}
	closed  bool
	wanted  bool          // somebody asked while it was busy
	empty   chan struct{} // closed when nothing waits any more; nil when nobody listens
	onFree  func()
	onLost  func(error)
	done    chan struct{}
}

// maxWaiting is how much a Link keeps for a terminal that does not read; beyond it, the terminal counts as lost. A
// full frame of the largest screens is a tenth of it.
const maxWaiting = 8 << 20

// ErrTerminalLost is the error of a terminal that went away.
var ErrTerminalLost = errors.New("the terminal is gone")

// NewLink starts the writer of a terminal. onFree is called when a busy link has become free, onLost once, when a
// write failed; both from the link's own goroutine, which Close ends.
func NewLink(file *os.File, onFree func(), onLost func(error)) *Link {
	l := &Link{file: file, wake: make(chan struct{}, 1), onFree: onFree, onLost: onLost, done: make(chan struct{})}
	go l.drain()
	return l
}

// Write takes bytes for the terminal without waiting for it.
func (l *Link) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return 0, l.err
	}
	if l.closed {
		return 0, io.ErrClosedPipe
	}
	if len(l.waiting)+len(b) > maxWaiting {
		l.err = ErrTerminalLost
		return 0, l.err
	}
	l.waiting = append(l.waiting, b...)
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return len(b), nil
}

// Read reads from the terminal.
func (l *Link) Read(b []byte) (int, error) { return l.file.Read(b) }

// Fd is the terminal's file descriptor.
func (l *Link) Fd() uintptr { return l.file.Fd() }

// Busy tells whether bytes are still waiting for the terminal. Who was told so hears by onFree when they are gone.
func (l *Link) Busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wanted = len(l.waiting) > 0
	return l.wanted
}

// settle waits until the terminal has taken what is waiting, for at most a second.
func (l *Link) settle() {
	l.mu.Lock()
	if len(l.waiting) == 0 || l.err != nil || l.closed {
		l.mu.Unlock()
		return
	}
	if l.empty == nil {
		l.empty = make(chan struct{})
	}
	empty := l.empty
	l.mu.Unlock()
	select {
	case <-empty:
	case <-l.done:
	case <-time.After(time.Second): // a terminal that does not read any more must not keep the program
	}
}

// Total is how many bytes the terminal has taken.
func (l *Link) Total() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// Close lets what is waiting pass, for at most a second, and ends the link. The terminal itself stays open.
func (l *Link) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	close(l.wake)
	select {
	case <-l.done:
	case <-time.After(time.Second): // a terminal that does not read any more must not keep the program
	}
	return nil
}

func (l *Link) drain() {
	defer close(l.done)
	for range l.wake {
		if err := l.pass(); err != nil {
			l.onLost(err)
			return
		}
	}
	_ = l.pass() // what came last; there is nobody left to tell about a failure
}

func (l *Link) pass() error {
	l.mu.Lock()
	b := l.waiting
	l.mu.Unlock()
	for len(b) > 0 {
		n, err := l.file.Write(b)
		l.mu.Lock()
		l.total += uint64(n)
		l.waiting = l.waiting[n:]
		if len(l.waiting) == 0 {
			l.waiting = nil
		}
		b = l.waiting
		if err != nil {
			l.err = err
		}
		l.mu.Unlock()
		if err != nil {
			return err
		}
	}
	l.mu.Lock()
	wanted := l.wanted && len(l.waiting) == 0
	if l.empty != nil && len(l.waiting) == 0 {
		close(l.empty)
		l.empty = nil
	}
	if wanted {
		l.wanted = false
	}
	l.mu.Unlock()
	if wanted {
		l.onFree()
	}
	return nil
}
