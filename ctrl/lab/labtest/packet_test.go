package labtest

import (
	"bytes"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// gopacket, told to compute every length and checksum of what we wrote, writes the same.
func TestPackets(t *testing.T) {
	for name, p := range map[string]Packet{
		"tcp":              TCP("10.0.0.1", 1000, "10.0.0.2", 80, 2),
		"tcp with an MSS":  TCP("10.0.0.1", 1000, "10.0.0.2", 80, 2).MSS(1460),
		"udp of odd size":  UDP("10.0.0.1", 1000, "10.0.0.2", 53).Size(101),
		"echo":             ICMP("10.0.0.1", "10.0.0.2", 8, 0, 7),
		"tcp over IPv6":    TCP("2001:db8::1", 1000, "2001:db8::2", 80, 2),
		"udp over IPv6":    UDP("2001:db8::1", 1000, "2001:db8::2", 53),
		"echo of IPv6":     ICMP("2001:db8::1", "2001:db8::2", 128, 0, 7),
		"unreachable":      Unreachable("10.0.0.2", "10.0.0.1", UDP("10.0.0.1", 1, "10.0.0.2", 2)),
		"unreachable IPv6": Unreachable("2001:db8::2", "2001:db8::1", UDP("2001:db8::1", 1, "2001:db8::2", 2)),
		"options":          UDP("10.0.0.1", 1000, "10.0.0.2", 53).Options(1, 1, 1, 1),
		"fragment":         Raw(17, "10.0.0.1", "10.0.0.2").Fragment(MoreFragments | 5),
		"another protocol": Raw(47, "10.0.0.1", "10.0.0.2"),
	} {
		if got, want := p.Bytes(), rewritten(t, p.Bytes()); !bytes.Equal(got, want) {
			t.Errorf("%s:\ngot  %x\nwant %x", name, got, want)
		}
	}
}

// rewritten takes a packet's headers apart and puts them together again.
func rewritten(t *testing.T, b []byte) []byte {
	t.Helper()
	first := gopacket.LayerType(layers.LayerTypeIPv4)
	if b[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	var headers []gopacket.SerializableLayer
	var network gopacket.NetworkLayer
	payload := b
	for _, l := range gopacket.NewPacket(b, first, gopacket.Default).Layers() {
		header := true
		switch l := l.(type) {
		case *layers.IPv4:
			network = l
		case *layers.IPv6:
			network = l
		case *layers.ICMPv4:
		case interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}:
			if err := l.SetNetworkLayerForChecksum(network); err != nil {
				t.Fatal(err)
			}
		default:
			header = false
		}
		if !header {
			break
		}
		headers = append(headers, l.(gopacket.SerializableLayer))
		payload = l.LayerPayload()
	}
	buf := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, options, append(headers, gopacket.Payload(payload))...); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
