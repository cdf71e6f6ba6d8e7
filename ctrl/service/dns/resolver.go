package dns

import (
	"github.com/miekg/dns"

	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// Sizes of messages in bytes.
const (
	headerSize = 12
	// maxSize bounds an answer over UDP, whatever the client could take, and any query.
	maxSize = 4096
)

// Resolver answers for all VPCs of one model. It does not change, and may be used by many at once.
type Resolver struct {
	views  map[string]view // by the VPC's name; none where the resolver is off
	public view            // what the internet sees
}

// New builds the resolver of a model that is complete.
func New(m *vpc.Model) *Resolver {
	public := internet(m)
	r := &Resolver{views: map[string]view{}, public: view{".": public}}
	regional := shared(m, public)
	for _, v := range m.VPCs {
		if v.DNSSupport {
			r.views[v.Name] = newView(m, v, public, regional[v.Region])
		}
	}
	return r
}

// Answer is the whole answer to a query from the caller's VPC, or from the internet, or nil if it gets none: its resolver is off, or this
// is no query.
func (r *Resolver) Answer(c service.Caller, q *dns.Msg) *dns.Msg {
	w := r.view(c)
	if w == nil || q.Response {
		return nil
	}
	m := reply(q, judge(q))
	if m.Rcode != dns.RcodeSuccess {
		return m
	}
	var soa dns.RR
	if m.Answer, soa, m.Rcode = w.resolve(q.Question[0]); soa != nil {
		m.Ns = []dns.RR{soa}
	}
	return m
}

// view is what the caller sees, or nil if it sees nothing.
func (r *Resolver) view(c service.Caller) view {
	switch {
	case c.VPC != nil:
		return r.views[c.VPC.Name]
	case c.Via == service.Public:
		return r.public
	}
	return nil
}

// reply is an answer without records. It speaks EDNS if the query does (RFC 6891).
func reply(q *dns.Msg, rcode int) *dns.Msg {
	m := new(dns.Msg).SetRcode(q, rcode)
	m.RecursionAvailable = true
	if opt := q.IsEdns0(); opt != nil {
		m.SetEdns0(maxSize, opt.Do())
	}
	return m
}

// judge says whether a query may be answered: RcodeSuccess, or why not.
func judge(q *dns.Msg) int {
	opts := 0
	for _, rr := range q.Extra {
		if rr.Header().Rrtype == dns.TypeOPT {
			opts++
		}
	}
	switch {
	case q.Opcode != dns.OpcodeQuery:
		return dns.RcodeNotImplemented
	case len(q.Question) != 1 || opts > 1:
		return dns.RcodeFormatError
	case opts == 1 && q.IsEdns0().Version() != 0:
		return dns.RcodeBadVers
	case q.Question[0].Qclass != dns.ClassINET || isMeta(q.Question[0].Qtype):
		return dns.RcodeRefused
	case !q.RecursionDesired: // recursive queries only (VPC user guide, Amazon DNS server)
		return dns.RcodeRefused
	}
	return dns.RcodeSuccess
}

// isMeta says that no name has records of the type: zone transfers and what describes messages (RFC 6895, section 3.1).
func isMeta(t uint16) bool { return t == dns.TypeOPT || t >= 128 && t < dns.TypeANY }

// Respond is Answer on the wire: the packed answer to a packed query, in buf if it has room, or nil. Over a datagram it is cut to what the
// client can take (512 bytes unless its query says more), with TC set.
func (r *Resolver) Respond(c service.Caller, query, buf []byte, datagram bool) []byte {
	q := new(dns.Msg)
	broken := q.Unpack(query)
	if len(query) < headerSize {
		return nil
	}
	m := r.Answer(c, q)
	if m == nil {
		return nil
	}
	if broken != nil {
		m = reply(q, dns.RcodeFormatError)
	}
	m.Truncate(room(q, datagram))
	// Names that repeat are not written out again (RFC 1035, section 4.1.4) where it may save a fragment: it takes time.
	m.Compress = m.Compress || m.Len() > dns.MinMsgSize
	packed, err := m.PackBuffer(buf)
	if err != nil { // what a model holds that no message can
		packed, err = reply(q, dns.RcodeServerFailure).PackBuffer(buf)
	}
	if err != nil {
		return nil
	}
	return packed
}

// room is the size of the largest answer to a query, in bytes.
func room(q *dns.Msg, datagram bool) int {
	opt := q.IsEdns0()
	switch {
	case !datagram:
		return dns.MaxMsgSize
	case opt == nil:
		return dns.MinMsgSize
	}
	return max(dns.MinMsgSize, min(int(opt.UDPSize()), maxSize))
}
