package check

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// Serve starts a node's built-in listeners on all its addresses, IPv4 and IPv6. They answer until the returned closer is closed; ctx
// bounds only the start.
func Serve(ctx context.Context, lab Lab, node scenario.Node, listeners []vpc.Listener) (io.Closer, error) {
	s := &server{open: map[io.Closer]bool{}, done: make(chan struct{})}
	err := lab.Do(node, func() error {
		for _, l := range listeners {
			if err := s.start(ctx, l); err != nil {
				return fmt.Errorf("serve %s %d in %s: %w", l.Kind, l.Port, node, err)
			}
		}
		return nil
	})
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// server is the listeners of one node.
type server struct {
	wg   sync.WaitGroup
	done chan struct{} // closed when closing begins

	mu     sync.Mutex
	closed bool
	open   map[io.Closer]bool // listeners and connections
}

// Close ends every listener and every connection to them, and waits until their goroutines are gone.
func (s *server) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.done)
	}
	open := s.open
	s.open = map[io.Closer]bool{}
	s.mu.Unlock()

	var errs []error
	for c := range open {
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	s.wg.Wait()
	return errors.Join(errs...)
}

// adopt makes Close close c; it closes c and reports false if Close was first.
func (s *server) adopt(c io.Closer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.Close()
		return false
	}
	s.open[c] = true
	return true
}

func (s *server) release(c io.Closer) {
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
	c.Close()
}

// start opens one listener. It runs on a thread inside the node's namespace.
func (s *server) start(ctx context.Context, l vpc.Listener) error {
	address := net.JoinHostPort("", strconv.Itoa(int(l.Port)))
	switch l.Kind {
	case "udp":
		return s.startUDP(ctx, address)
	case "tcp", "http":
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return err
		}
		s.adopt(listener)
		talk := s.talk
		if l.Kind == "http" {
			talk = s.startHTTP(listener.Addr())
		}
		s.wg.Go(func() { s.runAccept(listener, talk) })
		return nil
	}
	return fmt.Errorf("unknown kind %q; use tcp, udp or http", l.Kind)
}

// runAccept hands each connection to talk, on a goroutine of its own.
func (s *server) runAccept(l net.Listener, talk func(net.Conn)) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors: others may be closed soon
			select {
			case <-time.After(5 * time.Millisecond):
				continue
			case <-s.done:
				return
			}
		}
		if s.adopt(conn) {
			s.wg.Go(func() { talk(conn) })
		}
	}
}

// talk answers lines until the other side closes or says something else.
func (s *server) talk(conn net.Conn) {
	defer s.release(conn)
	s.answerLines(conn, bufio.NewReaderSize(conn, maxLine))
}

func (s *server) answerLines(conn net.Conn, r *bufio.Reader) {
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		token, ok := tokenIn(line)
		if !ok {
			return
		}
		if _, err := io.WriteString(conn, formatAnswer(token, endOf(conn.RemoteAddr()), endOf(conn.LocalAddr()))); err != nil {
			return
		}
	}
}

// tokenIn reads `vpclab TOKEN`.
func tokenIn(line []byte) (string, bool) {
	token, ok := strings.CutPrefix(strings.TrimSpace(string(line)), greeting)
	return token, ok && token != "" && !strings.ContainsAny(token, " \t")
}

// endOf is a TCP connection's end, an IPv4 one as such although the socket is an IPv6 one.
func endOf(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	end := tcp.AddrPort()
	return netip.AddrPortFrom(end.Addr().Unmap(), end.Port())
}

// startHTTP starts a web server without a socket, and returns what to do with a connection: a first line `vpclab TOKEN` is answered
// like a tcp listener does, anything else is HTTP's.
func (s *server) startHTTP(addr net.Addr) func(net.Conn) {
	hand := &handedOver{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
	web := &http.Server{
		Handler:           http.HandlerFunc(s.report),
		ErrorLog:          log.New(io.Discard, "", 0), // malformed requests are the guest's affair
		ReadHeaderTimeout: time.Minute,
	}
	s.adopt(web)
	s.wg.Go(func() { web.Serve(hand) })
	return func(conn net.Conn) {
		r := bufio.NewReaderSize(conn, 4096)
		first, err := r.Peek(len(greeting))
		if err != nil {
			s.release(conn)
			return
		}
		if bytes.Equal(first, []byte(greeting)) {
			defer s.release(conn)
			s.answerLines(conn, r)
			return
		}
		hand.give(&peeked{Conn: conn, r: r, release: func() { s.release(conn) }})
	}
}

// report answers a GET with what the line protocol answers, as JSON.
func (s *server) report(w http.ResponseWriter, q *http.Request) {
	if q.Method != http.MethodGet && q.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET is served here", http.StatusMethodNotAllowed)
		return
	}
	source, err := netip.ParseAddrPort(q.RemoteAddr)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	addr, _ := q.Context().Value(http.LocalAddrContextKey).(net.Addr)
	local := endOf(addr)
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(report{source.Addr().Unmap(), source.Port(), local.Addr(), local.Port()})
}

// peeked is a connection whose first bytes were read already.
type peeked struct {
	net.Conn
	r       *bufio.Reader
	release func()
}

func (c *peeked) Read(b []byte) (int, error) { return c.r.Read(b) }

func (c *peeked) Close() error {
	c.release()
	return nil
}

// handedOver is a net.Listener of connections that somebody else accepted.
type handedOver struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (h *handedOver) give(c net.Conn) {
	select {
	case h.conns <- c:
	case <-h.done:
		c.Close()
	}
}

func (h *handedOver) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

func (h *handedOver) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

func (h *handedOver) Addr() net.Addr { return h.addr }

// startUDP opens a UDP listener that learns to which address a datagram came, and answers from there: a node has several addresses, and
// its routes would choose another.
func (s *server) startUDP(ctx context.Context, address string) error {
	config := net.ListenConfig{Control: func(network, _ string, raw syscall.RawConn) error { return askPacketInfo(network, raw) }}
	listener, err := config.ListenPacket(ctx, "udp", address)
	if err != nil {
		return err
	}
	conn := listener.(*net.UDPConn)
	s.adopt(conn)
	s.wg.Go(func() { s.runUDP(conn) })
	return nil
}

// askPacketInfo turns on packet info. On a dual-stack socket the IPv6 option covers IPv4 as well, with IPv4-mapped addresses.
func askPacketInfo(network string, raw syscall.RawConn) error {
	level, option := unix.SOL_IPV6, unix.IPV6_RECVPKTINFO
	if network == "udp4" {
		level, option = unix.SOL_IP, unix.IP_PKTINFO
	}
	var set error
	err := raw.Control(func(fd uintptr) {
		set = os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), level, option, 1))
	})
	return errors.Join(err, set)
}

// runUDP answers every datagram that is a line of the protocol, and no other.
func (s *server) runUDP(conn *net.UDPConn) {
	port := conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	line, oob := make([]byte, maxLine), make([]byte, 128)
	for {
		n, oobn, _, from, err := conn.ReadMsgUDPAddrPort(line, oob)
		if err != nil {
			return // closed: an unconnected UDP socket has no other error to report
		}
		token, ok := tokenIn(line[:n])
		info, asked := packetInfo(oob[:oobn])
		if !ok || !asked.IsValid() {
			continue
		}
		source := netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port())
		answer := formatAnswer(token, source, netip.AddrPortFrom(asked, port))
		conn.WriteMsgUDPAddrPort([]byte(answer), info, from) // a guest without a route back is no error of ours
	}
}

// packetInfo reads to which address a datagram came, and builds the control message that makes the answer come from there. The
// interface is left to routing, except for link-local addresses.
func packetInfo(oob []byte) (reply []byte, asked netip.Addr) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, netip.Addr{}
	}
	for _, m := range messages {
		switch {
		case m.Header.Level == unix.SOL_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= unix.SizeofInet6Pktinfo:
			address := netip.AddrFrom16([16]byte(m.Data[:16]))
			info := unix.Inet6Pktinfo{Addr: address.As16()}
			if address.IsLinkLocalUnicast() {
				info.Ifindex = binary.NativeEndian.Uint32(m.Data[16:])
			}
			return unix.PktInfo6(&info), address.Unmap()
		case m.Header.Level == unix.SOL_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= unix.SizeofInet4Pktinfo:
			address := netip.AddrFrom4([4]byte(m.Data[8:12])) // ipi_addr, as the datagram has it
			return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: address.As4()}), address
		}
	}
	return nil, netip.Addr{}
}
