package flow

import (
	"net/netip"
	"regexp"
	"testing"
	"time"
)

func tuple(proto uint8, src string, sport uint16, dst string, dport uint16) Tuple {
	return MakeTuple(proto, netip.MustParseAddr(src), sport, netip.MustParseAddr(dst), dport)
}

func TestReply(t *testing.T) {
	for _, test := range []struct {
		name  string
		tuple Tuple
		want  string
	}{
		{"TCP", tuple(TCP, "10.0.0.1", 999, "10.0.0.2", 80), "tcp 10.0.0.2:80 > 10.0.0.1:999"},
		{"UDP over IPv6", tuple(UDP, "2001:db8::1", 1, "2001:db8::2", 2), "udp [2001:db8::2]:2 > [2001:db8::1]:1"},
		{"echo request", tuple(ICMP, "10.0.0.1", 7, "10.0.0.2", 8), "icmp type 0 id 7 10.0.0.2 > 10.0.0.1"},
		{"echo reply", tuple(ICMP, "10.0.0.1", 7, "10.0.0.2", 0), "icmp type 8 id 7 10.0.0.2 > 10.0.0.1"},
		{"ICMPv6 echo request", tuple(ICMPv6, "::1", 7, "::2", 128), "icmpv6 type 129 id 7 ::2 > ::1"},
		{"timestamp", tuple(ICMP, "10.0.0.1", 0, "10.0.0.2", 13), "icmp type 14 10.0.0.2 > 10.0.0.1"},
		{"an error has no answer of another type", tuple(ICMP, "10.0.0.1", 0, "10.0.0.2", 3), "icmp type 3 10.0.0.2 > 10.0.0.1"},
		{"other protocols", tuple(47, "10.0.0.1", 0, "10.0.0.2", 0), "protocol 47 10.0.0.2 > 10.0.0.1"},
	} {
		if got := test.tuple.Reply(); got.String() != test.want {
			t.Errorf("%s: answer %s, want %s", test.name, got, test.want)
		}
		if back := test.tuple.Reply().Reply(); back != test.tuple {
			t.Errorf("%s: the answer's answer is %s", test.name, back)
		}
	}
}

func TestStateOf(t *testing.T) {
	flags := func(f uint32) Counters { return Counters{Packets: 1, Flags: f} }
	packets := func(n uint64) Counters { return Counters{Packets: n} }
	tests := []struct {
		name      string
		proto     uint8
		own, peer Counters
		want      State
	}{
		{"a SYN", TCP, flags(SYN), Counters{}, Opening},
		{"answered", TCP, flags(SYN), flags(SYN | ACK), Opening},
		{"acknowledged", TCP, flags(SYN | ACK), flags(SYN | ACK), Established},
		{"one FIN is a half-closed connection", TCP, flags(SYN | ACK | FIN), flags(SYN | ACK), Established},
		{"two close it", TCP, flags(SYN | ACK | FIN), flags(SYN | ACK | FIN), Closing},
		{"one RST closes it", TCP, flags(SYN | ACK), flags(SYN | ACK | RST), Closing},
		{"a RST to a SYN", TCP, flags(SYN), flags(RST | ACK), Closing},
		{"one UDP packet", UDP, packets(1), Counters{}, Opening},
		{"one exchange", UDP, packets(1), packets(1), Opening},
		{"one-way UDP", UDP, packets(100), Counters{}, Opening},
		{"two exchanges are a stream", UDP, packets(2), packets(2), Established},
		{"ICMP has one state", ICMP, packets(9), packets(9), Opening},
	}
	for _, test := range tests {
		if got := StateOf(test.proto, test.own, test.peer); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
		if got := StateOf(test.proto, test.peer, test.own); got != test.want {
			t.Errorf("%s, seen from the other side: %d, want %d", test.name, got, test.want)
		}
	}
}

func TestDefaultTimeouts(t *testing.T) {
	tests := []struct {
		name  string
		proto uint8
		state State
		want  time.Duration
	}{
		{"TCP half-open", TCP, Opening, 60 * time.Second},
		{"TCP established", TCP, Established, 432000 * time.Second},
		{"TCP closing", TCP, Closing, 10 * time.Second},
		{"UDP", UDP, Opening, 30 * time.Second},
		{"UDP stream", UDP, Established, 180 * time.Second},
		{"ICMP", ICMP, Opening, 30 * time.Second},
		{"ICMPv6", ICMPv6, Opening, 30 * time.Second},
		{"other protocols", 47, Opening, 600 * time.Second},
	}
	for _, test := range tests {
		if got := DefaultTimeouts(test.proto)[test.state]; got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// TestReasons: each reason stands at its own number, has a code of its own, and says what it means.
func TestReasons(t *testing.T) {
	if len(Reasons()) != int(numReasons) || int(numReasons) > ReasonStride {
		t.Fatalf("%d rows, %d reasons, room for %d", len(Reasons()), numReasons, ReasonStride)
	}
	code := regexp.MustCompile(`^[A-Z][A-Z0-9_]+$`)
	seen := map[string]bool{}
	for i, info := range Reasons() {
		if int(info.Reason) != i || !code.MatchString(info.Code) || seen[info.Code] || info.About == "" || info.Source == "" {
			t.Errorf("row %d: %+v", i, info)
		}
		seen[info.Code] = true
		if r, ok := ParseReason(info.Code); info.Reason != None && (!ok || r != info.Reason) {
			t.Errorf("ParseReason(%q) = %v, %v", info.Code, r, ok)
		}
	}
	if _, ok := ParseReason("NONE"); ok {
		t.Error("NONE is no drop reason")
	}
	if got := Reason(200).String(); got != "REASON_200" {
		t.Errorf("an unknown reason reads %q", got)
	}
}

func TestCounters(t *testing.T) {
	m := NewMemory(4, 2)
	m.Slots[2].Add(3, 300, SYN, 10)
	m.Slots[2].Add(1, 100, ACK, 20)
	if got, want := m.Slots[2].Read(), (Counters{Packets: 4, Bytes: 400, First: 10, Last: 20, Flags: SYN | ACK, Recent: SYN}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	m.Slots[2].Reset()
	if got := m.Slots[2].Read(); got != (Counters{}) {
		t.Errorf("after Reset: %+v", got)
	}
	m.Drop(1, NoRoute).Add(2, 80)
	if got := m.Drops[ReasonStride+int(NoRoute)].Read(); got != (DropCounter{2, 80}) {
		t.Errorf("%+v", got)
	}
}
