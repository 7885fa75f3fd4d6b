package kafka

import (
	"context"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"weir/config"
)

// holder consumes nothing; it only holds what it is given.
type holder struct{}

func (holder) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (holder) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (holder) ConsumeClaim(_ sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	for range c.Messages() {
	}
	return nil
}

func embeddedAdmin(t *testing.T, topic string, partitions int32) (Cluster, *Admin) {
	t.Helper()
	broker, err := StartEmbedded(EmbeddedOptions{Topics: []EmbeddedTopic{{Name: topic, Partitions: partitions}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	cluster, err := NewCluster(config.Kafka{Brokers: []string{broker.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	admin, err := NewAdmin(cluster)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close() })
	return cluster, admin
}

func TestHolders(t *testing.T) {
	t.Parallel()
	cluster, admin := embeddedAdmin(t, "events", 3)
	if holders, settled, err := admin.Holders(t.Context(), "group", "events"); err == nil && (settled || len(holders) > 0) {
		t.Fatalf("a group nobody joined: %v, settled %v", holders, settled)
	}
	if err := admin.RemoveInstance(t.Context(), "group", "one"); err != nil {
		t.Fatal(err)
	}
	c := cluster.Config()
	c.Consumer.Group.InstanceId = "one"
	group, err := sarama.NewConsumerGroup(cluster.Brokers(), "group", c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- group.Consume(ctx, []string{"events"}, holder{}) }()
	await := func(what string, n int, settled bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			holders, is, err := admin.Holders(t.Context(), "group", "events")
			if err == nil && len(holders) == n && is == settled {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %v, settled %v, %v", what, holders, is, err)
			}
		}
	}
	await("one member", 3, true)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := group.Close(); err != nil {
		t.Error(err)
	}
	await("a name stays when its member leaves", 3, true)
	if err := admin.RemoveInstance(t.Context(), "group", "one"); err != nil {
		t.Fatal(err)
	}
	await("the name is gone", 0, false)
}

func TestHasRecord(t *testing.T) {
	t.Parallel()
	cluster, admin := embeddedAdmin(t, "events", 1)
	c := cluster.Config()
	c.Producer.Return.Successes = true
	plain, err := sarama.NewSyncProducer(cluster.Brokers(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = plain.Close() }()
	c = cluster.Config()
	c.Producer.Return.Successes = true
	c.Producer.Idempotent = true
	c.Net.MaxOpenRequests = 1
	c.Producer.Transaction.ID = "upstream"
	transactions, err := sarama.NewSyncProducer(cluster.Brokers(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = transactions.Close() }()
	send := func(p sarama.SyncProducer) {
		t.Helper()
		if _, _, err := p.SendMessage(&sarama.ProducerMessage{Topic: "events", Value: sarama.StringEncoder("x")}); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(what string, from, to int64, want bool) {
		t.Helper()
		if got, err := admin.HasRecord(t.Context(), "events", 0, from, to); err != nil || got != want {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
	begin, commit, abort := transactions.BeginTxn, transactions.CommitTxn, transactions.AbortTxn
	do := func(f func() error) {
		t.Helper()
		if err := f(); err != nil {
			t.Fatal(err)
		}
	}
	send(plain) // 0
	expect("a record", 0, 1, true)
	expect("nothing", 1, 1, false)
	do(begin)
	send(transactions) // 1
	send(plain)        // 2
	expect("records behind a transaction that is open", 1, 3, false)
	do(abort) // 3
	expect("a record behind an aborted one", 1, 4, true)
	expect("only an aborted one", 1, 2, false)
	do(begin)
	send(transactions) // 4
	do(commit)         // 5
	expect("a committed one", 4, 6, true)
	expect("only a marker", 5, 6, false)
}
