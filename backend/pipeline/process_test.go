package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"

	"weir/backend/features"
	"weir/backend/kafka"
	"weir/backend/model"
	"weir/backend/safego"
	"weir/config"
)

// workerSpec is what a worker process is told.
type workerSpec struct {
	Brokers    []string
	Topic      string
	Delivery   string
	Instance   string
	MaxEvents  int
	StoreTakes time.Duration // by the feature store, for each request
	ClientMine string        // the message at which a client of Kafka's panics, once; empty for none
}

// play is a process started by a test: a worker, or a broker that keeps its data in a folder.
func play(role string) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var err error
	switch role {
	case "worker":
		err = playWorker(ctx)
	case "broker":
		err = playBroker(ctx)
	default:
		err = fmt.Errorf("no role %q", role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		os.Exit(1)
	}
}

func playWorker(ctx context.Context) error {
	var spec workerSpec
	if err := json.Unmarshal([]byte(os.Getenv("WEIR_TEST_SPEC")), &spec); err != nil {
		return err
	}
	cluster, err := kafka.NewCluster(config.Kafka{Brokers: spec.Brokers})
	if err != nil {
		return err
	}
	w := &world{topic: spec.Topic, cluster: cluster, store: newFakeStore()}
	c := w.config()
	c.Delivery, c.Instance, c.MaxEvents = spec.Delivery, spec.Instance, spec.MaxEvents
	if spec.StoreTakes > 0 {
		c.Store = slowStore{w.store, spec.StoreTakes}
	}
	c.LoadModel = func(context.Context) (model.Model, error) { return linear{}, nil }
	c.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	e := New(c)
	if spec.ClientMine == "" {
		sarama.Logger = log.New(os.Stderr, "sarama ", log.Ltime|log.Lmicroseconds) // read only when a test failed
		return e.Run(ctx)
	}
	mine := &messageMine{at: spec.ClientMine}
	sarama.Logger, sarama.DebugLogger = mine, mine
	e.abandonPatience = time.Second
	err = e.Run(ctx)
	var p *safego.Panic
	if s := e.Snapshot(); !errors.As(err, &p) || err.Error() != "panic: mine in a client" || s.State != Stopped || len(s.Partitions) > 0 {
		return fmt.Errorf("expected a panic, and nothing held; found %w and %+v", err, s.Partitions)
	}
	if !strings.Contains(string(p.Stack), "messageMine") {
		return fmt.Errorf("expected where the client panicked, found %s", p.Stack)
	}
	return e.Run(ctx)
}

// messageMine is the log of a Kafka client's. It panics, once, at the first message that begins so, in a goroutine of the
// client's own.
type messageMine struct {
	at   string
	gone atomic.Bool
}

func (m *messageMine) Printf(format string, _ ...any) {
	if strings.HasPrefix(format, m.at) && m.gone.CompareAndSwap(false, true) {
		panic("mine in a client")
	}
}

func (m *messageMine) Print(...any)   {}
func (m *messageMine) Println(...any) {}

// slowStore takes its time for an answer.
type slowStore struct {
	*fakeStore
	takes time.Duration
}

func (s slowStore) Fetch(ctx context.Context, entities []features.Entity, rows []*features.Row) error {
	select {
	case <-time.After(s.takes):
		return s.fakeStore.Fetch(ctx, entities, rows)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func playBroker(ctx context.Context) error {
	port, err := strconv.Atoi(os.Getenv("WEIR_TEST_PORT"))
	if err != nil {
		return err
	}
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(port), kfake.DataDir(os.Getenv("WEIR_TEST_DIR")))
	if err != nil {
		return err
	}
	<-ctx.Done()
	broker.Close()
	return nil
}

// process is a child of the test.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	said *os.File // on SIGQUIT it tells where it was
	done chan struct{}
}

func start(t testing.TB, role string, env ...string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), "WEIR_TEST_ROLE="+role), env...)
	said, err := os.Create(filepath.Join(t.TempDir(), role))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t, cmd, said, make(chan struct{})}
	go func() { _ = cmd.Wait(); close(p.done) }()
	t.Cleanup(p.kill)
	return p
}

// tell logs the end of what the process said, and where all of it is now.
func (p *process) tell() {
	p.t.Helper()
	p.end(syscall.SIGQUIT)
	text, err := os.ReadFile(p.said.Name())
	if err != nil {
		p.t.Log(err)
	}
	said, stacks, _ := strings.Cut(string(text), "SIGQUIT")
	p.t.Logf("process %d said:\n%s\nand is at:\n%s", p.cmd.Process.Pid, said[max(0, len(said)-20_000):], stacks[:min(len(stacks), 30_000)])
}

// kill ends the process at once, as a power cut does.
func (p *process) kill() { p.end(syscall.SIGKILL) }

// stop asks it to end in order.
func (p *process) stop() { p.end(syscall.SIGTERM) }

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) end(s syscall.Signal) {
	_ = p.cmd.Process.Signal(s)
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		p.t.Errorf("process %d did not end on %v", p.cmd.Process.Pid, s)
	}
}

// brokerProcess is an embedded broker in a process of its own, that survives restarts.
type brokerProcess struct {
	t    testing.TB
	dir  string
	addr string
	*process
}

func startBroker(t testing.TB) *brokerProcess {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &brokerProcess{t: t, dir: t.TempDir(), addr: l.Addr().String()}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	b.start()
	return b
}

func (b *brokerProcess) start() {
	b.t.Helper()
	_, port, err := net.SplitHostPort(b.addr)
	if err != nil {
		b.t.Fatal(err)
	}
	b.process = start(b.t, "broker", "WEIR_TEST_DIR="+b.dir, "WEIR_TEST_PORT="+port)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", b.addr)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatal(err)
		}
	}
}

// TestKilledAgainAndAgain runs workers as processes, kills them with SIGKILL at random moments, restarts the broker
// in between, and then counts what came out.
func TestKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	total, kills, restarts := 20_000, 8, 1
	if os.Getenv("WEIR_SLOW") != "" {
		total, kills, restarts = 200_000, 50, 2
	}
	for _, delivery := range []string{AtLeastOnce, ExactlyOnce} {
		t.Run(delivery, func(t *testing.T) {
			if os.Getenv("WEIR_KAFKA") == "" { // the real broker is one for both, and restarted by each
				t.Parallel()
			}
			testKilled(t, delivery, total, kills, restarts)
		})
	}
}

func testKilled(t *testing.T, delivery string, total, kills, restarts int) {
	w := &world{t: t, topic: "events", store: newFakeStore()}
	restart := func() {}
	if real := os.Getenv("WEIR_KAFKA"); real != "" {
		w.brokers = []string{real}
		w.topic = fmt.Sprintf("killed-%d-%d", os.Getpid(), worlds.Add(1))
		if file := os.Getenv("WEIR_KAFKA_PIDFILE"); file != "" {
			restart = func() { restartReal(t, file) }
		}
	} else {
		broker := startBroker(t)
		w.brokers = []string{broker.addr}
		restart = func() { broker.stop(); broker.start() }
	}
	const partitions = 6
	w.connect(partitions)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))

	workers := make([]*process, 3)
	run := func(i int) {
		spec, err := json.Marshal(workerSpec{Brokers: w.brokers, Topic: w.topic, Delivery: delivery, Instance: fmt.Sprintf("w%d", i), MaxEvents: 100})
		if err != nil {
			t.Fatal(err)
		}
		workers[i] = start(t, "worker", "WEIR_TEST_SPEC="+string(spec))
	}
	for i := range workers {
		run(i)
	}
	made, lag := 0, w.lagOf(partitions)
	restartAfter := max(kills/(restarts+1), 1)
	for k := range kills {
		n := total*(k+1)/kills - made
		w.produceSurely(made, made+n)
		made += n
		time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond) // the moment of the kill is meant to be random
		i := rng.IntN(len(workers))
		workers[i].kill()
		run(i)
		if restarts > 0 && (k+1)%restartAfter == 0 {
			restarts--
			restart()
		}
	}
	deadline := time.Now().Add(3 * time.Minute)
	for lag() != 0 {
		if time.Now().After(deadline) {
			for _, p := range workers {
				p.tell()
			}
			w.tellGroup()
			t.Fatalf("the lag is still %d", lag())
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, p := range workers {
		p.stop()
	}

	want := make(map[string]int, total) // what really is in the topic: a restart may double an event on its way in
	for _, m := range w.read(w.topic) {
		var e struct {
			UserID json.RawMessage `json:"user_id"`
		}
		if err := json.Unmarshal(m.Value, &e); err != nil {
			t.Fatal(err)
		}
		want[string(e.UserID)]++
	}
	if len(want) != total {
		t.Fatalf("the events topic holds %d users, want %d", len(want), total)
	}
	got, missing, again := w.predictions(), 0, 0
	for user, n := range want {
		switch p := len(got[user]); {
		case p < n:
			missing++
		case p > n:
			again += p - n
		}
	}
	t.Logf("%s: %d events, %d kills: %d missing, %d came again", delivery, total, kills, missing, again)
	if missing > 0 || delivery == ExactlyOnce && again > 0 {
		t.Errorf("%d events have no prediction, %d predictions came again", missing, again)
	}
	if dead := w.read(w.topic + ".dead"); len(dead) > 0 {
		t.Errorf("%d dead letters", len(dead))
	}
}

// restartReal ends the real broker, which whoever supervises it starts again.
func restartReal(t *testing.T, pidFile string) {
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("restart broker %d", pid)
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Log(err) // the other delivery's test was faster
	}
}

// lagOf gives a function that tells how much of the events topic the group has not committed yet; -1 when nobody knows.
func (w *world) lagOf(partitions int) func() int64 {
	group := w.config().Group
	return func() int64 {
		admin, err := kafka.NewAdmin(w.cluster)
		if err != nil {
			return -1
		}
		defer func() { _ = admin.Close() }()
		offsets, err := admin.GroupOffsets(context.Background(), group, w.topic)
		if err != nil || len(offsets) != partitions {
			return -1
		}
		lag := int64(0)
		for _, o := range offsets {
			lag += o.Newest - max(o.Committed, o.Oldest)
		}
		return lag
	}
}

// tellGroup logs the offsets the broker has, and who is said to hold what.
func (w *world) tellGroup() {
	w.t.Helper()
	admin, err := sarama.NewClusterAdmin(w.brokers, w.cluster.Config())
	if err != nil {
		w.t.Log(err)
		return
	}
	defer func() { _ = admin.Close() }()
	group := w.config().Group
	groups, err := admin.DescribeConsumerGroups([]string{group})
	if err != nil {
		w.t.Log(err)
		return
	}
	for _, g := range groups {
		w.t.Logf("group %s: %s", g.GroupId, g.State)
		for id, m := range g.Members {
			a, err := m.GetMemberAssignment()
			w.t.Logf("  %s: %+v %v", id, a, err)
		}
	}
	facts, err := kafka.NewAdmin(w.cluster)
	if err != nil {
		w.t.Log(err)
		return
	}
	defer func() { _ = facts.Close() }()
	offsets, err := facts.GroupOffsets(context.Background(), group, w.topic)
	w.t.Logf("offsets %+v %v", offsets, err)
}

// produceSurely writes events until the broker has taken all of them, whatever happens to it meanwhile. An event whose
// acknowledgement was lost may be there twice.
func (w *world) produceSurely(from, to int) {
	w.t.Helper()
	c := w.cluster.Config()
	c.Producer.Return.Successes = true
	c.Producer.Retry.Max = 20
	messages := make([]*sarama.ProducerMessage, 0, to-from)
	for i := from; i < to; i++ {
		messages = append(messages, &sarama.ProducerMessage{Topic: w.topic, Key: sarama.StringEncoder(strconv.Itoa(i)), Value: sarama.StringEncoder(event1(i))})
	}
	try := func() bool {
		p, err := sarama.NewSyncProducer(w.brokers, c)
		if err != nil {
			return false
		}
		defer func() { _ = p.Close() }()
		err = p.SendMessages(messages)
		var failed sarama.ProducerErrors
		if errors.As(err, &failed) {
			messages = messages[:0]
			for _, f := range failed {
				messages = append(messages, &sarama.ProducerMessage{Topic: w.topic, Key: f.Msg.Key, Value: f.Msg.Value})
			}
		}
		return err == nil
	}
	deadline := time.Now().Add(2 * time.Minute) // a real broker on a busy machine takes its time to come back
	for !try() {
		if time.Now().After(deadline) {
			w.t.Fatal("the broker does not take the events")
		}
		time.Sleep(50 * time.Millisecond)
	}
}
