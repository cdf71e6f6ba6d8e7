// Package front hands each TCP connection that reaches the services' namespace to the service that was asked. It reads nothing of what
// a connection carries.
package front

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/vpclab/vpclab/ctrl/service"
)

// Front decides by the two ends of a connection. Its fields are set before the first Serve.
type Front struct {
	Directory service.Directory
	// Route names who takes a connection of a caller to a port; nil: nobody, and it is reset.
	Route func(c service.Caller, port uint16) Taker

	mu   sync.Mutex
	open map[netip.Addr]int // connections by their far ends
	all  map[*Conn]bool
}

// most is how many connections one caller may have open: so many that nobody needs more, and so few that no instance takes the files and
// the memory of all. A further one is reset.
const most = 2048

// Conn is a connection that counts as its caller's until it is closed.
type Conn struct {
	*net.TCPConn
	closed func()
}

// Close closes the connection. Closing it again is an error.
func (c *Conn) Close() error {
	c.closed()
	return c.TCPConn.Close()
}

// Taker takes a connection, a *Conn, and returns at once; false: it does not want it, and the connection is reset.
type Taker func(net.Conn) bool

// Serve takes connections from a listener until that is closed, which is no error.
func (f *Front) Serve(l net.Listener) error {
	for {
		conn, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case passes(err):
			<-time.After(pause)
		case err != nil:
			return err
		default:
			f.hand(conn)
		}
	}
}

// pause is how long a listener waits for an error to pass.
const pause = 10 * time.Millisecond

// passes says that an error of accept(2) is one of the connection or of the moment, and not of the listener: connections are closed
// sooner or later, and with them files.
func passes(err error) bool {
	return slices.ContainsFunc([]error{syscall.ECONNABORTED, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM},
		func(e error) bool { return errors.Is(err, e) })
}

func (f *Front) hand(conn net.Conn) {
	local, remote := Ends(conn)
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		Reset(conn)
		return
	}
	// Before the directory is asked, so that Prune sees the connections of those whom it has forgotten since.
	counted := f.count(tcp, remote.Addr())
	if counted == nil {
		Reset(conn)
		return
	}
	caller, known := f.Directory.Caller(local.Addr(), remote.Addr())
	if known {
		if take := f.Route(caller, local.Port()); take != nil && take(counted) {
			return
		}
	}
	Reset(counted)
}

// count counts one more connection of a far end; nil if that has all that it may.
func (f *Front) count(tcp *net.TCPConn, remote netip.Addr) *Conn {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open[remote] >= most {
		return nil
	}
	if f.open == nil {
		f.open = map[netip.Addr]int{}
	}
	if f.all == nil {
		f.all = map[*Conn]bool{}
	}
	c := &Conn{TCPConn: tcp}
	c.closed = sync.OnceFunc(func() { f.forget(c, remote) })
	f.open[remote]++
	f.all[c] = true
	return c
}

func (f *Front) forget(c *Conn, remote netip.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.all, c)
	if f.open[remote]--; f.open[remote] == 0 {
		delete(f.open, remote)
	}
}

// Prune resets the connections whose caller the directory does not know any more, since the way by which they came is gone. Who serves one
// would wait for as long as TCP tries. It returns them, closed.
func (f *Front) Prune() (gone []*Conn) {
	f.mu.Lock()
	for c := range f.all {
		local, remote := Ends(c)
		if _, known := f.Directory.Caller(local.Addr(), remote.Addr()); !known {
			gone = append(gone, c)
		}
	}
	f.mu.Unlock()
	for _, c := range gone {
		Reset(c)
	}
	return gone
}

// Ends are the addresses of a TCP connection, its own first; IPv4 ones as IPv4.
func Ends(conn net.Conn) (local, remote netip.AddrPort) {
	return service.AddrPort(conn.LocalAddr()), service.AddrPort(conn.RemoteAddr())
}

// Reset closes a connection with RST.
func Reset(conn net.Conn) {
	if tcp, ok := conn.(interface{ SetLinger(int) error }); ok {
		_ = tcp.SetLinger(0) // else it is closed with FIN
	}
	_ = conn.Close() // there is nobody to tell
}

// backlog is how many connections wait in a queue for their service; a service that does not keep up has further ones reset.
const backlog = 1024

// Queue is a listener whose connections a Front hands over.
type Queue struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// NewQueue is an empty queue.
func NewQueue() *Queue {
	return &Queue{conns: make(chan net.Conn, backlog), closed: make(chan struct{})}
}

// Put is a Taker: the connection waits until it is accepted.
func (q *Queue) Put(conn net.Conn) bool {
	select {
	case <-q.closed:
		return false
	default:
	}
	select {
	case q.conns <- conn:
		return true
	default:
		return false
	}
}

// Accept implements net.Listener. After Close it returns net.ErrClosed.
func (q *Queue) Accept() (net.Conn, error) {
	select {
	case <-q.closed:
		return nil, net.ErrClosed
	case conn := <-q.conns:
		return conn, nil
	}
}

// Close implements net.Listener. What waits is reset.
func (q *Queue) Close() error {
	q.once.Do(func() { close(q.closed) })
	for {
		select {
		case conn := <-q.conns:
			Reset(conn)
		default:
			return nil
		}
	}
}

// Addr implements net.Listener. The queue is at no address of its own.
func (q *Queue) Addr() net.Addr { return &net.TCPAddr{} }
