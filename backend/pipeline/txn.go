package pipeline

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"weir/backend/kafka"
)

// Bounds of a transaction.
const (
	// transactionTimeout is when the broker aborts a transaction whose process died; Kafka looks every ten seconds for
	// such. Until then whoever takes over its partitions has to wait, and so have read-committed readers. It is as long
	// as the group waits for a member that is silent (sessionTimeout), before which nobody takes over anyway.
	// A process with an instance name ends what it left open as soon as it is back.
	transactionTimeout = 10 * time.Second
	// transactionPatience is how long one step of a transaction is tried again before the transaction is aborted.
	transactionPatience = 5 * time.Second
)

// errLost says that this process lost its partitions, or its name, while a transaction was open.
var errLost = errors.New("the transaction was fenced")

// exactlyOnce publishes a batch as one Kafka transaction with the consumed offsets inside: readers that ask for
// committed records see all of it or nothing. A process that lost its partitions without noticing is fenced, because
// the offsets carry the group's generation; one that was replaced under its own name, because its producer's epoch is
// outdated. Whatever goes wrong, the transaction is aborted and the session starts over from the offsets the broker
// has: so even a commit whose answer got lost is never repeated.
type exactlyOnce struct {
	sender *producer
	group  string
	id     string

	ready bool // the producer id is ours and no transaction is open
	pid   int64
	epoch int16
	next  map[place]int32 // sequence numbers
}

// place is one partition of one topic.
type place struct {
	topic     string
	partition int32
}

// newExactlyOnce makes a publisher under the name of one process: what its predecessor left open it ends. With an instance
// the name outlives the process.
func newExactlyOnce(c kafka.Cluster, group, name string) (*exactlyOnce, error) {
	sender, err := newProducer(c)
	if err != nil {
		return nil, err
	}
	return &exactlyOnce{sender: sender, group: group, id: "weir-" + group + "-" + name}, nil
}

// processName is the instance's or, without one, a name that no other process has.
func processName(instance string) string {
	if instance != "" {
		return instance
	}
	raw := make([]byte, 8)
	_, _ = rand.Read(raw) // never fails
	return hex.EncodeToString(raw)
}

func (x *exactlyOnce) commits() bool { return false }

func (x *exactlyOnce) close() { x.sender.close() }

// prepare gets a producer id, which aborts the transaction that this one or a dead predecessor left open.
func (x *exactlyOnce) prepare(ctx context.Context) error {
	if x.ready {
		return nil
	}
	return x.step(ctx, "begin transactions", func() error {
		coordinator, err := x.sender.client.TransactionCoordinator(x.id)
		if err != nil {
			return err
		}
		r, err := coordinator.InitProducerID(&sarama.InitProducerIDRequest{
			Version: 2, TransactionalID: &x.id, TransactionTimeout: transactionTimeout, ProducerID: -1, ProducerEpoch: -1,
		})
		if err = x.outcome(coordinator, err, func() sarama.KError { return r.Err }); err != nil {
			return err
		}
		x.pid, x.epoch, x.next, x.ready = r.ProducerID, r.ProducerEpoch, make(map[place]int32), true
		return nil
	})
}

// publish is false, and the session over, when the transaction was aborted or nobody knows.
func (x *exactlyOnce) publish(f *flow, b *batch) bool {
	err := x.prepare(f.ctx)
	if err == nil {
		err = x.transact(f, b)
	}
	if err == nil {
		f.e.status.back(holdProduce)
		return true
	}
	x.ready = false // prepare aborts what is open
	f.cancel(err)
	return false
}

func (x *exactlyOnce) transact(f *flow, b *batch) error {
	if err := x.addPartitions(f.ctx, &b.parcels); err != nil {
		return err
	}
	offsets := make(chan error, 1)
	f.wg.Go(func() { offsets <- x.commitOffsets(f, b) }) // while the records are on their way
	sent := x.step(f.ctx, "send", func() error { return x.sender.send(f.ctx, &b.parcels, x) })
	var err error
	select {
	case err = <-offsets:
	case <-f.ctx.Done(): // it may have panicked; whoever stops the flow waits for it
		err = context.Cause(f.ctx)
	}
	if sent != nil {
		return sent
	}
	if err != nil {
		return err
	}
	if f.anyGivenUp(b) {
		return errGivenUp
	}
	return x.end(f.ctx)
}

// seal gives a parcel its place in its partition's sequence.
func (x *exactlyOnce) seal(c *parcel) {
	c.seal(time.Now())
	at := place{c.topic, c.partition}
	c.batch.IsTransactional = true
	c.batch.ProducerID, c.batch.ProducerEpoch, c.batch.FirstSequence = x.pid, x.epoch, x.next[at]
	x.next[at] += int32(len(c.records))
}

// unseal takes the place back: the broker did not take the parcel.
func (x *exactlyOnce) unseal(c *parcel) { x.next[place{c.topic, c.partition}] -= int32(len(c.records)) }

func (x *exactlyOnce) transactionalID() *string { return &x.id }

func (x *exactlyOnce) addPartitions(ctx context.Context, list *parcels) error {
	partitions := make(map[string][]int32, 2)
	for _, c := range list.list {
		if !c.later {
			partitions[c.topic] = append(partitions[c.topic], c.partition)
		}
	}
	return x.step(ctx, "add partitions to the transaction", func() error {
		coordinator, err := x.sender.client.TransactionCoordinator(x.id)
		if err != nil {
			return err
		}
		r, err := coordinator.AddPartitionsToTxn(&sarama.AddPartitionsToTxnRequest{
			Version: 2, TransactionalID: x.id, ProducerID: x.pid, ProducerEpoch: x.epoch, TopicPartitions: partitions,
		})
		return x.outcome(coordinator, err, func() sarama.KError {
			for _, topic := range r.Errors {
				for _, p := range topic {
					if p.Err != sarama.ErrNoError && p.Err != sarama.ErrOperationNotAttempted {
						return p.Err
					}
				}
			}
			return sarama.ErrNoError
		})
	})
}

// commitOffsets puts the batch's offsets into the transaction.
func (x *exactlyOnce) commitOffsets(f *flow, b *batch) error {
	err := x.step(f.ctx, "add offsets to the transaction", func() error {
		coordinator, err := x.sender.client.TransactionCoordinator(x.id)
		if err != nil {
			return err
		}
		r, err := coordinator.AddOffsetsToTxn(&sarama.AddOffsetsToTxnRequest{
			Version: 2, TransactionalID: x.id, ProducerID: x.pid, ProducerEpoch: x.epoch, GroupID: x.group,
		})
		return x.outcome(coordinator, err, func() sarama.KError { return r.Err })
	})
	if err != nil {
		return err
	}
	offsets := b.offsets()
	return x.step(f.ctx, "commit offsets in the transaction", func() error {
		coordinator, err := x.sender.client.Coordinator(x.group)
		if err != nil {
			return err
		}
		// While the group rebalances around partitions that we keep, the generation changes under a batch. Within one
		// session a partition in hand is ours in each: a claim returns only when what is in hand is settled.
		request := &sarama.TxnOffsetCommitRequest{
			Version: 3, TransactionalID: x.id, GroupID: x.group, ProducerID: x.pid, ProducerEpoch: x.epoch,
			GenerationID: f.sess.GenerationID(), MemberID: f.sess.MemberID(), Topics: offsets,
		}
		if i := f.e.cfg.Instance; i != "" {
			request.GroupInstanceID = &i
		}
		if f.anyGivenUp(b) {
			return errGivenUp
		}
		r, err := coordinator.TxnOffsetCommit(request)
		return x.outcome(coordinator, err, func() sarama.KError {
			for _, topic := range r.Topics {
				for _, p := range topic {
					if p.Err != sarama.ErrNoError {
						return p.Err
					}
				}
			}
			return sarama.ErrNoError
		})
	})
}

// end commits the transaction.
func (x *exactlyOnce) end(ctx context.Context) error {
	return x.step(ctx, "commit the transaction", func() error {
		coordinator, err := x.sender.client.TransactionCoordinator(x.id)
		if err != nil {
			return err
		}
		r, err := coordinator.EndTxn(&sarama.EndTxnRequest{
			Version: 2, TransactionalID: x.id, ProducerID: x.pid, ProducerEpoch: x.epoch, TransactionResult: true,
		})
		return x.outcome(coordinator, err, func() sarama.KError { return r.Err })
	})
}

// outcome reads an answer. After a failure the next attempt asks for the coordinator anew.
func (x *exactlyOnce) outcome(coordinator *sarama.Broker, err error, answer func() sarama.KError) error {
	if err == nil {
		code := answer()
		if code == sarama.ErrNoError {
			return nil
		}
		switch code {
		case sarama.ErrNotCoordinatorForConsumer, sarama.ErrConsumerCoordinatorNotAvailable:
			x.refresh()
		case sarama.ErrConcurrentTransactions, sarama.ErrOffsetsLoadInProgress, sarama.ErrRebalanceInProgress,
			sarama.ErrUnknownTopicOrPartition, sarama.ErrRequestTimedOut, sarama.ErrNotLeaderForPartition:
		case sarama.ErrIllegalGeneration: // ours may be about to change; see commitOffsets
		default:
			return fmt.Errorf("%w: %w", errLost, code)
		}
		return code
	}
	_ = coordinator.Close() // opened again by the next attempt
	x.refresh()
	return err
}

func (x *exactlyOnce) refresh() {
	_ = x.sender.client.RefreshTransactionCoordinator(x.id)
	_ = x.sender.client.RefreshCoordinator(x.group)
}

// step tries one request of a transaction until it succeeds, is refused for good, or takes too long.
func (x *exactlyOnce) step(ctx context.Context, what string, do func() error) error {
	begun := time.Now()
	backoff := time.Millisecond // the last transaction is usually about to be completed
	for {
		err := do()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errLost), errors.Is(err, errGivenUp), time.Since(begun) > transactionPatience:
			return fmt.Errorf("%s: %w", what, err)
		}
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
		}
		backoff = min(2*backoff, 200*time.Millisecond)
	}
}
