package demo

import (
	"context"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Bounds of the producer.
const (
	// tickEvery is the size of a batch in time: the events of one tick carry one timestamp and travel together. The
	// broker remembers some hundred bytes of each batch for as long as it keeps it, so many small ones would cost memory.
	tickEvery = 50 * time.Millisecond
	linger    = 2 * time.Millisecond
	// maxBehind bounds what is made up for after a pause, and what may wait for a broker that is away, in time.
	maxBehind = time.Second
	minBuffer = 1000 // records that may wait at the least
)

// producer is the applications of the world: it sends the generator's events at a steady pace.
type producer struct {
	generator *generator
	brokers   []string
	rate      float64 // user events a second, before faults
	faults    func() (eventFaults, float64)
	now       func() time.Time
	logger    *slog.Logger

	sent  atomic.Uint64 // user events handed to the client
	acked atomic.Uint64 // user events the broker acknowledged
}

// run produces until ctx ends; what it sent by then is brought to the broker's acknowledgement, unless life ends first.
func (p *producer) run(ctx, life context.Context) error {
	room := max(minBuffer, int(2*p.rate*maxBehind.Seconds()))
	client, err := kgo.NewClient(
		kgo.SeedBrokers(p.brokers...),
		kgo.ClientID("weir-demo-world"),
		kgo.DisableClientMetrics(), // its farewell would hold Close up
		kgo.RecordPartitioner(pinned{kgo.StickyKeyPartitioner(nil)}),
		kgo.ProducerLinger(linger),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.MaxBufferedRecords(2*room),
		kgo.RetryBackoffFn(func(int) time.Duration { return 200 * time.Millisecond }),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	pace := pace{rate: p.rate, began: p.now(), last: p.now()}
	for {
		select {
		case <-ctx.Done():
			_ = client.Flush(life)
			return nil
		case <-tick.C:
		}
		faults, factor := p.faults()
		at := p.now()
		n := pace.due(at, factor)
		// A broker that is away stops the applications, it does not make them forget: what is due waits, within bounds.
		n = min(n, room-int(client.BufferedProduceRecords()))
		if n <= 0 {
			continue
		}
		pace.took(n)
		p.send(life, client, p.generator.next(n, at, faults))
	}
}

func (p *producer) send(ctx context.Context, client *kgo.Client, records []record) {
	out := make([]kgo.Record, len(records))
	events := uint64(0)
	for i, r := range records {
		out[i] = kgo.Record{Topic: r.topic, Key: r.key, Value: r.value, Partition: r.partition}
		if r.topic == topicEvents {
			events++
		}
		client.Produce(ctx, &out[i], p.acknowledged)
	}
	p.sent.Add(events)
}

func (p *producer) acknowledged(r *kgo.Record, err error) {
	switch {
	case err == nil && r.Topic == topicEvents:
		p.acked.Add(1)
	case err != nil && r.Context.Err() == nil:
		p.logger.Warn("demo world: a record was not taken", "topic", r.Topic, "error", err)
	}
}

// pace says how many events are due: the rate with a gentle swell, so that a chart of it breathes.
type pace struct {
	rate  float64
	began time.Time
	last  time.Time
	owed  float64
}

// due adds what time since the last call owes and returns the whole events of it. The swell has no mean: over its
// periods of 20 and 7 seconds exactly the rate is due.
func (p *pace) due(now time.Time, factor float64) int {
	t := now.Sub(p.began).Seconds()
	swell := 1 + 0.06*math.Sin(2*math.Pi*t/20) + 0.03*math.Sin(2*math.Pi*t/7)
	p.owed += p.rate * factor * swell * now.Sub(p.last).Seconds()
	p.owed = min(p.owed, max(1, p.rate*factor*maxBehind.Seconds()))
	p.last = now
	return int(p.owed)
}

func (p *pace) took(n int) { p.owed -= float64(n) }

// pinned lets a record choose its partition; all others go by their key, as with any Kafka client.
type pinned struct{ kgo.Partitioner }

func (p pinned) ForTopic(topic string) kgo.TopicPartitioner {
	return pinnedTopic{p.Partitioner.ForTopic(topic)}
}

type pinnedTopic struct{ kgo.TopicPartitioner }

func (pinnedTopic) RequiresConsistency(*kgo.Record) bool { return true }

func (p pinnedTopic) Partition(r *kgo.Record, n int) int {
	if r.Partition >= 0 {
		return int(r.Partition) % n
	}
	return p.TopicPartitioner.Partition(r, n)
}
