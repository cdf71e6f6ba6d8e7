package suite

import (
	"bufio"
	"io"
	"net"
	"net/netip"
	"strconv"
	"testing"

	"github.com/vpclab/vpclab/ctrl/service"
)

// oneCaller knows everybody as one.
type oneCaller struct{ known bool }

func (o *oneCaller) Caller(_, _ netip.Addr) (service.Caller, bool) {
	return service.Caller{Addr: netip.MustParseAddr("10.0.1.5"), Asked: netip.MustParseAddr("52.216.0.1")}, o.known
}

func TestLines(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	handed := make(chan net.Conn, 1)
	who := &oneCaller{known: true}
	l := newLines(who, func(c net.Conn) bool { handed <- c; return true })
	defer l.close()
	connect := func() *net.TCPConn {
		client, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close() })
		conn, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if !l.take(conn) {
			t.Fatal("the connection is not taken")
		}
		return client.(*net.TCPConn)
	}

	held := connect()
	replies := bufio.NewReader(held)
	say := func(token string) (string, error) {
		io.WriteString(held, "vpclab ")
		io.WriteString(held, token+"\n")
		return replies.ReadString('\n')
	}
	port := held.LocalAddr().(*net.TCPAddr).AddrPort().Port()
	local := listener.Addr().(*net.TCPAddr).AddrPort().Port()
	for _, token := range []string{"a", "b"} {
		want := token + " 10.0.1.5 " + strconv.Itoa(int(port)) + " 52.216.0.1 " + strconv.Itoa(int(local)) + "\n"
		if got, err := say(token); got != want {
			t.Errorf("got %q, want %q (%v)", got, want, err)
		}
	}
	who.known = false
	if got, err := say("c"); err == nil {
		t.Errorf("whose way is gone gets %q", got)
	}

	for _, text := range []string{"GET / HTTP/1.1\r\n", "vpc\r\n", "\x16\x03\x01"} {
		client := connect()
		io.WriteString(client, text)
		client.CloseWrite()
		conn := <-handed
		if got, err := io.ReadAll(conn); string(got) != text {
			t.Errorf("%q is handed on as %q (%v)", text, got, err)
		}
		conn.Close()
	}

	silent := connect()
	l.close()
	if n, err := silent.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes from one that is closed", n)
	}
	if conn, _ := net.Pipe(); l.take(conn) {
		t.Error("a connection is taken after the end")
	}
}
