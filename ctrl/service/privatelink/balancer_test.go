package privatelink

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/service"
)

func TestConsumersReachTheTargetsInTurn(t *testing.T) {
	b := newBed(t, one, two)
	for range 4 {
		b.exchange(b.ask(ofShop))
	}
	if want := []netip.Addr{one, two, one, two}; !slices.Equal(b.asked(), want) {
		t.Errorf("asked were %v, want %v", b.asked(), want)
	}
	b.fallIll(one)
	for range 2 {
		b.exchange(b.ask(ofShop))
	}
	if want := []netip.Addr{one, two, one, two, two, two}; !slices.Equal(b.asked(), want) {
		t.Errorf("with one of them ill asked were %v, want %v", b.asked(), want)
	}
	s := b.Stats()
	at := func(a netip.Addr) Target { return Target{shop, netip.AddrPortFrom(a, b.port)} }
	if s.Open != 6 || s.Connected[at(one)] != 2 || s.Connected[at(two)] != 4 || len(s.Refused) != 0 {
		t.Errorf("stats are %+v", s)
	}
}

func TestWhoIsNotServedIsReset(t *testing.T) {
	for name, row := range map[string]struct {
		endpoint string
		before   func(b *bed)
		refused  Refusal
		dialed   int
	}{
		"the service":                       {endpoint: ofShop, dialed: 1},
		"nobody knows who asks":             {endpoint: ofNobody, refused: UnknownCaller},
		"not by an interface endpoint":      {endpoint: "127.0.1.4", refused: UnknownCaller},
		"a service that is not there":       {endpoint: ofGone, refused: NoService},
		"a port that it does not offer":     {ofShop, func(b *bed) { b.Update([]Service{{Ref: shop, Ports: []uint16{1}, Targets: []netip.Addr{one}}}) }, NoPort, 0},
		"a service without targets":         {ofShop, func(b *bed) { b.Update([]Service{b.shop()}) }, NoTarget, 0},
		"its zone is down":                  {ofShop, func(b *bed) { b.fallIll(one, two) }, NoTarget, 0},
		"one target refuses":                {ofShop, func(b *bed) { b.unlisten(one) }, "", 2},
		"both targets refuse":               {ofShop, func(b *bed) { b.unlisten(one); b.unlisten(two) }, TargetRefused, 2},
		"of three the first two refuse":     {ofShop, func(b *bed) { b.three() }, TargetRefused, 2},
		"the only target refuses":           {ofShop, func(b *bed) { b.unlisten(one); b.Update([]Service{b.shop(one)}) }, TargetRefused, 1},
		"one target does not answer":        {ofShop, func(b *bed) { b.fallSilent(one) }, "", 2},
		"the last one refuses":              {ofShop, func(b *bed) { b.fallSilent(one); b.unlisten(two) }, TargetRefused, 2},
		"the one refuses, the other is ill": {ofShop, func(b *bed) { b.unlisten(one); b.fallIll(two) }, TargetRefused, 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, one, two)
			if row.before != nil {
				row.before(b)
			}
			c, err := b.tryAsk(row.endpoint)
			switch {
			case errors.Is(err, unix.ECONNRESET): // before the consumer looked
			case err != nil:
				t.Fatal(err)
			case row.refused != "":
				wantReset(t, c)
			default:
				b.exchange(c)
			}
			eventually(t, "the verdict", func() bool { s := b.Stats(); return s.Open == 1 || s.Refused[row.refused] == 1 })
			if told := b.told(); len(told) > 1 || len(told) == 1 && told[0] != row.refused || len(told) == 0 && row.refused != "" && row.refused != UnknownCaller {
				t.Errorf("told of are %q", told)
			}
			if s := b.Stats(); (s.Open == 1) != (row.refused == "") || len(b.asked()) != row.dialed {
				t.Errorf("stats are %+v after asking %v", s, b.asked())
			}
		})
	}
}

func (b *bed) three() {
	b.unlisten(one)
	b.unlisten(two)
	three := netip.MustParseAddr("10.1.0.3")
	b.listen(three, echo)
	b.Update([]Service{b.shop(one, two, three)})
}

func TestATargetHasItsLimit(t *testing.T) {
	b := newBed(t, one, two)
	b.Balancer.mu.Lock()
	b.most = 1
	b.Balancer.mu.Unlock()
	first := b.ask(ofShop)
	b.exchange(first) // its target has been asked before the second's is
	b.exchange(b.ask(ofShop))
	if c, err := b.tryAsk(ofShop); err == nil {
		wantReset(t, c)
	}
	if s := b.Stats(); s.Open != 2 || s.Refused[TargetFull] != 1 {
		t.Errorf("stats are %+v", s)
	}
	first.Close()
	eventually(t, "the end of the first", func() bool { return b.Stats().Open == 1 })
	b.exchange(b.ask(ofShop))
	if asked := b.asked(); asked[len(asked)-1] != asked[0] {
		t.Errorf("asked were %v, and room was at the first", asked)
	}
}

// Whose target does not answer hears nothing, whatever he says, until he ends it himself, or is idle for too long.
func TestASilentTarget(t *testing.T) {
	b := newBed(t, one)
	b.fallSilent(one)
	leaves, stays := b.ask(ofShop), b.ask(ofShop)
	eventually(t, "the verdict", func() bool { return b.Stats().Refused[TargetSilent] == 2 })
	for _, c := range []*net.TCPConn{leaves, stays} {
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
	}
	if s := b.Stats(); s.Open != 2 || len(s.Connected) != 0 {
		t.Errorf("stats are %+v", s)
	}
	if err := leaves.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(leaves); err != nil || len(text) != 0 {
		t.Errorf("who leaves hears %q, %v", text, err)
	}
	eventually(t, "its end", func() bool { return b.Stats().Open == 1 })
	b.advance(IdleTimeout)
	wantReset(t, stays)
	if s := b.Stats(); s.Expired != 1 {
		t.Errorf("stats are %+v", s)
	}
}

func TestASilentTargetsServiceGoes(t *testing.T) {
	b := newBed(t, one, two)
	b.fallSilent(one, two)
	c := b.ask(ofShop)
	eventually(t, "the verdict", func() bool { return b.Stats().Refused[TargetSilent] == 1 })
	b.Update(nil)
	wantReset(t, c)
}

// Whoever dials is told of whose connection that is.
func TestTheDialerKnowsTheConsumer(t *testing.T) {
	b := newBed(t, one)
	c := b.ask(ofShop)
	b.exchange(c)
	b.mu.Lock()
	defer b.mu.Unlock()
	if want := (Ends{service.AddrPort(c.LocalAddr()), service.AddrPort(c.RemoteAddr())}); len(b.askedBy) != 1 || b.askedBy[0] != want {
		t.Errorf("asked by %v, want %v", b.askedBy, want)
	}
}

// Bytes arrive whole, also when they fill all buffers on the way, and each direction ends by itself.
func TestBytesArriveWhole(t *testing.T) {
	b := newBed(t, one)
	data := make([]byte, 16<<20)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(data)
	c := b.ask(ofShop)
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(data)
		sent <- errors.Join(err, c.CloseWrite())
	}()
	got, err := io.ReadAll(c) // what the target sends after the consumer's FIN, and the target's own FIN
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes came back, %v", len(got), len(data), err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	eventually(t, "the end", func() bool { return b.Stats().Open == 0 })
}

func TestATargetMayEndFirst(t *testing.T) {
	b := newBed(t)
	rest := make(chan string, 1)
	b.listen(one, func(c *net.TCPConn) {
		_, _ = c.Write([]byte("bye"))
		c.CloseWrite()
		text, _ := io.ReadAll(c)
		rest <- string(text)
		c.Close()
	})
	b.Update([]Service{b.shop(one)})
	c := b.ask(ofShop)
	if text, err := io.ReadAll(c); err != nil || string(text) != "bye" {
		t.Fatalf("got %q, %v", text, err)
	}
	if _, err := c.Write([]byte("and thanks")); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if got := <-rest; got != "and thanks" {
		t.Errorf("the target got %q", got)
	}
}

// An RST of one side is one for the other.
func TestAResetGoesThrough(t *testing.T) {
	b := newBed(t)
	ended := make(chan error, 1)
	b.listen(one, func(c *net.TCPConn) {
		buf := make([]byte, 5)
		_, _ = io.ReadFull(c, buf)
		if string(buf) == "reset" {
			reset(c)
			return
		}
		_, _ = c.Write(buf)
		_, err := c.Read(buf)
		ended <- err
	})
	b.Update([]Service{b.shop(one)})
	byTarget := b.ask(ofShop)
	if _, err := byTarget.Write([]byte("reset")); err != nil {
		t.Fatal(err)
	}
	wantReset(t, byTarget)
	byConsumer := b.ask(ofShop)
	b.exchange(byConsumer)
	reset(byConsumer)
	if err := <-ended; !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the target's connection ended with %v, want an RST", err)
	}
}

// The clock is the lab's: it moves only as the test says.
func TestAnIdleConnectionIsReset(t *testing.T) {
	b := newBed(t)
	ended := make(chan error, 2)
	b.listen(one, func(c *net.TCPConn) {
		_, err := io.Copy(c, c)
		ended <- err
	})
	b.Update([]Service{b.shop(one)})
	busy, idle := b.ask(ofShop), b.ask(ofShop)
	b.exchange(busy)
	b.exchange(idle)
	b.advance(IdleTimeout - time.Second)
	b.exchange(busy)
	if s := b.Stats(); s.Open != 2 || s.Expired != 0 {
		t.Fatalf("too early: %+v", s)
	}
	b.advance(time.Second)
	wantReset(t, idle)
	if err := <-ended; !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the target's side ended with %v, want an RST", err)
	}
	b.exchange(busy)
	eventually(t, "the end", func() bool { return b.Stats().Open == 1 })
	b.advance(10 * IdleTimeout)
	wantReset(t, busy)
	if s := b.Stats(); s.Expired != 2 {
		t.Errorf("stats are %+v", s)
	}
}

func TestUpdateSparesWhatStays(t *testing.T) {
	b := newBed(t, one, two)
	c := b.ask(ofShop)
	b.exchange(c)
	b.Update([]Service{b.shop(two)})
	b.exchange(c)
	b.exchange(b.ask(ofShop))
	if want := []netip.Addr{one, two}; !slices.Equal(b.asked(), want) {
		t.Errorf("asked were %v, want %v", b.asked(), want)
	}
	b.Update(nil)
	wantReset(t, c)
	if c, err := b.tryAsk(ofShop); err == nil {
		wantReset(t, c)
	}
	if s := b.Stats(); s.Refused[NoService] != 1 {
		t.Errorf("stats are %+v", s)
	}
}

// A connection does not outlive its target's health, unless every target is ill.
func TestConnectionsOfAnIllTarget(t *testing.T) {
	b := newBed(t, one, two)
	first := b.ask(ofShop)
	b.exchange(first) // its turn is over
	second := b.ask(ofShop)
	b.exchange(second)
	b.fallIll(one)
	b.Update([]Service{b.shop(one, two)})
	wantReset(t, first)
	b.exchange(second)
	b.fallIll(two)
	b.Update([]Service{b.shop(one, two)})
	b.exchange(second)
}

func TestCloseEndsAll(t *testing.T) {
	b := newBed(t, one)
	c := b.ask(ofShop)
	b.exchange(c)
	b.Close()
	wantReset(t, c)
	if late, err := b.tryAsk(ofShop); err == nil { // else it was reset before its end knew that it was there
		wantReset(t, late)
	}
	if got := b.Stats().Refused[Closed]; got != 1 {
		t.Errorf("%d were refused after the close", got)
	}
}
