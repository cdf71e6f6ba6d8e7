package engine

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vpclab/vpclab/dataplane/engine/reference"
	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/netdev"
	"github.com/vpclab/vpclab/dataplane/packet"
)

var (
	sequences = flag.Int("sequences", 300, "how many random sequences TestEngineEqualsReference runs")
	firstSeed = flag.Uint64("seed", 0, "the seed of the first of them; 0 draws one")
)

// TestEngineEqualsReference: whatever is sent and changed, and whatever the fast path remembers or loses, each packet ends as in the
// reference model. Every sequence runs twice, by the engine alone and with a fast path that forgets. One that differs is printed with
// the steps that are left when all others are taken away, and is run again by -seed=N -sequences=1.
func TestEngineEqualsReference(t *testing.T) {
	first := *firstSeed
	if first == 0 {
		first = uint64(time.Now().UnixNano())
	}
	t.Logf("seeds from %d", first)
	var seen tally
	for i := range *sequences {
		seed := first + uint64(i)
		random := rand.New(rand.NewPCG(seed, 0))
		lab, steps := reference.GenerateLab(random), reference.GenerateSteps(random)
		for _, offload := range []bool{false, true} {
			if _, differs := play(t, lab, steps, offload, &seen); differs {
				steps = reference.Shrink(steps, func(rest []reference.Step) bool {
					_, differs := play(t, lab, rest, offload, new(tally))
					return differs
				})
				t.Fatalf("-seed=%d -sequences=1, offload %v:\n%s", seed, offload, story(t, lab, steps, offload))
			}
		}
	}
	t.Logf("%d packets, %d delivered, %d hits of the fast path; dropped %v", seen.packets, seen.delivered, seen.hits, seen.reasons)
	if *sequences >= 100 {
		seen.check(t)
	}
}

// tally is what the sequences met, so that a generator that meets nothing does not pass.
type tally struct {
	packets, delivered, hits int
	reasons                  map[flow.Reason]int
}

func (s *tally) add(o reference.Outcome, hit bool) {
	if s.reasons == nil {
		s.reasons = map[flow.Reason]int{}
	}
	s.packets++
	if hit {
		s.hits++
	}
	if o.Reason == flow.None {
		s.delivered++
	} else {
		s.reasons[o.Reason]++
	}
}

func (s *tally) check(t *testing.T) {
	if s.delivered < s.packets/4 || s.hits < s.packets/20 {
		t.Errorf("of %d packets %d were delivered and %d hit the fast path: too few to show anything", s.packets, s.delivered, s.hits)
	}
	for _, r := range []flow.Reason{
		flow.SGRulesMismatch, flow.NoTrackedConnection, flow.ACLRestriction, flow.NoRoute, flow.BlackholeRoute, flow.SourceDestCheck, flow.UnknownDestination,
		flow.IGWNoPublicIPEgress, flow.IGWNoPrivateIPIngress, flow.NATIdle, flow.NATInbound, flow.EIGWInbound, flow.MTUExceeded,
	} {
		if s.reasons[r] == 0 {
			t.Errorf("no packet was dropped as %v", r)
		}
	}
}

func story(t *testing.T, lab *reference.Lab, steps []reference.Step, offload bool) string {
	lines, _ := play(t, lab, steps, offload, new(tally))
	return lab.String() + strings.Join(lines, "\n")
}

// play runs a sequence until engine and model differ, and tells what happened.
func play(t *testing.T, lab *reference.Lab, steps []reference.Step, offload bool, seen *tally) (lines []string, differs bool) {
	r := newRig(t, lab.Clone(), offload)
	events := map[int]reference.Event{}
	for _, s := range steps {
		if s.Kind > reference.Complain {
			lines = append(lines, r.do(s))
			continue
		}
		from, p, ok := s.Packet(r.lab, events)
		if !ok {
			continue
		}
		got, hit := r.send(from, p)
		chosen := got.Packet.SrcPort
		if got.Packet.Echo() {
			chosen = got.Packet.ID
		}
		want := r.model.Send(from, p, chosen)
		line := fmt.Sprintf("%v: #%d %v\n    %v", s, from, &p, want)
		if difference := r.compare(want, got); difference != "" {
			return append(lines, line+"\n    DIFFERS: "+difference+"\n    engine: "+got.String()), true
		}
		if hit {
			line += " (fast path)"
		}
		lines = append(lines, line)
		seen.add(want, hit)
		events[s.ID] = reference.Event{From: from, Sent: p, To: got.To, Got: got.Packet}
	}
	return lines, false
}

// rig is one lab twice: the model, and an engine, perhaps behind a fast path.
type rig struct {
	t           *testing.T
	lab         *reference.Lab
	model       *reference.Model
	engine      *Engine
	mem         flow.Memory
	fast        *cache
	generations []uint32 // by domain
	now         int64
}

const rigAttachments = 32

func newRig(t *testing.T, lab *reference.Lab, offload bool) *rig {
	r := &rig{t: t, lab: lab, model: reference.New(lab), mem: flow.NewMemory(1024, rigAttachments), generations: []uint32{1, 1, 1}, now: int64(time.Hour)}
	c := Config{Network: compile(lab, r.generations), Memory: r.mem, Rate: float64(lab.Rate)}
	if offload {
		r.fast = &cache{entries: map[flow.Key]flow.Entry{}, generations: map[uint32]uint32{}, mem: r.mem}
		c.Offload = r.fast
	}
	e, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	r.engine = e
	return r
}

// do is a step that sends nothing.
func (r *rig) do(s reference.Step) string {
	r.pass(time.Microsecond)
	switch s.Kind {
	case reference.Change:
		r.lab = r.lab.Clone()
		what, vpc, public := r.lab.Edit(s.Seed)
		r.generations[vpc+1]++
		if public {
			for i := range r.generations {
				r.generations[i]++
			}
		}
		if err := r.engine.SetNetwork(r.now, compile(r.lab, r.generations)); err != nil {
			r.t.Fatal(err)
		}
		r.model.Change(r.lab)
		return fmt.Sprintf("%v: %s", s, what)
	case reference.Advance:
		r.engine.Advance(r.now, s.Time)
		r.model.Advance(s.Time)
	case reference.Wait:
		r.pass(s.Time)
	case reference.Sweep:
		r.engine.Sweep(r.now)
	case reference.Mark:
		r.engine.Mark(r.now)
	case reference.Wipe:
		if r.fast != nil {
			r.fast.wipe(s.Seed)
		}
	}
	return s.String()
}

func (r *rig) pass(d time.Duration) {
	r.now += int64(d)
	r.model.Pass(d)
}

// send puts a packet through the fast path and the engine.
func (r *rig) send(from uint32, p reference.Packet) (reference.Outcome, bool) {
	r.pass(time.Microsecond)
	raw := marshal(r.t, &p)
	before := r.drops(from)
	out, hit := []uint32{0}, false
	var emitted []Emission
	if r.fast != nil {
		out[0], hit = r.fast.handle(r.now, from, raw)
	}
	if !hit {
		emitted = r.engine.Handle(r.now, from, [][]byte{raw}, out)
	}
	var o reference.Outcome
	for reason, n := range r.drops(from) {
		if n != before[reason] {
			if o.Reason != flow.None || n != before[reason]+1 || out[0] != 0 {
				r.t.Fatalf("%v: counted %v and %d times %v, delivered to %d", &p, o.Reason, n-before[reason], flow.Reason(reason), out[0])
			}
			o.Reason = flow.Reason(reason)
		}
	}
	switch {
	case out[0] != 0:
		o.To, o.Packet = out[0], unmarshal(r.t, raw)
	case o.Reason == flow.None && len(emitted) > 1:
		o.To, o.Packet, o.Cut = emitted[0].Out, unmarshal(r.t, emitted[0].Frame[netdev.Headroom:]), true
		o.Packet.Size = p.Size
	case o.Reason == flow.NATIdle && len(emitted) == 1:
		if raw := emitted[0].Frame[netdev.Headroom:]; unmarshal(r.t, raw).Flags&flow.RST != 0 {
			o.Reset = emitted[0].Out
		}
	}
	return o, hit
}

// drops are the counts of what an attachment's packets were dropped for.
func (r *rig) drops(from uint32) (n [flow.ReasonStride]uint64) {
	for i := range n {
		n[i] = r.mem.Drop(from, flow.Reason(i)).Read().Packets
	}
	return n
}

// compare says in what an outcome differs from the model's.
func (r *rig) compare(want, got reference.Outcome) string {
	if want.Reason != got.Reason || want.To != got.To || want.Cut != got.Cut || want.Reset != got.Reset {
		return "another fate"
	}
	if want.Reason != flow.None {
		return ""
	}
	if want.Fault != "" {
		return want.Fault
	}
	w, g := want.Packet, got.Packet
	if w.Quote != nil && g.Quote != nil {
		quote := *w.Quote
		w.Quote = &quote
		r.reveal(w.Quote, g.Quote)
	}
	r.reveal(&w, &g)
	return comparePackets(w, g)
}

// reveal replaces the model's stand-ins for ports by what is seen of them.
func (r *rig) reveal(want, got *reference.Packet) {
	for _, port := range [][2]*int{{&want.SrcPort, &got.SrcPort}, {&want.DstPort, &got.DstPort}, {&want.ID, &got.ID}} {
		if *port[0] > 0xffff {
			r.model.Reveal(*port[0], *port[1])
			*port[0] = *port[1]
		}
	}
}

func comparePackets(want, got reference.Packet) string {
	w, g := want.Quote, got.Quote
	want.Quote, got.Quote = nil, nil
	switch {
	case want != got:
		return fmt.Sprintf("%+v instead of %+v", got, want)
	case (w == nil) != (g == nil):
		return "only one quotes a packet"
	case w == nil:
		return ""
	}
	// Of the rest too little is quoted, or it is as the receiver had it.
	seen := reference.Packet{Protocol: g.Protocol, Src: g.Src, Dst: g.Dst, SrcPort: g.SrcPort, DstPort: g.DstPort, Type: g.Type, Code: g.Code, ID: g.ID}
	seen.Flags, seen.TTL, seen.Size, seen.MayFragment = w.Flags, w.TTL, w.Size, w.MayFragment
	if seen != *w {
		return fmt.Sprintf("it quotes %+v instead of %+v", seen, *w)
	}
	return ""
}

// compile makes the network of a lab.
func compile(l *reference.Lab, generations []uint32) *fabric.Network {
	n := &fabric.Network{Attachments: make([]*fabric.Attachment, rigAttachments)}
	n.Internet = fabric.Internet{
		Generation: generations[0], Hosts: map[netip.Addr]*fabric.Host{}, Public: map[netip.Addr]fabric.PublicAddress{},
		Elastic: map[netip.Addr]bool{}, Pool: netip.MustParsePrefix("198.18.0.0/16"),
	}
	fresh(&n.Internet.IPv6)
	for _, a := range l.Unmapped {
		n.Internet.Elastic[a] = true
	}
	for i, v := range l.VPCs {
		n.VPCs = append(n.VPCs, compileVPC(n, v, uint32(i+1), generations[i+1]))
	}
	for _, h := range l.Hosts {
		host := &fabric.Host{Attachment: h.ID, Name: fmt.Sprint("host", h.ID), Addrs: h.Addrs}
		n.Attachments[h.ID] = &fabric.Attachment{Index: h.ID, Host: host}
		for _, a := range h.Addrs {
			n.Internet.Hosts[a] = host
		}
	}
	return n
}

// fresh makes what a pointer points to without naming its type: only fabric names its tables.
func fresh[T any](p **T) { *p = new(T) }

func compileVPC(n *fabric.Network, v *reference.VPC, index, generation uint32) *fabric.VPC {
	c := &fabric.VPC{Index: index, Generation: generation, Name: v.Name, CIDRs: v.CIDRs, HasIGW: v.IGW, ENIs: map[netip.Addr]*fabric.ENI{}}
	c.Resolver = v.CIDRs[0].Addr().Next().Next()
	if v.EIGW != 0 {
		c.EgressOnly = &fabric.ENI{Name: "eigw", Attachment: v.EIGW}
	}
	if v.IGW || v.EIGW != 0 {
		n.Internet.IPv6.Insert(v.CIDRs[1], c)
	}
	number := func(group int) fabric.GroupID { return fabric.GroupID(v.Groups[group].Number) }
	var groups []*fabric.SecurityGroup
	for i, g := range v.Groups {
		groups = append(groups, &fabric.SecurityGroup{
			ID: number(i), Name: fmt.Sprint("g", i), Ingress: compileRules(g.Ingress, number), Egress: compileRules(g.Egress, number),
		})
	}
	for i, s := range v.Subnets {
		acl := v.ACLs[s.ACL]
		subnet := &fabric.Subnet{
			VPC: c, Name: fmt.Sprint("s", i), CIDR: s.V4, IPv6: s.V6, Router4: s.V4.Addr().Next(), Router6: netip.MustParseAddr("fe80::1"),
			ACL: &fabric.ACL{Name: fmt.Sprint("acl", s.ACL), Ingress: compileEntries(acl.Ingress), Egress: compileEntries(acl.Egress)},
		}
		for _, x := range v.NICs {
			if x.Subnet != i {
				continue
			}
			e := &fabric.ENI{Attachment: x.ID, Name: fmt.Sprint("#", x.ID), Subnet: subnet, Addrs: x.Addrs, Public: x.Public, SourceDestCheck: x.Check}
			for _, g := range x.Groups {
				e.Groups = append(e.Groups, groups[g])
			}
			if x.NAT {
				e.NAT, e.SourceDestCheck = &fabric.NAT{Private: x.Private, Addrs: x.Addrs}, false
			}
			for _, a := range x.Addrs {
				c.ENIs[a] = e
			}
			for private, public := range x.Public {
				n.Internet.Public[public] = fabric.PublicAddress{ENI: e, Private: private}
			}
			n.Attachments[x.ID] = &fabric.Attachment{Index: x.ID, ENI: e}
		}
	}
	for i, s := range v.Subnets {
		table := compileRoutes(n, s.Routes)
		for _, x := range v.NICs {
			if x.Subnet == i {
				n.Attachments[x.ID].ENI.Subnet.Routes = table
			}
		}
	}
	if len(v.Edge) > 0 {
		c.EdgeRoutes = compileRoutes(n, v.Edge)
	}
	return c
}

var kinds = map[reference.Kind]fabric.TargetKind{
	reference.Local: fabric.ToLocal, reference.ToIGW: fabric.ToInternetGateway, reference.ToEIGW: fabric.ToEgressOnly,
	reference.ToNAT: fabric.ToNATGateway, reference.ToNIC: fabric.ToENI, reference.ToBlackhole: fabric.ToBlackhole,
}

func compileRoutes(n *fabric.Network, routes []reference.Route) *fabric.RouteTable {
	table := &fabric.RouteTable{}
	fresh(&table.Routes)
	for _, r := range routes {
		c := &fabric.Route{Prefix: r.To, Kind: kinds[r.Kind], Text: r.String()}
		if r.NIC != 0 {
			c.ENI = n.Attachments[r.NIC].ENI
		}
		table.Routes.Insert(r.To, c)
	}
	return table
}

func compileTraffic(t reference.Traffic) fabric.Traffic {
	return fabric.Traffic{Protocol: int16(t.Protocol), FromPort: uint16(t.From), ToPort: uint16(t.To), ICMPType: int16(t.Type), ICMPCode: int16(t.Code)}
}

func compileRules(rules []reference.Rule, number func(int) fabric.GroupID) (compiled []fabric.SGRule) {
	for _, r := range rules {
		c := fabric.SGRule{Traffic: compileTraffic(r.Traffic), Text: r.String()}
		if r.Peer.IsValid() {
			c.Prefixes = []netip.Prefix{r.Peer}
		} else {
			c.ByGroup, c.Group = true, number(r.Group)
		}
		compiled = append(compiled, c)
	}
	return compiled
}

func compileEntries(entries []reference.Entry) (compiled []fabric.ACLEntry) {
	for _, e := range entries {
		compiled = append(compiled, fabric.ACLEntry{Traffic: compileTraffic(e.Traffic), Allow: e.Allow, Prefix: e.Peer, Text: e.String()})
	}
	return compiled
}

// cache is a fast path as DESIGN describes it: the decisions of the engine, with what makes one no hit.
type cache struct {
	entries     map[flow.Key]flow.Entry
	generations map[uint32]uint32
	mem         flow.Memory
	refuses     bool // it has no room
}

// Install implements Offloader.
func (c *cache) Install(k flow.Key, e flow.Entry) error {
	if c.refuses {
		return flow.ErrFull
	}
	c.entries[k] = e
	return nil
}

// Evict implements Offloader.
func (c *cache) Evict(keys ...flow.Key) error {
	for _, k := range keys {
		delete(c.entries, k)
	}
	return nil
}

// SetGeneration implements Offloader.
func (c *cache) SetGeneration(domain, generation uint32) error {
	c.generations[domain] = generation
	return nil
}

// Quiesce implements Offloader: nothing is under way here between two calls.
func (c *cache) Quiesce() error { return nil }

// wipe loses some entries, or all, and now and then the room for new ones.
func (c *cache) wipe(seed uint64) {
	random := rand.New(rand.NewPCG(seed, 3))
	c.refuses = random.IntN(4) == 0
	keys := make([]flow.Key, 0, len(c.entries))
	for k := range c.entries {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b flow.Key) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	all := random.IntN(2) == 0
	for _, k := range keys {
		if all || random.IntN(2) == 0 {
			delete(c.entries, k)
		}
	}
}

// handle forwards or drops a packet, if there is an entry for it that holds.
func (c *cache) handle(now int64, from uint32, raw []byte) (out uint32, hit bool) {
	var info packet.Info
	if !packet.Decode(raw, &info) || info.Fragment || info.Options || info.TTL == 0 {
		return 0, false
	}
	t := &info.Tuple
	if (t.Protocol == flow.ICMP || t.Protocol == flow.ICMPv6) && (!t.ICMPEcho() || info.ICMPCode != 0) {
		return 0, false
	}
	e, ok := c.entries[flow.Key{Attachment: from, Tuple: *t}]
	if !ok || e.Expires != 0 && now > e.Expires {
		return 0, false
	}
	for _, d := range e.Domains {
		if g, ok := c.generations[d.Index]; !ok || g != d.Generation {
			return 0, false
		}
	}
	own, peer := &c.mem.Slots[e.Slot], &c.mem.Slots[e.Slot^1]
	state := flow.StateOf(t.Protocol, own.Read(), peer.Read())
	opens := info.TCPFlags&(flow.SYN|flow.ACK) == flow.SYN
	if opens && (state != flow.Opening || e.Reason == flow.NoTrackedConnection) {
		return 0, false
	}
	last := max(own.Read().Last, peer.Read().Last)
	idle := last != 0 && e.Idle[state] != 0 && now-int64(last) > int64(e.Idle[state])
	if idle || e.MTU != 0 && info.Length > int(e.MTU) || info.TTL <= e.Rewrite.Hops || e.LowersMSS && info.TCPFlags&flow.SYN != 0 {
		return 0, false
	}
	own.Add(1, uint64(info.Length), info.TCPFlags, now)
	if e.Verdict == flow.Drop {
		c.mem.Drop(from, e.Reason).Add(1, uint64(info.Length))
		return 0, true
	}
	packet.Rewrite(raw, &info, e.Rewrite)
	return e.Out, true
}

// marshal makes the bytes of a packet.
func marshal(t *testing.T, p *reference.Packet) []byte {
	t.Helper()
	var network gopacket.NetworkLayer
	header := 20
	if p.Src.Is4() {
		ip := &layers.IPv4{Version: 4, TTL: p.TTL, Protocol: layers.IPProtocol(p.Protocol), SrcIP: p.Src.AsSlice(), DstIP: p.Dst.AsSlice()}
		if !p.MayFragment {
			ip.Flags = layers.IPv4DontFragment
		}
		network = ip
	} else {
		header = 40
		network = &layers.IPv6{Version: 6, HopLimit: p.TTL, NextHeader: layers.IPProtocol(p.Protocol), SrcIP: p.Src.AsSlice(), DstIP: p.Dst.AsSlice()}
	}
	ls := []gopacket.SerializableLayer{network.(gopacket.SerializableLayer)}
	switch p.Protocol {
	case flow.TCP:
		l := &layers.TCP{
			SrcPort: layers.TCPPort(p.SrcPort), DstPort: layers.TCPPort(p.DstPort), Window: 1000,
			SYN: p.Flags&flow.SYN != 0, ACK: p.Flags&flow.ACK != 0, FIN: p.Flags&flow.FIN != 0, RST: p.Flags&flow.RST != 0,
		}
		_ = l.SetNetworkLayerForChecksum(network) // it is one of the two that this accepts
		ls, header = append(ls, l), header+20
	case flow.UDP:
		l := &layers.UDP{SrcPort: layers.UDPPort(p.SrcPort), DstPort: layers.UDPPort(p.DstPort)}
		_ = l.SetNetworkLayerForChecksum(network) // as above
		ls, header = append(ls, l), header+8
	case flow.ICMP:
		ls, header = append(ls, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(p.Type, p.Code), Id: uint16(p.ID)}), header+8
	case flow.ICMPv6:
		l := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(p.Type, p.Code)}
		_ = l.SetNetworkLayerForChecksum(network) // as above
		ls, header = append(ls, l, gopacket.Payload(binary.BigEndian.AppendUint32(nil, uint32(p.ID)<<16))), header+8
	}
	payload := make([]byte, p.Size-header)
	if p.Quote != nil {
		copy(payload, marshal(t, p.Quote))
	}
	return build(t, append(ls, gopacket.Payload(payload))...)
}

// unmarshal reads what arrived, and that its checksums are right.
func unmarshal(t *testing.T, raw []byte) reference.Packet {
	t.Helper()
	var info, quoted packet.Info
	if !packet.Decode(raw, &info) {
		t.Fatalf("malformed: %x", raw)
	}
	p := plain(&info)
	if !info.Fragment && !checksumsHold(raw, &info) {
		t.Fatalf("a checksum of %v is wrong: %x", &p, raw)
	}
	if packet.Quoted(raw, &info, &quoted) {
		q := plain(&quoted)
		p.Quote = &q
	}
	return p
}

func plain(info *packet.Info) reference.Packet {
	p := reference.Packet{
		Protocol: info.Tuple.Protocol, Src: info.Tuple.SrcAddr(), Dst: info.Tuple.DstAddr(), Flags: info.TCPFlags, Type: info.ICMPType, Code: info.ICMPCode,
		Size: info.Length, TTL: info.TTL, MayFragment: !info.DontFragment,
	}
	switch {
	case info.Tuple.ICMPEcho():
		p.ID = int(info.Tuple.SrcPort)
	case p.Protocol == flow.TCP, p.Protocol == flow.UDP:
		p.SrcPort, p.DstPort = int(info.Tuple.SrcPort), int(info.Tuple.DstPort)
	}
	return p
}

// checksumsHold adds up the IP header, and the upper layer with its pseudo header (RFC 1071).
func checksumsHold(raw []byte, info *packet.Info) bool {
	sum := func(start uint32, b []byte) bool {
		for i := 0; i < len(b); i += 2 {
			start += uint32(b[i]) << 8
			if i+1 < len(b) {
				start += uint32(b[i+1])
			}
		}
		for start > 0xffff {
			start = start>>16 + start&0xffff
		}
		return start == 0xffff
	}
	addrs := raw[8:40]
	if info.Tuple.Family == 4 {
		addrs = raw[12:20]
		if !sum(0, raw[:20]) {
			return false
		}
	}
	upper := raw[info.L4:]
	switch info.Tuple.Protocol {
	case flow.ICMP:
		return sum(0, upper)
	case flow.TCP, flow.UDP, flow.ICMPv6:
		return sum(uint32(len(upper))+uint32(info.Tuple.Protocol), slices.Concat(addrs, upper))
	}
	return true
}
