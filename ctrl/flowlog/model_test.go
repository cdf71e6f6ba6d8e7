package flowlog_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// model is aggregation as one would explain it: a list of all samples, looked through for each window, subscription and interface.
type model struct {
	limit         int
	subscriptions []flowlog.Subscription
	interfaces    []flowlog.Interface // by index
	samples       []flowlog.Sample
	closed        time.Time // up to here, per minute; ten minutes are closed on the way
	came          []time.Time
}

// windowOf is the start of the window of an interval in which a sample counts that came when closed had been closed.
func windowOf(s flowlog.Sample, interval time.Duration, closed time.Time) time.Time {
	start := s.Last.Truncate(interval)
	if open := closed.Truncate(interval); start.Before(open) {
		return open
	}
	return start
}

func (m *model) add(s flowlog.Sample) {
	m.samples = append(m.samples, s)
	m.came = append(m.came, m.closed)
}

// close tells the lines of all windows that end after what was closed before, up to now.
func (m *model) close(now time.Time) (lines []string) {
	for _, s := range m.subscriptions {
		for start := m.closed.Truncate(s.Interval); !start.Add(s.Interval).After(now); start = start.Add(s.Interval) {
			for i := range m.interfaces {
				lines = append(lines, m.tell(s, uint32(i), start)...)
			}
		}
	}
	m.closed = now.Truncate(time.Minute)
	return lines
}

// flowOf is what makes a sample's record one, as text.
func flowOf(s flowlog.Sample) string {
	ports := ""
	if s.Tuple.Protocol == flow.TCP || s.Tuple.Protocol == flow.UDP {
		ports = fmt.Sprint(s.Tuple.SrcPort, s.Tuple.DstPort)
	}
	return fmt.Sprint(s.Interface, s.Direction, s.Accept, s.Tuple.Protocol, s.Tuple.SrcAddr(), s.Tuple.DstAddr(), " ", ports)
}

// tell makes one interface's lines of one window for one subscription.
func (m *model) tell(sub flowlog.Subscription, index uint32, start time.Time) (lines []string) {
	kept := map[string]*flowlog.Record{} // of all interfaces: they share the room
	traffic, skipped := false, false
	for i, s := range m.samples {
		if !windowOf(s, sub.Interval, m.came[i]).Equal(start) {
			continue
		}
		traffic = traffic || s.Interface == index
		r := kept[flowOf(s)]
		if r == nil && len(kept) == m.limit {
			wanted := sub.Traffic == flowlog.All || s.Accept == (sub.Traffic == flowlog.Accept)
			skipped = skipped || s.Interface == index && wanted
			continue
		}
		if r == nil {
			r = &flowlog.Record{Of: &m.interfaces[s.Interface], Direction: s.Direction, Tuple: s.Tuple, Accept: s.Accept,
				Start: s.First.Unix(), End: s.Last.Unix()}
			if r.Tuple.Protocol == flow.ICMP {
				r.Tuple.SrcPort, r.Tuple.DstPort = 0, 0
			}
			kept[flowOf(s)] = r
		}
		r.Packets += s.Packets
		r.Bytes += s.Bytes
		r.Start, r.End = min(r.Start, s.First.Unix()), max(r.End, s.Last.Unix())
		r.TCPFlags |= s.Flags
	}
	for _, r := range kept {
		if r.Of == &m.interfaces[index] && (sub.Traffic == flowlog.All || r.Accept == (sub.Traffic == flowlog.Accept)) {
			lines = append(lines, sub.ID+": "+string(sub.Format.Append(nil, r)))
		}
	}
	idle := flowlog.Record{Of: &m.interfaces[index], Status: flowlog.NoData, Start: start.Unix(), End: start.Add(sub.Interval).Unix() - 1}
	if skipped {
		idle.Status = flowlog.SkipData
	}
	if skipped || !traffic {
		lines = append(lines, sub.ID+": "+string(sub.Format.Append(nil, &idle)))
	}
	return lines
}

// TestAggregatorEqualsModel feeds both with random samples, some of them late, and compares every line.
func TestAggregatorEqualsModel(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 5))
		limit := 1 + rng.IntN(40)
		m := &model{limit: limit, closed: unix(0)}
		b := &bed{flowlog.NewAggregator(flowlog.Options{Start: unix(0), Flows: limit}), t}
		for i := range 3 {
			iface := named(fmt.Sprint("eni-", i))
			iface.Subnet = fmt.Sprint("subnet-", i%2)
			iface.Addrs = []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), netip.AddrFrom4([4]byte{10, 0, 1, byte(i)})}
			iface.Primary = iface.Addrs[0]
			m.interfaces = append(m.interfaces, iface)
			b.SetInterface(uint32(i), iface, unix(0))
		}
		format := flowlog.FormatOf(slices.DeleteFunc(flowlog.Fields(), func(f flowlog.Field) bool { return f == flowlog.TrafficPath })...)
		for i, interval := range []time.Duration{time.Minute, time.Minute, 10 * time.Minute} {
			s := flowlog.Subscription{ID: fmt.Sprint("fl-", i), Resource: vpc, Traffic: flowlog.Traffic(rng.IntN(3)), Interval: interval, Format: format}
			s.Destination.Bucket = fmt.Sprint("bucket-", i)
			m.subscriptions = append(m.subscriptions, s)
			b.subscribe(s, 0)
		}
		for now := int64(0); now < 1500; {
			now += rng.Int64N(40)
			for range rng.IntN(8) {
				s := randomSample(rng, now)
				m.add(s)
				b.Add(s)
			}
			got, want := b.told(now), m.close(unix(now))
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Logf("seed %d, second %d, room for %d flows", seed, now, limit)
				wants(t, got, want...)
				return
			}
		}
	}
}

func randomSample(rng *rand.Rand, now int64) flowlog.Sample {
	address := func() netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(rng.IntN(2)), byte(rng.IntN(4))}) }
	protocols := []uint8{flow.TCP, flow.UDP, flow.ICMP}
	last := max(0, now-rng.Int64N(90))
	s := flowlog.Sample{
		Interface: uint32(rng.IntN(3)), Direction: fabric.Direction(rng.IntN(2)), Accept: rng.IntN(3) > 0,
		Tuple:   flow.MakeTuple(protocols[rng.IntN(3)], address(), uint16(rng.IntN(2)), address(), uint16(rng.IntN(2))),
		Packets: rng.Uint64N(9), Bytes: rng.Uint64N(999), First: unix(max(0, last-rng.Int64N(30))), Last: unix(last),
	}
	if s.Tuple.Protocol == flow.TCP {
		s.Flags = []uint8{0, flow.FIN, flow.SYN, flow.RST, flow.SYN | flow.ACK}[rng.IntN(5)]
	}
	return s
}
