package edge

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// ErrRefused says that an address was not dialled because nothing weir should talk to lives there.
var ErrRefused = errors.New("address refused")

// metadataAddresses answer with credentials on the big clouds. 169.254.169.254 and its like are link-local already.
var metadataAddresses = []netip.Addr{
	netip.MustParseAddr("100.100.100.200"), // Alibaba Cloud
	netip.MustParseAddr("192.0.0.192"),     // Oracle Cloud
	netip.MustParseAddr("168.63.129.16"),   // Azure
	netip.MustParseAddr("fd00:ec2::254"),   // AWS over IPv6
	netip.MustParseAddr("fd00:ec2::23"),    // AWS EKS, the credentials of pods
	netip.MustParseAddr("fd20:ce::254"),    // Google Cloud over IPv6
}

// carriers are prefixes of IPv6 addresses that lead to the IPv4 address at offset at: a gateway, or the kernel, unwraps it.
var carriers = []struct {
	prefix netip.Prefix
	at     int // bytes
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12},   // NAT64, RFC 6052
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12}, // NAT64 of a network's own, RFC 8215
	{netip.MustParsePrefix("2002::/16"), 2},       // 6to4
	{netip.MustParsePrefix("::/96"), 12},          // IPv4-compatible, deprecated
}

// carried is the IPv4 address that an IPv6 address leads to.
func carried(a netip.Addr) (netip.Addr, bool) {
	if !a.Is6() || a.IsUnspecified() || a.IsLoopback() {
		return netip.Addr{}, false
	}
	b := a.As16()
	for _, c := range carriers {
		if c.prefix.Contains(a) {
			v4 := netip.AddrFrom4([4]byte(b[c.at : c.at+4]))
			return v4, !v4.IsUnspecified() // that is in another place, as RFC 6052 has it for shorter prefixes
		}
	}
	return netip.Addr{}, false
}

// newDialer is a dialer that looks at every address after the name was resolved, so that a name cannot lead weir to
// a link-local or metadata address, not even one that changes between two look-ups. A nil r is the system's resolver.
func newDialer(r *net.Resolver) *net.Dialer {
	return &net.Dialer{
		Timeout:   10 * time.Second,
		KeepAlive: -1, // the next poll finds out as well
		Resolver:  r,
		Control: func(_, address string, _ syscall.RawConn) error {
			a, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("%w: %q is not an address", ErrRefused, address)
			}
			return checkAddress(a.Addr())
		},
	}
}

func checkAddress(a netip.Addr) error {
	a = a.Unmap().WithZone("")
	if v4, ok := carried(a); ok {
		return checkAddress(v4)
	}
	switch {
	case a.IsLinkLocalUnicast():
		return fmt.Errorf("%w: %v is link-local, where cloud metadata lives", ErrRefused, a)
	case a.IsMulticast(), a.IsUnspecified(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("%w: %v is no host's address", ErrRefused, a)
	}
	for _, m := range metadataAddresses {
		if a == m {
			return fmt.Errorf("%w: %v serves cloud metadata", ErrRefused, a)
		}
	}
	return nil
}
