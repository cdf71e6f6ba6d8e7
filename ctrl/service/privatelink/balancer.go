package privatelink

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// A Network Load Balancer's figures, when it does not preserve the client's address (Network Load Balancer guide, target groups).
const (
	IdleTimeout  = 350 * time.Second // of lab time without a byte in either direction
	MaxPerTarget = 55_000            // connections at once
)

// dialLimit is how long a target may take to answer, of real time: TCP's own clock knows no other.
const dialLimit = 5 * time.Second

// Service is an endpoint service as the load balancer sees it.
type Service struct {
	Ref           vpc.ServiceRef
	Ports         []uint16     // a target is asked at the port that the consumer asked
	Targets       []netip.Addr // of instances in the provider's VPC, asked in turn
	ProxyProtocol bool         // a target first gets a PROXY protocol header, version 2
}

// Target is one target of an endpoint service at one port.
type Target struct {
	Service vpc.ServiceRef
	Addr    netip.AddrPort
}

// Ends are those of a connection as the load balancer's sockets know them. From is who began it.
type Ends struct{ From, To netip.AddrPort }

// Config is what a Balancer is given. All functions may be called concurrently.
type Config struct {
	Directory service.Directory
	Healthy   func(Target) bool
	// Dial connects to a target from the load balancer's address; which of its addresses may depend on who asks. ECONNREFUSED is an RST
	// of the target's; any other error says that it does not answer.
	Dial func(ctx context.Context, consumer Ends, c service.Caller, t Target) (*net.TCPConn, error)
	// Refused is told why a consumer is reset, before he hears of it.
	Refused func(c service.Caller, why Refusal)
	Now     func() time.Time // lab time
}

// Balancer is the load balancer of all endpoint services of a lab. All methods may be called concurrently.
type Balancer struct {
	config Config
	ctx    context.Context // ends when Close begins
	cancel context.CancelFunc
	most   int // connections a target
	open   sync.WaitGroup

	mu          sync.Mutex
	closed      bool
	services    map[vpc.ServiceRef]*offer
	connections map[*connection]bool
	load        map[Target]int // connections that are open or being opened
	stats       Stats
}

// offer is a service and whose turn it is.
type offer struct {
	Service
	turn int
}

// New returns a Balancer without services.
func New(c Config) *Balancer {
	b := &Balancer{
		config: c, most: MaxPerTarget, services: map[vpc.ServiceRef]*offer{},
		connections: map[*connection]bool{}, load: map[Target]int{},
		stats: Stats{Connected: map[Target]uint64{}, Refused: map[Refusal]uint64{}},
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

// Update replaces all services. Connections of a service that is gone are reset, and those to a target that is not healthy any more while
// another one is (Network Load Balancer guide, target health); others go on, also to a target that is not named any more.
func (b *Balancer) Update(services []Service) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.services
	b.services = map[vpc.ServiceRef]*offer{}
	for _, s := range services {
		o := &offer{Service: s}
		if had := before[s.Ref]; had != nil {
			o.turn = had.turn
		}
		b.services[s.Ref] = o
	}
	left := b.leftLocked()
	for c := range b.connections {
		if b.services[c.target.Service] == nil || left[c.target] {
			c.reset()
		}
	}
}

// leftLocked are the targets with connections that are not healthy any more, of services that have a healthy one.
func (b *Balancer) leftLocked() map[Target]bool {
	left := map[Target]bool{}
	for t := range b.load {
		if o := b.services[t.Service]; o != nil && !b.config.Healthy(t) {
			left[t] = slices.ContainsFunc(o.Targets, func(a netip.Addr) bool {
				return b.config.Healthy(Target{t.Service, netip.AddrPortFrom(a, t.Addr.Port())})
			})
		}
	}
	return left
}

// Expire resets the connections that have been idle for IdleTimeout of lab time. Whoever moves the clock calls it, and beside that now
// and then: a connection is as old as the last call says.
func (b *Balancer) Expire() {
	now := b.config.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.connections {
		if c.idle(now) >= IdleTimeout && c.reset() {
			b.stats.Expired++
		}
	}
}

// Close resets every connection; when it returns nothing runs any more. It may be called more than once.
func (b *Balancer) Close() {
	b.cancel()
	b.mu.Lock()
	b.closed = true
	for c := range b.connections {
		c.reset()
	}
	b.mu.Unlock()
	b.open.Wait()
}

// Stats is what a Balancer has done so far.
type Stats struct {
	Open      int               // connections at this moment
	Connected map[Target]uint64 // connections by target
	Refused   map[Refusal]uint64
	Expired   uint64 // connections that were idle for too long
}

// Refusal is why a consumer's connection leads to no target. It is reset at once, unless a target might answer and does not.
type Refusal string

// The refusals.
const (
	UnknownCaller Refusal = "nobody known asks, or not by an interface endpoint"
	NoService     Refusal = "the endpoint's service is not there"
	NoPort        Refusal = "the service has no such port"
	NoTarget      Refusal = "no target is healthy"
	TargetFull    Refusal = "each healthy target has all connections that it may have"
	TargetRefused Refusal = "the target refused the connection"
	TargetSilent  Refusal = "the target does not answer"
	Closed        Refusal = "the load balancer is closed"
)

// Stats returns a copy.
func (b *Balancer) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stats
	s.Open, s.Connected, s.Refused = len(b.connections), maps.Clone(s.Connected), maps.Clone(s.Refused)
	return s
}
