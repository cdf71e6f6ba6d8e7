package compile

import (
	"crypto/sha256"
	"maps"
	"net/netip"

	"github.com/vpclab/vpclab/ctrl/hostnet"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// numbers are the dense indices that a lab's revisions share. All begin at 1.
type numbers struct {
	attachments, vpcs, scopes index
	portals, callers          index             // of services
	generation                map[uint32]uint32 // by VPC
	internet                  uint32            // the internet's generation
}

// index hands out a number for a name, the same one for as long as the name stays, and none twice.
type index struct {
	number map[string]uint32
	used   map[string]bool // in this revision
	last   uint32
}

func newIndex() index { return index{number: map[string]uint32{}, used: map[string]bool{}} }

func newNumbers() numbers {
	return numbers{
		attachments: newIndex(), vpcs: newIndex(), scopes: newIndex(), portals: newIndex(), callers: newIndex(), generation: map[uint32]uint32{},
	}
}

// next is a copy to begin another revision with.
func (n numbers) next() numbers {
	return numbers{
		attachments: n.attachments.next(), vpcs: n.vpcs.next(), scopes: n.scopes.next(), portals: n.portals.next(), callers: n.callers.next(),
		generation: maps.Clone(n.generation), internet: n.internet,
	}
}

func (i index) next() index {
	return index{number: maps.Clone(i.number), used: map[string]bool{}, last: i.last}
}

func (i *index) of(name string) uint32 {
	i.used[name] = true
	if n, ok := i.number[name]; ok {
		return n
	}
	i.last++
	i.number[name] = i.last
	return i.last
}

// prune forgets the names that this revision did not use.
func (n *numbers) prune() {
	for _, i := range []*index{&n.attachments, &n.vpcs, &n.scopes, &n.portals, &n.callers} {
		maps.DeleteFunc(i.number, func(name string, _ uint32) bool { return !i.used[name] })
	}
}

// MAC is the Ethernet address of an interface.
func MAC(e *vpc.ENI) hostnet.MAC { return mac(string(e.ID)) }

// mac derives a guest's locally administered Ethernet address, as AWS hands them out: stable, and beginning with 02.
func mac(of string) hostnet.MAC {
	sum := sha256.Sum256([]byte(of))
	return hostnet.MAC{0x02, sum[0], sum[1], sum[2], sum[3], sum[4]}
}

// eui64 is the link-local address that a router forms from its Ethernet address (RFC 4291, appendix A).
func eui64(m hostnet.MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
}

// Broadcast is a subnet's last IPv4 address, which a guest takes for the address of all.
func Broadcast(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		a[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(a)
}
