package lab

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/vpclab/vpclab/ctrl/check"
	"github.com/vpclab/vpclab/ctrl/compile"
	"github.com/vpclab/vpclab/ctrl/hostnet"
	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/service/dns"
	"github.com/vpclab/vpclab/ctrl/service/privatelink"
	"github.com/vpclab/vpclab/ctrl/service/suite"
	"github.com/vpclab/vpclab/ctrl/vpc"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// services are the lab's own: resolver, instance metadata, time, and AWS's services with their endpoints.
type services struct {
	lab       *Lab
	directory directory
	suite     *suite.Suite

	mu      sync.Mutex
	denials []denial // the latest maxDenials
}

// denial is a request that a policy refused, or a connection that an endpoint service did.
type denial struct {
	at   int64         // monotonic
	node scenario.Node // who asked; zero if that is not known, as behind a NAT gateway
	why  string
}

// maxDenials is how many are kept for checks to tell of.
const maxDenials = 256

// authorityFile is the certificate of the lab's authority, in the lab's folder.
const authorityFile = "ca.pem"

// start opens the services' sockets. Packets to them are let in by the engine alone.
func (s *services) start(plan *compile.Plan) error {
	s.directory.update(plan)
	dir := filepath.Join(s.lab.host.Dir(), "services")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("services: %w", err)
	}
	started, err := suite.Start(suite.Config{
		Lab: s.lab.name, Dir: dir, Directory: &s.directory, Now: s.lab.Now, Wall: time.Now, Denied: s.denied, Broken: func(err error) { s.lab.fail(0, err) },
		Open: func(f func() error) error { return s.lab.host.InGuest(hostnet.ServicesNamespace(s.lab.name), f) },
		Join: s.join, Refused: s.refused,
		MAC: func(e *vpc.ENI) string { return compile.MAC(e).String() },
	}, plan.Model)
	if err != nil {
		return fmt.Errorf("services: %w", err)
	}
	s.suite = started
	if err := os.WriteFile(s.authority(), started.PEM(), 0o644); err != nil {
		return fmt.Errorf("services: %w", err)
	}
	return nil
}

// authority is the path of the file with which clients trust the services.
func (s *services) authority() string { return filepath.Join(s.lab.host.Dir(), authorityFile) }

// update tells the services of another plan, which is in force.
func (s *services) update(plan *compile.Plan) error {
	s.directory.update(plan)
	mark := monotonic()
	s.settle(mark, s.suite.Prune())
	if err := s.suite.Update(plan.Model); err != nil {
		return fmt.Errorf("services: %w", err)
	}
	return nil
}

// settling bounds how long a change waits for the packets that it caused itself.
const settling = 200 * time.Millisecond

// settle waits until the RSTs of connections that have lost their way are dropped, so that a check after the change takes none for its own.
func (s *services) settle(mark int64, reset []privatelink.Ends) {
	beat := time.NewTicker(time.Millisecond)
	defer beat.Stop()
	for deadline := time.Now().Add(settling); len(reset) > 0 && time.Now().Before(deadline); <-beat.C {
		reset = slices.DeleteFunc(reset, func(e privatelink.Ends) bool { return s.lab.engine.Refused(mark, tupleOf(e)) })
	}
}

// keep puts an object into one of the lab's own buckets, if there is one of that name.
func (s *services) keep(ctx context.Context, bucket, key string, body []byte) error {
	if s.suite == nil {
		return nil // the lab could not be started
	}
	return s.suite.Keep(ctx, bucket, key, body)
}

func (s *services) close() error {
	if s.suite == nil {
		return nil
	}
	return s.suite.Close()
}

// join lets who asks for a consumer's connection know of the load balancer's that carries it on.
func (s *services) join(consumer, target privatelink.Ends) (refused func() bool) {
	mark, back := monotonic(), tupleOf(target)
	s.lab.engine.Join(tupleOf(consumer), back)
	return func() bool { return s.lab.engine.Refused(mark, back) }
}

// tupleOf is a connection's first packet in the services' namespace.
func tupleOf(e privatelink.Ends) flow.Tuple {
	return flow.MakeTuple(flow.TCP, e.From.Addr(), e.From.Port(), e.To.Addr(), e.To.Port())
}

func (s *services) denied(c service.Caller, d *service.Denied) { s.deny(c, d.Why) }

// refused is an endpoint service's word.
func (s *services) refused(c service.Caller, why privatelink.Refusal) {
	s.deny(c, fmt.Sprintf("endpoint service %s: %s", c.Endpoint.Service, why))
}

func (s *services) deny(c service.Caller, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.denials) == maxDenials {
		s.denials = append(s.denials[:0], s.denials[1:]...)
	}
	s.denials = append(s.denials, denial{monotonic(), nodeOf(c), why})
}

func nodeOf(c service.Caller) scenario.Node {
	if c.Instance == nil {
		return scenario.Node{}
	}
	return scenario.Node{VPC: c.VPC.Name, Name: c.Instance.Name}
}

// Denials implements check.Services.
func (l *Lab) Denials(mark uint64, node scenario.Node) []string {
	s := &l.services
	s.mu.Lock()
	defer s.mu.Unlock()
	var why []string
	for _, d := range s.denials {
		if d.at >= int64(mark) && (d.node == node || d.node == scenario.Node{}) {
			why = append(why, d.why)
		}
	}
	return why
}

// Resolver implements check.Services.
func (l *Lab) Resolver(node scenario.Node) (netip.AddrPort, bool) {
	namespace := l.namespace(node)
	for _, g := range l.services.directory.plan().Desired.Guests {
		if g.Namespace == namespace && len(g.Resolver) > 0 {
			return netip.AddrPortFrom(g.Resolver[0], dnsPort), true
		}
	}
	return netip.AddrPort{}, false
}

const dnsPort = 53

// Roots implements check.Services.
func (l *Lab) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(l.services.suite.PEM())
	return pool
}

// Credentials implements check.Services.
func (l *Lab) Credentials(node scenario.Node) (check.Credentials, bool) {
	if node.VPC != "" {
		return check.Credentials{}, false
	}
	c := l.services.suite.User(l.services.directory.plan().Model.Account, node.Name)
	return check.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}, true
}

// EndpointHost implements check.Services.
func (l *Lab) EndpointHost(ref vpc.EndpointRef) (string, bool) {
	m := l.services.directory.plan().Model
	v := m.VPC(ref.VPC)
	if v == nil || v.Endpoint(ref.Name) == nil || v.Endpoint(ref.Name).Type != vpc.InterfaceEndpoint {
		return "", false
	}
	e := v.Endpoint(ref.Name)
	name := dns.EndpointNames(m, v, e)[0]
	if e.Service == (vpc.ServiceRef{Name: "s3"}) {
		name = "bucket." + name
	}
	return name, true
}

// Home implements check.Lab: a node's own resolv.conf, and what AWS's tools need to trust and find the lab's services. They find
// neither keys nor settings in the machine's ~/.aws, which are not the node's: it has files of its own, which do not exist at first.
func (l *Lab) Home(node scenario.Node) check.Home {
	authority := l.services.authority()
	env := []string{
		"AWS_CA_BUNDLE=" + authority, "SSL_CERT_FILE=" + authority, "REQUESTS_CA_BUNDLE=" + authority, "CURL_CA_BUNDLE=" + authority,
		"NODE_EXTRA_CA_CERTS=" + authority,
	}
	own := filepath.Join(l.host.Dir(), "aws", node.VPC, node.Name)
	env = append(env, "AWS_CONFIG_FILE="+filepath.Join(own, "config"), "AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(own, "credentials"))
	m := l.services.directory.plan().Model
	region := m.Region
	if v := m.VPC(node.VPC); v != nil {
		region = v.Region
	}
	env = append(env, "AWS_REGION="+region, "AWS_DEFAULT_REGION="+region)
	if c, ok := l.Credentials(node); ok {
		env = append(env, "AWS_ACCESS_KEY_ID="+c.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+c.SecretAccessKey)
	}
	return check.Home{Env: env, Enter: func() error { return l.host.ShowResolver(l.namespace(node)) }}
}
