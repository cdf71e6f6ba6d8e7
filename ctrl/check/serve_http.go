package check

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

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
	s.wg.Go(func() { _ = web.Serve(hand) }) // it ends when the server is closed
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
	// A client that has gone reads no report.
	_ = json.NewEncoder(w).Encode(report{source.Addr().Unmap(), source.Port(), local.Addr(), local.Port()})
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
