package check

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// town is a lab of one namespace in which guest and services meet on the loopback:
//
//	guest 127.0.0.1 ─ lo ─┬─ 127.0.0.53       resolver
//	                      ├─ 169.254.169.254  instance metadata
//	                      └─ 127.0.0.43       S3, DynamoDB and other HTTP
//
// The namespace has no name and goes away with the test's descriptor.
type town struct {
	twin
	ns *os.File
}

var (
	resolverAt = netip.MustParseAddrPort("127.0.0.53:53")
	servicesAt = netip.MustParseAddr("127.0.0.43")
	metadataAt = netip.MustParseAddr("169.254.169.254")
	guestHost  = scenario.Node{Name: "example"}
)

func (l *town) Do(_ scenario.Node, f func() error) error { return within(l.ns, f) }

func newTown(t *testing.T) *town {
	t.Helper()
	needRoot(t)
	l := &town{}
	l.resolver = resolverAt
	l.keys = Credentials{AccessKeyID: "AKIDHOST", SecretAccessKey: "secret"}
	made := make(chan error)
	go func() {
		runtime.LockOSThread()
		made <- l.build()
	}()
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.ns.Close() })
	return l
}

func (l *town) build() (err error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if l.ns, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	up, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	up.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, up); err != nil {
		return fmt.Errorf("SIOCSIFFLAGS: %w", err)
	}
	second, err := unix.NewIfreq("lo:1")
	if err != nil {
		return err
	}
	if err := second.SetInet4Addr(metadataAt.AsSlice()); err != nil {
		return err
	}
	return unix.IoctlIfreq(fd, unix.SIOCSIFADDR, second)
}

// listen opens a TCP listener in the town.
func (l *town) listen(t *testing.T, at netip.AddrPort) net.Listener {
	t.Helper()
	var listener net.Listener
	err := l.Do(client, func() (err error) {
		listener, err = net.Listen("tcp", at.String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// resolve starts the resolver.
func (l *town) resolve(t *testing.T, names dns.HandlerFunc) {
	t.Helper()
	tcp := l.listen(t, resolverAt)
	var udp net.PacketConn
	err := l.Do(client, func() (err error) {
		udp, err = net.ListenPacket("udp", resolverAt.String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{Listener: tcp, Handler: names}, {PacketConn: udp, Handler: names}} {
		started, ended := make(chan struct{}), make(chan error, 1)
		s.NotifyStartedFunc = func() { close(started) }
		go func() { ended <- s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			s.Shutdown()
			<-ended
		})
	}
}

// serve starts an HTTP server; over TLS if it has a certificate.
func (l *town) serve(t *testing.T, at netip.AddrPort, certificate *tls.Certificate, h http.Handler) {
	t.Helper()
	s := &httptest.Server{Listener: l.listen(t, at), Config: &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}}
	if certificate == nil {
		s.Start()
	} else {
		s.TLS = &tls.Config{Certificates: []tls.Certificate{*certificate}}
		s.StartTLS()
	}
	t.Cleanup(s.Close)
}

// certificate is one for names, signed by itself, and the pool of those who trust it.
func certificate(t *testing.T, names ...string) (*tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: names, NotBefore: time.Unix(0, 0), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// zone answers from records in the form of a zone file. A name with other records only is NODATA, one without any NXDOMAIN. An alias
// stands before what it is for.
func zone(t *testing.T, records ...string) dns.HandlerFunc {
	t.Helper()
	var all []dns.RR
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rr)
	}
	return func(w dns.ResponseWriter, q *dns.Msg) {
		answer := new(dns.Msg).SetRcode(q, dns.RcodeNameError)
		name := q.Question[0].Name
		for _, rr := range all {
			if rr.Header().Name != name {
				continue
			}
			answer.Rcode = dns.RcodeSuccess
			if alias, ok := rr.(*dns.CNAME); ok {
				name = alias.Target
			}
			if rr.Header().Rrtype == q.Question[0].Qtype || rr.Header().Rrtype == dns.TypeCNAME {
				answer.Answer = append(answer.Answer, rr)
			}
		}
		w.WriteMsg(answer)
	}
}

// serveLines starts a built-in listener on every address of the town.
func (l *town) serveLines(t *testing.T, kind string, port uint16) {
	t.Helper()
	s, err := Serve(t.Context(), l, client, []vpc.Listener{{Kind: kind, Port: port}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
}

// accept starts a server that says nothing to whom it accepts.
func (l *town) accept(t *testing.T, at netip.AddrPort, accepted func()) {
	t.Helper()
	listener := l.listen(t, at)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			accepted()
		}
	})
	t.Cleanup(func() {
		listener.Close()
		wg.Wait()
	})
}
