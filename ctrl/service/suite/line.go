package suite

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/service/front"
)

// greeting begins a line that the lab's own listeners answer: `vpclab TOKEN` by `TOKEN SOURCE-IP SOURCE-PORT LOCAL-IP LOCAL-PORT`.
const greeting = "vpclab "

// maxLine bounds such a line, in bytes.
const maxLine = 512

// lines answers connections that begin with such a line as the lab's own listeners do, with the addresses that the caller knows, and hands
// on the others untouched. Its fields are set before the first connection.
type lines struct {
	directory service.Directory
	next      front.Taker

	running sync.WaitGroup
	mu      sync.Mutex
	conns   map[net.Conn]bool // nil once closed
}

func newLines(d service.Directory, next front.Taker) *lines {
	return &lines{directory: d, next: next, conns: map[net.Conn]bool{}}
}

// socket is a connection that the kernel knows.
type socket interface {
	net.Conn
	syscall.Conn
}

// take is a front.Taker.
func (l *lines) take(conn net.Conn) bool {
	tcp, ok := conn.(socket)
	if !ok || !l.begin(conn) {
		return false
	}
	l.running.Go(func() { l.runConn(tcp) })
	return true
}

func (l *lines) begin(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns == nil {
		return false
	}
	l.conns[conn] = true
	return true
}

func (l *lines) end(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, conn)
}

func (l *lines) runConn(conn socket) {
	_ = conn.SetReadDeadline(time.Now().Add(headerLimit))
	greets := begins(conn, greeting)
	_ = conn.SetReadDeadline(time.Time{}) // fails after Close alone
	if greets {
		l.answer(conn)
		l.end(conn)
		return
	}
	l.end(conn)
	if !l.next(conn) {
		front.Reset(conn)
	}
}

// begins reports whether the first bytes of a connection are those of a text. They stay unread, so that whoever takes the connection has
// the socket itself, and the kernel's ways of copying files to it.
func begins(conn syscall.Conn, text string) (yes bool) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	buf := make([]byte, len(text))
	_ = raw.Read(func(fd uintptr) bool {
		n, _, err := syscall.Recvfrom(int(fd), buf, syscall.MSG_PEEK)
		if err == syscall.EAGAIN || err == syscall.EINTR {
			return false
		}
		yes = err == nil && n == len(text) && string(buf) == text
		return yes || err != nil || n <= 0 || string(buf[:n]) != text[:n] || n == len(text)
	})
	return yes
}

// answer answers line by line. Who asks is looked up anew each time; if the way by which a line came is gone, so is the connection.
func (l *lines) answer(conn net.Conn) {
	local, remote := front.Ends(conn)
	r := bufio.NewReader(io.LimitReader(conn, maxLine))
	for {
		line, err := r.ReadString('\n')
		token, greets := strings.CutPrefix(strings.TrimSpace(line), greeting)
		if err != nil || !greets {
			_ = conn.Close() // there is nobody to tell
			return
		}
		c, known := l.directory.Caller(local.Addr(), remote.Addr())
		if !known {
			front.Reset(conn)
			return
		}
		if _, err := fmt.Fprintf(conn, "%s %s %d %s %d\n", token, c.Addr, remote.Port(), c.Asked, local.Port()); err != nil {
			_ = conn.Close()
			return
		}
		r.Reset(io.LimitReader(conn, maxLine))
	}
}

// close ends the connections that were not handed on, and waits until they have ended.
func (l *lines) close() {
	l.mu.Lock()
	for conn := range l.conns {
		_ = conn.Close()
	}
	l.conns = nil
	l.mu.Unlock()
	l.running.Wait()
}
