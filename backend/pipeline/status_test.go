package pipeline

import (
	"testing"
	"testing/synctest"
	"time"

	"weir/backend/event"
)

// TestOneReasonIsToldOnce though several parts of the pipeline wait for it, and its end when the last of them goes on.
func TestOneReasonIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := status{log: new(event.Log)}
		s.waiting(holdBroker, "the broker is gone")
		time.Sleep(3 * time.Second)
		for range 3 {
			s.waiting(holdBroker, "the broker is gone")
			s.waiting(holdKafka, "the broker is gone")
			s.waiting(holdFeatures, "the store is gone")
			time.Sleep(2 * patience)
		}
		told := func(n int, when string) {
			t.Helper()
			if got := s.log.Recent(); len(got) != n {
				t.Errorf("%s: %v", when, got)
			}
		}
		told(2, "two reasons")
		s.back(holdBroker)
		told(2, "the broker is still missed")
		s.back(holdKafka)
		s.back(holdFeatures)
		told(4, "both are back")
		if got := s.log.Recent()[2].Message.String(); got != "goes on after 9s of waiting (the broker is gone)" {
			t.Error(got)
		}
	})
}
