package check

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"

	"github.com/miekg/dns"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// maxBody bounds how much of an HTTP answer is read, in bytes.
const maxBody = 1 << 20

// browser makes HTTP requests from the guest of a check, each on a connection of its own and all in the calling goroutine. It follows no
// redirect, and is what the AWS SDK takes for its HTTP client.
type browser struct{ probe *probe }

// Do sends the request and reads the whole answer, up to maxBody. A host name is resolved by the guest's resolver, and HTTPS trusts the
// lab's authority alone. It heeds the check's time and not the request's context.
func (b browser) Do(request *http.Request) (*http.Response, error) {
	p := b.probe
	to, err := p.whereIs(request.URL)
	if err != nil {
		return nil, err
	}
	s, err := dial(p, flow.TCP, to)
	if err != nil {
		return nil, err
	}
	answer, err := b.exchange(s, request)
	if err != nil {
		s.close()
		return nil, err
	}
	s.finish()
	return answer, nil
}

// whereIs is the address and port of a URL.
func (p *probe) whereIs(u *url.URL) (to netip.AddrPort, err error) {
	port := uint64(80)
	if u.Scheme == "https" {
		port = 443
	}
	if text := u.Port(); text != "" {
		if port, err = strconv.ParseUint(text, 10, 16); err != nil {
			return to, fmt.Errorf("url %s: port %s: %w", u, text, err)
		}
	}
	a, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		a, err = p.resolve(u.Hostname(), dns.TypeA, dns.TypeAAAA)
	}
	return netip.AddrPortFrom(a, uint16(port)), err
}

func (b browser) exchange(s *socket, request *http.Request) (*http.Response, error) {
	var conn io.ReadWriter = s
	if request.URL.Scheme == "https" {
		secured, err := b.secure(s, request.URL.Hostname())
		if err != nil {
			return nil, err
		}
		defer func() { _ = secured.Close() }() // its alert comes before the FIN; whoever is gone misses nothing
		conn = secured
	}
	answer, err := fetch(conn, request)
	if err != nil {
		return nil, b.probe.brokenBy(err, "the answer is not HTTP")
	}
	return answer, nil
}

// secure shakes hands with a server that has a certificate for host.
func (b browser) secure(s *socket, host string) (*tls.Conn, error) {
	p := b.probe
	conn := tls.Client(stream{s}, &tls.Config{ServerName: host, RootCAs: p.lab.Roots()})
	if err := conn.Handshake(); err != nil {
		return nil, p.brokenBy(err, "no TLS with "+host)
	}
	return conn, nil
}

// fetch sends the request and reads the whole answer.
func fetch(conn io.ReadWriter, request *http.Request) (*http.Response, error) {
	request.Close = true
	if err := request.Write(conn); err != nil {
		return nil, err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), request)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	return answer, nil
}

// brokenBy is what it means that a protocol came to no end: the connection ended, or the other side speaks something else.
func (p *probe) brokenBy(err error, otherwise string) error {
	if _, ok := ended(err); ok {
		return err
	}
	if p.ctx.Err() != nil {
		return p.ctx.Err()
	}
	return &end{outcome: Failed, detail: fmt.Sprintf("%s: %v", otherwise, err)}
}
