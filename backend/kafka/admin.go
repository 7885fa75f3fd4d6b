package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
)

// ErrNoTopic is wrapped when a topic does not exist.
var ErrNoTopic = errors.New("topic does not exist")

// Admin asks a cluster for facts over connections of its own. It is safe for concurrent use; close it. One whose client
// has panicked gives an error in time, whatever it is asked.
type Admin struct {
	cluster Cluster
	client  sarama.Client
	admin   sarama.ClusterAdmin

	watch    *Watch
	hangUp   func()
	patience time.Duration // after a panic
	broken   atomic.Bool   // something waits for ever for the goroutine that panicked
}

// NewAdmin connects to the cluster.
func NewAdmin(c Cluster) (*Admin, error) { return newAdmin(c, askPatience) }

func newAdmin(c Cluster, patience time.Duration) (*Admin, error) {
	a := &Admin{watch: NewWatch(nil), patience: patience}
	a.cluster, a.hangUp = c.Apart()
	_, err := ask(a, func() (struct{}, error) { return struct{}{}, a.connect() })
	if err != nil {
		a.release()
		return nil, c.Unreachable(err)
	}
	return a, nil
}

func (a *Admin) connect() error {
	config := a.cluster.Config()
	config.Metadata.Retry.Max = 0 // who asks for facts asks again
	client, err := sarama.NewClient(a.cluster.brokers, config)
	if err != nil {
		return err
	}
	admin, err := sarama.NewClusterAdminFromClient(client)
	if err != nil {
		return errors.Join(err, client.Close())
	}
	a.client, a.admin = client, admin
	return nil
}

// ask calls f, which asks the brokers.
func ask[T any](a *Admin, f func() (T, error)) (answer T, err error) {
	if a.broken.Load() {
		return answer, a.watch.err()
	}
	answer, left, err := bounded(a.watch, a.patience, a.hangUp, f)
	if left {
		a.broken.Store(true)
	}
	return answer, err
}

// Close ends the connections.
func (a *Admin) Close() error {
	defer a.release()
	_, err := ask(a, func() (struct{}, error) { return struct{}{}, a.admin.Close() }) // closes the client too
	return err
}

func (a *Admin) release() {
	a.hangUp()
	a.watch.Stop()
}

// Partitions are the partitions of a topic, ascending. The error wraps ErrNoTopic when the broker does not know it.
func (a *Admin) Partitions(topic string) ([]int32, error) {
	return ask(a, func() ([]int32, error) { return a.partitions(topic) })
}

func (a *Admin) partitions(topic string) ([]int32, error) {
	err := a.client.RefreshMetadata(topic)
	if errors.Is(err, sarama.ErrUnknownTopicOrPartition) {
		return nil, fmt.Errorf("topic %q on %s: %w", topic, a.cluster, ErrNoTopic)
	}
	if err != nil {
		return nil, fmt.Errorf("look up topic %q on %s: %w", topic, a.cluster, err)
	}
	partitions, err := a.client.Partitions(topic)
	if err != nil {
		return nil, fmt.Errorf("look up topic %q on %s: %w", topic, a.cluster, err)
	}
	partitions = slices.Clone(partitions)
	slices.Sort(partitions)
	return partitions, nil
}

// CreateTopic makes a topic; one that exists already is fine. Partitions of -1 leave the number to the broker. The
// replication factor is the broker's default.
func (a *Admin) CreateTopic(topic string, partitions int32) error {
	_, err := ask(a, func() (struct{}, error) {
		return struct{}{}, a.admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: -1}, false)
	})
	if errors.Is(err, sarama.ErrTopicAlreadyExists) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create topic %q on %s: %w", topic, a.cluster, err)
	}
	return nil
}

// Offsets of one partition.
type Offsets struct {
	Oldest, Newest int64 // the first offset still kept, and the high watermark
	// Committed is the group's next offset; -1 when it has committed none.
	Committed int64
}

// Watermarks are the oldest and newest offsets of partitions of a topic, by partition. Committed is -1 in all.
func (a *Admin) Watermarks(ctx context.Context, topic string, partitions []int32) (map[int32]Offsets, error) {
	oldest, err := a.listOffsets(ctx, topic, partitions, sarama.OffsetOldest)
	if err != nil {
		return nil, err
	}
	newest, err := a.listOffsets(ctx, topic, partitions, sarama.OffsetNewest)
	if err != nil {
		return nil, err
	}
	out := make(map[int32]Offsets, len(partitions))
	for _, p := range partitions {
		out[p] = Offsets{Oldest: oldest[p], Newest: newest[p], Committed: -1}
	}
	return out, nil
}

// GroupOffsets are the watermarks and the group's committed offsets of all partitions of a topic.
func (a *Admin) GroupOffsets(ctx context.Context, group, topic string) (map[int32]Offsets, error) {
	partitions, err := a.Partitions(topic)
	if err != nil {
		return nil, err
	}
	out, err := a.Watermarks(ctx, topic, partitions)
	if err != nil {
		return nil, err
	}
	committed, err := a.groupOffsets(group, topic, partitions)
	if errors.Is(err, sarama.ErrGroupIDNotFound) {
		return out, nil // nobody has joined yet
	}
	if err != nil {
		return nil, fmt.Errorf("read the offsets of group %q on %s: %w", group, a.cluster, err)
	}
	for _, p := range partitions {
		if block := committed.GetBlock(topic, p); block != nil && block.Err == sarama.ErrNoError {
			o := out[p]
			o.Committed = block.Offset
			out[p] = o
		}
	}
	return out, nil
}

func (a *Admin) groupOffsets(group, topic string, partitions []int32) (*sarama.OffsetFetchResponse, error) {
	return ask(a, func() (*sarama.OffsetFetchResponse, error) {
		return a.admin.ListConsumerGroupOffsets(group, map[string][]int32{topic: partitions})
	})
}

// OffsetsAt is, by partition, the first offset whose record's timestamp is at or after at (milliseconds since 1970);
// where there is none, the high watermark.
func (a *Admin) OffsetsAt(ctx context.Context, topic string, partitions []int32, at int64) (map[int32]int64, error) {
	out, err := a.listOffsets(ctx, topic, partitions, at)
	if err != nil {
		return nil, err
	}
	for _, p := range partitions {
		if out[p] >= 0 {
			continue
		}
		newest, err := a.listOffsets(ctx, topic, []int32{p}, sarama.OffsetNewest)
		if err != nil {
			return nil, err
		}
		out[p] = newest[p]
	}
	return out, nil
}

// listOffsets asks each partition's leader once for all of its partitions.
func (a *Admin) listOffsets(ctx context.Context, topic string, partitions []int32, at int64) (map[int32]int64, error) {
	return ask(a, func() (map[int32]int64, error) { return a.offsetsOf(ctx, topic, partitions, at) })
}

func (a *Admin) offsetsOf(ctx context.Context, topic string, partitions []int32, at int64) (map[int32]int64, error) {
	type question struct {
		broker     *sarama.Broker
		partitions []int32
	}
	leaders := make(map[int32]*question)
	for _, p := range partitions {
		broker, err := a.client.Leader(topic, p)
		if err != nil {
			return nil, fmt.Errorf("find the leader of %s/%d: %w", topic, p, err)
		}
		l := leaders[broker.ID()]
		if l == nil {
			l = &question{broker: broker}
			leaders[broker.ID()] = l
		}
		l.partitions = append(l.partitions, p)
	}
	out := make(map[int32]int64, len(partitions))
	for _, l := range leaders {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		request := &sarama.OffsetRequest{Version: 1}
		for _, p := range l.partitions {
			request.AddBlock(topic, p, at, 1)
		}
		response, err := l.broker.GetAvailableOffsets(request)
		if err != nil {
			_ = l.broker.Close() // it is opened again by the next Leader
			return nil, fmt.Errorf("ask broker %s for the offsets of %s: %w", l.broker.Addr(), topic, err)
		}
		for _, p := range l.partitions {
			block := response.GetBlock(topic, p)
			if block == nil {
				return nil, fmt.Errorf("ask broker %s for the offsets of %s/%d: it answered without them", l.broker.Addr(), topic, p)
			}
			if block.Err != sarama.ErrNoError {
				_ = a.client.RefreshMetadata(topic)
				return nil, fmt.Errorf("ask broker %s for the offsets of %s/%d: %w", l.broker.Addr(), topic, p, block.Err)
			}
			out[p] = block.Offset
		}
	}
	return out, nil
}
