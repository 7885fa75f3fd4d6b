package check

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"

	"weir/backend/kafka"
	"weir/config"
)

func pipelineConfig(brokers ...string) *config.Config {
	return &config.Config{
		Path:     "weir.yaml",
		Kafka:    config.Kafka{Brokers: brokers},
		Pipeline: &config.Pipeline{Group: "weir", Events: "user_events", Predictions: "predictions", DeadLetters: "dead", Start: "latest"},
	}
}

func broker(t *testing.T, o kafka.EmbeddedOptions) string {
	t.Helper()
	b, err := kafka.StartEmbedded(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b.Addr()
}

func TestTopicsAndGroup(t *testing.T) {
	address := broker(t, kafka.EmbeddedOptions{Topics: []kafka.EmbeddedTopic{{Name: "user_events", Partitions: 2}, {Name: "predictions"}}})
	down := closedPort(t)
	r := Report{Rows: checkKafka(deadline(t), pipelineConfig(address, down))}
	for what, want := range map[string]struct {
		status Status
		found  string
		do     string
	}{
		"broker " + address: {OK, "answers in", ""},
		"broker " + down:    {Warning, "connection refused", "running"},
		"kafka":             {OK, "one broker", ""},
		"topic user_events": {OK, "2 partitions", ""},
		"topic predictions": {OK, "1 partition", ""},
		"topic dead":        {Failed, "does not exist", "--create --topic dead"},
		"group weir":        {OK, "begins at the latest", ""},
	} {
		expect(t, []Row{find(r, what)}, want.status, []string{want.found}, want.do)
	}
	r = Report{Rows: checkKafka(deadline(t), pipelineConfig(down))}
	if find(r, "broker").Status != Failed || find(r, "topic").Status != Skipped || !r.Failed() {
		t.Errorf("got %+v", r)
	}
}

// TestStaleOffsets: a group that slept longer than the topic keeps events is told so.
func TestStaleOffsets(t *testing.T) {
	address := broker(t, kafka.EmbeddedOptions{Topics: []kafka.EmbeddedTopic{{Name: "user_events", Partitions: 1}, {Name: "predictions"}, {Name: "dead"}}})
	c := pipelineConfig(address)
	cluster, err := kafka.NewCluster(c.Kafka)
	if err != nil {
		t.Fatal(err)
	}
	settings := cluster.Config()
	settings.Producer.Return.Successes = true
	settings.Consumer.Offsets.AutoCommit.Enable = false
	client, err := sarama.NewClient(cluster.Brokers(), settings)
	if err != nil {
		t.Fatal(err)
	}
	producer, err := sarama.NewSyncProducerFromClient(client)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if _, _, err := producer.SendMessage(&sarama.ProducerMessage{Topic: "user_events", Value: sarama.StringEncoder("x")}); err != nil {
			t.Fatal(err)
		}
	}
	commit := func(offset int64) {
		t.Helper()
		member, err := sarama.NewConsumerGroup(cluster.Brokers(), "weir", settings)
		if err != nil {
			t.Fatal(err)
		}
		ctx, leave := context.WithCancel(t.Context())
		if err := member.Consume(ctx, []string{"user_events"}, committer{offset, leave}); err != nil {
			t.Fatal(err)
		}
		if err := member.Close(); err != nil {
			t.Fatal(err)
		}
	}
	group := func() []Row { return []Row{find(Report{Rows: checkKafka(deadline(t), c)}, "group weir")} }
	commit(4)
	expect(t, group(), OK, []string{"6 events behind in 1 partition"}, "")
	admin, err := sarama.NewClusterAdminFromClient(client)
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.DeleteRecords("user_events", map[int32]int64{0: 7}); err != nil {
		t.Fatal(err)
	}
	expect(t, group(), Warning, []string{"stale", "3 events of partition 0"}, "retention")
	commit(99)
	expect(t, group(), Failed, []string{"beyond the end of partition 0"}, "--reset-offsets --to-latest")
	if err := producer.Close(); err != nil {
		t.Error(err)
	}
	if err := admin.Close(); err != nil { // closes the client too
		t.Error(err)
	}
}

// committer joins a group, commits one offset and leaves.
type committer struct {
	offset int64
	leave  func()
}

func (c committer) Setup(s sarama.ConsumerGroupSession) error {
	s.ResetOffset("user_events", 0, c.offset, "")
	s.MarkOffset("user_events", 0, c.offset, "")
	s.Commit()
	c.leave()
	return nil
}

func (c committer) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (c committer) ConsumeClaim(sarama.ConsumerGroupSession, sarama.ConsumerGroupClaim) error {
	return nil
}

// misnamed is a listener that reports an address nobody can reach, as a broker with a wrong advertised.listeners does.
type misnamed struct {
	net.Listener
	addr net.Addr
}

func (m misnamed) Addr() net.Addr { return m.addr }

func TestAdvertisedListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := net.ResolveTCPAddr("tcp", closedPort(t))
	if err != nil {
		t.Fatal(err)
	}
	broker(t, kafka.EmbeddedOptions{Listener: misnamed{l, wrong}})
	rows := checkKafka(deadline(t), pipelineConfig(l.Addr().String()))
	for i, r := range rows {
		if r.Status == Failed {
			expect(t, rows[i:], Failed, []string{"wants to be called " + wrong.String()}, "advertised.listeners")
			return
		}
	}
	t.Errorf("got %+v", rows)
}

func TestTLSAndLogin(t *testing.T) {
	ca, server := certificate(t, "kafka.test", 365*24*time.Hour)
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.TLS(server), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "weir", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	oldCA, oldServer := certificate(t, "kafka.test", 30*time.Hour)
	oldFake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.TLS(oldServer))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(oldFake.Close)
	plainFake, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(plainFake.Close)
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	secure, plain, webAddress := fake.ListenAddrs()[0], plainFake.ListenAddrs()[0], strings.TrimPrefix(web.URL, "http://")

	good := &config.TLS{CA: ca, ServerName: "kafka.test"}
	login := func(mechanism, password string) *config.SASL {
		return &config.SASL{Mechanism: mechanism, Username: "weir", Password: config.NewSecret(password)}
	}
	for _, c := range []struct {
		name    string
		address string
		tls     *config.TLS
		sasl    *config.SASL
		status  Status
		found   string
		do      string
		silent  bool // the broker waits for more and says nothing
	}{
		{"good", secure, good, login("scram-sha-512", "secret"), OK, "TLS, logged in as weir", "", false},
		{"certificate that ends soon", oldFake.ListenAddrs()[0], &config.TLS{CA: oldCA, ServerName: "kafka.test"}, nil, Warning, "expires", "renew", false},
		{"wrong password", secure, good, login("scram-sha-512", "wrong"), Failed, "login of weir", "password", false},
		{"wrong mechanism", secure, good, login("plain", "secret"), Failed, "", "mechanism", false},
		{"unknown authority", secure, &config.TLS{ServerName: "kafka.test"}, login("scram-sha-512", "secret"), Failed, "authority", "tls.ca", false},
		{"another name", secure, &config.TLS{CA: ca}, login("scram-sha-512", "secret"), Failed, "for another name (kafka.test)", "server_name", false},
		{"no TLS towards TLS", secure, nil, login("scram-sha-512", "secret"), Failed, "", "TLS", false},
		{"TLS towards none", plain, good, nil, Failed, "TLS handshake", "remove kafka.tls", true},
		{"plain", plain, nil, nil, OK, "answers", "", false},
		{"a web server", webAddress, nil, nil, Failed, "does not answer as a Kafka broker", "another service", true},
		{"a missing CA file", secure, &config.TLS{CA: ca + "x"}, nil, Failed, "kafka.tls.ca", "section kafka", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			wait := patience
			if c.silent {
				wait = 2 * time.Second // what must be said before is said in a moment of it
			}
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			defer cancel()
			rows := checkKafka(ctx, &config.Config{Kafka: config.Kafka{Brokers: []string{c.address}, TLS: c.tls, SASL: c.sasl}})
			expect(t, rows, c.status, []string{c.found}, c.do)
		})
	}
}

func TestPasswordInTheClear(t *testing.T) {
	if allLoopback([]string{"localhost:1", "127.0.0.1:2", "[::1]:3"}) == false || allLoopback([]string{"localhost:1", "kafka:2"}) || allLoopback([]string{"10.0.0.1:1"}) {
		t.Error("loopback")
	}
}

// certificate makes a self-signed certificate: the file of its root, and the server's side.
func certificate(t *testing.T, name string, lasts time.Duration) (caFile string, server *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(lasts),
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
