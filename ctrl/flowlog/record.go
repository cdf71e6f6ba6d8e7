package flowlog

import (
	"net/netip"
	"slices"

	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// Status is a record's log-status.
type Status uint8

// The statuses.
const (
	OK       Status = iota // the record counts packets
	NoData                 // nothing passed the interface in the window
	SkipData               // something passed that was not recorded for want of room
)

// String returns the word in records.
func (s Status) String() string { return [...]string{"OK", "NODATA", "SKIPDATA"}[s] }

// Interface is what records say of an interface. An empty string is "-" in a record.
type Interface struct {
	ID       string // "" for a regional NAT gateway
	Account  string // its owner's; "unknown" for one that a service created for itself
	VPC      string
	Subnet   string
	Instance string
	AZ       string // the zone's ID: use1-az1
	Region   string
	Resource string // the regional NAT gateway's ID, and nothing else's

	Primary netip.Addr   // its primary private IPv4 address; invalid if it has none, or is a regional NAT gateway's
	Addrs   []netip.Addr // all its private addresses, Primary included
	Managed bool         // requester-managed: a NAT gateway's or an endpoint's, which has no instance
}

func (i *Interface) has(a netip.Addr) bool { return slices.Contains(i.Addrs, a) }

func (i *Interface) instance() string {
	if i.Managed {
		return ""
	}
	return i.Instance
}

// primary is the address that stands for the interface where the packet's own address, a, does not: of the same family, or a if there is
// none. Of IPv6 addresses AWS calls none primary; the first one stands for the interface.
func (i *Interface) primary(a netip.Addr) netip.Addr {
	if a.Is4() && i.Primary.IsValid() {
		return i.Primary
	}
	if a.Is6() {
		if first := slices.IndexFunc(i.Addrs, netip.Addr.Is6); first >= 0 {
			return i.Addrs[first]
		}
	}
	return a
}

// Stream is what the interface's part of a log group is called by: its ID, or a regional NAT gateway's.
func (i *Interface) Stream() string {
	if i.ID == "" {
		return i.Resource
	}
	return i.ID
}

// Record is one flow of one interface in one window, or the news that there is none. Only Of, Status, Start and End are set in a record
// whose Status is not OK.
type Record struct {
	Of          *Interface
	Status      Status
	Direction   fabric.Direction
	Tuple       flow.Tuple // as in the packet; without ports unless it is TCP or UDP
	Accept      bool
	TCPFlags    uint8
	TrafficPath uint8
	Packets     uint64
	Bytes       uint64
	Start, End  int64 // Unix seconds of the first and the last packet
	Services    *Services
}
