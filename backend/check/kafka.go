package check

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"weir/backend/kafka"
	"weir/config"
)

// checkKafka walks from the brokers' addresses to the group's offsets. What lies behind a failure is skipped.
func checkKafka(ctx context.Context, c *config.Config) []Row {
	cluster, err := kafka.NewCluster(c.Kafka)
	if err != nil {
		return append([]Row{row(Failed, "kafka", err.Error(), "correct the section kafka")}, skipKafka(c)...)
	}
	addresses := cluster.Brokers()
	rows := make([]Row, len(addresses))
	var group sync.WaitGroup
	for i, address := range addresses {
		what := "broker " + address
		group.Go(func() {
			rows[i] = bounded(cluster, what, func(c kafka.Cluster) []Row { return []Row{checkBroker(ctx, c, what, address)} })[0]
		})
	}
	group.Wait()
	if !slices.ContainsFunc(rows, func(r Row) bool { return r.Status != Failed }) {
		return append(rows, skipKafka(c)...)
	}
	for i := range rows {
		if rows[i].Status == Failed { // the others will do
			rows[i].Status = Warning
		}
	}
	if sasl := c.Kafka.SASL; sasl != nil && c.Kafka.TLS == nil && !allLoopback(addresses) {
		found, do := "the login is sent without TLS", "add kafka.tls: whoever listens can read what is sent"
		if sasl.Mechanism == "plain" {
			found = "the password is sent in the clear"
		}
		rows = append(rows, row(Warning, "kafka login", found, do))
	}
	return append(rows, bounded(cluster, "kafka", func(cluster kafka.Cluster) []Row { return checkCluster(ctx, c, cluster) })...)
}

// bounded gives the rows that f finds, at least one, or one that says that a client of Kafka's has panicked and that f does
// not end for that.
func bounded(cluster kafka.Cluster, what string, f func(kafka.Cluster) []Row) []Row {
	rows, err := kafka.Bounded(cluster, func(c kafka.Cluster) ([]Row, error) { return f(c), nil })
	if err != nil {
		return []Row{row(Failed, what, err.Error(), "try again; this is a fault of weir's: report it")}
	}
	return rows
}

// checkBroker connects to one address: name, port, TLS, login, and Kafka's own protocol.
func checkBroker(ctx context.Context, cluster kafka.Cluster, what, address string) Row {
	began := time.Now()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		found, do := reach(err)
		return row(Failed, what, found, do)
	}
	_ = conn.Close()
	settings := hurry(ctx, cluster).Config()
	var expires time.Time
	if settings.Net.TLS.Enable {
		if expires, err = handshake(ctx, settings.Net.TLS.Config, address); err != nil {
			found, do := reach(err)
			if isTimeout(err) || isClosed(err) {
				found, do = found+" to the TLS handshake", "does this port speak TLS? use its TLS port, or remove kafka.tls"
			}
			return row(Failed, what, found, do)
		}
	}
	settings.Net.Proxy.Enable, settings.Net.Proxy.Dialer = true, deadlineDialer{ctx}
	broker := sarama.NewBroker(address)
	if err := broker.Open(settings); err != nil {
		return row(Failed, what, err.Error(), "correct the section kafka")
	}
	defer func() { _ = broker.Close() }()
	if ok, err := broker.Connected(); !ok {
		found, do := loginProblem(err, settings)
		return row(Failed, what, found, do)
	}
	if _, err := broker.GetMetadata(&sarama.MetadataRequest{Version: 4, Topics: []string{}}); err != nil {
		found, do := loginProblem(err, settings)
		return row(Failed, what, found, do)
	}
	found := "answers in " + millis(time.Since(began))
	if settings.Net.TLS.Enable {
		found += ", TLS"
	}
	if settings.Net.SASL.Enable {
		found += ", logged in as " + settings.Net.SASL.User
	}
	if left := time.Until(expires); !expires.IsZero() && left < expirySoon {
		return row(Warning, what, fmt.Sprintf("%s; its certificate expires %s, in %d hours", found, expires.UTC().Format(time.DateOnly), int(left.Hours())), "renew the broker's certificate")
	}
	return row(OK, what, found, "")
}

// hurry is the cluster with what is left of the check's time.
func hurry(ctx context.Context, cluster kafka.Cluster) kafka.Cluster {
	deadline, ok := ctx.Deadline()
	if !ok {
		return cluster
	}
	return cluster.WithTimeout(max(time.Until(deadline), time.Millisecond))
}

// expirySoon is how long before its end a certificate is warned of.
const expirySoon = 14 * 24 * time.Hour

// handshake does the TLS handshake by itself, since sarama does not tell it from what follows. It gives the first end
// of the other side's certificates.
func handshake(ctx context.Context, settings *tls.Config, address string) (expires time.Time, err error) {
	conn, err := (&tls.Dialer{Config: settings.Clone()}).DialContext(ctx, "tcp", address)
	if err != nil {
		return expires, err
	}
	if secure, ok := conn.(*tls.Conn); ok {
		for _, c := range secure.ConnectionState().PeerCertificates {
			if expires.IsZero() || c.NotAfter.Before(expires) {
				expires = c.NotAfter
			}
		}
	}
	return expires, conn.Close()
}

// deadlineDialer dials connections of which nothing outlives ctx's deadline. Sarama has time-outs for each step only,
// and takes several steps to log in.
type deadlineDialer struct{ ctx context.Context }

func (d deadlineDialer) Dial(network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(d.ctx, network, address)
	if err != nil {
		return nil, err
	}
	end, ok := d.ctx.Deadline()
	if !ok {
		return conn, nil
	}
	return deadlineConn{conn, end}, nil
}

// deadlineConn allows no deadline after end.
type deadlineConn struct {
	net.Conn
	end time.Time
}

func (c deadlineConn) SetDeadline(t time.Time) error     { return c.Conn.SetDeadline(c.before(t)) }
func (c deadlineConn) SetReadDeadline(t time.Time) error { return c.Conn.SetReadDeadline(c.before(t)) }
func (c deadlineConn) SetWriteDeadline(t time.Time) error {
	return c.Conn.SetWriteDeadline(c.before(t))
}

func (c deadlineConn) before(t time.Time) time.Time {
	if t.IsZero() || t.After(c.end) {
		return c.end
	}
	return t
}

// loginProblem says why a connection that stands is of no use.
func loginProblem(err error, settings *sarama.Config) (found, do string) {
	switch {
	case err == nil:
		return "it closed the connection", "read the broker's log"
	case errors.Is(err, sarama.ErrSASLAuthenticationFailed):
		return "it refuses the login of " + settings.Net.SASL.User, "check kafka.sasl.username and password, and the mechanism the user was made for"
	case errors.Is(err, sarama.ErrUnsupportedSASLMechanism), errors.Is(err, sarama.ErrIllegalSASLState):
		return "it does not offer " + string(settings.Net.SASL.Mechanism), "ask for its mechanisms and set kafka.sasl.mechanism"
	}
	found, _ = reach(err)
	switch {
	case settings.Net.SASL.Enable && settings.Net.TLS.Enable:
		return "the login of " + settings.Net.SASL.User + " failed: " + found, "check kafka.sasl: mechanism, username, password; does this port want a login?"
	case settings.Net.SASL.Enable:
		return "the login of " + settings.Net.SASL.User + " failed: " + found, "does this port want TLS (kafka.tls)? else check kafka.sasl: mechanism, username, password"
	case settings.Net.TLS.Enable:
		return found, "does this port want a login (kafka.sasl), or a client certificate (kafka.tls.cert)?"
	}
	return "it does not answer as a Kafka broker: " + found, "does this port want TLS or a login, or is it another service's?"
}

// checkCluster looks at what the brokers know. At least one of them answers.
func checkCluster(ctx context.Context, c *config.Config, cluster kafka.Cluster) []Row {
	cluster = hurry(ctx, cluster)
	client, err := cluster.Client()
	if err != nil {
		return append([]Row{row(Failed, "kafka", "the brokers do not tell about their cluster: "+err.Error(), "read the brokers' logs")}, skipKafka(c)...)
	}
	defer func() { _ = client.Close() }()
	rows := checkAdvertised(ctx, client, cluster.Brokers())
	if c.Pipeline == nil && c.Mesh == nil || slices.ContainsFunc(rows, func(r Row) bool { return r.Status == Failed }) {
		return append(rows, skipKafka(c)...)
	}
	admin, err := kafka.NewAdmin(cluster)
	if err != nil {
		return append(append(rows, row(Failed, "kafka", err.Error(), "read the brokers' logs")), skipKafka(c)...)
	}
	defer func() { _ = admin.Close() }()
	if c.Pipeline != nil {
		rows = append(rows, checkTopics(ctx, c.Pipeline, admin)...)
	}
	if c.Mesh != nil {
		rows = append(rows, checkFeeds(c.Mesh, admin)...)
	}
	return rows
}

// checkAdvertised tries the addresses by which the brokers want to be called: those are the ones clients use, whatever
// address they asked first.
func checkAdvertised(ctx context.Context, client sarama.Client, asked []string) []Row {
	brokers := client.Brokers()
	slices.SortFunc(brokers, func(a, b *sarama.Broker) int { return int(a.ID()) - int(b.ID()) })
	results := make([]*Row, len(brokers))
	var group sync.WaitGroup
	for i, b := range brokers {
		if slices.Contains(asked, b.Addr()) {
			continue
		}
		group.Go(func() {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", b.Addr())
			if err == nil {
				_ = conn.Close()
				return
			}
			found, _ := reach(err)
			r := row(Failed, fmt.Sprintf("broker %d", b.ID()), fmt.Sprintf("it wants to be called %s: %s", b.Addr(), found),
				"correct the broker's advertised.listeners, or make that name known here")
			results[i] = &r
		})
	}
	group.Wait()
	rows := []Row{row(OK, "kafka", fmt.Sprintf("a cluster of %d brokers", len(brokers)), "")}
	if len(brokers) == 1 {
		rows = []Row{row(OK, "kafka", "a cluster of one broker", "")}
	}
	for _, r := range results {
		if r != nil {
			rows = append(rows, *r)
		}
	}
	return rows
}

// checkTopics looks for the topics and compares the group's offsets with what is still kept.
func checkTopics(ctx context.Context, p *config.Pipeline, admin *kafka.Admin) []Row {
	var rows []Row
	missing := false
	for _, topic := range []string{p.Events, p.Predictions, p.DeadLetters} {
		partitions, err := admin.Partitions(topic)
		switch {
		case errors.Is(err, kafka.ErrNoTopic):
			rows = append(rows, row(Failed, "topic "+topic, "it does not exist",
				fmt.Sprintf("kafka-topics.sh --bootstrap-server … --create --topic %s --partitions 6", topic)))
			missing = missing || topic == p.Events
		case err != nil:
			rows = append(rows, row(Failed, "topic "+topic, err.Error(), "may this user describe the topic?"))
			missing = missing || topic == p.Events
		default:
			rows = append(rows, row(OK, "topic "+topic, plural(len(partitions), "partition"), ""))
		}
	}
	if missing {
		return append(rows, row(Skipped, "group "+p.Group, "its topic cannot be read", ""))
	}
	offsets, err := admin.GroupOffsets(ctx, p.Group, p.Events)
	if err != nil {
		return append(rows, row(Failed, "group "+p.Group, err.Error(), "may this user read the group?"))
	}
	return append(rows, judgeOffsets(p, offsets))
}

// judgeOffsets tells whether the group would go on where it stopped.
func judgeOffsets(p *config.Pipeline, offsets map[int32]kafka.Offsets) Row {
	what := "group " + p.Group
	committed, lag, lost, beyond := 0, int64(0), int64(0), []string(nil)
	var behind []string
	for _, partition := range sortedKeys(offsets) {
		o := offsets[partition]
		switch {
		case o.Committed < 0:
			continue
		case o.Committed < o.Oldest:
			behind = append(behind, fmt.Sprint(partition))
			lost += o.Oldest - o.Committed
		case o.Committed > o.Newest:
			beyond = append(beyond, fmt.Sprint(partition))
		}
		committed++
		lag += max(o.Newest-max(o.Committed, o.Oldest), 0)
	}
	reset := fmt.Sprintf("kafka-consumer-groups.sh --group %s --topic %s --reset-offsets --to-%s --execute", p.Group, p.Events, p.Start)
	switch {
	case committed == 0:
		return row(OK, what, "it has no offsets yet and begins at the "+p.Start, "")
	case len(beyond) > 0:
		return row(Failed, what, fmt.Sprintf("its offsets lie beyond the end of partition %s: was the topic made anew?", listFirst(beyond)), reset)
	case len(behind) > 0:
		return row(Warning, what, fmt.Sprintf("its offsets are stale: %s of partition %s were deleted before they were read", plural(int(lost), "event"), listFirst(behind)),
			"lengthen the topic's retention; the pipeline goes on at the oldest event that is kept")
	}
	return row(OK, what, fmt.Sprintf("%s behind in %s", plural(int(lag), "event"), plural(len(offsets), "partition")), "")
}

// skipKafka are the checks that need a cluster.
func skipKafka(c *config.Config) []Row {
	var what []string
	if p := c.Pipeline; p != nil {
		what = append(what, "topic "+p.Events, "topic "+p.Predictions, "topic "+p.DeadLetters, "group "+p.Group)
	}
	if c.Mesh != nil {
		what = append(what, feedsWhat)
	}
	rows := make([]Row, len(what))
	for i := range what {
		rows[i] = row(Skipped, what[i], "the cluster cannot be used", "")
	}
	return rows
}

func allLoopback(addresses []string) bool {
	return !slices.ContainsFunc(addresses, func(a string) bool {
		host, _, err := net.SplitHostPort(a)
		ip, parseErr := netip.ParseAddr(host)
		return err != nil || host != "localhost" && (parseErr != nil || !ip.IsLoopback())
	})
}

func sortedKeys(m map[int32]kafka.Offsets) []int32 {
	keys := make([]int32, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
