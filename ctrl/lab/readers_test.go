package lab

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/compile"
	"github.com/vpclab/vpclab/ctrl/lab/labtest"
	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/engine"
	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/netdev"
	"github.com/vpclab/vpclab/dataplane/packet"
)

// The table has what the promise asks of it: both families, every kind of packet, and for each row a name of its own.
func TestTable(t *testing.T) {
	names, deciders, reasons := map[string]bool{}, map[decider]int{}, map[flow.Reason]bool{}
	families := map[byte]int{}
	for _, r := range table() {
		if names[r.name] {
			t.Errorf("two rows are called %q", r.name)
		}
		names[r.name] = true
		deciders[r.by]++
		reasons[r.reason] = true
		families[r.packet.Bytes()[0]>>4]++
	}
	if len(names) < 60 || families[4] < 30 || families[6] < 20 || len(deciders) != 4 {
		t.Errorf("%d rows, by version %v, by decider %v", len(names), families, deciders)
	}
	for _, info := range flow.Reasons() {
		switch info.Reason {
		case flow.UpcallQueueFull, flow.FlowTableFull, flow.DeliveryFailed: // no property of a packet; other tests make them happen
		case flow.FragmentIncomplete: // what did not come in 30 s: TestFragmentsWait
		case flow.EIGWFamily: // no scenario may route IPv4 there, as is checked below
		case flow.LinkQueueFull, flow.LinkLoss, flow.LinkBroken: // what a link does to packets that the walk lets pass: peering_test.go
		case flow.AZDown: // no property of a packet: scenarios/endpoints
		case flow.LinkLocalAllowance: // takes 1,024 packets before: dataplane/engine
		case flow.NATPortExhausted: // takes 55,000 connections before: gateways_nat_test.go
		default:
			if !reasons[info.Reason] {
				t.Errorf("no row for %s", info.Code)
			}
		}
	}
	astray := strings.Replace(tableLab, "0.0.0.0/0: nat.out", "0.0.0.0/0: eigw", 1)
	if _, err := scenario.Parse("test.yaml", []byte(astray)); err == nil || !strings.Contains(err.Error(), "carries IPv6 traffic only") {
		t.Errorf("IPv4 may be routed to an egress-only gateway: %v", err)
	}
}

// The first reader is the engine alone: the first packet of a flow and one that finds it there have one fate, and so does the
// walk that explains them by what the engine remembers.
func TestTableByEngineAndExplanation(t *testing.T) {
	plan := compile.Compile(parse(t, tableLab).Model, nil)
	attachments := map[string]uint32{}
	for _, a := range plan.Network.Attachments {
		if a != nil {
			attachments[a.Name()] = a.Index
		}
	}
	for _, r := range table() {
		if r.by == byDoor {
			continue // the engine never meets it
		}
		t.Run(r.name, func(t *testing.T) {
			x := newExplained(t, plan.Network, attachments)
			for n := range 2 {
				if n == 0 || r.piece {
					x.before(r.nth(n))
				}
				x.handles(r.nth(n))
			}
			x.explains(r.nth(1))
		})
	}
}

// explained is an engine without devices.
type explained struct {
	t           *testing.T
	network     *fabric.Network
	attachments map[string]uint32
	memory      flow.Memory
	engine      *engine.Engine
	now         int64
}

func newExplained(t *testing.T, n *fabric.Network, attachments map[string]uint32) *explained {
	x := &explained{t: t, network: n, attachments: attachments, memory: flow.NewMemory(64, 32), now: int64(time.Hour)}
	var err error
	if x.engine, err = engine.New(engine.Config{Network: n, Memory: x.memory, Rate: 1}); err != nil {
		t.Fatal(err)
	}
	return x
}

// send hands the engine a packet, and returns what everybody hears of it.
func (x *explained) send(from string, b []byte) map[uint32][][]byte {
	x.now += int64(time.Microsecond)
	out := []uint32{0}
	emitted := x.engine.Handle(x.now, x.attachments[from], [][]byte{b}, out)
	heard := map[uint32][][]byte{}
	if out[0] != 0 {
		heard[out[0]] = [][]byte{b} // edited in place
	}
	for _, e := range emitted {
		heard[e.Out] = append(heard[e.Out], e.Frame[netdev.Headroom:])
	}
	return heard
}

// before sends what comes before a row's packet.
func (x *explained) before(r row) {
	x.t.Helper()
	for _, s := range r.before {
		if len(x.send(s.from, s.packet.Bytes())) == 0 {
			x.t.Fatalf("what comes before was dropped: %x", s.packet.Bytes())
		}
	}
}

// handles sends a row's packet and checks its fate and its count.
func (x *explained) handles(r row) {
	x.t.Helper()
	before := fateOf(x.memory, x.engine.Stats(), x.attachments[r.from])
	got := x.send(r.from, r.packet.Bytes())
	want := map[uint32][][]byte{}
	for _, p := range r.arrives {
		want[x.attachments[r.to]] = append(want[x.attachments[r.to]], p.Bytes())
	}
	for _, p := range r.told {
		want[x.attachments[r.from]] = append(want[x.attachments[r.from]], p.Bytes())
	}
	if !maps.EqualFunc(got, want, func(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }) {
		x.t.Errorf("attachments hear\n%x, want\n%x", got, want)
	}
	if got, want := fateOf(x.memory, x.engine.Stats(), x.attachments[r.from]).since(before), r.fate(1); !maps.Equal(got, want) {
		x.t.Errorf("counted %v, want %v", got, want)
	}
}

// explains walks the row's packet and reads the engine's journal: both name the fate that the packet had.
func (x *explained) explains(r row) {
	x.t.Helper()
	var info, quoted packet.Info
	b := r.packet.Bytes()
	if r.at == "" && r.to == "" {
		// Nothing to explain but the reason itself.
		if r.reason != flow.MalformedPacket && r.reason != flow.TTLExpired {
			x.t.Errorf("%s without a hop", r.reason)
		}
		return
	}
	if !packet.Decode(b, &info) {
		x.t.Fatalf("malformed: %x", b)
	}
	conversation := info.Tuple
	p := fabric.Packet{
		Tuple: info.Tuple, Length: info.Length, TTL: info.TTL, TCPFlags: info.TCPFlags, ICMPType: info.ICMPType, ICMPCode: info.ICMPCode,
		MayFragment: info.Tuple.Family == 4 && !info.DontFragment,
	}
	if info.ICMPError {
		if !packet.Quoted(b, &info, &quoted) {
			x.t.Fatalf("quotes nothing: %x", b)
		}
		p.Error, p.Quoted = true, quoted.Tuple
		conversation = quoted.Tuple
	}
	if r.to == "" {
		told := x.engine.Drops(0, conversation)
		if len(told) == 0 {
			x.t.Fatal("the journal does not tell of it")
		}
		tells(x.t, r, &told[0].Path)
	}
	if info.Fragment {
		return // judged as its datagram, which is walked as a packet of its own
	}
	var path fabric.Path
	x.network.Walk(p, x.network.Attachments[x.attachments[r.from]], x.engine, &path)
	tells(x.t, r, &path)
	if r.to != "" {
		arrives := r.arrives[0].Bytes()
		if !packet.Decode(arrives, &info) || path.Tuple != info.Tuple {
			x.t.Errorf("explained to arrive as %s, want %s", path.Tuple, info.Tuple)
		}
	}
}

// tells checks that a path has the row's fate, and that its last line says so.
func tells(t *testing.T, r row, p *fabric.Path) {
	t.Helper()
	lines := p.Lines()
	last := lines[len(lines)-1]
	if r.to != "" {
		if p.Verdict != flow.Deliver || !strings.HasPrefix(last, r.to+"/deliver: ") {
			t.Errorf("explained by\n%s", strings.Join(lines, "\n"))
		}
		return
	}
	if p.Verdict != flow.Drop || p.Reason != r.reason || p.At() != r.at || !strings.HasPrefix(last, r.at+": ") ||
		!strings.HasSuffix(last, " -- "+r.reason.String()) {
		t.Errorf("want %s at %s, explained by\n%s", r.reason, r.at, strings.Join(lines, "\n"))
	}
}

// fate counts an attachment's packets by what became of them: "delivered", "control", or the reason of their drop.
type fate map[string]uint64

const delivered, control = "delivered", "control"

func fateOf(m flow.Memory, s engine.Stats, attachment uint32) fate {
	f := fate{delivered: s.Delivered[attachment].Packets}
	for _, info := range flow.Reasons() {
		f[info.Code] = m.Drop(attachment, info.Reason).Read().Packets
	}
	f[control] = f[flow.None.String()]
	delete(f, flow.None.String())
	return f
}

// since is what was added.
func (f fate) since(before fate) fate {
	added := fate{}
	for what, n := range f {
		if n != before[what] {
			added[what] = n - before[what]
		}
	}
	return added
}

// total counts every packet.
func (f fate) total() uint64 {
	var n uint64
	for _, v := range f {
		n += v
	}
	return n
}

// fate is what n packets of the row are counted as.
func (r row) fate(n uint64) fate {
	switch {
	case r.to != "":
		return fate{delivered: n}
	case r.reason == flow.None:
		return fate{control: n}
	}
	return fate{r.reason.String(): n}
}

// The other readers are the kernel and the fast path, on the wire: each packet is sent three times by its guest. The first goes
// to the engine; if the fast path can recognise the flow, the engine never sees the others, and their fate is the same.
func TestTableOnTheWire(t *testing.T) {
	both(t, func(t *testing.T, offload bool) {
		w := newWires(t, offload)
		for _, r := range table() {
			t.Run(r.name, func(t *testing.T) { w.run(t, r) })
		}
	})
}

// wires are taps at every guest of the table's lab, whose kernels keep silent.
type wires struct {
	bed
	offload bool
	nodes   map[string]scenario.Node
	taps    map[string]*labtest.Tap
	indices map[string]uint32
}

func newWires(t *testing.T, offload bool) *wires {
	w := &wires{bed: build(t, tableLab, offload), offload: offload, taps: map[string]*labtest.Tap{}, indices: map[string]uint32{}}
	w.nodes = map[string]scenario.Node{"other": node("b", "other"), "store": node("c", "store"), "example": node("", "example")}
	for _, name := range []string{"web", "near", "two", "fw", "app", "sealed", "db", "shielded", "lost", "inner", "lap"} {
		w.nodes[name] = node("a", name)
	}
	for name, n := range w.nodes {
		w.silence(n)
		w.taps[name] = w.tap(n)
		w.indices[name] = w.attachmentOf(n).Index
	}
	return w
}

func (w *wires) fate(from string) fate {
	return fateOf(w.fast.Memory(), w.engine.Stats(), w.indices[from])
}

func (w *wires) run(t *testing.T, r row) {
	w.t = t
	w.forget()
	if !r.piece {
		w.before(r)
	}
	mark := w.engine.Mark(monotonic())
	before, upcalls := w.fate(r.from), w.upcalls(r.from)
	const times = 3
	prelude := uint64(0)
	for n := range times {
		r := r.nth(n)
		if r.piece {
			w.before(r)
			prelude += uint64(len(r.before))
		}
		w.sendRow(r)
	}
	all := r.fate(times)
	if prelude > 0 {
		all[delivered] += prelude // of the same sender
	}
	if got, want := w.fate(r.from).since(before), all; !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
	want := times + prelude
	switch {
	case r.by == byDoor, r.by == byPrediction && w.offload:
		want = 0
	case r.by == byCache && w.offload:
		want = 1
	}
	if got := w.upcalls(r.from) - upcalls; got != want {
		t.Errorf("%d upcalls, want %d", got, want)
	}
	if r.at != "" {
		w.journalTells(mark, r)
	}
}

// before sends what comes before a row's packet.
func (w *wires) before(r row) {
	w.t.Helper()
	for _, s := range r.before {
		w.send(s.from, w.taps[s.from].Frame(s.packet.Bytes()))
		// It was counted before it was delivered.
		until(w.t, "what comes before arrives", func() bool { return len(w.drain()) > 0 })
	}
}

// forget ends all connections, so that no row depends on another.
func (w *wires) forget() {
	w.t.Helper()
	w.engine.Advance(monotonic(), 6*24*time.Hour)
	w.engine.Mark(monotonic())
	if s := w.engine.Stats(); s.Flows != 0 || s.Tracks != 0 || s.Held != 0 {
		w.t.Fatalf("after six days without a packet there are %d flows, %d tracks and %d fragments", s.Flows, s.Tracks, s.Held)
	}
}

// send puts a frame on a guest's wire and waits until its one fate is known.
func (w *wires) send(from string, frame []byte) {
	w.t.Helper()
	before := w.fate(from).total()
	if err := w.taps[from].Send(frame); err != nil {
		w.t.Fatalf("send %x: %v", frame, err)
	}
	until(w.t, "the packet is counted", func() bool { return w.fate(from).total() > before })
	if n := w.fate(from).total() - before; n != 1 {
		w.t.Fatalf("one packet is counted %d times", n)
	}
}

// sendRow sends the row's frame once and looks at every wire: it arrives where it should, as it should, and nowhere else.
func (w *wires) sendRow(r row) {
	w.t.Helper()
	frame := w.taps[r.from].Frame(r.packet.Bytes())
	if r.frame != nil {
		frame = r.frame(frame)
	}
	w.send(r.from, frame)
	if r.answer {
		w.hearsFrame(r.from, arpReply(r, w.taps[r.from]))
	}
	for _, p := range r.arrives {
		w.hearsFrame(r.to, handover(w.taps[r.to], p))
	}
	for _, p := range r.told {
		w.hearsFrame(r.from, handover(w.taps[r.from], p))
	}
	for name, stray := range w.drain() {
		w.t.Errorf("%s hears %x", name, stray)
	}
}

// hearsFrame waits for the next frame at a guest.
func (w *wires) hearsFrame(name string, want []byte) {
	w.t.Helper()
	got, err := w.taps[name].Await(patience)
	if err != nil || got == nil {
		w.t.Fatalf("nothing arrives at %s: %v", name, err)
	}
	if !bytes.Equal(got, want) {
		w.t.Errorf("arrives at %s as\n%x, want\n%x", name, got, want)
	}
}

// arpReply is the frame that answers a row's request.
func arpReply(r row, tap *labtest.Tap) []byte {
	asked := r.frame(tap.Frame(nil))
	return slices.Concat(tap.MAC[:], tap.Router[:], asked[12:20], []byte{0, 2}, tap.Router[:], asked[38:42], tap.MAC[:], asked[28:32])
}

// handover is the frame that brings a guest a packet.
func handover(tap *labtest.Tap, p labtest.Packet) []byte {
	return slices.Concat(tap.MAC[:], tap.Router[:], tap.Frame(p.Bytes())[12:])
}

// drain takes what waits at the taps.
func (w *wires) drain() map[string][]byte {
	w.t.Helper()
	found := map[string][]byte{}
	for name, tap := range w.taps {
		for {
			frame, err := tap.Receive()
			if err != nil {
				w.t.Fatal(err)
			}
			if frame == nil {
				break
			}
			found[name] = frame
		}
	}
	return found
}

// journalTells checks what the lab tells people of the drop.
func (w *wires) journalTells(mark int64, r row) {
	w.t.Helper()
	var info, quoted packet.Info
	b := r.packet.Bytes()
	if !packet.Decode(b, &info) {
		w.t.Fatalf("malformed: %x", b)
	}
	tuple := info.Tuple
	if packet.Quoted(b, &info, &quoted) {
		tuple = quoted.Tuple
	}
	told := w.Drops(uint64(mark), tuple)
	if len(told) == 0 {
		w.t.Fatal("the journal does not tell of it")
	}
	last := told[0].Hops[len(told[0].Hops)-1]
	if told[0].Reason != r.reason || told[0].At != r.at || !strings.HasSuffix(last, " -- "+r.reason.String()) {
		w.t.Errorf("told %s at %q by %q", told[0].Reason, told[0].At, told[0].Hops)
	}
}

// A fragment whose first one has not come is neither delivered nor dropped. It shares the fate of its first when that comes, and is
// FRAGMENT_INCOMPLETE when it does not in 30 s.
func TestFragmentsWait(t *testing.T) {
	both(t, func(t *testing.T, offload bool) {
		w := newWires(t, offload)
		tap := w.taps["web"]
		first := labtest.UDP(web, 4004, near, 53).Size(44).Fragment(labtest.MoreFragments)
		middle := labtest.Raw(17, web, near).Size(44).Fragment(labtest.MoreFragments | 3)
		last := labtest.Raw(17, web, near).Size(40).Fragment(6)
		begun := w.fate("web")
		hold := func() {
			t.Helper()
			before := w.fate("web")
			for i, p := range []labtest.Packet{last, middle} {
				if err := tap.Send(tap.Frame(p.Bytes())); err != nil {
					t.Fatal(err)
				}
				until(t, "the fragment is held", func() bool { return w.engine.Stats().Held == i+1 })
			}
			if got := w.fate("web").since(before); len(got) != 0 {
				t.Errorf("what waits is counted as %v", got)
			}
			for name, stray := range w.drain() {
				t.Errorf("%s hears %x", name, stray)
			}
		}

		hold()
		if err := tap.Send(tap.Frame(first.Bytes())); err != nil {
			t.Fatal(err)
		}
		heard := map[string]bool{}
		for range 3 {
			frame, err := w.taps["near"].Await(patience)
			if err != nil {
				t.Fatal(err)
			}
			heard[string(frame)] = true
		}
		for _, p := range []labtest.Packet{first, middle, last} {
			if !heard[string(handover(w.taps["near"], p))] {
				t.Errorf("%x does not arrive", p.Bytes())
			}
		}

		hold()
		w.engine.Advance(monotonic(), 25*time.Second)
		w.engine.Mark(monotonic())
		if held := w.engine.Stats().Held; held != 2 {
			t.Errorf("%d fragments are held after less than 30 s", held)
		}
		w.engine.Advance(monotonic(), 5*time.Second)
		dropped := flow.FragmentIncomplete.String()
		until(t, "both fragments are given up", func() bool { return w.fate("web")[dropped] == begun[dropped]+2 })
		if got, want := w.fate("web").since(begun), (fate{delivered: 3, dropped: 2}); !maps.Equal(got, want) {
			t.Errorf("counted %v, want %v", got, want)
		}
		if held := w.engine.Stats().Held; held != 0 {
			t.Errorf("%d fragments are held after 30 s", held)
		}
	})
}

// upcalls counts the packets that the kernel put into the queue of an attachment's TUN.
func (w *wires) upcalls(name string) uint64 {
	w.t.Helper()
	return w.deviceCounter(fmt.Sprintf("t%d", w.indices[name]), transmitted)
}

// The columns of /proc/net/dev.
const (
	received         = 1
	receivedDropped  = 3
	transmittedBytes = 8
	transmitted      = 9
)

// deviceCounter reads one of the kernel's counters of a device in the fabric.
func (b bed) deviceCounter(device string, column int) uint64 {
	b.t.Helper()
	var text []byte
	err := b.host.InFabric(func() (err error) {
		text, err = os.ReadFile("/proc/thread-self/net/dev")
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		name, counters, found := strings.Cut(line, ":")
		if found && strings.TrimSpace(name) == device {
			var n uint64
			if _, err := fmt.Sscan(strings.Fields(counters)[column], &n); err != nil {
				b.t.Fatal(err)
			}
			return n
		}
	}
	b.t.Fatalf("no device %s in the fabric", device)
	return 0
}
