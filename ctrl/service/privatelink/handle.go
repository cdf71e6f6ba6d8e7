package privatelink

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/service"
)

// Handle proxies one consumer's connection and returns when it has ended. Whom it leads to is known from its two ends; a connection
// that leads nowhere is reset. One to a target that does not answer hears nothing, as from a Network Load Balancer, which leaves the
// handshake to the target and sends to unhealthy targets if it has no others (Network Load Balancer guide, target health).
func (b *Balancer) Handle(consumer *net.TCPConn) {
	if !b.begin() {
		b.count(Closed)
		reset(consumer)
		return
	}
	defer b.open.Done()
	caller, ok := b.caller(consumer)
	if !ok {
		b.count(UnknownCaller)
		reset(consumer)
		return
	}
	c, refusal := b.connect(consumer, caller)
	if refusal == TargetSilent {
		b.count(TargetSilent)
		c, refusal = b.add(&connection{target: Target{Service: caller.Endpoint.Service}, consumer: consumer})
	}
	if refusal != "" {
		b.count(refusal)
		b.config.Refused(caller, refusal)
		reset(consumer)
		return
	}
	defer b.end(c)
	if c.provider == nil {
		c.runSilent(b.config.Now)
		return
	}
	if c.offer.ProxyProtocol {
		if _, err := c.provider.Write(headerOf(consumer, caller)); err != nil {
			c.reset()
			return
		}
	}
	c.run(b.config.Now)
}

// begin counts a call, unless the load balancer is closed.
func (b *Balancer) begin() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.open.Add(1)
	return true
}

func (b *Balancer) caller(consumer *net.TCPConn) (service.Caller, bool) {
	caller, ok := b.config.Directory.Caller(localOf(consumer).Addr(), remoteOf(consumer).Addr())
	return caller, ok && caller.Via == service.ByInterface && caller.Endpoint != nil
}

func (b *Balancer) count(why Refusal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stats.Refused[why]++
}

// connect finds a target that takes the connection: the one whose turn it is or, if that one does not, the next.
func (b *Balancer) connect(consumer *net.TCPConn, caller service.Caller) (*connection, Refusal) {
	const tries = 2
	asked := Ends{remoteOf(consumer), localOf(consumer)}
	var tried []Target
	var last Refusal // of a target
	for len(tried) < tries {
		o, t, refusal := b.reserve(caller, asked.To.Port(), tried)
		if refusal != "" {
			return nil, cmp.Or(last, refusal)
		}
		ctx, cancel := context.WithTimeout(b.ctx, dialLimit)
		provider, err := b.config.Dial(ctx, asked, caller, t)
		cancel()
		if err == nil {
			return b.add(&connection{offer: o, target: t, consumer: consumer, provider: provider})
		}
		b.release(t)
		tried, last = append(tried, t), TargetSilent
		if errors.Is(err, unix.ECONNREFUSED) {
			last = TargetRefused
		}
	}
	return nil, last
}

// reserve takes one of a target's connections.
func (b *Balancer) reserve(caller service.Caller, port uint16, tried []Target) (Service, Target, Refusal) {
	b.mu.Lock()
	o := b.services[caller.Endpoint.Service]
	if o == nil {
		b.mu.Unlock()
		return Service{}, Target{}, NoService
	}
	s, turn := o.Service, o.turn
	o.turn++
	b.mu.Unlock()
	if !slices.Contains(s.Ports, port) {
		return Service{}, Target{}, NoPort
	}
	refusal := NoTarget
	for i := range s.Targets {
		t := Target{s.Ref, netip.AddrPortFrom(s.Targets[(turn+i)%len(s.Targets)], port)}
		if slices.Contains(tried, t) || !b.config.Healthy(t) {
			continue
		}
		if b.take(t) {
			return s, t, ""
		}
		refusal = TargetFull
	}
	return Service{}, Target{}, refusal
}

func (b *Balancer) take(t Target) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.load[t] >= b.most {
		return false
	}
	b.load[t]++
	return true
}

func (b *Balancer) release(t Target) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.releaseLocked(t)
}

func (b *Balancer) releaseLocked(t Target) {
	if b.load[t]--; b.load[t] == 0 {
		delete(b.load, t)
	}
}

// add makes the connection one that Expire, Update and Close know, unless one of them came first.
func (b *Balancer) add(c *connection) (*connection, Refusal) {
	for _, conn := range c.sides() {
		_ = conn.SetKeepAlive(false) // what the load balancer itself sends would keep the flow from ever being idle
	}
	c.touch(b.config.Now())
	b.mu.Lock()
	defer b.mu.Unlock()
	refusal := Refusal("")
	switch {
	case b.closed:
		refusal = Closed
	case b.services[c.target.Service] == nil:
		refusal = NoService
	default:
		b.connections[c] = true
		if c.provider != nil {
			b.stats.Connected[c.target]++
		}
		return c, ""
	}
	if c.provider != nil {
		reset(c.provider)
		b.releaseLocked(c.target)
	}
	return nil, refusal
}

func (b *Balancer) end(c *connection) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.connections, c)
	if c.provider != nil {
		b.releaseLocked(c.target)
	}
}

func localOf(c *net.TCPConn) netip.AddrPort { return service.AddrPort(c.LocalAddr()) }

func remoteOf(c *net.TCPConn) netip.AddrPort { return service.AddrPort(c.RemoteAddr()) }
