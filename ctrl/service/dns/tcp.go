package dns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Limits of TCP connections.
const (
	// connections is how many are served at once, and each those of one client; one more is closed.
	connections, each = 4096, 64
	// idle is how long a connection may take for a query and its answer (RFC 7766, section 6.2.3).
	idle = 10 * time.Second
	// lingering is how long one that ends waits for the client to close, too, and leftover how many bytes are read of it meanwhile.
	lingering = time.Second
	leftover  = 1 << 16
)

// ServeTCP answers on a listener's connections until it is closed, which is no error. It closes the listener and all connections when it
// returns.
func (s *Server) ServeTCP(l net.Listener) error {
	open := openConns{conns: map[net.Conn]bool{}, clients: map[netip.Addr]int{}}
	defer open.running.Wait()
	defer open.close()
	defer func() { _ = l.Close() }() // it may be closed already
	for {
		conn, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return err
		}
		if !open.add(conn) {
			_ = conn.Close()
			continue
		}
		open.running.Go(func() {
			defer open.remove(conn)
			s.runTCP(conn)
		})
	}
}

// runTCP answers one query after the other. Whoever is not known, or gets no answer, loses the connection.
func (s *Server) runTCP(conn net.Conn) {
	local, remote := addrOf(conn.LocalAddr()), addrOf(conn.RemoteAddr())
	for s.exchange(conn, local, remote) == nil {
	}
	hangUp(conn)
}

// hangUp ends a connection with FIN. To close it with bytes unread would be a RST, by which a client loses the answers that it has not
// read yet (RFC 1122, section 4.2.2.13).
func hangUp(conn net.Conn) {
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || conn.SetReadDeadline(time.Now().Add(lingering)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, conn, leftover) // what comes does not matter any more
}

func (s *Server) exchange(conn net.Conn, local, remote netip.Addr) error {
	// Sockets live in real time, whatever a lab's clock does.
	if err := conn.SetDeadline(time.Now().Add(idle)); err != nil {
		return err
	}
	query, err := readMessage(conn)
	if err != nil {
		return err
	}
	answer := s.respond(local, remote, query, nil, false)
	if answer == nil {
		return fmt.Errorf("%s gets no answer", remote)
	}
	_, err = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
	return err
}

// readMessage reads a message with its length before it (RFC 1035, section 4.2.2).
func readMessage(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(length[:]))
	if n > maxSize {
		return nil, fmt.Errorf("a query of %d bytes", n)
	}
	message := make([]byte, n)
	_, err := io.ReadFull(r, message)
	return message, err
}

// openConns are the connections of a listener.
type openConns struct {
	running sync.WaitGroup
	mu      sync.Mutex
	conns   map[net.Conn]bool
	clients map[netip.Addr]int // how many there are of each
}

// add takes a connection in if there is room.
func (o *openConns) add(conn net.Conn) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	client := addrOf(conn.RemoteAddr())
	if len(o.conns) == connections || o.clients[client] == each {
		return false
	}
	o.conns[conn] = true
	o.clients[client]++
	return true
}

func (o *openConns) remove(conn net.Conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.conns, conn)
	client := addrOf(conn.RemoteAddr())
	if o.clients[client]--; o.clients[client] == 0 {
		delete(o.clients, client)
	}
	_ = conn.Close() // all that was answered has been written
}

// close ends all connections; those who serve them notice.
func (o *openConns) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for conn := range o.conns {
		_ = conn.Close()
	}
}
