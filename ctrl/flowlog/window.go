package flowlog

import (
	"iter"
	"time"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// Window is one interval's counts of all interfaces. A closed one is immutable, and anybody may range over it.
type Window struct {
	Start, End time.Time // it holds what was last seen from Start until before End

	services *Services
	flows    *table
	seen     map[uint32]*seen
	audience []audience // by interface index; set when the window is closed
	cut      bool       // the lab ended before the window was over
}

// seen is what a window knows of an interface beside its flows: that there was traffic, and what of it was skipped, by action.
type seen struct{ accepted, rejected Skipped }

func (s *seen) of(accept bool) *Skipped {
	if accept {
		return &s.accepted
	}
	return &s.rejected
}

// audience is who wants records of an interface.
type audience struct {
	member        *member
	subscriptions []*enrolled
}

// add counts a sample, or skips it if it is of another flow and the window is full.
func (w *Window) add(s *Sample, limit int) {
	there := w.seen[s.Interface]
	if there == nil {
		there = &seen{}
		w.seen[s.Interface] = there
	}
	k, first, last := s.key(), s.First.UnixNano(), s.Last.UnixNano()
	c := w.flows.find(&k)
	switch {
	case c != nil:
	case w.flows.len >= limit:
		there.of(s.Accept).Add(Skipped{1, s.Packets, s.Bytes})
		return
	default:
		c = w.flows.add(&k)
		c.first, c.last = first, last
	}
	c.packets += s.Packets
	c.bytes += s.Bytes
	c.first = min(c.first, first)
	if last >= c.last {
		c.last, c.path = last, s.TrafficPath
	}
	if s.Tuple.Protocol == flow.TCP {
		c.flags |= tcpFlags(s.Flags)
	}
}

// second is the Unix second in which a nanosecond lies.
func second(nano int64) int64 { return nano / int64(time.Second) }

// Flows is how many flows the window holds.
func (w *Window) Flows() int { return w.flows.len }

// Skipped is what the window did not hold for want of room.
func (w *Window) Skipped() (s Skipped) {
	for _, there := range w.seen {
		s.Add(there.accepted)
		s.Add(there.rejected)
	}
	return s
}

// Records are the window's records with who wants them, interface by interface: flows by their first packet, then SKIPDATA if any was
// skipped, or NODATA if there was no traffic at all, and the window is whole. A record is valid until the next one.
func (w *Window) Records() iter.Seq2[*Subscription, *Record] {
	return func(yield func(*Subscription, *Record) bool) {
		var r Record
		order := w.flows.order()
		for _, au := range w.audience {
			for len(order) > 0 && w.flows.at(order[0]).iface < au.member.index { // nobody's any more
				order = order[1:]
			}
			for ; len(order) > 0 && w.flows.at(order[0]).iface == au.member.index; order = order[1:] {
				w.flows.at(order[0]).record(&r)
				r.Of, r.Services = &au.member.Interface, w.services
				for _, s := range au.subscriptions {
					if s.Traffic.wants(r.Accept) && r.End >= second(s.since) && !yield(s.Subscription, &r) {
						return
					}
				}
			}
			for _, s := range au.subscriptions {
				if w.rest(&r, au.member, s) && !yield(s.Subscription, &r) {
					return
				}
			}
		}
	}
}

// record makes a record of a flow.
func (c *count) record(r *Record) {
	*r = Record{
		Direction: c.direction(), Tuple: c.tuple, Accept: c.accept(), TCPFlags: c.flags, TrafficPath: c.path,
		Packets: c.packets, Bytes: c.bytes, Start: second(c.first), End: second(c.last),
	}
}

// rest makes a record of what there is to say of an interface beside its flows; false if there is nothing.
func (w *Window) rest(r *Record, m *member, s *enrolled) bool {
	*r = Record{Of: &m.Interface, Status: NoData}
	var watched bool
	r.Start, r.End, watched = w.span(m, s)
	if there := w.seen[m.index]; there != nil {
		r.Status = SkipData
		return there.skipped(s.Traffic)
	}
	return watched && !w.cut
}

// skipped reports whether something was that the traffic type wants.
func (s *seen) skipped(t Traffic) bool {
	return t.wants(true) && s.accepted.Flows > 0 || t.wants(false) && s.rejected.Flows > 0
}

// span is the part of the window, in Unix seconds, both included, in which an interface was there and a subscription wanted it; all of the
// window, and false, if there is none.
func (w *Window) span(m *member, s *enrolled) (first, last int64, watched bool) {
	from, until := max(w.Start.UnixNano(), m.since, s.since), min(w.End.UnixNano(), m.gone)
	if watched = from < until; !watched {
		from, until = w.Start.UnixNano(), w.End.UnixNano()
	}
	return second(from), second(until - 1), watched
}
