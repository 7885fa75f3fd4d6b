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

// ProfileTopic looks at every value of the newest records of a topic, at most so many, spread over its partitions. It
// joins no group and commits nothing.
func ProfileTopic(ctx context.Context, cluster kafka.Cluster, topic string, records int) (profile Profile, err error) {
	fail := func(err error) error { return fmt.Errorf("reading topic %s: %w", topic, err) }
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
	p := &profiler{columns: map[string]*ColumnProfile{}}
	j := judge.New(DataProduct{}, judge.Options{Observe: p.observe})
	each := int64(max(1, records/max(1, len(partitions))))
	for _, id := range partitions {
		if err := readTail(ctx, client, consumer, topic, id, each, j); err != nil {
			return Profile{}, fail(fmt.Errorf("partition %d: %w", id, err))
		}
	}
	out := j.Outcome(time.Now())
	return p.profile(topic, out.Rows, out.Undecodable), nil
}

// readTail gives the newest records of a partition to a judge.
func readTail(ctx context.Context, client sarama.Client, consumer sarama.Consumer, topic string, id int32, records int64, j *judge.Judge) (err error) {
	oldest, err := client.GetOffset(topic, id, sarama.OffsetOldest)
	if err != nil {
		return err
	}
	newest, err := client.GetOffset(topic, id, sarama.OffsetNewest)
	if err != nil {
		return err
	}
	start := max(oldest, newest-records)
	if start >= newest {
		return nil
	}
	r, err := consumer.ConsumePartition(topic, id, start)
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
			_ = j.JSON(m.Value, judge.Where{Partition: id, Offset: m.Offset, At: m.Timestamp}) // counted as undecodable
			if m.Offset >= newest-1 {
				return nil
			}
			idle.Reset(topicIdle)
		}
	}
}
