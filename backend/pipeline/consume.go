package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"weir/backend/event"
	"weir/backend/kafka"
	"weir/backend/safego"
)

// Back-off of whatever is tried again: from the first wait to the longest.
const (
	firstBackoff   = 100 * time.Millisecond
	longestBackoff = 2 * time.Second
)

// sessionTimeout is how long the group waits for a member that is silent before others take over its partitions.
const sessionTimeout = 10 * time.Second

// topicCounts are the partitions of the two topics written to, as last seen.
type topicCounts struct{ predictions, deadLetters int32 }

// partitionsOf is how many partitions a topic we write to has.
func (e *Engine) partitionsOf(topic string) int32 {
	counts := e.topics.Load()
	if topic == e.cfg.Predictions {
		return counts.predictions
	}
	return counts.deadLetters
}

// awaitTopics waits until the topics are there. The one consumed must exist; those written to are made if they do
// not. It is false when ctx ended first.
func (e *Engine) awaitTopics(ctx context.Context) bool {
	var admin *kafka.Admin
	defer func() {
		if admin != nil {
			_ = admin.Close()
		}
	}()
	return e.retry(ctx, func() error {
		if admin == nil {
			a, err := kafka.NewAdmin(e.cfg.Cluster)
			if err != nil {
				e.status.waiting(holdKafka, err.Error())
				return err
			}
			admin = a
		}
		e.status.back(holdKafka)
		err := e.readyTopics(admin)
		if err == nil {
			e.status.back(holdTopics)
			return nil
		}
		e.status.waiting(holdTopics, err.Error())
		if !errors.Is(err, kafka.ErrNoTopic) {
			_ = admin.Close()
			admin = nil
		}
		return err
	})
}

func (e *Engine) readyTopics(admin *kafka.Admin) error {
	events, err := admin.Partitions(e.cfg.Events)
	if errors.Is(err, kafka.ErrNoTopic) {
		return fmt.Errorf("%w; create it, or correct pipeline.events", err)
	}
	if err != nil {
		return err
	}
	var counts topicCounts
	for _, t := range []struct {
		name  string
		count *int32
	}{{e.cfg.Predictions, &counts.predictions}, {e.cfg.DeadLetters, &counts.deadLetters}} {
		partitions, err := admin.Partitions(t.name)
		if errors.Is(err, kafka.ErrNoTopic) {
			if err := admin.CreateTopic(t.name, int32(len(events))); err != nil {
				return fmt.Errorf("%w; create it by hand, or let this client create topics", err)
			}
			e.tell(event.Pipeline, event.Info, t.name, "topic created with %d partitions", len(events))
			partitions, err = admin.Partitions(t.name)
		}
		if err != nil {
			return err
		}
		*t.count = int32(len(partitions))
	}
	if counts.predictions < 1 || counts.deadLetters < 1 {
		return fmt.Errorf("topic %q or %q has no partitions yet", e.cfg.Predictions, e.cfg.DeadLetters)
	}
	e.topics.Store(&counts)
	return nil
}

// retry calls do until it succeeds, with back-off; false when ctx ended first.
func (e *Engine) retry(ctx context.Context, do func() error) bool {
	backoff := firstBackoff
	for {
		if ctx.Err() != nil {
			return false
		}
		if do() == nil {
			return true
		}
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
		}
		backoff = min(2*backoff, longestBackoff)
	}
}

// consume joins the group, again and again, until ctx ends. A drain leaves the group until Resume. A panic of what it
// starts is the run's.
func (e *Engine) consume(ctx context.Context, r *run) {
	for e.park(ctx) {
		e.consumeUntilDrained(ctx, r)
	}
}

func (e *Engine) consumeUntilDrained(ctx context.Context, r *run) {
	ctx, stop := e.untilDrained(ctx, r)
	defer stop()
	for {
		var m *member
		joined := e.retry(ctx, func() (err error) {
			if m, err = e.newMember(r); err != nil {
				e.status.waiting(holdKafka, err.Error())
			}
			return err
		})
		if !joined {
			return
		}
		if m.run(ctx) {
			return
		}
	}
}

// member is this process's membership in the group, with its connections.
type member struct {
	e      *Engine
	group  sarama.ConsumerGroup
	out    publisher
	engine *run // fails with it
	errors safego.Group
	// lastError is what sarama last complained of: the reason for a session that ended too soon.
	lastError atomic.Pointer[error]
	fresh     bool // the first session is still to come
	leaves    bool // the name is to leave the group, too
}

func (e *Engine) newMember(r *run) (*member, error) {
	c := r.cluster.Config()
	c.Consumer.Return.Errors = true
	c.Consumer.Offsets.AutoCommit.Enable = false
	// Where the group has no offset we say so ourselves, once (seed): a partition added later then starts at its
	// beginning whatever pipeline.start says, and loses nothing.
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyCooperativeSticky()}
	c.Consumer.Group.Session.Timeout = e.sessionTimeout
	c.Consumer.Group.Heartbeat.Interval = time.Second
	// How long a rebalance waits for a member that does not answer; ours let go within drainPatience.
	c.Consumer.Group.Rebalance.Timeout = 3 * drainPatience
	c.Consumer.Group.InstanceId = e.cfg.Instance
	c.Consumer.MaxProcessingTime = 5 * time.Second // a full batch ahead of it is no reason to drop a subscription
	c.Metadata.Retry.Max = 5                       // a partition whose last transaction is not settled yet is asked for so often
	c.Metadata.Retry.Backoff = 200 * time.Millisecond
	c.ChannelBufferSize = readyRecords
	c.Consumer.MaxWaitTime = 100 * time.Millisecond // a fetch without records: letting a partition go waits for it
	c.Metadata.RefreshFrequency = 3 * time.Second   // how soon a partition that is added is noticed
	if err := c.Validate(); err != nil {
		return nil, err
	}
	group, err := sarama.NewConsumerGroup(e.cfg.Cluster.Brokers(), e.cfg.Group, c)
	if err != nil {
		return nil, e.cfg.Cluster.Unreachable(err)
	}
	out, err := e.newPublisher(r.cluster)
	if err != nil {
		_ = group.Close()
		return nil, err
	}
	m := &member{e: e, group: group, out: out, engine: r, errors: safego.Group{Failed: r.Fail}, fresh: true}
	m.errors.Go(func() {
		for err := range group.Errors() {
			e.logger.Warn("kafka consumer", "error", err)
			m.lastError.Store(&err)
			if kafka.IsUnreadable(err) {
				leaveToken(e.unreadable)
			}
		}
	})
	return m, nil
}

func (e *Engine) newPublisher(cluster kafka.Cluster) (publisher, error) {
	if e.cfg.Delivery == ExactlyOnce {
		return newExactlyOnce(cluster, e.cfg.Group, e.name)
	}
	sender, err := newProducer(cluster)
	return atLeastOnce{sender}, err
}

// run consumes session after session, then leaves the group. It is true when ctx ended, false when a new member should
// try.
func (m *member) run(ctx context.Context) bool {
	defer m.close()
	const (
		attempts = 5
		lasting  = 2 * time.Second // a session shorter than that achieved nothing
	)
	e, backoff := m.e, firstBackoff
	for failed := 0; failed < attempts; {
		begun := time.Now()
		err := m.session(ctx)
		if ctx.Err() != nil {
			return true
		}
		if errors.Is(err, errMoved) {
			continue
		}
		if errors.Is(err, errStalled) {
			m.leaves = true
			return false
		}
		if time.Since(begun) > lasting {
			failed, backoff = 0, firstBackoff
			if err == nil {
				continue // a rebalance, or the coordinator forgot us
			}
		}
		failed++
		reason := m.lastError.Swap(nil)
		if err == nil && reason != nil {
			err = *reason
		}
		if err != nil {
			e.logger.Warn("the session of the consumer group ended", "error", err)
			e.status.waiting(holdKafka, fmt.Sprintf("kafka at %s: %s", e.cfg.Cluster, kafka.Reason(err)))
		}
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
			return true
		}
		backoff = min(2*backoff, longestBackoff)
	}
	return false
}

// session consumes for as long as the group leaves us what we have.
func (m *member) session(ctx context.Context) error {
	if err := m.out.prepare(ctx); err != nil {
		return err
	}
	f := m.e.newFlow(m.group, m.out)
	f.wg.Failed = func(p *safego.Panic) {
		f.cancel(p) // what is in hand is nobody's now: no claim waits for it
		m.engine.Fail(p)
	}
	f.lookForHoles, m.fresh = m.fresh && m.e.cfg.Instance != "", false
	err := m.group.Consume(ctx, []string{m.e.cfg.Events}, f)
	f.stop()
	if cause := context.Cause(f.ctx); !errors.Is(cause, context.Canceled) {
		return cause // whatever it led to
	}
	return err
}

func (m *member) close() {
	if err := m.group.Close(); err != nil {
		m.e.logger.Warn("leave the consumer group", "error", err)
	}
	m.errors.Wait()
	m.out.close()
	if m.leaves && m.e.cfg.Instance != "" { // sarama leaves it in the group
		if err := m.e.leaveByName(); err != nil {
			m.e.logger.Warn("leave the consumer group", "error", err)
		}
	}
}

// leaveByName takes this process's name out of the group, so that the group rebalances.
func (e *Engine) leaveByName() error {
	admin, err := kafka.NewAdmin(e.cfg.Cluster)
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close() }()
	return admin.RemoveInstance(context.Background(), e.cfg.Group, e.cfg.Instance)
}
