package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"weir/backend/event"
	"weir/backend/kafka"
)

// Bounds of how long a partition may stand still though there are records to take. The least is more than a rebalance
// in good order takes; it doubles with every restart that did not help.
const (
	stallPatience = 30 * time.Second
	stallLongest  = 10 * time.Minute
)

// errStalled ends a membership that does not move on.
var errStalled = errors.New("partitions stood still though records waited")

// stillness is how long partitions have stood still. Its owner is the goroutine that asks for facts.
type stillness struct {
	patience time.Duration      // of now
	of       map[int32]standing // every partition of the topic
	blamed   map[int32]int64    // the offsets of those that the last restart was for and that have not moved since
}

// standing is where a partition is, and since when.
type standing struct {
	offset int64
	since  time.Time
}

// stall is a partition that does not move though it could.
type stall struct {
	partition int32
	offset    int64
	waiting   int64 // records
	mine      bool  // this process holds it
}

// watchStalls starts the membership over when a partition stands still that should not, whatever the cause: a consumer
// that does not come back after the broker did, a rebalance that left a partition with nobody, a request that hangs.
// Nothing is lost by it, for what is in hand is taken again. It asks the broker before it judges.
func (e *Engine) watchStalls(ctx context.Context, admin *kafka.Admin, offsets map[int32]kafka.Offsets, now time.Time) error {
	f := e.flow.Load()
	if f == nil {
		return nil
	}
	if err := e.lookForHoles(ctx, admin, f); err != nil {
		return err
	}
	var found []stall
	for _, s := range e.standingStill(f, offsets, now) {
		e.still.of[s.partition] = standing{s.offset, now} // it is looked into once a patience
		bad, err := e.isStall(ctx, admin, s)
		if err != nil {
			e.still.blamed[s.partition] = s.offset
			e.status.waiting(holdStill, fmt.Sprintf("partition %d stands still at offset %d: %v", s.partition, s.offset, err))
			return err
		}
		if bad {
			found = append(found, s)
		}
	}
	if len(found) > 0 {
		e.startOver(f, found)
	}
	return nil
}

// standingStill lists the partitions with lag that have not moved for longer than the patience.
func (e *Engine) standingStill(f *flow, offsets map[int32]kafka.Offsets, now time.Time) []stall {
	w := &e.still
	if w.of == nil {
		w.patience, w.of, w.blamed = e.stallPatience, make(map[int32]standing), make(map[int32]int64)
	}
	mine := make(map[int32]*claim)
	for _, c := range f.held(-1) {
		mine[c.partition] = c
	}
	excused := e.mayStandStill()
	var out []stall
	for p, o := range offsets {
		at := max(o.Committed, o.Oldest)
		c, held := mine[p]
		if held {
			at = max(at, c.next.Load())
		}
		if was, blamed := w.blamed[p]; blamed && (at != was || at >= o.Newest) {
			delete(w.blamed, p)
			if len(w.blamed) == 0 {
				w.patience = e.stallPatience
				e.status.back(holdStill)
			}
		}
		before, known := w.of[p]
		switch {
		case !known || before.offset != at || at >= o.Newest || excused:
			w.of[p] = standing{at, now}
		case now.Sub(before.since) > w.patience:
			out = append(out, stall{p, at, o.Newest - at, held})
		}
	}
	slices.SortFunc(out, func(a, b stall) int { return int(a.partition - b.partition) })
	return out
}

// mayStandStill tells whether there is a known reason for it.
func (e *Engine) mayStandStill() bool {
	shut, _ := e.gate.state() // paused, or a command is at work
	drained, _ := e.want.state()
	return shut || drained || e.status.waitsBut(holdStill)
}

// isStall asks the broker whether a partition that stands still could move.
func (e *Engine) isStall(ctx context.Context, admin *kafka.Admin, s stall) (bool, error) {
	if !s.mine {
		holders, settled, err := admin.Holders(ctx, e.cfg.Group, e.cfg.Events)
		if _, held := holders[s.partition]; err != nil || !settled || held {
			return false, err // one that another member holds is that one's to mend
		}
	}
	has, err := admin.HasRecord(ctx, e.cfg.Events, s.partition, s.offset, s.offset+s.waiting)
	if kafka.IsUnreadable(err) {
		leaveToken(e.unreadable) // see defuser
		return false, nil
	}
	return has, err // without one, the rest are markers or belong to a transaction that is open
}

// startOver says what stands still and ends the membership; the next member joins at once.
func (e *Engine) startOver(f *flow, found []stall) {
	w := &e.still
	partitions, waiting := make([]int32, len(found)), int64(0)
	for i, s := range found {
		partitions[i] = s.partition
		waiting += s.waiting
		w.blamed[s.partition] = s.offset
	}
	first, holder := found[0], "nobody in the group holds it"
	if first.mine {
		holder = "this process holds it"
	}
	n := e.stats.stalls.Add(1)
	e.status.waiting(holdStill, fmt.Sprintf("partition %d stood still at offset %d for %s and %s: joins the group anew", first.partition, first.offset, w.patience, holder))
	e.tell(event.Pipeline, event.Warning, "pipeline",
		"partitions %d stood still for %s with %d records waiting (partition %d at offset %d; %s): leaves the group and joins it anew, restart %d",
		partitions, w.patience, waiting, first.partition, first.offset, holder, n)
	e.logger.Warn("partitions stood still", "partitions", partitions, "records", waiting, "offset", first.offset, "mine", first.mine, "restart", n)
	w.patience = min(2*w.patience, stallLongest)
	clear(w.of)
	f.cancel(errStalled)
}

// lookForHoles mends what Kafka leaves of a member with a name of its own (KIP-345) that died between the two steps of
// a cooperative rebalance: told to give partitions up, it had not yet joined again to say that it did. Its next process
// is handed what was left to it, the group is called stable, and the partitions given up are nobody's until somebody
// joins or leaves. So the first session under a name looks once whether the group is whole.
func (e *Engine) lookForHoles(ctx context.Context, admin *kafka.Admin, f *flow) error {
	if !f.lookForHoles {
		return nil
	}
	holders, settled, err := admin.Holders(ctx, e.cfg.Group, e.cfg.Events)
	if err != nil || !settled {
		return err
	}
	f.lookForHoles = false
	partitions, err := admin.Partitions(e.cfg.Events)
	if err != nil {
		return err
	}
	holes := slices.DeleteFunc(partitions, func(p int32) bool { _, held := holders[p]; return held })
	if len(holes) == 0 {
		return nil
	}
	e.tell(event.Pipeline, event.Info, "partitions", "%d are nobody's in a group that is settled: leaves the group and joins it anew", holes)
	e.logger.Info("nobody holds some partitions", "partitions", holes)
	f.cancel(errStalled)
	return nil
}
