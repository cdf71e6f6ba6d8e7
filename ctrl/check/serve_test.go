package check

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

func TestServeErrors(t *testing.T) {
	taken, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := uint16(taken.Addr().(*net.TCPAddr).Port)
	for _, row := range []struct {
		listener vpc.Listener
		message  string
	}{
		{vpc.Listener{Kind: "tcp", Port: port}, fmt.Sprintf("serve tcp %d in app/web: listen tcp :%d: bind: address already in use", port, port)},
		{vpc.Listener{Kind: "sctp", Port: 9}, `serve sctp 9 in app/web: unknown kind "sctp"; use tcp, udp or http`},
	} {
		// The first listener must be closed again when the second fails.
		free := freePort(t, "tcp")
		if _, err := Serve(t.Context(), &twin{}, client, []vpc.Listener{{Kind: "tcp", Port: free}, row.listener}); err == nil || err.Error() != row.message {
			t.Errorf("got %v, want %s", err, row.message)
		}
		again, err := net.Listen("tcp", fmt.Sprintf(":%d", free))
		if err != nil {
			t.Errorf("the first listener is left open: %v", err)
			continue
		}
		again.Close()
	}
}

func TestHTTPListenerAnswersLikeTheLineProtocol(t *testing.T) {
	port := serve(t, "http")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	answer, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/any/path?x=y", port))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var got map[string]any
	if err := json.NewDecoder(answer.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	sourcePort, _ := got["source_port"].(float64)
	if got["source"] != "127.0.0.1" || got["local"] != "127.0.0.1" || got["local_port"] != float64(port) || sourcePort == 0 || answer.StatusCode != 200 {
		t.Errorf("status %d, %v", answer.StatusCode, got)
	}
	posted, err := client.Post(fmt.Sprintf("http://127.0.0.1:%d/", port), "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	posted.Body.Close()
	if posted.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d", posted.StatusCode)
	}
}

// A node with several addresses must answer a datagram from the one that was asked: on a connected socket no other answer arrives.
func TestUDPAnswersFromTheAddressThatWasAsked(t *testing.T) {
	port := serve(t, "udp")
	for _, asked := range []string{"127.0.0.1", "127.0.0.2", "127.1.2.3", "::1"} {
		local := "127.0.0.5:0"
		if asked == "::1" {
			local = "[::1]:0"
		}
		dialer := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.MustParseAddrPort(local))}
		conn, err := dialer.Dial("udp", netip.AddrPortFrom(netip.MustParseAddr(asked), port).String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		io.WriteString(conn, "not ours\n") // no answer to this one
		io.WriteString(conn, "vpclab abc\n")
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil {
			t.Fatalf("%s: %v", asked, err)
		}
		me := conn.LocalAddr().(*net.UDPAddr).AddrPort()
		if expected := formatAnswer("abc", me, netip.AddrPortFrom(netip.MustParseAddr(asked), port)); line != expected {
			t.Errorf("got %q, want %q", line, expected)
		}
	}
}

func TestATCPListenerClosesOnAnythingElse(t *testing.T) {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", serve(t, "tcp")))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	io.WriteString(conn, "vpclab one\nvpclab two\nEHLO\n")
	all, err := io.ReadAll(conn)
	lines := strings.Split(string(all), "\n")
	if err != nil || len(lines) != 3 || !strings.HasPrefix(lines[0], "one 127.0.0.1 ") || !strings.HasPrefix(lines[1], "two 127.0.0.1 ") {
		t.Errorf("%v, %q", err, lines)
	}
}

func TestParseAnswer(t *testing.T) {
	for line, ok := range map[string]bool{
		"tok 10.0.0.5 40000 10.0.1.9 80":     true,
		"tok 2001:db8::1 1 2001:db8::2 2":    true,
		"other 10.0.0.5 40000 10.0.1.9 80":   false,
		"tok 10.0.0.5 40000 10.0.1.9":        false,
		"tok 10.0.0.5 70000 10.0.1.9 80":     false,
		"tok 10.0.0.500 40000 10.0.1.9 80":   false,
		"tok 10.0.0.5 40000 ten.0.1.9 80":    false,
		"tok 10.0.0.5 40000 10.0.1.9 eighty": false,
		"":                                   false,
	} {
		source, got := parseAnswer(line, "tok")
		if f := strings.Fields(line); got != ok || ok && (source.Addr().String() != f[1] || fmt.Sprint(source.Port()) != f[2]) {
			t.Errorf("%q: %v, %s", line, got, source)
		}
	}
}
