// Package kafka reaches Kafka clusters: sarama clients built from the configuration, and the facts about topics and
// groups that a broker tells.
package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/IBM/sarama"
	"github.com/rcrowley/go-metrics"

	"weir/config"
)

// MaxDecompressed bounds, in bytes, what one compressed record batch may inflate to. Kafka's own default for a
// batch is 1 MiB; a batch beyond this bound is a compression bomb and is refused.
const MaxDecompressed = 64 << 20

// MaxRecord bounds, in bytes, a record weir sends. It lies above what brokers usually take (message.max.bytes is
// 1 MiB unless configured), so that the broker decides.
const MaxRecord = 64 << 20

// ErrCluster is wrapped by every error about how a cluster is described (as opposed to how it behaves).
var ErrCluster = errors.New("kafka configuration")

func init() {
	// Both are process-wide in sarama. Its metrics cost an update or more a record and nobody reads them.
	metrics.UseNilMetrics = true
	sarama.MaxDecompressedBatchSize = MaxDecompressed
}

// Cluster says how one Kafka cluster is reached. It is a value: copy it freely.
type Cluster struct {
	brokers []string
	tls     *tls.Config // nil: plain text
	sasl    *config.SASL
	timeout time.Duration // of each connection, request and answer; 0: sarama's and weir's usual ones

	connections *connections // shared by all copies
}

// NewCluster checks how a cluster is to be reached, reading the certificates it names. It does not connect. Errors
// wrap ErrCluster.
func NewCluster(k config.Kafka) (Cluster, error) {
	if len(k.Brokers) == 0 {
		return Cluster{}, fmt.Errorf("%w: no brokers; name at least one as host:port under kafka.brokers", ErrCluster)
	}
	c := Cluster{brokers: slices.Clone(k.Brokers), connections: newConnections(context.Background())}
	if k.TLS != nil {
		t, err := TLSConfig("kafka.tls", *k.TLS)
		if err != nil {
			return Cluster{}, fmt.Errorf("%w: %w", ErrCluster, err)
		}
		c.tls = t
	}
	if k.SASL != nil {
		if _, err := mechanism(k.SASL.Mechanism); err != nil {
			return Cluster{}, fmt.Errorf("%w: %w", ErrCluster, err)
		}
		sasl := *k.SASL
		c.sasl = &sasl
	}
	if err := c.Config().Validate(); err != nil {
		return Cluster{}, fmt.Errorf("%w: %w", ErrCluster, err)
	}
	return c, nil
}

// Brokers are the addresses given, host:port.
func (c Cluster) Brokers() []string { return slices.Clone(c.brokers) }

// String lists the brokers, for messages.
func (c Cluster) String() string { return strings.Join(c.brokers, ", ") }

// WithTimeout is the same cluster for a caller in a hurry: no connection, request or answer takes longer, and nothing
// is tried again.
func (c Cluster) WithTimeout(timeout time.Duration) Cluster {
	c.timeout = timeout
	return c
}

// Config is a fresh sarama configuration for this cluster, the caller's to change.
func (c Cluster) Config() *sarama.Config {
	s := sarama.NewConfig()
	s.ClientID = "weir"
	s.Version = sarama.V3_6_0_0 // the newest spoken; older brokers are negotiated down to
	s.Net.DialTimeout = 5 * time.Second
	s.Net.ReadTimeout = 20 * time.Second
	s.Net.WriteTimeout = 20 * time.Second
	s.Metadata.AllowAutoTopicCreation = false
	s.Metadata.Retry.Max = 2
	s.Metadata.Retry.Backoff = 100 * time.Millisecond
	if c.timeout > 0 {
		s.Net.DialTimeout, s.Net.ReadTimeout, s.Net.WriteTimeout = c.timeout, c.timeout, c.timeout
		s.Metadata.Timeout, s.Metadata.Retry.Max = c.timeout, 0
		s.Admin.Timeout, s.Admin.Retry.Max = c.timeout, 0
	}
	s.Net.Proxy.Enable, s.Net.Proxy.Dialer = true, dialer{c.connections, s.Net.DialTimeout}
	s.Consumer.IsolationLevel = sarama.ReadCommitted // a record of an aborted transaction never was
	s.Producer.MaxMessageBytes = MaxRecord
	s.Producer.RequiredAcks = sarama.WaitForAll
	if c.tls != nil {
		s.Net.TLS.Enable = true
		s.Net.TLS.Config = c.tls.Clone()
	}
	if c.sasl != nil {
		m, _ := mechanism(c.sasl.Mechanism) // checked by NewCluster
		s.Net.SASL.Enable = true
		s.Net.SASL.Mechanism = m.sasl
		s.Net.SASL.User = c.sasl.Username
		s.Net.SASL.Password = c.sasl.Password.Reveal()
		if m.hash != nil {
			s.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return newSCRAM(m.hash) }
		}
	}
	return s
}

// Client connects to the cluster. The caller closes it.
func (c Cluster) Client() (sarama.Client, error) {
	client, err := sarama.NewClient(c.brokers, c.Config())
	if err != nil {
		return nil, c.Unreachable(err)
	}
	return client, nil
}

// TLSConfig reads the certificates a section names, for a client that speaks TLS 1.2 or newer. Errors begin with the
// section's key.
func TLSConfig(key string, t config.TLS) (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("%s.ca: %w", key, err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s.ca: %s holds no PEM certificate", key, t.CA)
		}
	}
	if (t.Cert == "") != (t.Key == "") {
		return nil, fmt.Errorf("%s: cert and key go together; only one is given", key)
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("%s.cert and key: %w", key, err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}
