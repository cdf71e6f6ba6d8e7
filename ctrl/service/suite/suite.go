// Package suite runs all of a lab's services: it opens their sockets in one namespace, hands each connection to who was asked, and tells
// them of changes. What a service answers is the service's own; how packets come here, and who may send them, is not known here.
package suite

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/vpclab/vpclab/ctrl/policy"
	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/service/authority"
	"github.com/vpclab/vpclab/ctrl/service/dns"
	"github.com/vpclab/vpclab/ctrl/service/dynamodb"
	"github.com/vpclab/vpclab/ctrl/service/front"
	"github.com/vpclab/vpclab/ctrl/service/iam"
	"github.com/vpclab/vpclab/ctrl/service/imds"
	"github.com/vpclab/vpclab/ctrl/service/ntp"
	"github.com/vpclab/vpclab/ctrl/service/privatelink"
	"github.com/vpclab/vpclab/ctrl/service/s3"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// Directory is a service.Directory that also knows the way from a load balancer to its targets.
type Directory interface {
	service.Directory
	// Target is the address by which the services' namespace knows a private address of a VPC.
	Target(vpc string, addr netip.Addr) (netip.Addr, bool)
	// Balancer is the address in the services' namespace from which the load balancer of an endpoint service speaks in an availability zone,
	// or in another one if it has none there that is up.
	Balancer(of vpc.ServiceRef, az string) (netip.Addr, bool)
}

// Config is what the services need of a lab.
type Config struct {
	Lab string
	Dir string // holds buckets and tables, and is there
	// Open runs a function that opens sockets inside the services' namespace.
	Open      func(func() error) error
	Directory Directory
	// Now is lab time, and Wall that of the machine, which clients have, too.
	Now, Wall func() time.Time
	// Join is told of each connection of a load balancer to a target before its first packet, and of the consumer's that it carries on.
	// The function that it returns reports whether the network has dropped a packet of the former, or of its answers, for good.
	Join func(consumer, target privatelink.Ends) (refused func() bool)
	// Refused is told of each consumer's connection that an endpoint service resets at once, and why.
	Refused func(service.Caller, privatelink.Refusal)
	// MAC is the Ethernet address of an interface: 02:29:96:8f:6a:2d.
	MAC func(*vpc.ENI) string
	// Denied is told of each request that a policy, or its signature, refused.
	Denied func(service.Caller, *service.Denied)
	// Broken is told once if a service ends by itself.
	Broken func(error)
}

// Suite is the running services of one lab.
type Suite struct {
	config    Config
	model     atomic.Pointer[vpc.Model]
	authority *authority.Authority
	store     *iam.Store
	gate      *iam.Gate
	dns       *dns.Server
	s3        *s3.Server
	dynamodb  *dynamodb.Server
	metadata  *imds.Service
	balancer  *privatelink.Balancer
	front     front.Front
	resolver  *front.Queue // TCP
	web, tls  *front.Queue
	lines     *lines // before web
	servers   []*http.Server

	running sync.WaitGroup
	closing atomic.Bool
	mu      sync.Mutex
	ports   map[uint16]net.Listener
	packets []net.PacketConn
}

// metadata is what a service.Caller's Service says if the instance metadata was asked.
const metadata = "imds"

// The ports at which services listen whatever the model says.
const (
	dnsPort   = 53
	httpPort  = 80
	ntpPort   = 123
	httpsPort = 443
)

// Start opens the sockets and answers at them for a model. If it fails, nothing is left open.
func Start(c Config, m *vpc.Model) (*Suite, error) {
	s := &Suite{config: c, ports: map[uint16]net.Listener{}, resolver: front.NewQueue(), web: front.NewQueue(), tls: front.NewQueue()}
	s.lines = newLines(c.Directory, s.web.Put)
	s.model.Store(m)
	if err := s.start(m); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Suite) start(m *vpc.Model) error {
	if err := s.make(m); err != nil {
		return err
	}
	s.front = front.Front{Directory: s.config.Directory, Route: s.route}
	s.serve("resolver", func() error { return s.dns.ServeTCP(s.resolver) })
	handler := s.handler()
	s.serveWeb(handler, s.web)
	s.serveWeb(handler, tls.NewListener(s.tls, &tls.Config{GetCertificate: s.authority.GetCertificate, NextProtos: []string{"http/1.1"}}))
	if err := s.datagrams(); err != nil {
		return err
	}
	return s.Update(m)
}

// make makes the services, none of which runs yet.
func (s *Suite) make(m *vpc.Model) (err error) {
	c := &s.config
	if s.authority, err = authority.New(c.Lab, c.Wall); err != nil {
		return err
	}
	if s.store, err = iam.New(rand.Reader, s.model.Load, c.Wall); err != nil {
		return err
	}
	s.gate = iam.NewGate(s.store, c.Now, c.Denied)
	s.dns = dns.NewServer(c.Directory, dns.New(m))
	account := func(ctx context.Context) string { return iam.From(ctx).Principal.Account }
	s.s3, err = s3.New(s3.Config{
		Dir: filepath.Join(c.Dir, "s3"), Gate: s.gate, Now: c.Now, Wall: c.Wall, Account: account, CheckPolicy: checkPolicy, Backend: m.Services.S3Backend,
		Room: func() error { return room(c.Dir) },
	})
	if err != nil {
		return fmt.Errorf("s3: %w", err)
	}
	s.dynamodb, err = dynamodb.New(dynamodb.Config{
		Path: filepath.Join(c.Dir, "dynamodb.db"), Gate: s.gate, Now: c.Now, Account: account, Backend: m.Services.DynamoDBBackend,
		Room: func() error { return room(c.Dir) },
	})
	if err != nil {
		return fmt.Errorf("dynamodb: %w", err)
	}
	s.metadata, err = imds.New(imds.Config{
		Names: imds.Names{Private: dns.PrivateName, Public: dns.PublicName, MAC: c.MAC}, Role: s.store.Role, Now: c.Now, Hops: limitHops, Random: rand.Reader,
	})
	if err != nil {
		return fmt.Errorf("instance metadata: %w", err)
	}
	s.balancer = privatelink.New(privatelink.Config{Directory: c.Directory, Healthy: s.healthy, Dial: s.dial, Refused: c.Refused, Now: c.Now})
	return nil
}

// checkPolicy says what is wrong with a bucket policy.
func checkPolicy(document string) error {
	d, err := policy.Parse(document)
	if err != nil {
		return err
	}
	return d.Validate(policy.Resource)
}

// serve runs a part of the services until it is closed. One that ends by itself is a part of the lab that has broken.
func (s *Suite) serve(name string, run func() error) {
	s.running.Go(func() {
		err := run()
		if err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) && !s.closing.Load() {
			s.config.Broken(fmt.Errorf("%s: %w", name, err))
		}
	})
}

// datagrams opens the sockets of what is asked over UDP: one a family, so that each answers from the address that was asked.
func (s *Suite) datagrams() error {
	clock := ntp.New(s.config.Directory, s.config.Now)
	return s.config.Open(func() error {
		for _, network := range []string{"udp4", "udp6"} {
			for port, serve := range map[int]func(*net.UDPConn) error{dnsPort: s.dns.ServeUDP, ntpPort: clock.Serve} {
				conn, err := net.ListenUDP(network, &net.UDPAddr{Port: port})
				if err != nil {
					return err
				}
				s.packets = append(s.packets, conn)
				if err := widen(conn); err != nil {
					return fmt.Errorf("%s port %d: %w", network, port, err)
				}
				s.serve(fmt.Sprintf("%s port %d", network, port), func() error { return serve(conn) })
			}
		}
		return nil
	})
}

// backlog is how many bytes of datagrams wait at a socket, with the kernel's own for each: an interface may send 1024 at once, and this is
// enough for some twenty interfaces, even if nobody reads meanwhile.
const backlog = 32 << 20

// widen makes a socket hold the backlog, which is more than the machine's limit for all sockets.
func widen(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	controlled := raw.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, backlog)
	})
	if err := errors.Join(controlled, err); err != nil {
		return fmt.Errorf("set receive buffer: %w", err)
	}
	return nil
}

// Update tells the services of another model.
func (s *Suite) Update(m *vpc.Model) error {
	s.model.Store(m)
	s.dns.Use(dns.New(m))
	s.balancer.Update(offers(m))
	return errors.Join(s.listen(m), s.s3.Update(m.Services.Buckets), s.dynamodb.Update(m.Services.Tables))
}

// Prune resets the connections of callers whom the directory does not know any more, and returns whom the RSTs are sent to.
func (s *Suite) Prune() (reset []privatelink.Ends) {
	for _, c := range s.front.Prune() {
		local, remote := front.Ends(c)
		reset = append(reset, privatelink.Ends{From: local, To: remote})
	}
	return reset
}

// listen opens the ports that a model wants, and closes those that it does not.
func (s *Suite) listen(m *vpc.Model) error {
	want := map[uint16]bool{dnsPort: true, httpPort: true, httpsPort: true}
	for _, v := range m.VPCs {
		for _, service := range v.EndpointServices {
			for _, port := range service.Ports {
				want[port] = true
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for port, l := range s.ports {
		if !want[port] {
			errs = append(errs, l.Close())
			delete(s.ports, port)
		}
	}
	errs = append(errs, s.config.Open(func() error {
		for port := range want {
			if s.ports[port] != nil {
				continue
			}
			l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
			if err != nil {
				return err
			}
			s.ports[port] = l
			s.serve(fmt.Sprintf("tcp port %d", port), func() error { return s.front.Serve(l) })
		}
		return nil
	}))
	return errors.Join(errs...)
}

// route says who takes a connection.
func (s *Suite) route(c service.Caller, port uint16) front.Taker {
	switch {
	case c.Endpoint != nil && c.Endpoint.Service.VPC != "":
		return s.balance
	case c.Service == dns.Name && port == dnsPort:
		return s.resolver.Put
	case c.Service == dns.Name:
		return nil
	case port == httpPort:
		return s.lines.take
	case port == httpsPort && c.Service != metadata:
		return s.tls.Put
	}
	return nil
}

func (s *Suite) balance(conn net.Conn) bool {
	consumer, ok := conn.(*front.Conn)
	if ok {
		s.running.Go(func() {
			defer func() { _ = consumer.Close() }() // it is closed already, but counts until now
			s.balancer.Handle(consumer.TCPConn)
		})
	}
	return ok
}

// Expire ends what has been idle for too long in lab time before it returns. It is called now and then, and after lab time has jumped.
func (s *Suite) Expire() { s.balancer.Expire() }

// PEM is the certificate of the authority that vouches for the services.
func (s *Suite) PEM() []byte { return s.authority.PEM() }

// User are the credentials of an internet host, which acts as an IAM user of its name.
func (s *Suite) User(account, host string) iam.Credentials { return s.store.User(account, host) }

// Keep puts an object of the lab's own into a bucket, whatever the bucket's policy says. It does nothing if there is no such bucket.
func (s *Suite) Keep(ctx context.Context, bucket, key string, body []byte) error {
	return s.s3.Keep(ctx, bucket, key, body)
}

// Close ends all services and waits until they have.
func (s *Suite) Close() error {
	if s.closing.Swap(true) {
		return nil
	}
	s.mu.Lock()
	var errs []error
	for _, l := range s.ports {
		errs = append(errs, l.Close())
	}
	s.mu.Unlock()
	for _, conn := range s.packets {
		if err := conn.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	s.lines.close()
	for _, q := range []*front.Queue{s.resolver, s.web, s.tls} {
		errs = append(errs, q.Close())
	}
	for _, server := range s.servers {
		errs = append(errs, server.Close())
	}
	if s.balancer != nil {
		s.balancer.Close()
	}
	s.running.Wait()
	if s.dynamodb != nil {
		errs = append(errs, s.dynamodb.Close())
	}
	return errors.Join(errs...)
}
