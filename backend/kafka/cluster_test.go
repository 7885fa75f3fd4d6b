package kafka_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"weir/backend/kafka"
	"weir/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func startFake(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestNewClusterRefuses(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b := []string{"localhost:9092"}
	for _, test := range []struct {
		name string
		in   config.Kafka
		want string
	}{
		{"no brokers", config.Kafka{}, "no brokers"},
		{"no such mechanism", config.Kafka{Brokers: b, SASL: &config.SASL{Mechanism: "kerberos"}}, `found "kerberos"`},
		{"no user", config.Kafka{Brokers: b, SASL: &config.SASL{Mechanism: "plain"}}, "User"},
		{"missing CA", config.Kafka{Brokers: b, TLS: &config.TLS{CA: "/no/such/file"}}, "kafka.tls.ca"},
		{"empty CA", config.Kafka{Brokers: b, TLS: &config.TLS{CA: empty}}, "holds no PEM certificate"},
		{"key without certificate", config.Kafka{Brokers: b, TLS: &config.TLS{Key: empty}}, "go together"},
		{"bad pair", config.Kafka{Brokers: b, TLS: &config.TLS{Cert: empty, Key: empty}}, "cert and key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := kafka.NewCluster(test.in)
			if !errors.Is(err, kafka.ErrCluster) || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want an ErrCluster about %q", err, test.want)
			}
		})
	}
}

func TestPasswordStaysOutOfErrors(t *testing.T) {
	_, err := kafka.NewCluster(config.Kafka{Brokers: []string{"b:1"}, SASL: &config.SASL{
		Mechanism: "scram-sha-1", Username: "weir", Password: config.NewSecret("hunter2"),
	}})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Fatalf("got %v", err)
	}
}

// TestLogin logs in over TLS with every mechanism, and is refused with a wrong password.
func TestLogin(t *testing.T) {
	ca, server := certificate(t)
	fake := startFake(t,
		kfake.TLS(server), kfake.EnableSASL(),
		kfake.Superuser("PLAIN", "weir", "secret"),
		kfake.Superuser("SCRAM-SHA-256", "weir", "secret"),
		kfake.Superuser("SCRAM-SHA-512", "weir", "secret"),
		kfake.SeedTopics(3, "user_events"),
	)
	for _, mechanism := range []string{"plain", "scram-sha-256", "SCRAM-SHA-512"} {
		for _, password := range []string{"secret", "wrong"} {
			t.Run(mechanism+" "+password, func(t *testing.T) {
				cluster, err := kafka.NewCluster(config.Kafka{
					Brokers: fake.ListenAddrs(),
					TLS:     &config.TLS{CA: ca, ServerName: "kafka.test"},
					SASL:    &config.SASL{Mechanism: mechanism, Username: "weir", Password: config.NewSecret(password)},
				})
				if err != nil {
					t.Fatal(err)
				}
				client, err := cluster.Client()
				if password == "wrong" {
					if err == nil {
						_ = client.Close()
						t.Fatal("a wrong password was accepted")
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = client.Close() }()
				partitions, err := client.Partitions("user_events")
				if err != nil || len(partitions) != 3 {
					t.Fatalf("got partitions %v, error %v", partitions, err)
				}
			})
		}
	}
}

func TestAdminFacts(t *testing.T) {
	fake := startFake(t, kfake.SeedTopics(2, "user_events"))
	cluster, err := kafka.NewCluster(config.Kafka{Brokers: fake.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	admin, err := kafka.NewAdmin(cluster)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	ctx := context.Background()

	if _, err := admin.Partitions("nowhere"); !errors.Is(err, kafka.ErrNoTopic) {
		t.Fatalf("a missing topic gives %v, want ErrNoTopic", err)
	}
	for range 2 { // the second time it exists
		if err := admin.CreateTopic("nowhere", 4); err != nil {
			t.Fatal(err)
		}
	}
	if p, err := admin.Partitions("nowhere"); err != nil || len(p) != 4 {
		t.Fatalf("got partitions %v, error %v", p, err)
	}

	c := cluster.Config()
	c.Producer.Return.Successes = true
	c.Producer.Partitioner = sarama.NewManualPartitioner
	producer, err := sarama.NewSyncProducer(cluster.Brokers(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = producer.Close() }()
	start := time.UnixMilli(1_700_000_000_000)
	for i := range 5 {
		_, _, err := producer.SendMessage(&sarama.ProducerMessage{
			Topic: "user_events", Partition: 1, Value: sarama.StringEncoder("x"), Timestamp: start.Add(time.Duration(i) * time.Second),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	offsets, err := admin.GroupOffsets(ctx, "nobody", "user_events")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := offsets[1], (kafka.Offsets{Oldest: 0, Newest: 5, Committed: -1}); got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	at, err := admin.OffsetsAt(ctx, "user_events", []int32{0, 1}, start.Add(1500*time.Millisecond).UnixMilli())
	if err != nil || at[0] != 0 || at[1] != 2 {
		t.Fatalf("got offsets %v by time, error %v", at, err)
	}
	at, err = admin.OffsetsAt(ctx, "user_events", []int32{1}, start.Add(time.Hour).UnixMilli())
	if err != nil || at[1] != 5 {
		t.Fatalf("after the end: got %v, error %v", at, err)
	}
}

// certificate makes a self-signed certificate for kafka.test: the file of the root, and the server's side.
func certificate(t *testing.T) (caFile string, server *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kafka.test"}, DNSNames: []string{"kafka.test"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return caFile, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
