package fabric

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// Packet is what the walk looks at. Tuple and Quoted are as the sender sees them.
type Packet struct {
	Tuple              flow.Tuple
	Length             int   // IP packet length in bytes
	TTL                uint8 // or hop limit
	TCPFlags           uint8 // of a TCP packet
	MayFragment        bool  // IPv4 without DF: a gateway cuts it to its MTU
	Fragment           bool  // the first fragment, which stands for all of its packet
	ICMPType, ICMPCode uint8 // of an ICMP or ICMPv6 packet
	// Sender is the attachment that really sent a packet that comes out of a link; 0 for others.
	Sender uint32
	// Quoted is the packet that an ICMP error quotes; Error says whether there is one.
	Error  bool
	Quoted flow.Tuple
}

// opensTCP reports whether the packet asks for a new TCP connection.
func (p *Packet) opensTCP() bool { return p.TCPFlags&(flow.SYN|flow.ACK) == flow.SYN }

// Direction is seen from the interface: Egress leaves it, Ingress arrives at it.
type Direction uint8

// The directions.
const (
	Egress Direction = iota
	Ingress
)

// String returns the flow-log word.
func (d Direction) String() string {
	if d == Egress {
		return "egress"
	}
	return "ingress"
}

// Memory is what a network interface's security groups remember of a connection.
type Memory uint8

// What can be remembered. A tracked connection passes without a rule; an untracked one needs a rule for every packet, in both
// directions (EC2 user guide, security group connection tracking).
const (
	Unknown          Memory = iota // no such connection
	Tracked                        // it is tracked
	UntrackedForward               // it is known, not tracked; the packet goes the way of its first one
	UntrackedReply                 // it is known, not tracked; the packet answers
)

// State is what interfaces and gateways remember of connections. Packets are handed to it as they are when they pass.
type State interface {
	// Recall answers what the security groups of an interface, or an egress-only gateway, remember of the connection.
	Recall(eni *ENI, d Direction, p *Packet) Memory
	// Translate finds the address and port under which a NAT gateway sends a packet from inside, and begins a translation if there is
	// none; for an ICMP error, those of the connection that it quotes. A reason other than None says why there is none.
	Translate(gateway *ENI, p *Packet) (netip.AddrPort, flow.Reason)
	// Restore finds for whom inside a packet is that came to a NAT gateway's own address; false if nobody is.
	Restore(gateway *ENI, p *Packet) (netip.AddrPort, bool)
}

// Forgetful is a State that remembers nothing: every packet is judged as the first of its connection, and a NAT gateway gives out its
// first port.
type Forgetful struct{}

// FirstNATPort is the lowest port that a NAT gateway uses (VPC user guide, NAT gateway basics).
const FirstNATPort = 1024

// Recall implements State.
func (Forgetful) Recall(*ENI, Direction, *Packet) Memory { return Unknown }

// Translate implements State.
func (Forgetful) Translate(gateway *ENI, _ *Packet) (netip.AddrPort, flow.Reason) {
	return netip.AddrPortFrom(gateway.NAT.Addrs[0], FirstNATPort), flow.None
}

// Restore implements State.
func (Forgetful) Restore(*ENI, *Packet) (netip.AddrPort, bool) { return netip.AddrPort{}, false }

// Note is what an interface has to remember after the packet passed its groups.
type Note uint8

// The notes.
const (
	NothingNew   Note = iota // what was remembered holds
	BeginTracked             // a new connection, tracked
	BeginUntracked
)

// Tap is one interface that the packet passed or was refused at, which is also one line of that interface's flow log, or an
// egress-only gateway that remembers it.
type Tap struct {
	ENI         *ENI
	Direction   Direction
	Tuple       flow.Tuple // as this interface saw the packet
	Accept      bool       // false: its groups or its subnet's ACL refused the packet (REJECT)
	Passed      bool       // its groups let the packet pass, so that they remember it, whatever the ACL behind them said
	TrafficPath uint8      // flow-log field traffic-path; 0 when it does not apply
	Note        Note
}

// track makes a new connection a tracked one: through some gateways AWS tracks whatever the rules (EC2 user guide, automatically
// tracked connections).
func (t *Tap) track() {
	if t.Note == BeginUntracked {
		t.Note = BeginTracked
	}
}

// The traffic-path values in use (VPC user guide, flow log records).
const (
	PathSameVPC            = 1
	PathPeering            = 4 // within a region
	PathInterRegionPeering = 5
	PathGatewayEndpoint    = 7
	PathInternetGateway    = 8
)

// HopKind is a station of the walk.
type HopKind uint8

// The stations, in the order in which packets meet them.
const (
	HopSend HopKind = iota
	HopService
	HopSourceCheck
	HopSGOut
	HopACLOut
	HopRoute
	HopNAT
	HopEIGW
	HopPeering
	HopEndpoint
	HopIGWOut
	HopInternet
	HopIGWIn
	HopACLIn
	HopDestCheck
	HopSGIn
	HopDeliver
)

var hopNames = [...]string{"send", "service", "source-check", "sg-out", "acl-out", "route", "", "eigw", "", "", "igw", "internet", "igw", "acl-in",
	"dest-check", "sg-in", "deliver"}

// Door is the station in front of the walk: the eBPF program at the interface.
const Door = "door"

// Stations are the names of the stations that belong to an interface or host, in the order in which packets meet them, and places
// those of the others.
func Stations() (stations, places []string) {
	stations = []string{Door}
	for k, name := range hopNames {
		switch h := (Hop{Kind: HopKind(k)}); {
		case h.Kind == HopNAT, h.Kind == HopPeering, h.Kind == HopEndpoint: // called by their own names
		case h.At() != name:
			stations = append(stations, name)
		case !slices.Contains(places, name):
			places = append(places, name)
		}
	}
	return stations, places
}

// Hop is one station with what the packet matched there. Which of the pointers are set depends on Kind; a refused hop has none of
// them when nothing matched.
type Hop struct {
	Kind    HopKind
	Where   string // the interface or host
	Subnet  *Subnet
	SG      *SGRule
	ACL     *ACLEntry
	Route   *Route
	Tracked bool // passed its groups because the connection is tracked
	// Midway is a TCP packet that its interface knows no connection of and that begins none.
	Midway bool
	// Endpoint is an interface of an endpoint or a load balancer, which passes nothing on.
	Endpoint bool
	VPC      *VPC       // at this end of a peering connection
	Alien    netip.Addr // that is no address of the VPC, where a peering connection needs one
	Asked    *Portal    // of a refused packet: the service that it is for, at a public address or by an interface endpoint
	Tuple    flow.Tuple
	Reason   flow.Reason // why the packet ended here; None when it went on
}

// At names the hop as `at:` does: "web/sg-in", "igw".
func (h *Hop) At() string {
	switch h.Kind {
	case HopIGWOut, HopIGWIn, HopInternet, HopEIGW:
		return hopNames[h.Kind]
	case HopNAT, HopPeering, HopEndpoint:
		return h.Where
	}
	return h.Where + "/" + hopNames[h.Kind]
}

// String is the hop's line for people.
func (h *Hop) String() string {
	line := h.At() + ": " + h.detail()
	if h.Reason != flow.None {
		line += " -- " + h.Reason.String()
	}
	return line
}

func (h *Hop) detail() string {
	switch h.Kind {
	case HopSend, HopDeliver:
		if h.Tuple.Family == 0 {
			return "what a service answers"
		}
		return h.Tuple.String()
	case HopService:
		switch {
		case h.Reason == flow.None:
			return h.Tuple.String()
		case h.Where == ServicesName:
			return "nobody asks by this way any more: an endpoint or an address is gone"
		}
		return h.Tuple.DstAddr().String() + " is a VPC service or router address"
	case HopSourceCheck:
		return h.Tuple.SrcAddr().String() + " is not an address of " + h.Where
	case HopDestCheck:
		return h.Tuple.DstAddr().String() + " is not an address of " + h.Where
	case HopSGOut, HopSGIn:
		switch {
		case h.Tracked:
			return "tracked connection"
		case h.SG != nil:
			return h.SG.Text
		case h.Reason == flow.NoTrackedConnection:
			return "no such connection is tracked"
		case h.Midway:
			return "no rule matches, and no such connection is tracked"
		}
		return "no rule matches"
	case HopACLOut, HopACLIn:
		if h.ACL != nil {
			return fmt.Sprintf("acl %s, %s", h.Subnet.ACL.Name, h.ACL.Text)
		}
		return fmt.Sprintf("acl %s, * deny (no entry matches)", h.Subnet.ACL.Name)
	case HopRoute:
		switch {
		case h.Route != nil:
			return fmt.Sprintf("table %s, %s", h.Subnet.Routes.Name, h.Route.Text)
		case h.Reason == flow.UnknownDestination:
			return fmt.Sprintf("same subnet (%s), nobody has %s", h.Subnet.Name, h.Tuple.DstAddr())
		}
		return fmt.Sprintf("table %s, nothing matches %s", h.Subnet.Routes.Name, h.Tuple.DstAddr())
	case HopIGWIn:
		if h.Route != nil {
			return "edge table, " + h.Route.Text
		}
		return h.Tuple.String()
	case HopPeering:
		return h.peeringDetail()
	case HopNAT, HopEndpoint, HopEIGW, HopIGWOut, HopInternet:
		return h.Tuple.String()
	}
	return ""
}

func (h *Hop) peeringDetail() string {
	switch {
	case h.Alien.IsValid():
		return fmt.Sprintf("%s is not an address of VPC %s", h.Alien, h.VPC.Name)
	case h.Reason == flow.UnknownDestination:
		return fmt.Sprintf("nobody in VPC %s has %s", h.VPC.Name, h.Tuple.DstAddr())
	}
	return h.Tuple.String()
}

const (
	maxHops = 24
	maxTaps = 8
)

// Path is the result of a walk: what becomes of the packet, why, and whom it passed. Drop counters, traces, checks and flow logs all
// read this one object.
type Path struct {
	Verdict flow.Verdict
	Reason  flow.Reason
	Out     uint32       // attachment, for Deliver
	Rewrite flow.Rewrite // for the packet
	Quote   flow.Rewrite // for the packet quoted by an ICMP error
	MTU     uint16       // the smallest on the way, in bytes
	Family  uint8        // of the packet at its end, if NAT64 changed it: Rewrite then has both addresses; 0: as sent
	MSS     uint16       // to which a gateway lowers the MSS of a SYN; 0: none does
	Gateway *ENI         // the NAT gateway or endpoint that dropped the packet, if one did and it answers
	// NoPMTUD says that what is larger than MTU is dropped without a word, even what might be cut.
	NoPMTUD bool
	Domains [2]flow.Domain
	// Tuple is the packet as it was last seen: at the receiver, or where it was dropped.
	Tuple flow.Tuple

	hops    [maxHops]Hop
	taps    [maxTaps]Tap
	numHops int
	numTaps int
	walk    walk // while it is under way; here so that a walk allocates nothing
}

// Hops are the stations, in order; the last one of a drop has its Reason.
func (p *Path) Hops() []Hop { return p.hops[:p.numHops] }

// Taps are the interfaces passed, in order.
func (p *Path) Taps() []Tap { return p.taps[:p.numTaps] }

// At is the name of the hop where a dropped packet ended, and "" for a delivered one.
func (p *Path) At() string {
	if p.Verdict != flow.Drop || p.numHops == 0 {
		return ""
	}
	return p.hops[p.numHops-1].At()
}

// Lines are the hops for people.
func (p *Path) Lines() []string {
	lines := make([]string, 0, p.numHops)
	for i := range p.Hops() {
		lines = append(lines, p.hops[i].String())
	}
	return lines
}

func privateRFC1918(a netip.Addr) bool { return a.Is4() && a.IsPrivate() }

var rfc6598 = netip.MustParsePrefix("100.64.0.0/10")
