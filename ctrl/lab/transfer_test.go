package lab

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/scenario"
)

// transfer is one TCP connection that carries bytes from a client to a server, and what their kernels say that they sent.
type transfer struct {
	bed
	from, to scenario.Node
	addr     netip.AddrPort // of the server, as the client knows it
	fromPort int            // of the client; 0: any
	forTime  time.Duration
	enough   func() bool // the transfer goes on until then, too; may be nil

	client, server *net.TCPConn
	got            uint64
	stall          time.Duration // the longest time in which nothing arrived
}

// open connects client and server.
func (x *transfer) open() {
	x.t.Helper()
	var listener *net.TCPListener
	x.do(x.to, func() (err error) {
		listener, err = net.ListenTCP("tcp", &net.TCPAddr{Port: int(x.addr.Port())})
		return err
	})
	defer listener.Close()
	x.do(x.from, func() (err error) {
		x.client, err = net.DialTCP("tcp", &net.TCPAddr{Port: x.fromPort}, net.TCPAddrFromAddrPort(x.addr))
		return err
	})
	x.t.Cleanup(func() { x.client.Close() })
	var err error
	if x.server, err = listener.AcceptTCP(); err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { x.server.Close() })
	for _, c := range []*net.TCPConn{x.client, x.server} {
		if err := c.SetDeadline(time.Now().Add(x.forTime + patience)); err != nil {
			x.t.Fatal(err)
		}
	}
}

// run transfers for the time given, closes both ways with FIN, and checks that every byte arrived.
func (x *transfer) run() {
	x.t.Helper()
	var both sync.WaitGroup
	var receiveErr error
	both.Go(func() { receiveErr = x.receive() })
	sent, sendErr := x.send()
	both.Wait()
	if err := errors.Join(sendErr, receiveErr); err != nil {
		x.t.Errorf("%s to %s: %v", x.from, x.to, err)
	}
	if sent != x.got || sent == 0 {
		x.t.Errorf("%s sent %d bytes, %s got %d", x.from, sent, x.to, x.got)
	}
}

// send writes for the time given, and waits until the server has closed, too.
func (x *transfer) send() (sent uint64, err error) {
	chunk := make([]byte, 1<<16)
	for end := time.Now().Add(x.forTime); time.Now().Before(end) || x.enough != nil && !x.enough(); {
		n, err := x.client.Write(chunk)
		sent += uint64(n)
		if err != nil {
			return sent, err
		}
	}
	if err := x.client.CloseWrite(); err != nil {
		return sent, err
	}
	_, err = io.Copy(io.Discard, x.client)
	return sent, err
}

func (x *transfer) receive() error {
	buf := make([]byte, 1<<18)
	for last := time.Now(); ; {
		n, err := x.server.Read(buf)
		x.got += uint64(n)
		now := time.Now()
		x.stall, last = max(x.stall, now.Sub(last)), now
		if errors.Is(err, io.EOF) {
			return x.server.CloseWrite()
		}
		if err != nil {
			return err
		}
	}
}

// packetsSent is what a kernel knows of the packets that it sent on a connection.
type packetsSent struct{ Packets, Bytes uint64 }

// clientSent counts the SYN, too. Payload and retransmissions are in Bytes_sent; every segment repeats the headers, with
// timestamps, and the SYN has longer options.
func (x *transfer) clientSent() packetsSent {
	i := tcpInfo(x.t, x.client)
	const synHeaders = 40
	n := uint64(i.Segs_out)
	return packetsSent{n, i.Bytes_sent + n*x.headers() + synHeaders - tcpHeaders}
}

// serverSent adds the SYN-ACK, which the listener sent before there was a connection to count it.
func (x *transfer) serverSent() packetsSent {
	i := tcpInfo(x.t, x.server)
	const synHeaders = 40
	n := uint64(i.Segs_out) + 1
	return packetsSent{n, i.Bytes_sent + n*x.headers() + synHeaders - tcpHeaders}
}

// tcpHeaders is a TCP header with timestamps.
const tcpHeaders = 32

func (x *transfer) headers() uint64 {
	if x.addr.Addr().Is6() {
		return 40 + tcpHeaders
	}
	return 20 + tcpHeaders
}

func tcpInfo(t testing.TB, c *net.TCPConn) *unix.TCPInfo {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var info *unix.TCPInfo
	var infoErr error
	err = raw.Control(func(fd uintptr) { info, infoErr = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
	if err := errors.Join(err, infoErr); err != nil {
		t.Fatal(err)
	}
	return info
}
