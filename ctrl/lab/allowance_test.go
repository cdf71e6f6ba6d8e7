package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// allowanceLab has thirteen instances and names to ask for.
const allowanceLab = `
name: labtest-allowance
vpcs:
  a:
    cidr: 10.0.0.0/16
    subnets: {p: {cidr: 10.0.0.0/24, az: a}}
    instances:
INSTANCES
internet:
  hosts:
    h0: {ip: 203.0.113.80, names: [h0.example.com]}
    h1: {ip: 203.0.113.81, names: [h1.example.com]}
    h2: {ip: 203.0.113.82, names: [h2.example.com]}
`

// linkLocalAllowance is how many packets a second an interface may send to the resolver and its like, and how many at once.
const linkLocalAllowance = 1024

// TestResolverAllowance: of instances that stay below what an interface may send to the resolver, each query has its one right answer,
// together some 10,000 a second if the machine is fast enough. One that sends more loses the excess, each packet by name, and no other
// instance feels it.
func TestResolverAllowance(t *testing.T) {
	const modest, queries = 12, 2000
	instances := ""
	for i := range modest + 1 {
		instances += fmt.Sprintf("      c%d: {subnet: p}\n", i)
	}
	both(t, func(t *testing.T, offload bool) {
		b := build(t, strings.Replace(allowanceLab, "INSTANCES\n", instances, 1), offload)
		services := b.servicesAttachment()
		answered := b.deliveredBy(services)[0]
		clients := make([]*asker, modest)
		before := make([]tally, modest)
		for i := range clients {
			n := node("a", fmt.Sprint("c", i))
			clients[i], before[i] = b.asker(n, queries, 32), b.tallyOf(n)
		}
		greedy := node("a", fmt.Sprint("c", modest))
		flood, start := b.asker(greedy, 3*linkLocalAllowance, 3*linkLocalAllowance), b.tallyOf(greedy)
		sent := uint64(len(flood.answers))
		var end tally
		var most float64 // that may be delivered of the flood
		drown := func() {
			began := time.Now()
			flood.burst()
			eventually(func() bool { // each has its fate
				end = b.tallyOf(greedy)
				return end.delivered.Packets-start.delivered.Packets+end.lost()-start.lost() >= sent
			})
			most = linkLocalAllowance * (1 + time.Since(began).Seconds())
		}

		began := time.Now()
		var all sync.WaitGroup
		for _, c := range clients {
			all.Go(c.pace)
		}
		all.Go(drown)
		all.Wait()
		t.Logf("%d queries in %v: %.0f a second", modest*queries, time.Since(began), modest*queries/time.Since(began).Seconds())

		for i, c := range clients {
			c.end(queries)
			now := b.tallyOf(c.node)
			if sent := now.delivered.Packets - before[i].delivered.Packets; sent != queries || now.lost() != before[i].lost() {
				t.Errorf("%s: %d of %d queries are delivered; dropped are %v", c.node, sent, queries, now.dropped)
			}
		}
		delivered := end.delivered.Packets - start.delivered.Packets
		excess := end.dropped[flow.LinkLocalAllowance].Packets - start.dropped[flow.LinkLocalAllowance].Packets
		flood.end(int(delivered))
		if delivered+excess != sent || delivered < linkLocalAllowance || float64(delivered) > most {
			t.Errorf("of a flood of %d packets %d are delivered, and %d dropped by name; %.0f at most may be delivered", sent, delivered, excess, most)
		}
		total := answered.Packets + modest*queries + delivered
		if got := b.deliveredBy(services)[0].Packets; got != total {
			t.Errorf("the services sent %d answers, want %d", got, total)
		}
	})
}

// asker sends DNS queries from one socket of an instance and checks the answers.
type asker struct {
	bed
	node    scenario.Node
	conn    *net.UDPConn
	room    chan struct{} // holds one for each query that waits for its answer
	mu      sync.Mutex
	answers []int // to each query, by its ID
	right   int
	wrong   error // the first one
}

// asker is ready to send that many queries, at most 65,536, of which so many at most wait for their answers: a machine that is slow must
// not lose them.
func (b bed) asker(n scenario.Node, queries, waiting int) *asker {
	b.t.Helper()
	a := &asker{bed: b, node: n, room: make(chan struct{}, waiting), answers: make([]int, queries)}
	b.do(n, func() (err error) {
		a.conn, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.MustParseAddrPort("169.254.169.253:53")))
		if err != nil {
			return err
		}
		raw, err := a.conn.SyscallConn()
		if err != nil {
			return err
		}
		const size = 16 << 20 // what is lost here is lost by the instance
		forced := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size) })
		return errors.Join(forced, err)
	})
	var listening sync.WaitGroup
	listening.Go(a.listen)
	b.t.Cleanup(func() {
		a.conn.Close()
		listening.Wait()
	})
	return a
}

func (a *asker) listen() {
	buf := make([]byte, 4096)
	for {
		n, err := a.conn.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			err = a.take(buf[:n])
		}
		a.mu.Lock()
		if err == nil {
			a.right++
			<-a.room
		} else if a.wrong == nil {
			a.wrong = err
		}
		a.mu.Unlock()
	}
}

// take checks an answer.
func (a *asker) take(packed []byte) error {
	m := new(dns.Msg)
	if err := m.Unpack(packed); err != nil {
		return err
	}
	id := int(m.Id)
	if id >= len(a.answers) {
		return fmt.Errorf("an answer to query %d, which there was not", id)
	}
	a.answers[id]++
	name, addr := asks(id)
	if len(m.Answer) != 1 || m.Rcode != dns.RcodeSuccess || len(m.Question) != 1 || m.Question[0].Name != name {
		return fmt.Errorf("an answer to a query for %s: %v", name, m)
	}
	if got, ok := m.Answer[0].(*dns.A); !ok || got.A.String() != addr || a.answers[id] > 1 {
		return fmt.Errorf("answer number %d to a query for %s: %v", a.answers[id], name, m.Answer[0])
	}
	return nil
}

// asks is the name that a query of an ID asks for, and its address.
func asks(id int) (name, addr string) {
	return fmt.Sprintf("h%d.example.com.", id%3), fmt.Sprintf("203.0.113.%d", 80+id%3)
}

// send sends a query when there is room for it.
func (a *asker) send(id int) bool {
	name, _ := asks(id)
	q := new(dns.Msg).SetQuestion(name, dns.TypeA)
	q.Id = uint16(id)
	packed, err := q.Pack()
	if err == nil {
		select {
		case a.room <- struct{}{}:
			_, err = a.conn.Write(packed)
		case <-time.After(patience):
			err = fmt.Errorf("%s: no answer to any of %d queries in %v", a.node, cap(a.room), patience)
		}
	}
	if err != nil {
		a.t.Error(err)
	}
	return err == nil
}

// pace sends all queries at 850 a second at most. A ticker does not catch up: what was not sent while the machine was busy is sent later,
// and not faster.
func (a *asker) pace() {
	beat := time.NewTicker(time.Second / 850)
	defer beat.Stop()
	for id := 0; id < len(a.answers) && a.send(id); id++ {
		<-beat.C
	}
}

// burst sends all queries at once.
func (a *asker) burst() {
	for id := 0; id < len(a.answers) && a.send(id); id++ {
	}
}

// end waits for that many right answers, and fails the test unless these were all.
func (a *asker) end(want int) {
	a.t.Helper()
	count := func() (int, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.right, a.wrong
	}
	eventually(func() bool {
		right, wrong := count()
		return right >= want || wrong != nil
	})
	if right, wrong := count(); right != want || wrong != nil {
		a.t.Errorf("%s: %d right answers, want %d; a wrong one: %v", a.node, right, want, wrong)
	}
}
