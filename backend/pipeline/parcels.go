package pipeline

import (
	"slices"
	"strconv"
	"time"
	"unsafe"

	"github.com/IBM/sarama"
)

// parcelBytes bounds a parcel: half of the 1 MiB that brokers take in one record batch unless told otherwise. A
// single record may exceed it.
const parcelBytes = 512 << 10

// How much stays of a dead letter that the broker does not take whole: of its value and, if that is not enough, of its
// key. Of the headers those that are ours then stay.
const (
	keptBytes    = 64 << 10
	keptKeyBytes = 1 << 10
)

// parcel is one record batch on its way to one partition.
type parcel struct {
	topic     string
	partition int32
	records   []*sarama.Record
	bytes     int
	batch     *sarama.RecordBatch // made when it is first sent
	done      bool                // acknowledged
	later     bool                // not the first of its partition
	placed    bool                // base is known
	base      int64               // the offset of its first record
}

// parcels are what a batch sends: for each of two topics and each of their partitions, one or more parcels in order.
type parcels struct {
	list   []*parcel
	spare  []*parcel // emptied, to be used again
	topics [2]string
	slots  [2][]int // by partition: the index in list of the parcel that is filled, -1 for none
}

// open prepares for two topics with so many partitions.
func (p *parcels) open(topic0 string, partitions0 int32, topic1 string, partitions1 int32) {
	p.topics = [2]string{topic0, topic1}
	for t, n := range [2]int32{partitions0, partitions1} {
		if cap(p.slots[t]) < int(n) {
			p.slots[t] = make([]int, n)
		}
		p.slots[t] = p.slots[t][:n]
		for i := range p.slots[t] {
			p.slots[t][i] = -1
		}
	}
}

// add puts a record into the parcel of its partition.
func (p *parcels) add(topic int, partition int32, r *sarama.Record) {
	size := len(r.Key) + len(r.Value) + 24
	for _, h := range r.Headers {
		size += len(h.Key) + len(h.Value) + 4
	}
	i := p.slots[topic][partition]
	if i < 0 || p.list[i].bytes+size > parcelBytes {
		c := p.empty()
		c.topic, c.partition, c.later = p.topics[topic], partition, i >= 0
		i = len(p.list)
		p.list = append(p.list, c)
		p.slots[topic][partition] = i
	}
	to := p.list[i]
	r.OffsetDelta = int64(len(to.records))
	to.records = append(to.records, r)
	to.bytes += size
}

func (p *parcels) empty() *parcel {
	if n := len(p.spare); n > 0 {
		c := p.spare[n-1]
		p.spare = p.spare[:n-1]
		return c
	}
	return new(parcel)
}

// waits tells whether an earlier parcel of the same partition is not done yet.
func (p *parcels) waits(i int) bool {
	c := p.list[i]
	return c.later && slices.ContainsFunc(p.list[:i], func(o *parcel) bool {
		return !o.done && o.partition == c.partition && o.topic == c.topic
	})
}

// canSplit tells whether split can help a parcel that is too large for the broker.
func (p *parcels) canSplit(c *parcel) bool {
	if len(c.records) > 1 || c.topic != p.topics[1] {
		return len(c.records) > 1
	}
	r := c.records[0]
	return len(r.Value) > keptBytes || len(r.Key) > keptKeyBytes || len(letterHeaders(r.Headers)) < len(r.Headers)
}

// split makes two parcels of one or, of a single dead letter, one that tells of it without most of its bytes: they
// stay where they were consumed from, which the headers say.
func (p *parcels) split(c *parcel) {
	c.batch = nil
	if n := len(c.records); n > 1 {
		added := p.empty()
		added.topic, added.partition, added.later = c.topic, c.partition, true
		for i, r := range c.records[n/2:] {
			r.OffsetDelta = int64(i)
			added.records = append(added.records, r)
		}
		c.records, added.bytes = c.records[:n/2], c.bytes/2
		c.bytes -= added.bytes
		p.list = slices.Insert(p.list, slices.Index(p.list, c)+1, added)
		return
	}
	r := c.records[0]
	if !isCut(r.Headers) || len(r.Value) > keptBytes {
		r.Headers = append(r.Headers, &sarama.RecordHeader{Key: []byte(HeaderCut), Value: strconv.AppendInt(nil, int64(len(r.Value)), 10)})
	}
	if len(r.Value) > keptBytes {
		r.Value = r.Value[:keptBytes]
		return
	}
	r.Key, r.Headers = r.Key[:min(len(r.Key), keptKeyBytes)], letterHeaders(r.Headers)
}

// whereIs is where a record was written; the offset is -1 where the broker did not say.
func (p *parcels) whereIs(r *sarama.Record) (partition int32, offset int64) {
	for _, c := range p.list {
		if i := r.OffsetDelta; i < int64(len(c.records)) && c.records[i] == r {
			if c.placed {
				return c.partition, c.base + i
			}
			return c.partition, -1
		}
	}
	return -1, -1
}

func (p *parcels) reset() {
	for _, c := range p.list {
		clear(c.records)
		*c = parcel{records: c.records[:0]}
	}
	p.spare = append(p.spare, p.list...)
	p.list = p.list[:0]
}

// seal makes the record batch of a parcel, of no producer in particular.
func (c *parcel) seal(now time.Time) {
	now = now.Truncate(time.Millisecond)
	c.batch = &sarama.RecordBatch{
		Version:         2,
		Records:         c.records,
		LastOffsetDelta: int32(len(c.records) - 1),
		FirstTimestamp:  now,
		MaxTimestamp:    now,
		ProducerID:      -1,
		ProducerEpoch:   -1,
		FirstSequence:   -1,
	}
}

// newShelf makes room for n records, whose addresses stay.
func newShelf(n int) []sarama.Record { return make([]sarama.Record, n, n+n/2) }

// bytesOf views a string as bytes without copying. Nobody writes to keys.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// partitionOf is the partition of a key among n, as Kafka's own clients choose it: predictions and events with the
// same key then lie in the same partition, if both topics have as many.
func partitionOf(key []byte, n int32) int32 { return int32(murmur2(key)&0x7fffffff) % n }

// murmur2 is the 32-bit hash of A. Appleby that Kafka's Java client partitions by, with its seed.
func murmur2(data []byte) uint32 {
	const m, r = 0x5bd1e995, 24
	h := uint32(0x9747b28c) ^ uint32(len(data))
	for ; len(data) >= 4; data = data[4:] {
		k := uint32(data[0]) | uint32(data[1])<<8 | uint32(data[2])<<16 | uint32(data[3])<<24
		k *= m
		k ^= k >> r
		k *= m
		h = h*m ^ k
	}
	switch len(data) {
	case 3:
		h ^= uint32(data[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(data[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(data[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}
