package kafka

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestEmbeddedTakesAndGivesRecords(t *testing.T) {
	for name, dir := range map[string]string{"in memory": "", "on disk": filepath.Join(t.TempDir(), "broker")} {
		t.Run(name, func(t *testing.T) {
			e := startEmbedded(t, EmbeddedOptions{DataDir: dir, Topics: []EmbeddedTopic{{Name: "a", Partitions: 3}}})
			client, err := kgo.NewClient(kgo.SeedBrokers(e.Addr()), kgo.ConsumeTopics("a"), kgo.DisableClientMetrics(),
				kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			for _, v := range []string{"one", "two", "three"} {
				if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "a", Value: []byte(v)}).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			got := map[string]bool{}
			for len(got) < 3 {
				fetches := client.PollFetches(t.Context())
				if err := fetches.Err(); err != nil {
					t.Fatal(err)
				}
				fetches.EachRecord(func(r *kgo.Record) { got[string(r.Value)] = true })
			}
		})
	}
}

func TestEmbeddedSaysThatThePortIsTaken(t *testing.T) {
	e := startEmbedded(t, EmbeddedOptions{})
	_, err := StartEmbedded(EmbeddedOptions{Listen: e.Addr()})
	if err == nil || !strings.Contains(err.Error(), e.Addr()) || !strings.Contains(err.Error(), "choose another address") {
		t.Errorf("got %v, want an error that names %s and says what to do", err, e.Addr())
	}
}

func TestEmbeddedSurvivesWhatIsNotKafka(t *testing.T) {
	e := startEmbedded(t, EmbeddedOptions{Topics: []EmbeddedTopic{{Name: "a"}}})
	for name, bytes := range map[string]string{
		"a browser":        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"an unknown kind":  "\x00\x00\x00\x20\x7f\xff\x00\x00" + strings.Repeat("\x00", 28),
		"a negative kind":  "\x00\x00\x00\x20\xff\xff\x00\x00" + strings.Repeat("\x00", 28),
		"a wild length":    "\xff\xff\xff\xff\x00\x03",
		"a length of none": "\x00\x00\x00\x00\x00\x03",
		"a broken body":    "\x00\x00\x00\x0e\x00\x03\x00\x09\x00\x00\x00\x01\xff\xff\xff\xff\xff\xff",
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", e.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, bytes); err != nil {
				t.Fatal(err)
			}
			if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %v, want the connection closed", err)
			}
		})
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(e.Addr()), kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "a", Value: []byte("still here")}).FirstErr(); err != nil {
		t.Error(err)
	}
}

func startEmbedded(t *testing.T, o EmbeddedOptions) *Embedded {
	t.Helper()
	e, err := StartEmbedded(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// TestEmbeddedForgets proves that a broker that runs for long does not grow: what is beyond a topic's bounds goes within
// seconds, from the log and from the disk.
func TestEmbeddedForgets(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	dir := t.TempDir()
	e := startEmbedded(t, EmbeddedOptions{DataDir: dir, Topics: []EmbeddedTopic{{Name: "a", RetentionBytes: limit}}})
	client, err := kgo.NewClient(kgo.SeedBrokers(e.Addr()), kgo.DisableClientMetrics(), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for range 100 {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "a", Value: make([]byte, 64<<10)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	onDisk := func() (size int64) {
		err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
			if errors.Is(err, os.ErrNotExist) { // it went while it was looked at
				return nil
			}
			if err != nil || d.IsDir() {
				return err
			}
			if info, err := d.Info(); err == nil {
				size += info.Size()
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return size
	}
	if size := onDisk(); size < 5*limit {
		t.Fatalf("%d bytes on disk after writing 6 MiB", size)
	}
	for end := time.Now().Add(4 * cleanEvery); onDisk() > 3*limit; {
		if time.Now().After(end) {
			t.Fatalf("%d bytes on disk, of a topic that keeps %d", onDisk(), limit)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
