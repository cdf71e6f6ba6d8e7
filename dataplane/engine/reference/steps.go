package reference

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// Step is one event of a sequence. Steps hold no state, so that any of them can be left out: what one refers to and does not find is
// left out, too.
type Step struct {
	ID   int
	Kind StepKind
	Seed uint64        // of what is drawn when it happens
	Of   int           // the step of the packet that it follows
	Time time.Duration // of Advance and Wait
}

// StepKind is what happens.
type StepKind int

// The kinds of steps.
const (
	Send     StepKind = iota // somebody sends something
	Follow                   // the packet of an earlier step is answered, forwarded or followed by another
	Complain                 // somebody sends an ICMP error about the packet of an earlier step
	Change                   // something of the lab changes
	Advance                  // the lab's clock is advanced
	Wait                     // real time passes
	Sweep                    // the engine does its housekeeping
	Mark                     // a check begins
	Wipe                     // the fast path loses entries
)

// Event is a packet that was sent in a step, and what became of it: Got is what arrived at To, if anything did.
type Event struct {
	From uint32
	Sent Packet
	To   uint32
	Got  Packet
}

// around are times about the limits of connections.
var around = []time.Duration{
	9 * time.Second, 11 * time.Second, 29 * time.Second, 31 * time.Second, 59 * time.Second, 61 * time.Second, 179 * time.Second, 181 * time.Second,
	349 * time.Second, 351 * time.Second, 599 * time.Second, 601 * time.Second, 431_999 * time.Second, 432_001 * time.Second,
	500 * time.Millisecond, 1100 * time.Millisecond,
}

// GenerateSteps draws a sequence of 20 to 80 steps. Most packets follow an earlier one, so that connections really happen.
func GenerateSteps(random *rand.Rand) []Step {
	g := generator{random}
	steps := make([]Step, 20+g.IntN(61))
	packets := []int{}
	for i := range steps {
		s := &steps[i]
		s.ID, s.Seed = i, g.Uint64()
		n := g.IntN(100)
		if i > 0 && (steps[i-1].Kind == Advance || steps[i-1].Kind == Wait) {
			n = 18 + n%54 // what time has done shows in what follows
		}
		switch {
		case len(packets) == 0 || n < 18:
			s.Kind = Send
		case n < 72:
			s.Kind = Follow
		case n < 78:
			s.Kind = Complain
		case n < 84:
			s.Kind = Change
		case n < 90:
			s.Kind, s.Time = Advance, pick(g, around...)
		case n < 94:
			s.Kind, s.Time = Wait, pick(g, around...)
		case n < 96:
			s.Kind = Sweep
		case n < 98:
			s.Kind = Wipe
		default:
			s.Kind = Mark
		}
		if s.Kind == Follow || s.Kind == Complain {
			recent := len(packets)
			if g.chance(60) {
				recent = 1
			}
			s.Of = packets[len(packets)-1-g.IntN(min(recent, 10))]
		}
		if s.Kind <= Complain {
			packets = append(packets, i)
		}
	}
	return steps
}

// Shrink takes steps away for as long as what is left differs.
func Shrink(steps []Step, differs func([]Step) bool) []Step {
	for size := len(steps) / 2; size > 0; {
		shorter := false
		for at := 0; at < len(steps); {
			rest := without(steps, at, min(at+size, len(steps)))
			if differs(rest) {
				steps, shorter = rest, true
			} else {
				at += size
			}
		}
		if !shorter || size > 1 {
			size /= 2
		}
	}
	return steps
}

// without takes steps away; those that followed one of them follow what that had followed.
func without(steps []Step, from, to int) []Step {
	rest := slices.Concat(steps[:from], steps[to:])
	for i := range rest {
		for j := to - 1; j >= from; j-- {
			if gone := steps[j]; rest[i].Of == gone.ID && (gone.Kind == Follow || gone.Kind == Complain) {
				rest[i].Of = gone.Of
			}
		}
	}
	return rest
}

// Packet is what a step sends, and who sends it; false if there is nothing to send.
func (s Step) Packet(l *Lab, events map[int]Event) (uint32, Packet, bool) {
	g := generator{rand.New(rand.NewPCG(s.Seed, 2))}
	switch s.Kind {
	case Send:
		return g.send(l)
	case Follow:
		if of, ok := events[s.Of]; ok {
			return g.follow(l, of)
		}
	case Complain:
		if of, ok := events[s.Of]; ok {
			return g.complain(l, of)
		}
	}
	return 0, Packet{}, false
}

const usualSize = 100

// send draws a packet that begins something.
func (g generator) send(l *Lab) (uint32, Packet, bool) {
	from := pick(g, l.Attachments()...)
	own := l.Addrs(from)
	p := Packet{Src: pick(g, own...), TTL: 64, Size: usualSize}
	v, n := l.nic(from)
	destinations := g.destinations(l, v)
	if n != nil && g.chance(6) {
		p.Src = pick(g, pick(g, v.NICs...).Addrs...)
	}
	p.Dst = pick(g, destinations...)
	for p.Dst.Is4() != p.Src.Is4() || p.Dst == p.Src { // what goes to its own address never leaves a host
		p.Dst = pick(g, destinations...)
	}
	p.SrcPort, p.DstPort = pick(g, 40000, 40001), pick(g, 22, 53, 80)
	switch g.IntN(10) {
	case 0, 1, 2, 3:
		p.Protocol, p.Flags = tcp, pick[uint8](g, syn, syn, syn, syn, syn, syn, ack, syn|ack, fin|ack, rst)
	case 4, 5, 6:
		p.Protocol = udp
	case 7, 8:
		p.SrcPort, p.DstPort = 0, 0
		p.Protocol, p.Type, p.ID = icmp, pick[uint8](g, 8, 8, 8, 8, 0, 13), pick(g, 7, 8)
		if p.Src.Is6() {
			p.Protocol, p.Type = icmpv6, pick[uint8](g, 128, 128, 128, 129)
		}
		if !p.Echo() {
			p.ID = 0
		}
		if g.chance(5) {
			p.Code = 5
		}
	default:
		if n != nil && n.Public[p.Src] == p.Dst {
			return 0, Packet{}, false // both its ends would be one and the same
		}
		p.SrcPort, p.DstPort = 0, 0
		p.Protocol = 47
	}
	g.vary(&p, n == nil)
	return from, p, true
}

// vary makes some packets large, and some near the end of their life.
func (g generator) vary(p *Packet, host bool) {
	if g.chance(4) {
		p.TTL = pick[uint8](g, 1, 2, 3)
	}
	if g.chance(6) && !host {
		p.Size = pick(g, 1500, 1501, 3000, 8500, 8501, 9000)
		p.MayFragment = p.Src.Is4() && g.chance(50)
	}
}

// destinations are addresses that packets are sent to, some of which exist.
func (g generator) destinations(l *Lab, v *VPC) []netip.Addr {
	d := []netip.Addr{netip.MustParseAddr("198.51.100.99"), netip.MustParseAddr("2001:db8:a::77")}
	for _, h := range l.Hosts {
		d = append(d, h.Addrs...)
		d = append(d, h.Addrs...)
	}
	for _, w := range l.VPCs {
		for _, n := range w.NICs {
			if w == v {
				d = append(d, n.Addrs...)
			}
			for _, a := range n.Addrs {
				if public, ok := n.Public[a]; ok {
					d = append(d, public)
				}
				if a.Is6() {
					d = append(d, a)
				}
			}
		}
	}
	for _, a := range []string{"8.8.8.8", "10.0.0.77", "10.0.9.9", "192.168.1.1", "100.64.0.1", "169.254.169.254", "10.0.0.2", "2001:db8:a:7::1"} {
		if g.chance(15) {
			d = append(d, netip.MustParseAddr(a))
		}
	}
	return d
}

// follow draws what comes after a packet: an appliance forwards it, its receiver answers, its sender goes on.
func (g generator) follow(l *Lab, of Event) (uint32, Packet, bool) {
	if of.To == 0 {
		// Nobody got it. Its sender tries again, or who it was for speaks.
		if g.chance(60) {
			return g.goOn(l, of)
		}
		for _, id := range l.Attachments() {
			if slices.Contains(l.Addrs(id), of.Sent.Dst) && of.Sent.Quote == nil {
				return g.answer(l, id, of.Sent)
			}
		}
		return 0, Packet{}, false
	}
	owner := slices.Contains(l.Addrs(of.To), of.Got.Dst)
	if !owner && g.chance(85) {
		p := of.Got
		p.TTL--
		if p.TTL == 0 || l.Addrs(of.To) == nil {
			return 0, Packet{}, false
		}
		return of.To, p, true
	}
	if of.Got.Quote != nil || g.chance(30) {
		return g.goOn(l, of)
	}
	return g.answer(l, of.To, of.Got)
}

func (g generator) answer(l *Lab, from uint32, got Packet) (uint32, Packet, bool) {
	if l.Addrs(from) == nil {
		return 0, Packet{}, false
	}
	p := got.Answer()
	p.Size = usualSize
	if p.Protocol == tcp {
		switch got.Flags {
		case syn:
			p.Flags = pick[uint8](g, syn|ack, syn|ack, syn|ack, syn|ack, syn|ack, syn|ack, rst|ack, syn, ack)
		case rst, rst | ack:
			p.Flags = pick[uint8](g, ack, syn, rst)
		default:
			p.Flags = pick[uint8](g, ack, ack, ack, ack, fin|ack, fin|ack, rst, syn, syn|ack)
		}
	}
	g.vary(&p, l.host(from) != nil)
	return from, p, true
}

func (g generator) goOn(l *Lab, of Event) (uint32, Packet, bool) {
	if l.Addrs(of.From) == nil {
		return 0, Packet{}, false
	}
	p := of.Sent
	p.TTL, p.Size, p.MayFragment = 64, usualSize, false
	if p.Protocol == tcp {
		p.Flags = pick[uint8](g, p.Flags, p.Flags, ack, ack, ack, fin|ack, rst, syn)
	}
	g.vary(&p, l.host(of.From) != nil)
	return of.From, p, true
}

// complain draws an ICMP error about a packet, mostly by who got it.
func (g generator) complain(l *Lab, of Event) (uint32, Packet, bool) {
	if of.To == 0 || of.Got.Quote != nil {
		return 0, Packet{}, false
	}
	from, quoted := of.To, of.Got
	if g.chance(10) {
		from = pick(g, l.Attachments()...)
	}
	if g.chance(10) && quoted.ports() {
		quoted.SrcPort++
	}
	p := Packet{Protocol: icmp, Dst: quoted.Src, Size: 56, TTL: 64, Type: pick[uint8](g, 3, 3, 11), Code: pick[uint8](g, 0, 1), Quote: &quoted}
	if quoted.Src.Is6() {
		p.Protocol, p.Type, p.Size = icmpv6, pick[uint8](g, 1, 2, 3), 96
	}
	for _, a := range l.Addrs(from) {
		if a.Is4() == p.Dst.Is4() && (!p.Src.IsValid() || a == quoted.Dst) {
			p.Src = a
		}
	}
	return from, p, p.Src.IsValid()
}

// String names the step.
func (s Step) String() string {
	switch s.Kind {
	case Send:
		return fmt.Sprintf("%d send", s.ID)
	case Follow:
		return fmt.Sprintf("%d follows %d", s.ID, s.Of)
	case Complain:
		return fmt.Sprintf("%d about %d", s.ID, s.Of)
	case Change:
		return fmt.Sprintf("%d change", s.ID)
	case Advance:
		return fmt.Sprintf("%d advance %v", s.ID, s.Time)
	case Wait:
		return fmt.Sprintf("%d wait %v", s.ID, s.Time)
	case Sweep:
		return fmt.Sprintf("%d sweep", s.ID)
	case Mark:
		return fmt.Sprintf("%d mark", s.ID)
	}
	return fmt.Sprintf("%d wipe", s.ID)
}
