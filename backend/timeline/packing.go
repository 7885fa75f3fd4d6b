package timeline

import (
	"fmt"
	"reflect"
	"slices"
	"sort"
	"sync"

	"weir/backend/event"
	"weir/backend/timeline/pack"
)

// lean is what of a snapshot charts are drawn from.
func lean(s *Snapshot) *Snapshot {
	l := &Snapshot{Seq: s.Seq, At: s.At, Tick: s.Tick, World: s.World, Group: s.Group, Host: s.Host}
	if s.Pipeline != nil {
		p := *s.Pipeline
		p.Dead, p.Log, p.Watched, p.Inspected, p.Letters = nil, nil, nil, nil, nil
		l.Pipeline = &p
	}
	return l
}

// packed is a snapshot without its events, compressed together with its neighbours.
type packed struct {
	stream                *pack.Stream
	index                 int
	firstEvent, lastEvent uint64 // the events the snapshot showed; 0 and 0: none
}

// shape of a Snapshot: how it is written.
var shape = sync.OnceValues(func() (*pack.Shape, error) { return pack.ShapeOf(reflect.TypeFor[Snapshot]()) })

// packer packs the snapshots of one timeline in their order. It is not safe for concurrent use.
type packer struct {
	stream *pack.Stream
	value  []byte
}

func (p *packer) pack(s *Snapshot) (*packed, error) {
	of, err := shape()
	if err != nil {
		return nil, err
	}
	p.value = pack.Append(p.value[:0], of, reflect.ValueOf(s).Elem())
	if p.stream == nil {
		if p.stream, err = pack.NewStream(len(p.value)); err != nil {
			return nil, err
		}
	}
	out := &packed{stream: p.stream}
	if out.index, err = p.stream.Add(p.value); err != nil {
		p.stream = nil
		return nil, err
	}
	if out.index == pack.GroupLength-1 {
		err, p.stream = p.stream.Complete(), nil
	}
	if n := len(s.Events); n > 0 {
		out.firstEvent, out.lastEvent = s.Events[0].Seq, s.Events[n-1].Seq
	}
	return out, err
}

// unpacker unpacks snapshots. It remembers the last ones, and what it decompressed last, for a cursor steps from a
// snapshot to its neighbour.
type unpacker struct {
	mu      sync.Mutex
	reader  pack.Reader
	streams pack.StreamReader
	recent  []unpacked // newest last
}

type unpacked struct {
	of       *packed
	snapshot *Snapshot
}

// recentUnpacked is how many snapshots an unpacker remembers: a few readers may stand on different ones.
const recentUnpacked = 4

func (u *unpacker) unpack(p *packed) (*Snapshot, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, r := range u.recent {
		if r.of == p {
			return r.snapshot, nil
		}
	}
	of, err := shape()
	if err != nil {
		return nil, err
	}
	value, err := u.streams.Value(p.stream, p.index)
	if err != nil {
		return nil, err
	}
	s := &Snapshot{}
	if err := u.reader.Read(value, of, reflect.ValueOf(s).Elem()); err != nil {
		return nil, fmt.Errorf("unpacking a snapshot: %w", err)
	}
	if len(u.recent) == recentUnpacked {
		u.recent = slices.Delete(u.recent, 0, 1)
	}
	u.recent = append(u.recent, unpacked{p, s})
	return s, nil
}

// eventLog holds every event that a remembered snapshot shows, once, in the order of their numbers.
type eventLog struct{ events []event.Event }

// add takes the events that are new, and forgets those before oldest once they are many.
func (l *eventLog) add(shown []event.Event, oldest uint64) {
	var last uint64
	if n := len(l.events); n > 0 {
		last = l.events[n-1].Seq
	}
	l.events = append(l.events, shown[l.search(shown, last+1):]...)
	if old := l.search(l.events, oldest); old > len(l.events)/2 && old > KeepEvents {
		l.events = slices.Clone(l.events[old:]) // not in place: readers hold parts of it
	}
}

// between is the events from first to last, both included.
func (l *eventLog) between(first, last uint64) []event.Event {
	if last == 0 {
		return nil
	}
	from, to := l.search(l.events, first), l.search(l.events, last+1)
	return l.events[from:to:to]
}

// search is the place of the first event with a number of at least seq.
func (*eventLog) search(events []event.Event, seq uint64) int {
	return sort.Search(len(events), func(i int) bool { return events[i].Seq >= seq })
}
