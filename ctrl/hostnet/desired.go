package hostnet

import (
	"fmt"
	"net/netip"
)

// Desired is all that a lab wants to have in the kernel.
type Desired struct {
	Lab         string
	Guests      []Guest
	Attachments []Attachment
}

// Guest is one namespace of a workload: an instance or an internet host. The backbone is one, too; nothing runs in it, and it has no
// attachment. So is that of the services, where vpclab's own sockets are.
type Guest struct {
	Namespace string // vpclab-LAB.VPC.INSTANCE, vpclab-LAB.internet.HOST, BackboneNamespace or ServicesNamespace
	Hostname  string
	Forward   bool // net.ipv4.ip_forward and net.ipv6.conf.all.forwarding
	// Local are prefixes whose every address is the guest's own, though no interface has it: a socket bound to no address is asked at
	// all of them and answers from the one that was asked, and one may be bound to any.
	Local []netip.Prefix
	// Resolver are the name servers of the guest's resolv.conf, at most three; without any it has none, and Search is not used.
	Resolver []netip.Addr
	Search   string // domains separated by spaces; may be empty
}

// Attachment is a veth whose outer end eN lies in the fabric namespace with a TUN tN beside it, and whose inner end is a guest's NIC.
type Attachment struct {
	Index     uint32 // never reused in a lab's life; names eN and tN
	Namespace string // the guest's
	Device    string // the guest's name for it: eth0
	MAC       MAC    // the guest's
	MTU       int    // bytes: 9001, or 1500 for internet hosts
	Addrs     []netip.Prefix
	// Router4 and Router6 are the next hops that the fabric answers for; invalid without that family. Router4 may lie outside
	// every address's prefix (an internet host's), so its routes are on-link.
	Router4, Router6 netip.Addr
	// Default installs default routes by the routers in the main table. A further interface has instead a table of its own, selected by
	// its source addresses, as Amazon Linux configures it.
	Default bool
	Table   int // routing table number of an interface without Default
}

// MAC is an Ethernet address.
type MAC [6]byte

// RouterMAC is the address of every router: the fabric answers ARP and neighbour discovery with it.
var RouterMAC = MAC{0x02, 0x76, 0x70, 0x63, 0x6c, 0x01}

// String reads 02:76:70:63:6c:01.
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// GuestNamespace is the name of the namespace of an instance, or of an internet host when vpc is "internet".
func GuestNamespace(lab, vpc, name string) string { return namePrefix + lab + "." + vpc + "." + name }
