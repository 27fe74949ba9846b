// Package outbound makes HTTP clients for addresses that come from outside the program. An address is checked
// when the connection is made, after its name was resolved: a name that leads elsewhere at the second look
// (DNS rebinding) is refused too.
package outbound

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// Reach is which addresses may be connected to. Link-local addresses and those of cloud metadata services
// never may.
type Reach int

// The reaches there are.
const (
	AnyNetwork    Reach = iota // private and loopback addresses too
	PublicNetwork              // public addresses alone
)

// ErrRefused is the reason of a connection that was not made, because its address may not be reached.
var ErrRefused = errors.New("the address may not be connected to")

// refused are never connected to: a cloud's metadata service gives credentials to whoever asks from inside.
var refused = prefixes(
	"169.254.0.0/16",     // link-local; metadata of AWS, Azure, Google, OpenStack, Oracle
	"fe80::/10",          // link-local
	"fd00:ec2::254/128",  // metadata of AWS
	"fd20:ce::254/128",   // metadata of Google
	"fd00:42::42/128",    // metadata of Scaleway
	"100.100.100.200/32", // metadata of Alibaba
	"192.0.0.192/32",     // metadata of Oracle
	"168.63.129.16/32",   // Azure's agent
	"224.0.0.0/4", "ff00::/8", "255.255.255.255/32",
)

// notPublic are refused with PublicNetwork too.
var notPublic = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "240.0.0.0/4",
	"::/128", "::1/128", "fc00::/7", "fec0::/10",
)

// inside are the networks whose addresses hold an IPv4 address, and at which byte.
var inside = []struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12},   // NAT64
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12}, // NAT64 of a network of one's own
	{netip.MustParsePrefix("2002::/16"), 2},       // 6to4
	{netip.MustParsePrefix("::/96"), 12},          // IPv4-compatible
}

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// Check says whether an address may be connected to. Its error is ErrRefused.
func (r Reach) Check(addr netip.Addr) error {
	addr = addr.Unmap().WithZone("")
	for _, each := range append([]netip.Addr{addr}, embedded(addr)...) {
		in := func(p netip.Prefix) bool { return p.Contains(each) }
		if slices.ContainsFunc(refused, in) { // guard: metadata
			return fmt.Errorf("%s is link-local, or a cloud's metadata service: %w", addr, ErrRefused)
		}
		if r == PublicNetwork && slices.ContainsFunc(notPublic, in) {
			return fmt.Errorf("%s is no public address: %w", addr, ErrRefused)
		}
	}
	return nil
}

// embedded are the IPv4 addresses that an IPv6 address leads to.
func embedded(addr netip.Addr) (list []netip.Addr) {
	if !addr.Is6() || addr == netip.IPv6Unspecified() || addr.IsLoopback() {
		return nil
	}
	raw := addr.As16()
	for _, net := range inside {
		if net.prefix.Contains(addr) {
			list = append(list, netip.AddrFrom4([4]byte(raw[net.at:net.at+4])))
		}
	}
	return list
}

// Dialer is a dialer that checks each address right before it connects.
func (r Reach) Dialer(timeout time.Duration) *net.Dialer {
	return &net.Dialer{Timeout: timeout, Control: r.control}
}

// control gets the address that the socket is about to connect to, resolved.
func (r Reach) control(network, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%s %s: %w", network, address, ErrRefused)
	}
	return r.Check(to.Addr())
}

// Client is an HTTP client whose requests take no longer than timeout. It uses no proxy, because a proxy
// would connect in its place, and follows no redirect: the answer is the redirect itself.
func (r Reach) Client(timeout time.Duration, conns int) *http.Client {
	transport := &http.Transport{
		DialContext:         r.Dialer(timeout).DialContext,
		ForceAttemptHTTP2:   true,
		MaxConnsPerHost:     conns,
		MaxIdleConnsPerHost: conns,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: timeout,
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &http.Client{Transport: transport, CheckRedirect: stay, Timeout: timeout}
}
