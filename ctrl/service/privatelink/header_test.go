package privatelink

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"io"
	"net"
	"net/netip"
	"testing"

	proxyproto "github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"

	"github.com/vpclab/vpclab/ctrl/service"
)

func TestHeader(t *testing.T) {
	got := header(netip.MustParseAddrPort("10.0.1.5:40000"), netip.MustParseAddrPort("10.0.2.9:80"), "vpce-1")
	want := "0d0a0d0a000d0a515549540a" + "21" + "11" + "0016" + "0a000105" + "0a000209" + "9c40" + "0050" +
		"ea" + "0007" + "01" + hex.EncodeToString([]byte("vpce-1"))
	if hex.EncodeToString(got) != want {
		t.Errorf("got  %x\nwant %s", got, want)
	}
}

func TestAnIndependentParserReadsTheHeader(t *testing.T) {
	for _, row := range []struct{ source, destination, family string }{
		{"10.0.1.5:40000", "10.0.2.9:80", "TCPv4"},
		{"[2600:1f18::5]:1", "[2600:1f18::9]:65535", "TCPv6"},
		{"10.0.1.5:40000", "[2600:1f18::9]:80", "TCPv6"},
	} {
		source, destination := netip.MustParseAddrPort(row.source), netip.MustParseAddrPort(row.destination)
		reader := bufio.NewReader(bytes.NewReader(append(header(source, destination, endpointID), "GET /"...)))
		h, err := proxyproto.Read(reader)
		if err != nil {
			t.Fatal(err)
		}
		rest, _ := io.ReadAll(reader)
		if string(rest) != "GET /" {
			t.Errorf("%s: %q is left", row.source, rest)
		}
		wantHeader(t, h, source, destination)
		if h.TransportProtocol.IsIPv4() != (row.family == "TCPv4") || !h.TransportProtocol.IsStream() {
			t.Errorf("%s: transport protocol is %#x", row.source, h.TransportProtocol)
		}
	}
}

func wantHeader(t *testing.T, h *proxyproto.Header, source, destination netip.AddrPort) {
	t.Helper()
	from, to, ok := h.TCPAddrs()
	if !ok || h.Version != 2 || h.Command != proxyproto.PROXY {
		t.Fatalf("the header is %+v", h)
	}
	if service.AddrPort(from) != source || service.AddrPort(to) != destination {
		t.Errorf("from %v to %v, want from %v to %v", from, to, source, destination)
	}
	tlvs, err := h.TLVs()
	if err != nil || len(tlvs) != 1 || tlvparse.FindAWSVPCEndpointID(tlvs) != endpointID {
		t.Errorf("TLVs %v, %v", tlvs, err)
	}
}

func TestTargetsGetTheHeaderWhenAsked(t *testing.T) {
	b := newBed(t)
	headers := make(chan *proxyproto.Header, 1)
	b.listen(one, func(c *net.TCPConn) {
		defer c.Close()
		reader := bufio.NewReader(c)
		h, err := proxyproto.Read(reader)
		if err != nil && err != proxyproto.ErrNoProxyProtocol {
			t.Error(err)
		}
		headers <- h
		_, _ = io.Copy(c, reader)
	})
	with := b.shop(one)
	with.ProxyProtocol = true
	b.Update([]Service{with})
	c := b.ask(ofShop)
	h := <-headers // before the consumer has said anything
	b.exchange(c)
	port := service.AddrPort(c.LocalAddr()).Port()
	wantHeader(t, h, netip.AddrPortFrom(netip.MustParseAddr("10.0.1.5"), port), netip.AddrPortFrom(netip.MustParseAddr("10.0.2.9"), b.port))

	b.Update([]Service{b.shop(one)})
	c = b.ask(ofShop)
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\n")); err != nil {
		t.Fatal(err)
	}
	if h := <-headers; h != nil {
		t.Errorf("a header that nobody asked for: %+v", h)
	}
}
