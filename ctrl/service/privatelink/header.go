package privatelink

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/vpclab/vpclab/ctrl/service"
)

// The PROXY protocol, version 2 (HAProxy's proxy-protocol.txt, section 2.2), and AWS's extension (Network Load Balancer guide, proxy
// protocol).
const (
	signature     = "\r\n\r\n\x00\r\nQUIT\n"
	versionProxy  = 0x21 // version 2, command PROXY
	streamIPv4    = 0x11
	streamIPv6    = 0x21
	typeAWS       = 0xea // PP2_TYPE_AWS
	subtypeVPCEID = 0x01 // PP2_SUBTYPE_AWS_VPCE_ID
)

// headerOf tells the target who asks, as the consumer's own VPC knows it: its address, and the endpoint interface's that it asked.
func headerOf(consumer *net.TCPConn, caller service.Caller) []byte {
	source := netip.AddrPortFrom(caller.Addr, remoteOf(consumer).Port())
	asked := netip.AddrPortFrom(caller.Asked, localOf(consumer).Port())
	return header(source, asked, string(caller.Endpoint.ID))
}

// header is the PROXY header of one connection. Addresses of two families are both written as IPv6.
func header(source, destination netip.AddrPort, endpoint string) []byte {
	family, body := byte(streamIPv4), []byte(nil)
	if source.Addr().Unmap().Is4() && destination.Addr().Unmap().Is4() {
		from, to := source.Addr().As4(), destination.Addr().As4()
		body = append(append(body, from[:]...), to[:]...)
	} else {
		family = streamIPv6
		from, to := source.Addr().As16(), destination.Addr().As16()
		body = append(append(body, from[:]...), to[:]...)
	}
	body = binary.BigEndian.AppendUint16(body, source.Port())
	body = binary.BigEndian.AppendUint16(body, destination.Port())
	body = append(body, typeAWS)
	body = binary.BigEndian.AppendUint16(body, uint16(1+len(endpoint)))
	body = append(append(body, subtypeVPCEID), endpoint...)

	h := append([]byte(signature), versionProxy, family)
	h = binary.BigEndian.AppendUint16(h, uint16(len(body)))
	return append(h, body...)
}
