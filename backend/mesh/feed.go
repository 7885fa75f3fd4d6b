package mesh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"weir/backend/event"
	"weir/backend/kafka"
	"weir/backend/mesh/judge"
)

// DefaultBacklog bounds how many records of a partition are read again when a feed starts: those of the window, at most.
const DefaultBacklog = 2000

// batch bounds how many records are judged under one lock.
const batch = 256

// feed brings the records of the topic of one product to its judge: all partitions, no consumer group, from the start of
// the window on. A partition is read by a reader of the feed's own, or, while the pipeline brings its records anyway (see
// tap.go), by nobody else.
type feed struct {
	mu         sync.Mutex
	topic      string
	problem    string // why it is not read, for people; empty when it is
	block      string // why its records cannot be decoded for now
	generation int    // of the judge it feeds
	parts      map[int32]*part
	tapAt      time.Time // when the pipeline last brought a record
	started    time.Time
	consumer   sarama.Consumer // of the readers; nil when the feed is stopped
}

// part is one partition of the topic, guarded by the feed's mutex. next moves on only while the product's mutex is held
// too.
type part struct {
	next   int64   // offset of the next record to be judged
	ahead  []span  // what was judged beyond it, in order and apart
	target int64   // the end of the partition when the feed started
	reader *reader // nil: the pipeline brings the records, or the reader ended by itself
	tap    tapped
}

// span is a run of offsets from first to before end.
type span struct{ first, end int64 }

// has tells whether the record at an offset was judged.
func (p *part) has(offset int64) bool {
	if offset < p.next {
		return true
	}
	for _, s := range p.ahead {
		if offset < s.first {
			return false
		}
		if offset < s.end {
			return true
		}
	}
	return false
}

// judged takes note that whatever records there are from first to last were judged and tells whether next moved on.
func (p *part) judged(first, last int64) bool {
	was := p.next
	if first > p.next {
		i, _ := slices.BinarySearchFunc(p.ahead, first, func(s span, first int64) int { return cmp.Compare(s.first, first) })
		p.ahead = slices.Insert(p.ahead, i, span{first, last + 1})
	} else {
		p.next = max(p.next, last+1)
	}
	for len(p.ahead) > 0 && p.ahead[0].first <= p.next {
		p.next = max(p.next, p.ahead[0].end)
		p.ahead = slices.Delete(p.ahead, 0, 1)
	}
	return p.next > was
}

// reader reads one partition.
type reader struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func (r *reader) stop() {
	if r != nil {
		r.cancel()
		<-r.done
	}
}

// stop ends the readers and waits for them.
func (f *feed) stop() {
	f.mu.Lock()
	consumer := f.consumer
	f.consumer = nil
	var readers []*reader
	for _, p := range f.parts {
		readers = append(readers, p.reader)
		p.reader, p.tap = nil, tapped{}
	}
	f.mu.Unlock()
	for _, r := range readers {
		if r != nil {
			r.cancel()
		}
	}
	for _, r := range readers {
		r.stop()
	}
	if consumer != nil {
		_ = consumer.Close() // all its readers are closed
	}
}

// abandon forgets the readers, which wait for a client that has panicked: they judge nothing any more.
func (f *feed) abandon() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.consumer = nil
	for id, p := range f.parts {
		f.parts[id] = &part{next: p.next, ahead: p.ahead, target: p.target}
	}
}

// forget makes the next readers start from the window's start again.
func (f *feed) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.parts {
		p.next, p.target, p.ahead = -1, -1, nil
	}
	f.generation = -1
}

// status is the topic, why it is not read, and whether the window has been filled from the backlog.
func (f *feed) status(now time.Time) (topic, problem string, ready bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.problem != "" || f.consumer == nil || f.generation < 0 {
		return f.topic, f.problem, false
	}
	if f.block != "" {
		return f.topic, f.block, false
	}
	ready = len(f.parts) > 0
	for _, p := range f.parts {
		ready = ready && p.next >= p.target
	}
	return f.topic, "", ready || now.Sub(f.started) > 3*time.Second
}

func (f *feed) blocked(why string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.block = why
}

func (f *feed) set(topic, problem string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.topic, f.problem = topic, problem
}

// feedAll connects to the cluster and keeps a reader on every partition that feeds a product.
func (e *Engine) feedAll(ctx context.Context, r *engineRun) {
	fed := map[*live]bool{}
	for ctx.Err() == nil {
		client, err := sarama.NewClient(r.cluster.Brokers(), saramaConfig(r.cluster))
		if err != nil {
			e.clusterAway(ctx, err)
			e.rest(ctx, probeEvery)
			continue
		}
		e.feedFrom(ctx, connection{client, r}, fed)
	}
}

// connection is a client and the run that it is of.
type connection struct {
	sarama.Client
	run *engineRun
}

// feedFrom feeds the products from one connection, until it is lost or ctx ends.
func (e *Engine) feedFrom(ctx context.Context, client connection, fed map[*live]bool) {
	defer func() {
		for p := range fed {
			p.feed.stop()
		}
		if err := client.Close(); err != nil && !errors.Is(err, sarama.ErrClosedClient) {
			e.config.Logger.Debug("closing the client", "error", err)
		}
	}()
	e.probeUntilLost(ctx, client, fed)
}

func saramaConfig(cluster kafka.Cluster) *sarama.Config {
	c := cluster.Config()
	c.Consumer.Return.Errors = true
	c.Consumer.Retry.Backoff = 500 * time.Millisecond
	c.Consumer.MaxWaitTime = 200 * time.Millisecond
	c.Metadata.AllowAutoTopicCreation = false
	c.Metadata.Full = false
	c.Metadata.Retry.Max = 1
	c.Metadata.Retry.Backoff = 100 * time.Millisecond
	c.Net.DialTimeout = 3 * time.Second
	c.Net.ReadTimeout = 10 * time.Second
	return c
}

func (e *Engine) clusterAway(ctx context.Context, err error) {
	if ctx.Err() != nil { // its connections were closed
		return
	}
	e.tell(&e.clusterError, fmt.Errorf("the broker is away: %s", kafka.Reason(err)), "topics cannot be read", "")
}

// rest waits until it is time to look again.
func (e *Engine) rest(ctx context.Context, pause time.Duration) {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-e.wake:
	case <-t.C:
	}
}

// probeUntilLost asks for the topics' metadata again and again, which tells whether the broker is there, whether a
// topic is, and how many partitions it has. It returns when ctx ends or the broker has been away for so long that a
// new connection should be tried.
func (e *Engine) probeUntilLost(ctx context.Context, client connection, fed map[*live]bool) {
	failures := 0
	for ctx.Err() == nil {
		away := error(nil)
		products := e.sorted()
		for p := range fed {
			if !slices.Contains(products, p) { // it left the registry
				p.feed.stop()
				delete(fed, p)
			}
		}
		for _, p := range products {
			fed[p] = true
			if away = e.probe(ctx, client, p); away != nil {
				break
			}
		}
		if away == nil && len(products) == 0 {
			away = client.RefreshMetadata()
		}
		if away != nil {
			failures++
			e.clusterAway(ctx, away)
		} else {
			failures = 0
			e.tell(&e.clusterError, nil, "", "topics can be read again")
		}
		if failures >= 10 {
			return
		}
		e.route(products)
		e.restAndWatch(ctx, client, products)
	}
}

// restAndWatch rests until it is time to probe again. Meanwhile it watches the feeds whose records the pipeline brings.
func (e *Engine) restAndWatch(ctx context.Context, client sarama.Client, products []*live) {
	for until := time.Now().Add(probeEvery); ; {
		if !slices.ContainsFunc(products, func(p *live) bool { return p.feed.tapping(time.Now()) }) {
			e.rest(ctx, time.Until(until))
			return
		}
		e.rest(ctx, min(e.pace.probe, time.Until(until)))
		for _, p := range products {
			if e.probeTaps(client, p, time.Now()) {
				return // a reader is to be started: probe at once
			}
		}
		if ctx.Err() != nil || !time.Now().Before(until) {
			return
		}
	}
}

// route lets Batch find the products of a topic.
func (e *Engine) route(products []*live) {
	topics := map[string][]*live{}
	for _, p := range products {
		p.feed.mu.Lock()
		topic := p.feed.topic
		p.feed.mu.Unlock()
		if topic != "" {
			topics[topic] = append(topics[topic], p)
		}
	}
	e.onTopic.Store(&topics)
}

// probe looks at one product's topic and starts what readers it lacks. The error is about the broker.
func (e *Engine) probe(ctx context.Context, client connection, p *live) error {
	p.mu.Lock()
	product, generation := p.made, p.generation
	p.mu.Unlock()
	if product == nil {
		return nil
	}
	topic, named := product.Topic, true
	if topic == "" {
		topic, named = product.Name, false
	}
	err := client.RefreshMetadata(topic)
	switch {
	case errors.Is(err, sarama.ErrUnknownTopicOrPartition) || errors.Is(err, sarama.ErrInvalidTopic):
		p.feed.stop()
		if named {
			p.feed.set(topic, fmt.Sprintf("topic %s does not exist", topic))
		} else {
			p.feed.set("", fmt.Sprintf("no topic %s in the cluster; judged on files only", topic))
		}
		return nil
	case err != nil && !errors.Is(err, sarama.ErrLeaderNotAvailable):
		return err
	}
	partitions, err := client.Partitions(topic)
	if err != nil {
		return err
	}
	p.feed.set(topic, "")
	return e.startReaders(ctx, client, p, generation, topic, partitions)
}

// startReaders starts a reader on each partition that nobody reads.
func (e *Engine) startReaders(ctx context.Context, client connection, p *live, generation int, topic string, partitions []int32) error {
	f := &p.feed
	f.mu.Lock()
	running := f.consumer != nil && f.generation == generation && len(f.parts) == len(partitions)
	f.mu.Unlock()
	if !running {
		f.stop()
		if started, err := e.startFeed(client, p, generation, topic, partitions); err != nil || !started {
			return err
		}
	}
	for _, id := range partitions {
		f.mu.Lock()
		part := f.parts[id]
		idle := part.reader == nil && !part.tap.feeds
		f.mu.Unlock()
		if !idle {
			continue
		}
		if err := e.startReader(ctx, client, p, generation, topic, id, part); err != nil {
			return fmt.Errorf("partition %s/%d: %w", topic, id, err)
		}
	}
	return nil
}

// startFeed finds where each partition is to be read from. It does not start where another version of the contract has come
// meanwhile: these are the places of the one before, and forget has been told that they are no more.
func (e *Engine) startFeed(client sarama.Client, p *live, generation int, topic string, partitions []int32) (started bool, err error) {
	p.mu.Lock()
	window, rows := p.window, p.rows
	p.mu.Unlock()
	backlog := e.config.Backlog
	if rows > 0 {
		window = math.MaxInt64
		if backlog, err = shareOf(client, topic, partitions, rows); err != nil {
			return false, err
		}
	}
	f := &p.feed
	parts := make(map[int32]*part, len(partitions))
	for _, id := range partitions {
		f.mu.Lock()
		resume, ahead := int64(-1), []span(nil)
		if known := f.parts[id]; known != nil {
			resume, ahead = known.next, known.ahead
		}
		f.mu.Unlock()
		start, end, err := startAt(client, topic, id, resume, window, backlog)
		if err != nil {
			return false, fmt.Errorf("partition %s/%d: %w", topic, id, err)
		}
		if parts[id] = (&part{next: start, target: end}); start == resume { // else it is another topic of that name
			parts[id].ahead = ahead
		}
	}
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.generation != generation {
		return false, consumer.Close()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.consumer, f.generation, f.parts, f.started = consumer, generation, parts, time.Now()
	return true, nil
}

// shareOf is how many of its newest records each partition gives, at most, to a window of so many: an equal share, and what
// others have not.
func shareOf(client sarama.Client, topic string, partitions []int32, rows int64) (int64, error) {
	held := make([]int64, 0, len(partitions))
	for _, id := range partitions {
		end, err := client.GetOffset(topic, id, sarama.OffsetNewest)
		if err != nil {
			return 0, fmt.Errorf("partition %s/%d: %w", topic, id, err)
		}
		oldest, err := client.GetOffset(topic, id, sarama.OffsetOldest)
		if err != nil {
			return 0, fmt.Errorf("partition %s/%d: %w", topic, id, err)
		}
		held = append(held, max(0, end-oldest))
	}
	return equalShare(held, rows), nil
}

// equalShare is the least that each may give, as far as it has so many, for all together to give the sum.
func equalShare(held []int64, sum int64) int64 {
	slices.Sort(held)
	for i, n := range held {
		others := int64(len(held) - i)
		if share := (sum + others - 1) / others; n >= share {
			return share
		}
		sum -= n
	}
	return math.MaxInt64 // all there is
}

// startAt is where a partition is read from: where it was left, else the window's start but not more than the backlog
// before the end.
func startAt(client sarama.Client, topic string, id int32, resume int64, window time.Duration, backlog int64) (start, end int64, err error) {
	if end, err = client.GetOffset(topic, id, sarama.OffsetNewest); err != nil {
		return 0, 0, err
	}
	if resume >= 0 && resume <= end {
		return resume, end, nil
	}
	oldest, err := client.GetOffset(topic, id, sarama.OffsetOldest)
	if err != nil {
		return 0, 0, err
	}
	if window < math.MaxInt64 {
		start, err = client.GetOffset(topic, id, time.Now().Add(-window).UnixMilli())
		if err != nil || start < 0 { // no record that new
			start = end
		}
	}
	return min(max(start, end-backlog, oldest), end), end, nil
}

// startReader reads a partition from where its feed stands.
func (e *Engine) startReader(ctx context.Context, client connection, p *live, generation int, topic string, id int32, part *part) error {
	f := &p.feed
	oldest, err := client.GetOffset(topic, id, sarama.OffsetOldest)
	if err != nil {
		return err
	}
	p.mu.Lock()
	f.mu.Lock()
	outdated := p.generation != generation
	consumer, start, end := f.consumer, max(part.next, oldest), part.target
	missed := start - part.next
	if !outdated {
		part.next = start
	}
	f.mu.Unlock()
	p.mu.Unlock()
	if outdated { // the next probe starts the feed anew
		return nil
	}
	messages, err := consumer.ConsumePartition(topic, id, start)
	if err != nil {
		return err
	}
	if missed > 0 {
		add(&e.log, time.Now(), p.key, event.Warning, fmt.Sprintf("%s of %s/%d gone before being judged", plural(int(missed), "record"), topic, id))
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &reader{cancel: cancel, done: make(chan struct{})}
	f.mu.Lock()
	part.reader = r
	f.mu.Unlock()
	client.run.Go(func() {
		defer close(r.done)
		defer cancel()
		defer func() {
			messages.AsyncClose()
			for range messages.Messages() {
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if part.reader == r { // it ended by itself: the next probe starts another
				part.reader = nil
			}
		}()
		e.readPartition(ctx, p, generation, id, part, messages, end)
	})
	return nil
}

// readPartition judges the records of one partition until ctx ends or sarama gives the partition up.
func (e *Engine) readPartition(ctx context.Context, p *live, generation int, id int32, part *part, r sarama.PartitionConsumer, end int64) {
	records := make([]*sarama.ConsumerMessage, 0, batch)
	bytes, values := make([][]byte, 0, batch), make([]value, 0, batch)
	for {
		records = records[:0]
		select {
		case <-ctx.Done():
			return
		case err := <-r.Errors():
			if err != nil {
				e.config.Logger.Debug("reading", "topic", err.Topic, "partition", err.Partition, "error", err.Err)
			}
			continue
		case m, ok := <-r.Messages():
			if !ok {
				return
			}
			records = append(records, m)
		}
	more:
		for len(records) < batch {
			select {
			case m, ok := <-r.Messages():
				if !ok {
					break more
				}
				records = append(records, m)
			default:
				break more
			}
		}
		bytes = bytes[:0]
		for _, m := range records {
			bytes = append(bytes, m.Value)
		}
		if values = e.values(ctx, p, bytes, values); values == nil {
			return
		}
		p.take(generation, id, part, records, values, end)
	}
}

// take judges records of a partition, those already judged left out. Those below end were there when the feed started:
// they are placed in the window by their own time; the others by their arrival.
func (p *live) take(generation int, id int32, part *part, records []*sarama.ConsumerMessage, values []value, end int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.generation != generation {
		return
	}
	f := &p.feed
	f.mu.Lock()
	given := f.parts[id] == part && f.generation == generation // else it is another reader's now
	f.mu.Unlock()
	if !given {
		return
	}
	p.judgeRecords(part, id, records, values, end, time.Now())
	f.mu.Lock()
	defer f.mu.Unlock()
	part.judged(part.next, records[len(records)-1].Offset) // a reader leaves nothing out
}

// judgeRecords counts records that were not judged yet, by their values, or as the JSON they are where values is nil. The
// product's mutex is held.
func (p *live) judgeRecords(part *part, id int32, records []*sarama.ConsumerMessage, values []value, end int64, now time.Time) {
	for i, m := range records {
		if part.has(m.Offset) || m.Value == nil { // a tombstone says that its key is gone: it is no row
			continue
		}
		at := now
		if m.Offset < end && !m.Timestamp.IsZero() && m.Timestamp.Before(now) {
			at = m.Timestamp
		}
		where := judge.Where{Partition: id, Offset: m.Offset, At: at}
		v := value{json: m.Value}
		if values != nil {
			v = values[i]
		}
		if v.err != nil {
			p.judge.Undecodable(m.Value, where, v.err)
			continue
		}
		p.judge.Times(v.times)
		_ = p.judge.JSON(v.json, where) // counted as undecodable
	}
}
