package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"weir/backend/kafka"
)

// produceTimeout is how long a broker may take to get a batch to all its replicas.
const produceTimeout = 10 * time.Second

// requestBytes bounds one produce request, unless a single parcel is larger. Brokers hang up on one above 100 MiB
// (socket.request.max.bytes), which large dead letters of many partitions reach.
const requestBytes = 16 << 20

// producer sends parcels by produce requests of its own making: a batch is handed to the broker whole, where
// sarama's AsyncProducer takes each record through four channels. It has connections of its own, so that a fetch that
// waits for records never stands in the way. One goroutine uses it.
type producer struct {
	cluster kafka.Cluster
	client  sarama.Client
}

func newProducer(c kafka.Cluster) (*producer, error) {
	client, err := c.Client()
	if err != nil {
		return nil, err
	}
	return &producer{c, client}, nil
}

func (p *producer) close() { _ = p.client.Close() }

// answer is a broker's answer to one request.
type answer struct {
	broker   *sarama.Broker
	parcels  []*parcel
	response *sarama.ProduceResponse
	err      error
}

// send delivers the parcels that are not done yet and returns when the broker has acknowledged all. The parcels of one
// partition stay in order. After an error some may be done: send again sends the others.
func (p *producer) send(ctx context.Context, list *parcels, s sealer) error {
	for {
		pending, err := p.byLeader(list)
		if err != nil {
			return err
		}
		if len(pending) == 0 {
			return nil
		}
		answers := make(chan answer, len(pending)) // room for all: late answers block nobody
		for broker, parcels := range pending {
			request := &sarama.ProduceRequest{
				TransactionalID: s.transactionalID(), RequiredAcks: sarama.WaitForAll,
				Timeout: int32(produceTimeout / time.Millisecond), Version: 8,
			}
			for _, c := range parcels {
				if c.batch == nil {
					s.seal(c)
				}
				request.AddBatch(c.topic, c.partition, c.batch)
			}
			err := broker.AsyncProduce(request, func(response *sarama.ProduceResponse, err error) {
				answers <- answer{broker, parcels, response, err}
			})
			if err != nil {
				answers <- answer{broker, parcels, nil, err}
			}
		}
		for range pending {
			select {
			case a := <-answers:
				if e := p.read(a, list, s); e != nil {
					err = e
				}
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if err != nil {
			return err
		}
	}
}

// byLeader groups what is to be sent next: of each partition the first parcel that is not done, as many as one request
// takes.
func (p *producer) byLeader(list *parcels) (map[*sarama.Broker][]*parcel, error) {
	out, bytes := make(map[*sarama.Broker][]*parcel, 1), make(map[*sarama.Broker]int, 1)
	for i, c := range list.list {
		if c.done || list.waits(i) {
			continue
		}
		leader, err := p.client.Leader(c.topic, c.partition)
		if err != nil {
			return nil, fmt.Errorf("find the leader of %s/%d on %s: %w", c.topic, c.partition, p.cluster, err)
		}
		if len(out[leader]) > 0 && bytes[leader]+c.bytes > requestBytes {
			continue // by the next request
		}
		out[leader] = append(out[leader], c)
		bytes[leader] += c.bytes
	}
	return out, nil
}

// read marks what was acknowledged and returns what went wrong.
func (p *producer) read(a answer, list *parcels, s sealer) error {
	if a.err != nil {
		_ = a.broker.Close() // the next Leader opens it again
		p.refresh(a.parcels)
		return fmt.Errorf("send to broker %s: %w", a.broker.Addr(), a.err)
	}
	var failed error
	for _, c := range a.parcels {
		block := a.response.GetBlock(c.topic, c.partition)
		switch {
		case block == nil:
			failed = fmt.Errorf("broker %s did not answer for %s/%d", a.broker.Addr(), c.topic, c.partition)
		case block.Err == sarama.ErrNoError, block.Err == sarama.ErrDuplicateSequenceNumber:
			c.done = true
			c.placed, c.base = block.Err == sarama.ErrNoError, block.Offset
		case block.Err == sarama.ErrMessageSizeTooLarge && list.canSplit(c):
			s.unseal(c)
			list.split(c)
		default:
			failed = fmt.Errorf("broker %s refused records for %s/%d: %w", a.broker.Addr(), c.topic, c.partition, block.Err)
		}
	}
	if failed != nil {
		p.refresh(a.parcels)
	}
	return failed
}

func (p *producer) refresh(parcels []*parcel) {
	topics := make([]string, 0, 2)
	for _, c := range parcels {
		if len(topics) == 0 || topics[len(topics)-1] != c.topic {
			topics = append(topics, c.topic)
		}
	}
	_ = p.client.RefreshMetadata(topics...) // if it fails so will the next attempt, and say why
}

// sealer makes the record batches of parcels.
type sealer interface {
	seal(c *parcel)
	unseal(c *parcel)         // the broker refused it; it will be sealed again
	transactionalID() *string // nil for none
}

// atLeastOnce publishes a batch and leaves the commit to the session. A batch whose acknowledgement got lost is sent
// again.
type atLeastOnce struct{ sender *producer }

func (atLeastOnce) commits() bool                 { return true }
func (atLeastOnce) prepare(context.Context) error { return nil }
func (p atLeastOnce) close()                      { p.sender.close() }

func (p atLeastOnce) publish(f *flow, b *batch) bool {
	return f.persist(b, holdProduce, func() error { return p.sender.send(f.ctx, &b.parcels, p) })
}

func (atLeastOnce) seal(c *parcel)           { c.seal(time.Now()) }
func (atLeastOnce) unseal(*parcel)           {}
func (atLeastOnce) transactionalID() *string { return nil }
