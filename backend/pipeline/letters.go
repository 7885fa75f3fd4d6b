package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"weir/backend/event"
	"weir/backend/features"
	"weir/backend/kafka"
	"weir/backend/safetext"
)

// The headers of a replay. They come before those of a further failure.
const (
	HeaderReplays  = "weir.replays"   // how often the record was replayed
	HeaderReplayOf = "weir.replay-of" // partition/offset of the dead letter replayed last
)

// Bounds of browsing and replaying.
const (
	lettersScanned  = 5000 // of each partition, the newest, unless the query says otherwise
	lettersShown    = 500
	letterBytes     = 4096 // of a value that a letter shows
	historyKept     = 10   // failures whose headers a replay keeps
	replayAtOnce    = 500  // records sent before the next are read
	replaysRecalled = 100_000
)

// LetterID is a dead letter's place in the dead-letter topic.
type LetterID struct {
	Partition int32
	Offset    int64
}

// String is partition/offset.
func (id LetterID) String() string { return fmt.Sprintf("%d/%d", id.Partition, id.Offset) }

// Letter is a dead letter read back from its topic, safe to show.
type Letter struct {
	ID LetterID
	DeadLetter
	Key      safetext.Text
	Value    safetext.Text // at most 4 KiB
	Headers  []LetterHeader
	Replays  int       // how often it had been replayed when it failed this time
	ReplayOf LetterID  // the letter it was before; zero when Replays is 0
	Again    bool      // it was replayed: by this process, by another as the broker has noted, or a later failure tells
	Replayed time.Time // when it was replayed, as far as is known
}

// LetterHeader is one header of the record.
type LetterHeader struct{ Key, Value safetext.Text }

// LetterQuery selects dead letters. The zero query means all.
type LetterQuery struct {
	Stage  string    // exactly
	Reason string    // part of the reason, in any case
	Since  time.Time // set aside at or after
	// Partitions of the events topic they came from; nil means any.
	Partitions []int32
	Limit      int // letters returned by Letters, the newest; default 500
	Scan       int // letters of each partition looked at by Letters, the newest; default 5,000
}

func (q LetterQuery) matches(l *Letter) bool {
	return (q.Stage == "" || q.Stage == l.Stage) &&
		(q.Reason == "" || strings.Contains(strings.ToLower(l.Reason.String()), strings.ToLower(q.Reason))) &&
		(q.Since.IsZero() || !l.At.Before(q.Since)) &&
		(q.Partitions == nil || slices.Contains(q.Partitions, l.Partition))
}

// Letters reads dead letters back from their topic, the newest first.
func (e *Engine) Letters(ctx context.Context, q LetterQuery) ([]Letter, error) {
	scan, shown := q.Scan, q.Limit
	if scan < 1 {
		scan = lettersScanned
	}
	if shown < 1 {
		shown = lettersShown
	}
	var out []Letter
	again := make(map[LetterID]time.Time)
	var notes map[int32]offsets
	err := e.eachLetter(ctx, int64(scan), func(admin *kafka.Admin, m *sarama.ConsumerMessage) error {
		if notes == nil {
			notes = e.notesOf(admin)
		}
		l := e.letterOf(m)
		if l.Replays > 0 {
			again[l.ReplayOf] = l.At
		}
		if q.matches(&l) {
			out = append(out, l)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(out, func(a, b Letter) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.ID.Partition, a.ID.Partition), cmp.Compare(b.ID.Offset, a.ID.Offset))
	})
	out = out[:min(len(out), shown)]
	for i := range out {
		l := &out[i]
		if l.Replayed = e.replayedAt(l.ID); l.Replayed.IsZero() {
			l.Replayed = again[l.ID]
		}
		l.Again = !l.Replayed.IsZero() || notes[l.ID.Partition].has(l.ID.Offset)
	}
	return out, nil
}

// notesOf is what the broker has noted of all partitions, never nil; a broker that does not tell knows nothing.
func (e *Engine) notesOf(admin *kafka.Admin) map[int32]offsets {
	partitions, err := admin.Partitions(e.cfg.DeadLetters)
	var notes map[int32]offsets
	if err == nil {
		notes, err = e.readNotes(admin, partitions)
	}
	if err != nil {
		e.logger.Debug("read which dead letters were replayed", "error", err)
		notes = map[int32]offsets{}
	}
	return notes
}

// LetterFeature is one feature of a dead letter's entity, as the store has it now.
type LetterFeature struct {
	Name   safetext.Text
	Status features.Status
	Value  safetext.Text
}

// Present tells whether the store has a value.
func (f *LetterFeature) Present() bool { return f.Status == features.Present }

// LetterFeatures looks up what the feature store now has for a dead letter's entity. A letter whose bytes name no
// entity has none; the error then says why.
func (e *Engine) LetterFeatures(ctx context.Context, id LetterID) ([]LetterFeature, error) {
	var d decoded
	found := false
	err := e.readLetters(ctx, []LetterID{id}, func(_ *kafka.Admin, m *sarama.ConsumerMessage) error {
		found = true
		if f := decode(m.Value, e.cfg.Entity, &d); f.code != noFault && d.user == nil {
			return fmt.Errorf("dead letter %s: %s", id, f.reason(e.cfg.Entity))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, gone(id)
	}
	return e.featuresNow(ctx, &d)
}

// gone is the error of a letter that its topic does not hold any more.
func gone(id LetterID) error { return fmt.Errorf("dead letter %s is not there any more", id) }

// featuresNow is what the feature store has for an event's entity.
func (e *Engine) featuresNow(ctx context.Context, d *decoded) ([]LetterFeature, error) {
	rows := make([]*features.Row, 1)
	if err := e.cfg.Store.Fetch(ctx, []features.Entity{d.entity}, rows); err != nil {
		return nil, err
	}
	names := e.cfg.Store.Names()
	if rows[0] == nil || len(rows[0].Values) != len(names) {
		return nil, errors.New("the feature store gave no row")
	}
	out := make([]LetterFeature, len(names))
	for i, v := range rows[0].Values {
		out[i] = LetterFeature{Name: safetext.Clean(names[i]), Status: v.Status}
		switch {
		case v.Status != features.Present:
		case e.masksFeature(names[i]):
			out[i].Value = safetext.Clean(maskSign)
		case v.IsText:
			out[i].Value = safetext.Clean(limit(v.Text, 100))
		default:
			out[i].Value = safetext.Clean(strconv.FormatFloat(v.Number, 'g', -1, 64))
		}
	}
	return out, nil
}

// Replay sends dead letters back to the events topic, with their key, bytes and headers: the history stays, and how
// often they were replayed is added. A letter that was replayed before, by whichever process of the group, is left out;
// so is one whose bytes are gone. It returns how many were sent, also with an error.
func (e *Engine) Replay(ctx context.Context, ids []LetterID) (int, error) {
	e.replaying.Lock()
	defer e.replaying.Unlock()
	r := &replayer{e: e}
	if err := e.readLetters(ctx, ids, r.add); err != nil {
		return r.sent, err
	}
	return r.finish(ctx)
}

// ReplayAll is Replay of every letter that matches, of those there are when it starts.
func (e *Engine) ReplayAll(ctx context.Context, q LetterQuery) (int, error) {
	e.replaying.Lock()
	defer e.replaying.Unlock()
	r := &replayer{e: e}
	err := e.eachLetter(ctx, 0, func(admin *kafka.Admin, m *sarama.ConsumerMessage) error {
		if l := e.letterOf(m); !q.matches(&l) {
			return nil
		}
		return r.add(admin, m)
	})
	if err != nil {
		return r.sent, err
	}
	return r.finish(ctx)
}

// eachLetter reads the newest scan letters of each partition, all for 0.
func (e *Engine) eachLetter(ctx context.Context, scan int64, each func(*kafka.Admin, *sarama.ConsumerMessage) error) error {
	admin, err := kafka.NewAdmin(e.cfg.Cluster)
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close() }()
	partitions, err := admin.Partitions(e.cfg.DeadLetters)
	if errors.Is(err, kafka.ErrNoTopic) {
		return nil
	}
	if err != nil {
		return err
	}
	ends, err := admin.Watermarks(ctx, e.cfg.DeadLetters, partitions)
	if err != nil {
		return err
	}
	for _, p := range partitions {
		from := ends[p].Oldest
		if scan > 0 {
			from = max(from, ends[p].Newest-scan)
		}
		if err := e.readRange(ctx, admin, p, from, ends[p].Newest, each); err != nil {
			return err
		}
	}
	return nil
}

// readLetters reads letters by their places. Those that are gone are passed over.
func (e *Engine) readLetters(ctx context.Context, ids []LetterID, each func(*kafka.Admin, *sarama.ConsumerMessage) error) error {
	admin, err := kafka.NewAdmin(e.cfg.Cluster)
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close() }()
	for _, id := range ids {
		if err := e.readRange(ctx, admin, id.Partition, id.Offset, id.Offset+1, each); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) readRange(ctx context.Context, admin *kafka.Admin, partition int32, from, to int64, each func(*kafka.Admin, *sarama.ConsumerMessage) error) error {
	var failed error
	err := admin.Read(ctx, e.cfg.DeadLetters, partition, from, to, func(m *sarama.ConsumerMessage) bool {
		failed = each(admin, m)
		return failed == nil
	})
	return cmp.Or(failed, err)
}

// letterOf reads a dead letter, its sensitive fields masked. Of a header that comes again the last one counts: it tells of the last failure.
func (e *Engine) letterOf(m *sarama.ConsumerMessage) Letter {
	l := Letter{
		ID: LetterID{m.Partition, m.Offset}, Key: e.shownKey(m), Value: e.shown(e.cfg.Events, m.Value, letterBytes), Headers: e.shownHeaders(m),
		DeadLetter: DeadLetter{At: m.Timestamp, Size: len(m.Value), Sample: e.shown(e.cfg.Events, m.Value, sampleBytes)},
	}
	for _, h := range m.Headers {
		value := string(h.Value)
		switch string(h.Key) {
		case HeaderStage:
			l.Stage = safetext.Clean(limit(value, 20)).String()
		case HeaderReason:
			l.Reason = safetext.Clean(limit(value, 300))
		case HeaderTopic:
			l.Topic = safetext.Clean(value)
		case HeaderPartition:
			n, _ := strconv.ParseInt(value, 10, 32)
			l.Partition = int32(n)
		case HeaderOffset:
			l.Offset, _ = strconv.ParseInt(value, 10, 64)
		case HeaderTime:
			if at, err := time.Parse(time.RFC3339Nano, value); err == nil {
				l.At = at
			}
		case HeaderCut:
			l.Size, _ = strconv.Atoi(value)
		case HeaderReplays:
			l.Replays, _ = strconv.Atoi(value)
		case HeaderReplayOf:
			l.ReplayOf = parseLetterID(value)
		}
	}
	return l
}

func parseLetterID(s string) (id LetterID) {
	partition, offset, _ := strings.Cut(s, "/")
	n, _ := strconv.ParseInt(partition, 10, 32)
	id.Partition = int32(n)
	id.Offset, _ = strconv.ParseInt(offset, 10, 64)
	return id
}

// replayer sends letters back to the events topic.
type replayer struct {
	e          *Engine
	partitions int32 // of the events topic
	pending    []*sarama.ProducerMessage
	ids        []LetterID
	sent       int
	gone       int // letters whose bytes are not to be had any more
	notes      map[int32]offsets
	unnoted    error
}

func (r *replayer) add(admin *kafka.Admin, m *sarama.ConsumerMessage) error {
	l := r.e.letterOf(m)
	if r.notes == nil {
		partitions, err := admin.Partitions(r.e.cfg.DeadLetters)
		if err == nil {
			r.notes, err = r.e.readNotes(admin, partitions)
		}
		if err != nil {
			return errUntold(err)
		}
	}
	if !r.e.replayedAt(l.ID).IsZero() || r.notes[l.ID.Partition].has(l.ID.Offset) || slices.Contains(r.ids, l.ID) {
		return nil
	}
	key, value, headers := m.Key, m.Value, m.Headers
	if isCut(m.Headers) { // only the beginning is in the letter
		whole := false
		err := admin.Read(context.Background(), r.e.cfg.Events, l.Partition, l.Offset, l.Offset+1, func(in *sarama.ConsumerMessage) bool {
			key, value, whole = in.Key, in.Value, true
			headers = append(slices.Clone(in.Headers), letterHeaders(m.Headers)...)
			return false
		})
		if errors.Is(err, sarama.ErrOffsetOutOfRange) {
			err = nil // the topic's retention was faster
		}
		if err != nil {
			return err
		}
		if !whole {
			r.gone++
			return nil
		}
	}
	if r.partitions == 0 {
		partitions, err := admin.Partitions(r.e.cfg.Events)
		if err != nil {
			return err
		}
		r.partitions = max(1, int32(len(partitions)))
	}
	out := &sarama.ProducerMessage{Topic: r.e.cfg.Events, Partition: l.Partition % r.partitions, Headers: replayHeaders(headers, l)}
	if key != nil {
		out.Key = sarama.ByteEncoder(key)
	}
	if value != nil {
		out.Value = sarama.ByteEncoder(value)
	}
	r.pending, r.ids = append(r.pending, out), append(r.ids, l.ID)
	if len(r.pending) >= replayAtOnce {
		return r.flush()
	}
	return nil
}

// replayHeaders keeps every header, adds the count, and of a long history the last failures only.
func replayHeaders(headers []*sarama.RecordHeader, l Letter) []sarama.RecordHeader {
	failures := 0
	for _, h := range headers {
		if string(h.Key) == HeaderStage {
			failures++
		}
	}
	out := make([]sarama.RecordHeader, 0, len(headers)+2)
	failure := 0 // counts as we pass them; the headers of one start with its stage
	for _, h := range headers {
		switch string(h.Key) {
		case HeaderReplays, HeaderReplayOf, HeaderCut:
			continue
		case HeaderStage:
			failure++
			fallthrough
		case HeaderReason, HeaderTopic, HeaderPartition, HeaderOffset, HeaderTime:
			if failure <= failures-historyKept {
				continue
			}
		}
		out = append(out, *h)
	}
	return append(out,
		sarama.RecordHeader{Key: []byte(HeaderReplays), Value: strconv.AppendInt(nil, int64(l.Replays)+1, 10)},
		sarama.RecordHeader{Key: []byte(HeaderReplayOf), Value: []byte(l.ID.String())})
}

// flush sends what is pending, without what somebody else has replayed meanwhile, and notes it. Two processes that send
// the same letter in the same instant both do.
func (r *replayer) flush() error {
	if len(r.pending) == 0 {
		return nil
	}
	admin, err := kafka.NewAdmin(r.e.cfg.Cluster.WithTimeout(askPatience)) // a replay takes its time, and brokers close connections that idle
	if err != nil {
		return errUntold(err)
	}
	defer func() { _ = admin.Close() }()
	if err := r.dropReplayed(admin); err != nil {
		return err
	}
	several, err := r.send()
	if err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	var sent []LetterID
	failed := make(map[*sarama.ProducerMessage]bool)
	for _, f := range several {
		failed[f.Msg] = true
	}
	for i, m := range r.pending {
		if !failed[m] {
			r.e.rememberReplay(r.ids[i])
			sent = append(sent, r.ids[i])
		}
	}
	r.sent += len(sent)
	r.pending, r.ids = r.pending[:0], r.ids[:0]
	if noted := r.e.writeNotes(admin, sent); noted != nil {
		r.unnoted = noted
	}
	if len(several) > 0 {
		return fmt.Errorf("replay: %d records were not taken: %w", len(several), several[0].Err)
	}
	return nil
}

// send sends what is pending and tells which of it was not taken. With an error nobody knows.
func (r *replayer) send() (failed sarama.ProducerErrors, err error) {
	pending := slices.Clone(r.pending)
	return kafka.Bounded(r.e.cfg.Cluster, func(cluster kafka.Cluster) (sarama.ProducerErrors, error) {
		c := cluster.Config()
		c.Producer.Return.Successes = true
		c.Producer.Partitioner = sarama.NewManualPartitioner
		producer, err := sarama.NewSyncProducer(cluster.Brokers(), c)
		if err != nil {
			return nil, cluster.Unreachable(err)
		}
		defer func() { _ = producer.Close() }() // it holds nothing any more
		var failed sarama.ProducerErrors
		if err := producer.SendMessages(pending); err != nil && !errors.As(err, &failed) {
			return nil, err
		}
		return failed, nil
	})
}

// dropReplayed looks at the notes again: a replay of many letters takes minutes, and somebody else may be at the same.
func (r *replayer) dropReplayed(admin *kafka.Admin) error {
	notes, err := r.e.readNotes(admin, partitionsOf(r.ids))
	if err != nil {
		return errUntold(err)
	}
	kept := 0
	for i, id := range r.ids {
		if !notes[id.Partition].has(id.Offset) {
			r.pending[kept], r.ids[kept] = r.pending[i], id
			kept++
		}
	}
	clear(r.pending[kept:])
	r.pending, r.ids = r.pending[:kept], r.ids[:kept]
	return nil
}

// errUntold tells that a replay cannot look up what was replayed: to guess would replay a letter twice.
func errUntold(err error) error {
	return fmt.Errorf("nobody can tell which dead letters were replayed before: %w", err)
}

func (r *replayer) finish(ctx context.Context) (int, error) {
	err := cmp.Or(ctx.Err(), r.flush())
	if r.sent > 0 {
		r.e.tell(event.Pipeline, event.Info, "dead letters", "%d replayed", r.sent)
	}
	if err == nil && r.gone > 0 {
		err = fmt.Errorf("%d dead letters could not be replayed: their bytes are gone from %s", r.gone, r.e.cfg.Events)
	}
	if err == nil && r.unnoted != nil {
		err = errForgets(r.unnoted)
	}
	return r.sent, err
}
