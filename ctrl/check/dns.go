package check

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// query carries out a `dns` check. A name that exists without a record of the type (NODATA) is `ok` with no answers. Answers are the
// records of the type that was asked, those at the end of a chain of CNAMEs included, the CNAMEs themselves not.
func query(p *probe, c *scenario.Check) seen {
	kind, ok := dns.StringToType[c.Do.DNS.Type]
	if !ok {
		return seen{err: fmt.Errorf("dns %s: there is no record type %q", c.Do.DNS.Name, c.Do.DNS.Type)}
	}
	answer, err := p.ask(c.Do.DNS.Name, kind)
	if err != nil {
		return seenOf(err)
	}
	answers := answersOf(answer, kind)
	detail := strings.Join(answers, ", ")
	if len(answers) == 0 {
		detail = fmt.Sprintf("%s has no record of type %s", c.Do.DNS.Name, c.Do.DNS.Type)
	}
	return seen{outcome: scenario.OK, detail: detail, answers: answers}
}

// ask puts one question to the guest's resolver, by UDP, and again by TCP if the answer was too long for UDP. Only NOERROR is no error:
// NXDOMAIN is the outcome `nxdomain`, REFUSED is `refused`, any other code is `failed`.
func (p *probe) ask(name string, kind uint16) (*dns.Msg, error) {
	server, ok := p.lab.Resolver(p.node)
	if !ok {
		return nil, fmt.Errorf("resolve %s: %s has no resolver", name, p.node)
	}
	q := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
	answer, err := p.askByUDP(server, q)
	if err == nil && answer.Truncated {
		answer, err = p.askByTCP(server, q)
	}
	if err != nil {
		return nil, during(fmt.Sprintf("resolver %s asked for %s", server.Addr(), name), err)
	}
	return answer, failureCode(name, answer.Rcode)
}

func failureCode(name string, code int) error {
	switch code {
	case dns.RcodeSuccess:
		return nil
	case dns.RcodeNameError:
		return &end{outcome: scenario.NXDomain, detail: "there is no name " + name}
	case dns.RcodeRefused:
		return &end{outcome: scenario.Refused, detail: "the resolver answers REFUSED for " + name}
	}
	return &end{outcome: Failed, detail: fmt.Sprintf("the resolver answers %s for %s", dns.RcodeToString[code], name)}
}

// askByUDP asks until the answer or the end of the check, again each second as stub resolvers do. What is no answer to q is passed over.
func (p *probe) askByUDP(server netip.AddrPort, q *dns.Msg) (*dns.Msg, error) {
	text, err := q.Pack()
	if err != nil {
		return nil, err
	}
	s, err := dial(p, flow.UDP, server)
	if err != nil {
		return nil, err
	}
	defer s.close()
	buf := make([]byte, dns.MaxMsgSize)
	var next time.Time
	for {
		if now := p.now(); !now.Before(next) {
			if err := s.send(text); err != nil {
				return nil, err
			}
			next = now.Add(resend)
		}
		// One step and not receive, which would wait beyond the next query.
		if _, err := s.step(unix.POLLIN); err != nil {
			return nil, err
		}
		n, err := unix.Read(s.fd, buf)
		switch err {
		case nil:
			p.arrived()
			if answer, ok := answerTo(q, buf[:n]); ok {
				return answer, nil
			}
		case unix.EAGAIN, unix.EINTR:
		default:
			return nil, s.failure(err)
		}
	}
}

// askByTCP asks on a connection of its own, where two bytes of length stand before each message (RFC 1035 section 4.2.2).
func (p *probe) askByTCP(server netip.AddrPort, q *dns.Msg) (*dns.Msg, error) {
	text, err := q.Pack()
	if err != nil {
		return nil, err
	}
	s, err := dial(p, flow.TCP, server)
	if err != nil {
		return nil, err
	}
	defer s.finish()
	if err := s.send(append(binary.BigEndian.AppendUint16(nil, uint16(len(text))), text...)); err != nil {
		return nil, err
	}
	buf, err := readMessage(s)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil, &end{outcome: Failed, detail: "it closed the connection without an answer"}
	}
	if err != nil {
		return nil, err
	}
	answer, ok := answerTo(q, buf)
	if !ok {
		return nil, &end{outcome: Failed, detail: "what it sent by TCP is no answer"}
	}
	return answer, nil
}

func readMessage(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(r, b)
	return b, err
}

// answerTo reads a message; false if it is no answer to q.
func answerTo(q *dns.Msg, b []byte) (*dns.Msg, bool) {
	answer := new(dns.Msg)
	if answer.Unpack(b) != nil || !answer.Response || answer.Id != q.Id || len(answer.Question) != 1 {
		return nil, false
	}
	got, asked := answer.Question[0], q.Question[0]
	return answer, got.Qtype == asked.Qtype && strings.EqualFold(got.Name, asked.Name)
}

// answersOf are the records of a type in an answer, sorted and each once; of type ANY all. They are never nil.
func answersOf(answer *dns.Msg, kind uint16) []string {
	texts := []string{}
	for _, rr := range answer.Answer {
		if kind == dns.TypeANY || rr.Header().Rrtype == kind {
			texts = append(texts, recordText(rr))
		}
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}

// recordText is a record's data as `answers` writes it.
func recordText(rr dns.RR) string {
	if txt, ok := rr.(*dns.TXT); ok {
		return strings.Join(txt.Txt, "")
	}
	return canonicalRecord(strings.TrimPrefix(rr.String(), rr.Header().String()))
}

// canonicalRecord makes equal what means the same: names have no last dot and no capitals, an address has one notation. Texts (TXT) are
// left as they are.
func canonicalRecord(s string) string {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.String()
	}
	words := strings.Fields(strings.ToLower(s))
	for i, w := range words {
		if len(w) > 1 {
			words[i] = strings.TrimSuffix(w, ".")
		}
	}
	return strings.Join(words, " ")
}
