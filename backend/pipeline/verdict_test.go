package pipeline

import (
	"testing"
	"time"

	"github.com/IBM/sarama"

	"weir/backend/kafka"
)

// heldClaim is a claim of a partition whose fetches tell no end.
type heldClaim struct{ sarama.ConsumerGroupClaim }

func (heldClaim) HighWaterMarkOffset() int64 { return 0 }

// TestVerdictWhereTheBrokerTellsSeldom has a lag that grows, stays or falls on average by so many records a second, with a
// broker that takes so many seconds to say where a partition ends. Between two answers any lag seems to fall.
func TestVerdictWhereTheBrokerTellsSeldom(t *testing.T) {
	const taken = 100 // records a second
	for _, test := range []struct {
		name   string
		grows  int64
		every  int
		silent bool // from half-way on the broker does not tell any more
		want   Verdict
	}{
		{"grows, told at once", 50, 1, false, VerdictWarn},
		{"grows, told seldom", 50, 3, false, VerdictWarn},
		{"grows slowly, told seldom", 1, 3, false, VerdictWarn},
		{"falls, told seldom", -1, 3, false, VerdictOK},
		{"falls, not told any more", -1, 1, true, VerdictOK},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := New(Config{})
			c := &claim{source: heldClaim{}}
			e.claims[0] = c
			now := time.Unix(1_700_000_000, 0)
			const start, seconds = 10_000, 60 // the lag at first
			for s := range int64(seconds) {
				c.next.Store(taken * s)
				if s%int64(test.every) == 0 && (!test.silent || s <= seconds/2) {
					e.learn(map[int32]kafka.Offsets{0: {Newest: start + (taken+test.grows)*s}}, now)
				}
				e.sampleOnce(now)
				now = now.Add(time.Second)
			}
			high := start + (taken+test.grows)*seconds // as a fetch tells
			if got := verdict(c.commits, high, now); got != test.want {
				t.Errorf("got %s, want %s of %v", got, test.want, c.commits)
			}
		})
	}
}
