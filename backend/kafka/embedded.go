package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Embedded is a Kafka broker inside this process, on a TCP port of its own: any Kafka client, kcat included, may use it.
// It is a development broker (franz-go's kfake): one node, no replication, no promise of durability. It is for demos
// and tests, never for production.
type Embedded struct {
	cluster *kfake.Cluster
	addr    string
	once    sync.Once
}

// EmbeddedOptions say where an embedded broker listens and what it holds. The zero value is a broker without topics,
// in memory, on a free loopback port.
type EmbeddedOptions struct {
	// Listen is host:port. Empty means a free port of 127.0.0.1. Clients are told the address the listener reports;
	// one that listens on every interface tells them 127.0.0.1.
	Listen string
	// Listener, if set, is used instead of Listen; the broker closes it. Clients are told its Addr, so it must stay the
	// same for the broker's life.
	Listener net.Listener
	// DataDir is the folder of the log's segments, made if needed; the caller removes it. With it a million records cost
	// some ten megabytes of memory, without it some two hundred.
	DataDir string
	Topics  []EmbeddedTopic
	Logger  *slog.Logger // nil: nowhere
}

// EmbeddedTopic is a topic the broker starts with.
type EmbeddedTopic struct {
	Name       string
	Partitions int32 // below 1: 1
	// Retention and RetentionBytes (a partition) bound what is kept, whichever is less; 0 means DefaultRetention and
	// DefaultRetentionBytes. The log is cleaned every few seconds, so a partition may hold a little more for a while.
	Retention      time.Duration
	RetentionBytes int64
}

// What an embedded topic keeps unless told otherwise: for how long, and how many bytes a partition.
const (
	DefaultRetention      = 15 * time.Minute
	DefaultRetentionBytes = 32 << 20
)

const (
	cleanEvery      = 5 * time.Second
	minSegmentBytes = 1 << 20
	// maxRequestBytes is Kafka's own default of socket.request.max.bytes.
	maxRequestBytes = 100 << 20
	// minSessionTimeout lets a member that was killed be forgotten sooner than kfake's default of 6 s.
	minSessionTimeout = time.Second
	createTimeout     = 10 * time.Second
)

// StartEmbedded starts a broker. When it returns, the port accepts clients and every topic exists.
func StartEmbedded(o EmbeddedOptions) (*Embedded, error) {
	ln := o.Listener
	if ln == nil {
		listen := o.Listen
		if listen == "" {
			listen = "127.0.0.1:0"
		}
		var config net.ListenConfig
		var err error
		if ln, err = config.Listen(context.Background(), "tcp", listen); err != nil {
			return nil, fmt.Errorf("embedded broker: %w; choose another address, or none for a free port", err)
		}
	}
	ln = &guardedListener{ln}
	options := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID("weir-embedded"),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return ln, nil }),
		kfake.GroupMinSessionTimeout(minSessionTimeout),
		kfake.DefaultNumPartitions(1),
		kfake.BrokerConfigs(map[string]string{
			"log.cleaner.backoff.ms": millis(cleanEvery),
			"log.retention.ms":       millis(DefaultRetention),
			"log.retention.bytes":    strconv.Itoa(DefaultRetentionBytes),
			"log.segment.bytes":      strconv.Itoa(DefaultRetentionBytes / 8),
		}),
	}
	if o.DataDir != "" {
		options = append(options, kfake.DataDir(o.DataDir))
	}
	if o.Logger != nil {
		options = append(options, kfake.WithLogger(brokerLog{o.Logger}))
	}
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("embedded broker: %w", err), ln.Close())
	}
	e := &Embedded{cluster: cluster, addr: ln.Addr().String()}
	if err := e.create(o.Topics); err != nil {
		e.close()
		return nil, fmt.Errorf("embedded broker: %w", err)
	}
	return e, nil
}

// Addr is the host:port the broker tells its clients to use.
func (e *Embedded) Addr() string { return e.addr }

// Close stops the broker and its connections. Closing again does nothing.
func (e *Embedded) Close() error {
	e.close()
	return nil
}

func (e *Embedded) close() { e.once.Do(e.cluster.Close) }

// create makes all topics by one request, as any client would: the broker saves its state, and waits for the disk, once
// a request.
func (e *Embedded) create(topics []EmbeddedTopic) error {
	if len(topics) == 0 {
		return nil
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(e.addr), kgo.DisableClientMetrics())
	if err != nil {
		return err
	}
	defer client.Close()
	request := kmsg.NewPtrCreateTopicsRequest()
	request.TimeoutMillis = int32(createTimeout.Milliseconds())
	for _, t := range topics {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = t.Name, max(1, t.Partitions), 1
		for name, value := range t.configs() {
			config := kmsg.NewCreateTopicsRequestTopicConfig()
			config.Name, config.Value = name, &value
			topic.Configs = append(topic.Configs, config)
		}
		request.Topics = append(request.Topics, topic)
	}
	ctx, cancel := context.WithTimeout(context.Background(), createTimeout)
	defer cancel()
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	for _, t := range response.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return fmt.Errorf("create topic %q: %w", t.Topic, err)
		}
	}
	return nil
}

func (t EmbeddedTopic) configs() map[string]string {
	keep, size := t.Retention, t.RetentionBytes
	if keep <= 0 {
		keep = DefaultRetention
	}
	if size <= 0 {
		size = DefaultRetentionBytes
	}
	return map[string]string{
		"retention.ms":    millis(keep),
		"retention.bytes": strconv.FormatInt(size, 10),
		// A segment's file goes when all of it has gone: small segments give the disk back sooner.
		"segment.bytes": strconv.FormatInt(max(minSegmentBytes, size/8), 10),
	}
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// guardedListener hands out connections that let through nothing but Kafka requests, because kfake trusts its clients:
// a request of an unknown kind (a browser's GET is one) would panic the whole process, and a wild length would be
// allocated before a byte of it came.
type guardedListener struct{ net.Listener }

func (l *guardedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &guardedConn{Conn: c}, nil
}

// Addr is what clients are told.
func (l *guardedListener) Addr() net.Addr {
	if a, ok := l.Listener.Addr().(*net.TCPAddr); ok && a.IP.IsUnspecified() {
		return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: a.Port}
	}
	return l.Listener.Addr()
}

// guardedConn reads the first bytes of every request (its length and its kind) before the broker does.
type guardedConn struct {
	net.Conn
	head [6]byte // length (4), kind (2)
	kept []byte  // of head, not handed on yet
	left int     // bytes of the request after head
}

var errNotKafka = errors.New("not a Kafka request")

func (c *guardedConn) Read(p []byte) (int, error) {
	if len(c.kept) == 0 && c.left == 0 {
		if _, err := io.ReadFull(c.Conn, c.head[:]); err != nil {
			return 0, err
		}
		size := binary.BigEndian.Uint32(c.head[:])
		kind := int16(binary.BigEndian.Uint16(c.head[4:]))
		// The least header is kind, version, correlation and the length of an absent client name.
		if size < 10 || size > maxRequestBytes || !knownKind(kind) {
			return 0, errNotKafka
		}
		c.kept, c.left = c.head[:], int(size)-2
	}
	if len(c.kept) > 0 {
		n := copy(p, c.kept)
		c.kept = c.kept[n:]
		return n, nil
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

func knownKind(kind int16) bool {
	return kind >= 0 && kind <= kmsg.MaxKey && kmsg.RequestForKey(kind) != nil
}

// brokerLog hands the broker's own log on.
type brokerLog struct{ *slog.Logger }

func (l brokerLog) Logf(level kfake.LogLevel, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	switch level {
	case kfake.LogLevelError:
		l.Error("embedded broker", "message", message)
	case kfake.LogLevelWarn:
		l.Warn("embedded broker", "message", message)
	default:
		l.Debug("embedded broker", "message", message)
	}
}
