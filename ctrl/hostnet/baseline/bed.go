// Package baseline builds the yardsticks that vpcbench measures vpclab against: a bare veth pair, kernel forwarding with a filter, and
// two WireGuard devices back to back. It sends no traffic and measures nothing; and it names nothing on the machine, so that a killed process leaves nothing.
package baseline

import (
	"errors"
	"fmt"
	"net/netip"
	"os/exec"

	"golang.zx2c4.com/wireguard/device"
)

// Bed is a client's and a server's namespace that reach each other, and what lies between them.
type Bed struct {
	name, about    string
	addr           netip.Addr
	client, server *namespace
	router         *namespace // what is between them; nil in a bare pair
	devices        []*device.Device
}

// Name is "veth", "kernel" or "wireguard".
func (b *Bed) Name() string { return b.name }

// About says in one phrase what lies between client and server.
func (b *Bed) About() string { return b.about }

// ServerAddr is the server's address as the client reaches it.
func (b *Bed) ServerAddr() netip.Addr { return b.addr }

// InClient runs f on a locked OS thread inside the client's namespace. Sockets that f opens stay in that namespace.
func (b *Bed) InClient(f func() error) error { return b.client.do(f) }

// InServer is InClient for the server's namespace.
func (b *Bed) InServer(f func() error) error { return b.server.do(f) }

// Close removes the bed. Closing twice is fine.
func (b *Bed) Close() error {
	for _, d := range b.devices {
		d.Close()
	}
	var errs []error
	for _, ns := range []*namespace{b.client, b.server, b.router} {
		if ns != nil {
			errs = append(errs, ns.close())
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove bed %s: %w", b.name, err)
	}
	return nil
}

// The addresses of the beds. They exist only inside the beds' namespaces.
var (
	clientEnd       = netip.MustParsePrefix("10.77.1.2/24")
	clientRouterEnd = netip.MustParsePrefix("10.77.1.1/24")
	serverEnd       = netip.MustParsePrefix("10.77.2.2/24")
	serverRouterEnd = netip.MustParsePrefix("10.77.2.1/24")
	pairedServerEnd = netip.MustParsePrefix("10.77.1.3/24") // the server beside the client, without a router
)

// NewVeth joins client and server by one veth pair: the most that any fabric of namespaces can reach.
//
//	client eth0 ── eth0 server
func NewVeth() (*Bed, error) {
	b := &Bed{name: "veth", about: "one bare veth pair, nothing in between", addr: pairedServerEnd.Addr()}
	return b.built(func() (err error) {
		if b.client, err = newNamespace(false); err != nil {
			return err
		}
		if b.server, err = newNamespace(false); err != nil {
			return err
		}
		return join(end{b.client, "eth0", clientEnd}, end{b.server, "eth0", pairedServerEnd})
	})
}

// NewKernel joins client and server by a router namespace in which the kernel forwards. If the program nft is there, the router
// also filters, with connection tracking, as a VPC's security groups would: port is then the only TCP and UDP port that the client
// reaches. Otherwise About says why it does not filter.
//
//	client eth0 ── client [router: forward, filter] server ── eth0 server
func NewKernel(port uint16) (*Bed, error) {
	nft, err := exec.LookPath("nft")
	if err != nil {
		nft = ""
	}
	return newKernel(port, nft)
}

// newKernel is NewKernel with the path of nft, empty if there is none.
func newKernel(port uint16, nft string) (*Bed, error) {
	b := &Bed{name: "kernel", addr: serverEnd.Addr()}
	return b.built(func() (err error) {
		if b.client, err = newNamespace(false); err != nil {
			return err
		}
		if b.server, err = newNamespace(false); err != nil {
			return err
		}
		if b.router, err = newNamespace(true); err != nil {
			return err
		}
		if err := join(end{b.client, "eth0", clientEnd}, end{b.router, "client", clientRouterEnd}); err != nil {
			return err
		}
		if err := join(end{b.router, "server", serverRouterEnd}, end{b.server, "eth0", serverEnd}); err != nil {
			return err
		}
		if err := b.client.defaultRoute(clientRouterEnd.Addr()); err != nil {
			return err
		}
		if err := b.server.defaultRoute(serverRouterEnd.Addr()); err != nil {
			return err
		}
		b.about = "two veth pairs, kernel forwarding, " + filter(b.router, nft, port)
		return nil
	})
}

// built runs make and removes what it left half done if it fails.
func (b *Bed) built(make func() error) (*Bed, error) {
	if err := make(); err != nil {
		return nil, fmt.Errorf("build bed %s: %w", b.name, errors.Join(err, b.Close()))
	}
	return b, nil
}
