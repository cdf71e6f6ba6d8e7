package check

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/ctrl/vpc"
	"github.com/vpclab/vpclab/dataplane/flow"
)

func tcpTo(a netip.Addr, port uint16) scenario.Do {
	return scenario.Do{Verb: scenario.TCP, Addr: a, Port: port}
}

func udpTo(a netip.Addr, port uint16) scenario.Do {
	return scenario.Do{Verb: scenario.UDP, Addr: a, Port: port}
}

func pageAt(a netip.Addr, port uint16) scenario.Do {
	return scenario.Do{Verb: scenario.HTTP, Addr: a, Port: port, URL: fmt.Sprintf("http://%s/", netip.AddrPortFrom(a, port))}
}

func say(name string) scenario.Do { return scenario.Do{Verb: scenario.Say, Held: name} }

func closing(name string) scenario.Do { return scenario.Do{Verb: scenario.Close, Held: name} }

func run(t *testing.T, r *Runner, c scenario.Check) Result {
	t.Helper()
	c.From = client
	return r.Run(t.Context(), &c)
}

// want fails unless the check ended like this; detail is a part of the sentence.
func want(t *testing.T, r Result, pass bool, got scenario.Outcome, detail string) {
	t.Helper()
	if r.Pass != pass || r.Got != got || !strings.Contains(r.Detail, detail) {
		t.Errorf("pass %v, got %q, %q; want pass %v, got %q, %q", r.Pass, r.Got, r.Detail, pass, got, detail)
	}
}

// A program of the file's own needs a moment before it listens.
func TestARefusalByAProgramThatStartsIsTriedAgain(t *testing.T) {
	refused := func(port uint16) scenario.Do { return scenario.Do{Verb: scenario.TCP, Port: port, Addr: local4} }
	t.Run("until it listens", func(t *testing.T) {
		r, port, asked := start(t, &twin{}), freePort(t, "tcp"), 0
		r.Starting = func(a netip.Addr) bool {
			if asked++; asked == 2 {
				s, err := Serve(t.Context(), &twin{}, client, []vpc.Listener{{Kind: "tcp", Port: port}})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { s.Close() })
			}
			return a == local4
		}
		want(t, run(t, r, scenario.Check{Do: refused(port)}), true, scenario.OK, "")
	})
	t.Run("for as long as the check may wait", func(t *testing.T) {
		r, asked := start(t, &twin{}), 0
		r.Starting = func(netip.Addr) bool { asked++; return true }
		got := run(t, r, scenario.Check{Do: refused(freePort(t, "tcp")), Wait: 3 * patience})
		want(t, got, false, scenario.Refused, "expected ok, got refused")
		if asked == 0 || got.MS < 2*float64(patience/time.Millisecond) {
			t.Errorf("asked %d times, tried for %v ms", asked, got.MS)
		}
	})
	t.Run("not when nothing starts there", func(t *testing.T) {
		r := start(t, &twin{})
		r.Starting = func(netip.Addr) bool { return false }
		want(t, run(t, r, scenario.Check{Do: refused(freePort(t, "tcp")), Wait: time.Hour}), false, scenario.Refused, "expected ok, got refused")
	})
	t.Run("not when the refusal is expected", func(t *testing.T) {
		r := start(t, &twin{})
		r.Starting = func(netip.Addr) bool { return true }
		c := scenario.Check{Do: refused(freePort(t, "tcp")), Expect: scenario.Expect{Outcome: scenario.Refused}, Wait: time.Hour}
		want(t, run(t, r, c), true, scenario.Refused, "")
	})
}

func TestListenersAnswerEveryProtocolAndFamily(t *testing.T) {
	r := start(t, &twin{})
	tcp, udp, web := serve(t, "tcp"), serve(t, "udp"), serve(t, "http")
	for _, addr := range []netip.Addr{local4, local6, netip.MustParseAddr("127.0.0.2")} {
		from := addr
		if addr.Is4() {
			from = local4 // Linux answers 127.0.0.2 from 127.0.0.1 unless the client is bound
		}
		for _, do := range []scenario.Do{tcpTo(addr, tcp), udpTo(addr, udp), pageAt(addr, web), tcpTo(addr, web)} {
			t.Run(fmt.Sprintf("%s to %s port %d", do.Verb, addr, do.Port), func(t *testing.T) {
				result := run(t, r, scenario.Check{Do: do, SeenAs: from})
				want(t, result, true, scenario.OK, "")
				if result.SeenAs != from.String() {
					t.Errorf("seen as %q, want %s", result.SeenAs, from)
				}
			})
		}
	}
}

func TestRefused(t *testing.T) {
	r := start(t, &twin{})
	want(t, run(t, r, scenario.Check{Do: tcpTo(local4, closedPort(t, unix.SOCK_STREAM)), Expect: scenario.Expect{Outcome: scenario.Refused}}),
		true, scenario.Refused, "RST in answer to the SYN")
	want(t, run(t, r, scenario.Check{Do: udpTo(local4, closedPort(t, unix.SOCK_DGRAM)), Expect: scenario.Expect{Outcome: scenario.Refused}}),
		true, scenario.Refused, "ICMP port unreachable from 127.0.0.1")
	want(t, run(t, r, scenario.Check{Do: pageAt(local4, closedPort(t, unix.SOCK_STREAM))}),
		false, scenario.Refused, "expected ok, got refused: RST in answer to the SYN")
}

func TestReset(t *testing.T) {
	r := start(t, &twin{})
	port := foreign(t, func(c *net.TCPConn) {
		readLine(c)
		c.SetLinger(0)
	})
	want(t, run(t, r, scenario.Check{Do: tcpTo(local4, port), Expect: scenario.Expect{Outcome: scenario.Reset}}),
		true, scenario.Reset, "RST on the established connection")
	r.lab.(*twin).denied = []string{"endpoint service data/shop: no target is healthy"}
	if got := run(t, r, scenario.Check{Do: tcpTo(local4, port), Expect: scenario.Expect{Outcome: scenario.Reset}}); len(got.Denials) != 1 {
		t.Errorf("a service that resets it says why: %q", got.Denials)
	}
	want(t, run(t, r, scenario.Check{Do: pageAt(local4, port), Expect: scenario.Expect{Outcome: scenario.Reset}}), true, scenario.Reset, "RST")
}

func TestListenersOfAnotherProtocolAreOKOnceAnythingComesBack(t *testing.T) {
	r := start(t, &twin{})
	rows := []struct {
		name, detail string
		talk         func(*net.TCPConn)
	}{
		{"a banner without a newline", "another protocol", func(c *net.TCPConn) { io.WriteString(c, "SSH-2.0"); untilClosed(c) }},
		{"a FIN at once", "the other side closed", func(c *net.TCPConn) { readLine(c) }},
		{"a line of its own", "another protocol", func(c *net.TCPConn) { readLine(c); io.WriteString(c, "400 what?\n"); untilClosed(c) }},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			want(t, run(t, r, scenario.Check{Do: tcpTo(local4, foreign(t, row.talk))}), true, scenario.OK, row.detail)
		})
	}
}

func TestASilentListenerTimesOutAfterWait(t *testing.T) {
	r := start(t, &twin{})
	port := foreign(t, func(c *net.TCPConn) { untilClosed(c) })
	result := run(t, r, scenario.Check{Do: tcpTo(local4, port), Wait: 150 * time.Millisecond, Expect: scenario.Expect{Outcome: scenario.Timeout}})
	want(t, result, true, scenario.Timeout, "no answer within 150ms")
	if result.MS < 150 {
		t.Errorf("it ended after %v ms, before its wait", result.MS)
	}
}

func TestDroppedPacketsEndACheckEarly(t *testing.T) {
	lab := &twin{}
	r := start(t, lab)
	port := foreign(t, func(c *net.TCPConn) {
		readLine(c)
		lab.drop(droppedBySG) // the answer
		untilClosed(c)
	})
	result := run(t, r, scenario.Check{
		Do: tcpTo(local4, port), Expect: scenario.Expect{Outcome: scenario.Timeout}, Because: "ENI_SG_RULES_MISMATCH", At: "sg-in",
	})
	want(t, result, true, scenario.Timeout, "dropped at web/sg-in for ENI_SG_RULES_MISMATCH")
	if result.MS < 500 || result.MS > 3000 {
		t.Errorf("it took %v ms, want about 500", result.MS)
	}
	if result.Reason != flow.SGRulesMismatch || result.At != "web/sg-in" || len(result.Drops) != 1 {
		t.Errorf("the result tells of %v at %q, %d drops", result.Reason, result.At, len(result.Drops))
	}
}

// The lab is asked about the very connection: our own address and port, as the kernel chose them.
func TestTheLabIsAskedAboutTheConnection(t *testing.T) {
	lab := &twin{}
	r := start(t, lab)
	peers := make(chan netip.AddrPort, 1)
	port := foreign(t, func(c *net.TCPConn) {
		peers <- endOf(c.RemoteAddr())
		readLine(c)
		io.WriteString(c, "hello\n")
	})
	want(t, run(t, r, scenario.Check{Do: tcpTo(local4, port)}), true, scenario.OK, "")
	peer := <-peers
	asked := lab.asked[len(lab.asked)-1]
	if expected := flow.MakeTuple(flow.TCP, peer.Addr(), peer.Port(), local4, port); asked != expected {
		t.Errorf("asked about %v, want %v", asked, expected)
	}
}

func TestHTTP(t *testing.T) {
	r := start(t, &twin{})
	answer := func(text string) uint16 {
		return foreign(t, func(c *net.TCPConn) { readLine(c); io.WriteString(c, text) })
	}
	missing := answer("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno")
	moved := answer("HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n")
	hi, no := "hi", "no"
	rows := []struct {
		name   string
		port   uint16
		expect scenario.Expect
		pass   bool
		got    scenario.Outcome
		detail string
	}{
		{"404 is not ok", missing, scenario.Expect{}, false, Failed, "expected ok, got failed: status 404"},
		{"404 is what was asked for", missing, scenario.Expect{Outcome: scenario.OK, Status: 404}, true, scenario.OK, "status 404"},
		{"another status", missing, scenario.Expect{Outcome: scenario.OK, Status: 403}, false, Failed, "expected status 403, got failed: status 404"},
		{"a redirect is ok and not followed", moved, scenario.Expect{}, true, scenario.OK, "status 302"},
		{"the body", missing, scenario.Expect{Status: 404, Body: &no}, true, scenario.OK, ""},
		{"another body", missing, scenario.Expect{Status: 404, Body: &hi}, false, scenario.OK, `expected body "hi", got "no"`},
		{"not HTTP", answer("SSH-2.0-x\r\n"), scenario.Expect{}, false, Failed, "the answer is not HTTP"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			want(t, run(t, r, scenario.Check{Do: pageAt(local4, row.port), Expect: row.expect}), row.pass, row.got, row.detail)
		})
	}
	ftp := run(t, r, scenario.Check{Do: scenario.Do{Verb: scenario.HTTP, Addr: local4, Port: 21, URL: "ftp://127.0.0.1/"}})
	want(t, ftp, false, "", `scheme "ftp" is not supported; use http or https`)
}

func TestHeldConnections(t *testing.T) {
	for _, kind := range []string{"tcp", "udp", "http"} {
		t.Run(kind, func(t *testing.T) {
			r := start(t, &twin{})
			do := tcpTo(local4, serve(t, kind))
			if kind == "udp" {
				do.Verb = scenario.UDP
			}
			first := run(t, r, scenario.Check{Do: do, Keep: "ssh"})
			want(t, first, true, scenario.OK, "seen as 127.0.0.1:")
			second := run(t, r, scenario.Check{Do: say("ssh"), SeenAs: local4})
			want(t, second, true, scenario.OK, first.Detail) // the same source port: the same connection
			want(t, run(t, r, scenario.Check{Do: do, Keep: "ssh"}), false, "", "keep ssh: a connection of that name is still open")
			want(t, run(t, r, scenario.Check{Do: closing("ssh")}), true, scenario.OK, "")
			want(t, run(t, r, scenario.Check{Do: say("ssh")}), false, "", "say ssh: no connection is held under that name")
		})
	}
}

func TestHeldConnectionsEndWithTheRunnerByFIN(t *testing.T) {
	ends := make(chan error, 1)
	port := foreign(t, func(c *net.TCPConn) {
		readLine(c)
		io.WriteString(c, "hello\n")
		_, err := c.Read(make([]byte, 1))
		ends <- err
	})
	r := NewRunner(&twin{})
	want(t, run(t, r, scenario.Check{Do: tcpTo(local4, port), Keep: "x"}), true, scenario.OK, "")
	r.Close()
	if err := <-ends; err != io.EOF {
		t.Errorf("the listener got %v, want the end of the stream", err)
	}
}

func TestSayOnAConnectionThatIsGone(t *testing.T) {
	rows := []struct {
		name, detail string
		end          func(*net.TCPConn)
	}{
		{"RST", "RST on the established connection", func(c *net.TCPConn) { c.SetLinger(0) }},
		{"FIN", "the other side had closed the connection", func(*net.TCPConn) {}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := start(t, &twin{})
			port := foreign(t, func(c *net.TCPConn) {
				b := make([]byte, maxLine)
				n, _ := c.Read(b)
				token, _ := tokenIn(b[:n])
				io.WriteString(c, formatAnswer(token, endOf(c.RemoteAddr()), endOf(c.LocalAddr())))
				readLine(c)
				row.end(c)
			})
			want(t, run(t, r, scenario.Check{Do: tcpTo(local4, port), Keep: "x"}), true, scenario.OK, "")
			want(t, run(t, r, scenario.Check{Do: say("x"), Expect: scenario.Expect{Outcome: scenario.Reset}}), true, scenario.Reset, row.detail)
			want(t, run(t, r, scenario.Check{Do: closing("x")}), false, "", "close x: no connection is held under that name")
		})
	}
}

// A listener that is not ours may answer as it likes, but once it has closed, no line is exchanged with it any more: neither its FIN nor the
// rest of what it had answered before is an answer.
func TestSayToAForeignListener(t *testing.T) {
	const gone = "the other side had closed the connection"
	for _, row := range []struct {
		name   string
		listen func(*net.TCPConn)
		kept   string // what the first check says
		rest   int    // bytes of the first answer that it does not read
		want   scenario.Outcome
		detail string
	}{
		{"it closes", readOnce, "the other side closed", 0, scenario.Reset, gone},
		{"it answers at length and closes", answer(600), "another protocol", 88, scenario.Reset, gone},
		{"it closes after the second line", func(c *net.TCPConn) { answer(1)(c); readLine(c) }, "another protocol", 0, scenario.Reset, gone},
		{"it answers each line", func(c *net.TCPConn) { answer(1)(c); answer(1)(c); untilClosed(c) }, "another protocol", 0, scenario.OK, "another protocol"},
		{"it answers at length, but once", func(c *net.TCPConn) { answer(600)(c); untilClosed(c) }, "another protocol", 88, scenario.Timeout, "no answer"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := start(t, &twin{})
			port := foreign(t, row.listen)
			want(t, run(t, r, scenario.Check{Do: tcpTo(local4, port), Keep: "x"}), true, scenario.OK, row.kept)
			// What the rest of the answer does is tried with all of it there.
			waiting := func() bool {
				fd := r.held["x"].socket.fd
				n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
				poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
				_, pollErr := unix.Poll(poll, 0)
				ends := row.rest > 0 && row.want == scenario.Reset
				return err == nil && pollErr == nil && n == row.rest && (!ends || poll[0].Revents&unix.POLLRDHUP != 0)
			}
			for deadline := time.Now().Add(5 * time.Second); !waiting() && time.Now().Before(deadline); {
				runtime.Gosched()
			}
			if !waiting() {
				t.Fatalf("%d bytes of the first answer did not come", row.rest)
			}
			again := scenario.Check{Do: say("x"), Wait: 300 * time.Millisecond, Expect: scenario.Expect{Outcome: row.want}}
			want(t, run(t, r, again), true, row.want, row.detail)
			if _, held := r.held["x"]; held != (row.want != scenario.Reset) {
				t.Errorf("it is still held: %v", held)
			}
		})
	}
}

func readOnce(c *net.TCPConn) { readLine(c) }

// answer reads once and sends so many bytes, which are no line of ours.
func answer(size int) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		readLine(c)
		io.WriteString(c, strings.Repeat("?", size))
	}
}

// The answer to a line that was given up may come after all: it is not taken for the answer to the next line.
func TestSayPassesOverALateAnswer(t *testing.T) {
	end := netip.AddrPortFrom(local4, 1)
	port := foreign(t, func(c *net.TCPConn) {
		lines, owed := bufio.NewReader(c), ""
		for n := 0; ; n++ {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			answer := formatAnswer(strings.Fields(line)[1], end, end)
			if n == 1 {
				owed = answer
				continue
			}
			io.WriteString(c, owed+answer)
			owed = ""
		}
	})
	r := start(t, &twin{})
	want(t, run(t, r, scenario.Check{Do: tcpTo(local4, port), Keep: "x"}), true, scenario.OK, "seen as")
	patience := 100 * time.Millisecond
	want(t, run(t, r, scenario.Check{Do: say("x"), Wait: patience, Expect: scenario.Expect{Outcome: scenario.Timeout}}), true, scenario.Timeout, "")
	for range 2 {
		want(t, run(t, r, scenario.Check{Do: say("x"), SeenAs: local4}), true, scenario.OK, "seen as")
	}
}

func TestSayTimesOutByItsOwnDrops(t *testing.T) {
	lab := &twin{}
	r := start(t, lab)
	port := foreign(t, func(c *net.TCPConn) {
		readLine(c)
		io.WriteString(c, "once\n")
		untilClosed(c)
	})
	want(t, run(t, r, scenario.Check{Do: tcpTo(local4, port), Keep: "x"}), true, scenario.OK, "")
	lab.drop(Drop{Reason: flow.NoTrackedConnection, At: "web/sg-in"})
	want(t, run(t, r, scenario.Check{Do: say("x"), Expect: scenario.Expect{Outcome: scenario.Timeout}, Because: "NO_TRACKED_CONNECTION"}),
		true, scenario.Timeout, "dropped at web/sg-in")
}

func TestBecauseIsWaitedFor(t *testing.T) {
	lab := &twin{}
	r := start(t, lab)
	port := serve(t, "tcp")
	c := scenario.Check{Do: tcpTo(local4, port), Because: "ENI_SG_RULES_MISMATCH"}
	want(t, run(t, r, c), false, scenario.OK, "expected a packet dropped for ENI_SG_RULES_MISMATCH, but none was")
	late := time.AfterFunc(100*time.Millisecond, func() { lab.drop(droppedBySG) })
	defer late.Stop()
	want(t, run(t, r, c), true, scenario.OK, "")
}

func TestAGivenUpRunIsAnError(t *testing.T) {
	port := foreign(t, func(c *net.TCPConn) { untilClosed(c) })
	programs := []scenario.Do{tcpTo(local4, port), pageAt(local4, port), {Verb: scenario.Exec, Argv: []string{"sleep", "60"}}}
	for _, do := range programs {
		r := start(t, &twin{})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		result := r.Run(ctx, &scenario.Check{From: client, Do: do})
		if result.Pass || !errors.Is(result.Err, context.DeadlineExceeded) {
			t.Errorf("%s: pass %v, error %v; want the context's", do.Verb, result.Pass, result.Err)
		}
	}
}

// A lab that cannot enter a namespace.
type brokenLab struct{ twin }

func (*brokenLab) Do(scenario.Node, func() error) error { return errors.New("no such namespace") }

func TestABrokenLabIsNotATimeout(t *testing.T) {
	r := start(t, &brokenLab{})
	want(t, run(t, r, scenario.Check{Do: tcpTo(local4, 1)}), false, "", "open socket in app/web: no such namespace")
	if _, err := StartProgram(&brokenLab{}, client, []string{"true"}, ""); err == nil || err.Error() != "start true in app/web: no such namespace" {
		t.Errorf("got %v", err)
	}
	want(t, run(t, r, scenario.Check{Do: scenario.Do{Verb: "shout"}}), false, "", `verb "shout" is not supported`)
}
