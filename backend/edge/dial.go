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
