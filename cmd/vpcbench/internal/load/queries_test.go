package load

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
)

// desk is a Named on the loopback interface that answers by a function of the query; nil is no answer.
type desk struct {
	server *net.UDPConn
	asked  atomic.Int64
}

func newDesk(t *testing.T, answer func(query []byte) []byte) *desk {
	server, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	d := &desk{server: server}
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := server.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			d.asked.Add(1)
			if a := answer(slices.Clone(buf[:n])); a != nil {
				server.WriteToUDPAddrPort(a, from)
			}
		}
	}()
	return d
}

func (d *desk) InClient(f func() error) error  { return f() }
func (d *desk) In(_ int, f func() error) error { return f() }
func (d *desk) Clients() int                   { return 3 }
func (d *desk) Resolver() netip.AddrPort       { return d.server.LocalAddr().(*net.UDPAddr).AddrPort() }

// echoed is a query with the header of an answer, which is all that is looked at.
func echoed(query []byte) []byte {
	query[2], query[7] = query[2]|1<<7, 1
	return query
}

func TestQueriesAreCounted(t *testing.T) {
	d := newDesk(t, echoed)
	r, err := named(t, "dns").Run(t.Context(), d, short)
	if err != nil {
		t.Fatal(err)
	}
	counted := int64(r.Rate*r.Took.Seconds() + 0.5)
	if first := int64(3 * atOnce); d.asked.Load() != counted+first {
		t.Errorf("%d queries arrived, %d are counted besides the first %d", d.asked.Load(), counted, first)
	}
	if each := r.Rate / 3; each > 1000 {
		t.Errorf("each client asked %.0f times a second", each)
	}
}

func TestWrongAnswersToQueries(t *testing.T) {
	for _, row := range []struct {
		change func([]byte) []byte
		want   string
	}{
		{func(q []byte) []byte { echoed(q); q[3] = 3; return q }, "dns: the answer has code 3 and 1 records, want 0 and 1"},
		{func(q []byte) []byte { echoed(q); q[7] = 0; return q }, "dns: the answer has code 0 and 0 records, want 0 and 1"},
		{func(q []byte) []byte { echoed(q); q[0] = 9; return q }, "dns: an answer to another query"},
		{func(q []byte) []byte { echoed(q); q[1] = 0; return q }, "dns: two answers to one query"},
		{func(q []byte) []byte { return q[:11] }, "dns: an answer of 11 bytes"},
		{func([]byte) []byte { return nil }, "dns: receive: " + errStalled.Error()},
	} {
		_, err := named(t, "dns").Run(t.Context(), newDesk(t, row.change), short)
		if err == nil || err.Error() != row.want {
			t.Errorf("got %v, want %s", err, row.want)
		}
	}
}

// closed is a desk whose second client cannot be entered.
type closed struct{ *desk }

func (c closed) In(i int, f func() error) error {
	if i == 1 {
		return errors.New("enter network namespace: no such process")
	}
	return f()
}

func TestQueriesSayWhoCannotAsk(t *testing.T) {
	d := closed{newDesk(t, echoed)}
	before := descriptors(t)
	_, err := named(t, "dns").Run(t.Context(), d, short)
	if want := "dns: enter network namespace: no such process"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
