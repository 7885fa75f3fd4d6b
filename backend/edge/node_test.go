package edge

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func TestJudge(t *testing.T) {
	now := time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)
	lim := limits{timeout: 10 * time.Second, staleAfter: 5 * time.Minute}
	body := func(updated time.Time) []byte {
		return fmt.Appendf(nil, `{"record_count":10,"quality_score":0.9,"last_updated":%q}`, updated.Format(time.RFC3339))
	}
	last := summary{RecordCount: 9, Quality: 0.8, LastUpdated: now.Add(-time.Minute)}
	old := last
	old.LastUpdated = now.Add(-time.Hour)
	day := 24 * time.Hour
	tests := []struct {
		name   string
		answer answer
		last   summary
		want   verdict // without sum
		count  int64
	}{
		{"ok", answer{status: 200, body: body(now.Add(-8 * time.Second))}, summary{}, verdict{state: OK, reachable: true, fresh: true, valid: true}, 10},
		{"slow", answer{status: 200, body: body(now), latency: 6 * time.Second}, summary{},
			verdict{state: Slow, reachable: true, fresh: true, valid: true, reason: "answered after 6s"}, 10},
		{"stale", answer{status: 200, body: body(now.Add(-14 * time.Minute))}, summary{},
			verdict{state: Stale, reachable: true, valid: true, reason: "its data are 14m0s old"}, 10},
		{"a little ahead", answer{status: 200, body: body(now.Add(4 * time.Second))}, summary{},
			verdict{state: OK, reachable: true, fresh: true, valid: true}, 10},
		{"from the future", answer{status: 200, body: body(now.Add(time.Hour))}, summary{},
			verdict{state: Skewed, reachable: true, valid: true, reason: "last_updated lies 1h0m0s in the future of its own clock"}, 10},
		{"clock a day ahead", answer{status: 200, body: body(now.Add(day)), date: now.Add(day)}, summary{},
			verdict{state: Skewed, reachable: true, valid: true, skew: day, reason: "last_updated lies in the future: its clock is 24h0m0s ahead"}, 10},
		{"clock a day ahead, data of now", answer{status: 200, body: body(now.Add(-time.Minute)), date: now.Add(day)}, summary{},
			verdict{state: Stale, reachable: true, valid: true, skew: day, reason: "its data are 24h1m0s old"}, 10},
		{"clock a day behind", answer{status: 200, body: body(now.Add(-day)), date: now.Add(-day)}, summary{},
			verdict{state: Skewed, reachable: true, fresh: true, valid: true, skew: -day, reason: "its clock is 24h0m0s behind"}, 10},
		{"a Date of whole seconds is no skew", answer{status: 200, body: body(now), date: now.Add(-999 * time.Millisecond)}, summary{},
			verdict{state: OK, reachable: true, fresh: true, valid: true}, 10},
		{"not modified", answer{status: 304, condition: true}, last, verdict{state: OK, reachable: true, fresh: true, valid: true}, 9},
		{"not modified for an hour", answer{status: 304, condition: true}, old, verdict{state: Stale, reachable: true, valid: true, reason: "its data are 1h0m0s old"}, 9},
		{"not modified unasked", answer{status: 304}, summary{},
			verdict{state: Invalid, reachable: true, reason: "answered 304 to a question that had no condition"}, 0},
		{"not modified unasked, after a valid answer", answer{status: 304}, last,
			verdict{state: Invalid, reachable: true, reason: "answered 304 to a question that had no condition"}, 0},
		{"redirect", answer{status: 302, location: "http://169.254.169.254/"}, last,
			verdict{state: Invalid, reachable: true, reason: "redirects to http://169.254.169.254/, which is not followed"}, 0},
		{"server error", answer{status: 500}, last, verdict{state: Invalid, reachable: true, reason: "answered 500 Internal Server Error"}, 0},
		{"no content", answer{status: 204}, last, verdict{state: Invalid, reachable: true, reason: "answered 204 No Content"}, 0},
		{"garbage", answer{status: 200, body: []byte("<html>")}, last,
			verdict{state: Invalid, reachable: true, reason: "not a valid summary: expected a JSON object, found HTML or XML"}, 0},
		{"broken off", answer{status: 200, err: errors.New("the answer exceeds 1 MiB")}, last,
			verdict{state: Invalid, reachable: true, reason: "the answer exceeds 1 MiB"}, 0},
		{"down", answer{err: errors.New("connection refused")}, last, verdict{state: Down, reason: "connection refused"}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := tt.answer
			a.sentAt = now.Add(-a.latency)
			if !a.date.IsZero() && a.date.Sub(now).Abs() >= time.Hour {
				a.date = a.date.Add(-500 * time.Millisecond) // the middle of its second
			}
			got := judge(a, tt.last, now, lim)
			if got.sum.RecordCount != tt.count {
				t.Errorf("record_count %d, want %d", got.sum.RecordCount, tt.count)
			}
			got.sum = summary{}
			if got != tt.want {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestCheckAddress(t *testing.T) {
	refused := []string{"169.254.169.254", "169.254.0.1", "fe80::1%eth0", "::ffff:169.254.169.254", "100.100.100.200",
		"168.63.129.16", "192.0.0.192", "fd00:ec2::254", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255",
		"fd00:ec2::23", "fd20:ce::254", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::", "2002:a9fe:a9fe::1", "::a9fe:a9fe",
		"64:ff9b::6464:64c8"}
	for _, a := range refused {
		if err := checkAddress(netip.MustParseAddr(a)); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: got %v, want ErrRefused", a, err)
		}
	}
	for _, a := range []string{"127.0.0.1", "10.0.0.7", "192.168.1.1", "100.64.0.1", "8.8.8.8", "::1", "fd00::1", "2001:db8::1", "64:ff9b::808:808",
		"2002:c000:204::1", "64:ff9b::a00:7", "64:ff9b:1:c000:2:100::"} {
		if err := checkAddress(netip.MustParseAddr(a)); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
}

func TestConfigTellsAllThatIsWrong(t *testing.T) {
	_, err := New(Config{
		Nodes: []string{"edge-1:8080", "http://a", "http://a/", "http://u:p@b", "http://c?x=1"},
		Poll:  -time.Second,
		Cloud: &CloudConfig{URL: "api.example.com"},
	})
	if !errors.Is(err, ErrConfig) {
		t.Fatalf("got %v, want ErrConfig", err)
	}
	for _, part := range []string{"nodes[0]", `nodes[2]: "http://a/" is listed twice`, "nodes[3]", "nodes[4]", "poll:", "cloud.url:", "outbox:"} {
		if !contains(err.Error(), part) {
			t.Errorf("the error does not tell of %q:\n%v", part, err)
		}
	}
	if contains(err.Error(), ":p@") {
		t.Error("the error shows a password")
	}
}

func TestNameNodes(t *testing.T) {
	tests := []struct{ urls, names []string }{
		{[]string{"http://edge-1.plant.example.com:8080", "http://edge-2.plant.example.com:8080"}, []string{"edge-1", "edge-2"}},
		{[]string{"http://127.0.0.1:4001", "http://127.0.0.1:4002"}, []string{":4001", ":4002"}},
		{[]string{"http://10.0.0.1:80", "http://10.0.0.2:80"}, []string{"10.0.0.1", "10.0.0.2"}},
		{[]string{"http://gw/edge-1", "http://gw/edge-2"}, []string{"edge-1", "edge-2"}},
		{[]string{"http://a:1/x", "http://b:2/x"}, []string{"a:1", "b:2"}},
		{[]string{"http://127.0.0.1:4001/ams/edge-1", "http://127.0.0.1:4002/lis/edge-2"}, []string{"edge-1", "edge-2"}},
		{[]string{"http://gw/ams/edge", "http://gw/lis/edge"}, []string{"ams/edge", "lis/edge"}},
		{[]string{"http://only.example.com"}, []string{"only"}},
	}
	for _, tt := range tests {
		var nodes []*node
		for _, u := range tt.urls {
			nodes = append(nodes, newNode(u, time.Time{}))
		}
		nameNodes(nodes)
		for i, n := range nodes {
			if got := n.pub.Name.String(); got != tt.names[i] {
				t.Errorf("%s: name %q, want %q", n.url, got, tt.names[i])
			}
		}
	}
}

func TestSlotsSpreadAndStay(t *testing.T) {
	const poll = 15 * time.Second
	seen := map[int]int{}
	for i := range 10000 {
		u := fmt.Sprintf("http://127.0.0.1:%d", i)
		o := offsetOf(u, poll)
		if o != offsetOf(u, poll) || o < 0 || o >= poll {
			t.Fatalf("offset %v of %s", o, u)
		}
		seen[int(o/time.Second)]++
	}
	for s, n := range seen {
		if n < 500 || n > 850 {
			t.Errorf("second %d has %d of 10,000 nodes, want about 667", s, n)
		}
	}
	at := time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)
	if next := nextSlot(at, 3*time.Second, poll); !next.Equal(at.Add(3 * time.Second)) {
		t.Errorf("next slot %v", next)
	}
	if next := nextSlot(at.Add(3*time.Second), 3*time.Second, poll); !next.Equal(at.Add(18 * time.Second)) {
		t.Errorf("the slot after a slot is %v", next)
	}
	// A slot that lost the monotonic clock would be as far away as the machine's clock is set back.
	if next := nextSlot(time.Now(), 3*time.Second, poll); !contains(next.String(), " m=+") {
		t.Errorf("next slot %v has no monotonic clock", next)
	}
}

func TestRateOfAClockSetBack(t *testing.T) {
	var r rate
	at := time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)
	count := func() {
		for range 100 {
			at = at.Add(100 * time.Millisecond)
			r.add(at)
		}
	}
	count()
	at = at.Add(-time.Hour)
	for range 10 {
		count()
	}
	if p := r.perSecond(at); p < 9 || p > 10 {
		t.Errorf("%v a second, want 10", p)
	}
}
