package mesh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"weir/backend/kafka"
	"weir/backend/mesh/judge"
)

// topicIdle is how long a partition may give nothing, though records are said to be there, before it is left: the
// last of them may be markers of transactions, which no consumer sees.
const topicIdle = 3 * time.Second

// TopicOptions bound how much of a topic is looked at.
type TopicOptions struct {
	Records        int           // the newest, spread over the partitions; 0: DefaultTopicRecords
	For            time.Duration // at most; 0: until they are all there
	SchemaRegistry string        // address of a Confluent-compatible schema registry; empty: the records are JSON
}

// DefaultTopicRecords is how many records of a topic are looked at when nobody says.
const DefaultTopicRecords = 100_000

// ProfileTopic looks at every value of the newest records of a topic. When the time is up it tells what was seen. It joins
// no group and commits nothing.
func ProfileTopic(ctx context.Context, cluster kafka.Cluster, topic string, o TopicOptions) (Profile, error) {
	return kafka.Bounded(cluster, func(cluster kafka.Cluster) (Profile, error) { return profileTopic(ctx, cluster, topic, o) })
}

func profileTopic(ctx context.Context, cluster kafka.Cluster, topic string, o TopicOptions) (profile Profile, err error) {
	fail := func(err error) error { return fmt.Errorf("reading topic %s: %w", topic, err) }
	if o.Records <= 0 {
		o.Records = DefaultTopicRecords
	}
	config := cluster.Config()
	config.Consumer.Return.Errors = true
	config.Metadata.Full = false
	client, err := sarama.NewClient(cluster.Brokers(), config)
	if err != nil {
		return Profile{}, fail(err)
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	if err := client.RefreshMetadata(topic); err != nil {
		return Profile{}, fail(err)
	}
	partitions, err := client.Partitions(topic)
	if err != nil {
		return Profile{}, fail(err)
	}
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return Profile{}, fail(err)
	}
	defer func() { err = errors.Join(err, consumer.Close()) }()
	within := ctx
	if o.For > 0 {
		var cancel context.CancelFunc
		within, cancel = context.WithTimeout(ctx, o.For)
		defer cancel()
	}
	p := &profiler{columns: map[string]*ColumnProfile{}}
	t := tail{client: client, consumer: consumer, topic: topic, schemas: newSchemas(o.SchemaRegistry), judge: judge.New(DataProduct{}, judge.Options{Observe: p.observe})}
	each := int64(max(1, o.Records/max(1, len(partitions))))
	for _, id := range partitions {
		err := t.read(within, id, each)
		if err != nil && within.Err() != nil && ctx.Err() == nil { // the time is up
			break
		}
		if err != nil {
			return Profile{}, fail(fmt.Errorf("partition %d: %w", id, err))
		}
	}
	out := t.judge.Outcome(time.Now())
	profile = p.profile("topic "+topic, out)
	profile.Topic = topic
	if brokers := cluster.Brokers(); len(brokers) > 0 {
		profile.Broker = brokers[0]
	}
	return profile, nil
}

// tail reads the newest records of a topic's partitions.
type tail struct {
	client   sarama.Client
	consumer sarama.Consumer
	topic    string
	schemas  *schemas // nil: the records are JSON
	judge    *judge.Judge
	decoded  []byte
}

// read gives the newest records of a partition to the judge.
func (t *tail) read(ctx context.Context, id int32, records int64) (err error) {
	oldest, err := t.client.GetOffset(t.topic, id, sarama.OffsetOldest)
	if err != nil {
		return err
	}
	newest, err := t.client.GetOffset(t.topic, id, sarama.OffsetNewest)
	if err != nil {
		return err
	}
	start := max(oldest, newest-records)
	if start >= newest {
		return nil
	}
	r, err := t.consumer.ConsumePartition(t.topic, id, start)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := r.Close(); closeErr != nil && err == nil {
			err = closeErr
		}
	}()
	idle := time.NewTimer(topicIdle)
	defer idle.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-idle.C:
			return nil
		case e := <-r.Errors():
			if e != nil {
				return e.Err
			}
		case m, ok := <-r.Messages():
			if !ok {
				return nil
			}
			if err := t.record(ctx, m); err != nil {
				return err
			}
			if m.Offset >= newest-1 {
				return nil
			}
			idle.Reset(topicIdle)
		}
	}
}

// record judges one record. Its error is about the schema registry; a record that is no row is counted as undecodable.
func (t *tail) record(ctx context.Context, m *sarama.ConsumerMessage) error {
	where := judge.Where{Partition: m.Partition, Offset: m.Offset, At: m.Timestamp}
	value := m.Value
	if value == nil { // a tombstone is no row
		return nil
	}
	var times judge.Times
	if t.schemas != nil && framed(value) {
		var err error
		t.decoded, times, err = t.schemas.decode(ctx, t.decoded[:0], value)
		if errors.Is(err, errRegistry) {
			return err
		}
		if err != nil {
			t.judge.Undecodable(value, where, err)
			return nil
		}
		value = t.decoded
	}
	t.judge.Times(times)
	_ = t.judge.JSON(value, where) // counted as undecodable
	return nil
}
