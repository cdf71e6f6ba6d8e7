package dns

import (
	"encoding/binary"
	"testing"

	"github.com/miekg/dns"
)

// Whatever comes in: no panic, and what goes out is an answer to it that a client can read.
func FuzzQuery(f *testing.F) {
	m := large()
	peer := instance("web", "10.0.0.10", "public=198.51.100.10", "2001:db8::10")
	peer(m.VPCs[0])
	endpoint("1", "s3", "private", "a=10.0.0.7")(m.VPCs[0])
	zoned(m, "loop.internal", "app", "a.loop.internal CNAME a.loop.internal", "*.loop.internal CNAME ip-10-0-0-10.ec2.internal")
	host(m, "www.example.com", "203.0.113.5")
	r, c := New(m), from(m, "app")
	for _, text := range []string{
		"many.corp.internal A", "ip-10-0-0-10.ec2.internal A", "a.loop.internal A", "b.loop.internal AAAA", "www.example.com ANY", ". SOA",
		"logs.s3.us-east-1.amazonaws.com A", "10.0.0.10.in-addr.arpa PTR", "nobody.example.com MX", `a\.b.corp.internal TXT`,
	} {
		packed, err := query(text).SetEdns0(1232, true).Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed, true)
		f.Add(packed[:len(packed)-12], false)
	}
	f.Fuzz(func(t *testing.T, raw []byte, datagram bool) {
		out := r.Respond(c, raw, make([]byte, 512), datagram)
		if out == nil {
			if len(raw) >= headerSize && raw[2]&0x80 == 0 {
				t.Fatal("a query without an answer")
			}
			return
		}
		answer, asked := new(dns.Msg), new(dns.Msg)
		if err := answer.Unpack(out); err != nil {
			t.Fatalf("the answer cannot be read: %v", err)
		}
		if answer.Id != binary.BigEndian.Uint16(raw) || !answer.Response {
			t.Fatalf("no answer to %x: %v", raw[:2], answer)
		}
		if datagram && len(out) > maxSize {
			t.Fatalf("a datagram of %d bytes", len(out))
		}
		if asked.Unpack(raw) == nil && len(asked.Question) == 1 && (len(answer.Question) != 1 || answer.Question[0] != asked.Question[0]) {
			t.Fatalf("asked %v, answered %v", asked.Question, answer.Question)
		}
	})
}
