package check

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

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
		return nil, errors.Join(err, s.Close())
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
