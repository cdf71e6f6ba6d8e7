package check

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// startUDP opens a UDP listener that learns to which address a datagram came, and answers from there: a node has several addresses, and
// its routes would choose another.
func (s *server) startUDP(ctx context.Context, address string) error {
	config := net.ListenConfig{Control: func(network, _ string, raw syscall.RawConn) error { return askPacketInfo(network, raw) }}
	listener, err := config.ListenPacket(ctx, "udp", address)
	if err != nil {
		return err
	}
	conn := listener.(*net.UDPConn)
	s.adopt(conn)
	s.wg.Go(func() { s.runUDP(conn) })
	return nil
}

// askPacketInfo turns on packet info. On a dual-stack socket the IPv6 option covers IPv4 as well, with IPv4-mapped addresses.
func askPacketInfo(network string, raw syscall.RawConn) error {
	level, option := unix.SOL_IPV6, unix.IPV6_RECVPKTINFO
	if network == "udp4" {
		level, option = unix.SOL_IP, unix.IP_PKTINFO
	}
	var set error
	err := raw.Control(func(fd uintptr) {
		set = os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), level, option, 1))
	})
	return errors.Join(err, set)
}

// runUDP answers every datagram that is a line of the protocol, and no other.
func (s *server) runUDP(conn *net.UDPConn) {
	port := conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	line, oob := make([]byte, maxLine), make([]byte, 128)
	for {
		n, oobn, _, from, err := conn.ReadMsgUDPAddrPort(line, oob)
		if err != nil {
			return // closed: an unconnected UDP socket has no other error to report
		}
		token, ok := tokenIn(line[:n])
		info, asked := packetInfo(oob[:oobn])
		if !ok || !asked.IsValid() {
			continue
		}
		source := netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port())
		answer := formatAnswer(token, source, netip.AddrPortFrom(asked, port))
		_, _, _ = conn.WriteMsgUDPAddrPort([]byte(answer), info, from) // a guest without a route back is no error of ours
	}
}

// packetInfo reads to which address a datagram came, and builds the control message that makes the answer come from there. The
// interface is left to routing, except for link-local addresses.
func packetInfo(oob []byte) (reply []byte, asked netip.Addr) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, netip.Addr{}
	}
	for _, m := range messages {
		switch {
		case m.Header.Level == unix.SOL_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= unix.SizeofInet6Pktinfo:
			address := netip.AddrFrom16([16]byte(m.Data[:16]))
			info := unix.Inet6Pktinfo{Addr: address.As16()}
			if address.IsLinkLocalUnicast() {
				info.Ifindex = binary.NativeEndian.Uint32(m.Data[16:])
			}
			return unix.PktInfo6(&info), address.Unmap()
		case m.Header.Level == unix.SOL_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= unix.SizeofInet4Pktinfo:
			address := netip.AddrFrom4([4]byte(m.Data[8:12])) // ipi_addr, as the datagram has it
			return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: address.As4()}), address
		}
	}
	return nil, netip.Addr{}
}
