package check

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"weir/backend/kafka"
)

// childEnv is set in the process of TestAClientThatPanicsIsARow: what that client leaves behind ends with it.
const childEnv = "WEIR_TEST_CHILD"

// clientMine is the log of Kafka's clients. It panics once, where a client connects, in a goroutine of the client's own:
// whatever is asked of that broker then waits for ever.
type clientMine struct{ gone atomic.Bool }

func (m *clientMine) Printf(format string, _ ...any) {
	if strings.HasPrefix(format, "Completed ApiVersionsRequest") && m.gone.CompareAndSwap(false, true) {
		panic("mine in a client")
	}
}

func (m *clientMine) Print(...any)   {}
func (m *clientMine) Println(...any) {}

// TestAClientThatPanicsIsARow of the report, in time.
func TestAClientThatPanicsIsARow(t *testing.T) {
	if os.Getenv(childEnv) == "" {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		child := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+t.Name()+"$")
		child.Env = append(os.Environ(), childEnv+"=1")
		if out, err := child.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out[:min(len(out), 10_000)])
		}
		return
	}
	address := broker(t, kafka.EmbeddedOptions{Topics: []kafka.EmbeddedTopic{{Name: "user_events"}}})
	sarama.DebugLogger = &clientMine{}
	r := Report{Rows: checkKafka(deadline(t), pipelineConfig(address))}
	row := find(r, "broker "+address)
	if row.Status != Failed || !strings.Contains(row.Found.String(), "mine in a client") {
		t.Errorf("%+v", r.Rows)
	}
}
