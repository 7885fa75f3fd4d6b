package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"weir/backend/event"
	"weir/backend/kafka"
	"weir/backend/safego"
)

// ErrNotRunning is the error of a command that needs partitions when the pipeline holds none.
var ErrNotRunning = errors.New("the pipeline holds no partitions now")

// ErrResumed is the error of a drain that Resume ended before the group was left.
var ErrResumed = errors.New("the pipeline was resumed before it was drained")

// errMoved ends a session whose partitions start elsewhere.
var errMoved = errors.New("the offsets were moved by a command")

// Position is where to seek to: the first record at or after Time or, where Time is zero, an offset. Negative offsets
// are Oldest and Newest. What lies outside of what the broker keeps becomes the nearest end.
type Position struct {
	Partition int32 // -1: every partition this process holds
	Offset    int64
	Time      time.Time
}

// Offsets with a meaning.
const (
	Newest int64 = -1
	Oldest int64 = -2
)

// Move is what Seek did to one partition.
type Move struct {
	Partition int32
	From, To  int64
}

// Seek moves the group's offsets of partitions that this process holds, finishing what is in hand before. Records
// passed over forwards are never predicted; those gone back over are predicted again.
func (e *Engine) Seek(ctx context.Context, to Position) ([]Move, error) {
	e.control.Lock()
	defer e.control.Unlock()
	f := e.flow.Load()
	if f == nil || f.ctx.Err() != nil {
		return nil, ErrNotRunning
	}
	e.gate.hold()
	defer e.gate.release()
	if err := f.idle(ctx); err != nil {
		return nil, err
	}
	claims := f.held(to.Partition)
	if len(claims) == 0 && to.Partition >= 0 {
		return nil, fmt.Errorf("partition %d: %w; another member of the group may hold it", to.Partition, ErrNotRunning)
	}
	if len(claims) == 0 {
		return nil, ErrNotRunning
	}
	admin, err := kafka.NewAdmin(e.cfg.Cluster)
	if err != nil {
		return nil, err
	}
	defer func() { _ = admin.Close() }()
	targets, err := e.targets(ctx, admin, claims, to)
	if err != nil {
		return nil, err
	}
	// Whatever comes of it, the next session starts where the broker says. This one would repeat a move that was refused
	// with its next commit, and go on below it.
	defer f.cancel(errMoved)
	moves, err := f.move(claims, targets)
	if err != nil {
		return nil, err
	}
	committed, err := admin.GroupOffsets(ctx, e.cfg.Group, e.cfg.Events)
	if err != nil {
		return nil, err
	}
	for _, m := range moves {
		if got := committed[m.Partition].Committed; got != m.To {
			return nil, fmt.Errorf("partition %d: the broker did not take offset %d, it has %d; the group may be rebalancing, try again", m.Partition, m.To, got)
		}
		e.tell(event.Pipeline, event.Info, fmt.Sprintf("partition %d", m.Partition), "moved from offset %d to %d", m.From, m.To)
	}
	return moves, nil
}

// targets are the offsets to move to, by partition.
func (e *Engine) targets(ctx context.Context, admin *kafka.Admin, claims []*claim, to Position) (map[int32]int64, error) {
	partitions := make([]int32, len(claims))
	for i, c := range claims {
		partitions[i] = c.partition
	}
	ends, err := admin.Watermarks(ctx, e.cfg.Events, partitions)
	if err != nil {
		return nil, err
	}
	out := make(map[int32]int64, len(claims))
	if !to.Time.IsZero() {
		if out, err = admin.OffsetsAt(ctx, e.cfg.Events, partitions, to.Time.UnixMilli()); err != nil {
			return nil, err
		}
	}
	for p, end := range ends {
		switch {
		case !to.Time.IsZero():
		case to.Offset == Oldest:
			out[p] = end.Oldest
		case to.Offset == Newest:
			out[p] = end.Newest
		default:
			out[p] = to.Offset
		}
		out[p] = min(max(out[p], end.Oldest), end.Newest)
	}
	return out, nil
}

// Drain finishes what is in hand, commits and leaves the group, so that other members take the partitions over. The
// engine stays Stopped until Resume. It returns when the group is left.
func (e *Engine) Drain(ctx context.Context) error {
	if !e.running.Load() {
		return nil
	}
	if e.want.close() {
		e.tell(event.Pipeline, event.Info, "pipeline", "drains and leaves the group")
		e.status.enter(Draining)
	}
	for {
		parked, changed := e.parked.state()
		if parked || !e.running.Load() {
			return nil
		}
		wanted, resumed := e.want.state()
		if !wanted {
			return ErrResumed
		}
		select {
		case <-changed:
		case <-resumed:
		case <-ctx.Done():
			return fmt.Errorf("drain: %w; it goes on in the background", ctx.Err())
		}
	}
}

// park waits out a drain. It is false when ctx ended.
func (e *Engine) park(ctx context.Context) bool {
	for {
		drained, changed := e.want.state()
		if !drained {
			e.parked.open()
			return ctx.Err() == nil
		}
		e.status.enter(Stopped)
		e.parked.close()
		select {
		case <-changed:
			e.status.enter(Starting)
		case <-ctx.Done():
			return false
		}
	}
}

// untilDrained is a context that ends with ctx or when a drain begins. The caller calls stop.
func (e *Engine) untilDrained(ctx context.Context, r *run) (inner context.Context, stop func()) {
	inner, cancel := context.WithCancel(ctx)
	drained, changed := e.want.state()
	if drained {
		cancel()
	}
	done := make(chan struct{})
	r.Go(func() {
		defer close(done)
		select {
		case <-changed:
			cancel()
		case <-inner.Done():
		}
	})
	return inner, func() { cancel(); <-done }
}

// held are the claims of a partition, or of all for -1.
func (f *flow) held(partition int32) []*claim {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*claim
	for c := range f.claims {
		if partition < 0 || c.partition == partition {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b *claim) int { return int(a.partition - b.partition) })
	return out
}

// idle waits until nothing is in hand. The gate must be shut.
func (f *flow) idle(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		leaveToken(f.flush)
		f.mu.Lock()
		inHand := 0
		for c := range f.claims {
			inHand += c.inHand
		}
		f.mu.Unlock()
		if inHand == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d records are still in hand: %w", inHand, ctx.Err())
		case <-f.ctx.Done():
			return ErrNotRunning
		}
	}
}

// move sets and commits offsets. The session must end then. Once it has ended, the commit is not waited for for ever: the
// client may be one that has panicked.
func (f *flow) move(claims []*claim, targets map[int32]int64) ([]Move, error) {
	moved := make(chan []Move, 1)
	go func() {
		if p := safego.Call(func() { moved <- f.moveNow(claims, targets) }); p != nil {
			f.wg.Fail(p)
		}
	}()
	select {
	case moves := <-moved:
		return moves, nil
	case <-f.ctx.Done():
	}
	select {
	case moves := <-moved:
		return moves, nil
	case <-time.After(2 * f.e.abandonPatience):
		return nil, ErrNotRunning
	}
}

func (f *flow) moveNow(claims []*claim, targets map[int32]int64) []Move {
	if f.out.commits() {
		f.commitNow() // afterwards it commits nothing more
	}
	f.marking.Lock()
	defer f.marking.Unlock()
	f.mu.Lock()
	var out []Move
	for _, c := range claims {
		to := targets[c.partition]
		out = append(out, Move{c.partition, c.next.Load(), to})
		f.sess.MarkOffset(c.topic, c.partition, to, "")  // does nothing backwards
		f.sess.ResetOffset(c.topic, c.partition, to, "") // does nothing forwards
		c.next.Store(to)
		c.marked = to
	}
	f.mu.Unlock()
	f.sess.Commit()
	return out
}
