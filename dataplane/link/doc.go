// Package link is the wire between the two ends of a peering connection: it carries IP packets with a delay, a loss and a rate, and
// encrypted by WireGuard if asked to. It knows no VPC and does not route, filter, cut or count packets, and never changes them: what
// goes in at one end comes out at the other as it was, or is told as lost with its reason.
//
// One direction of a link, as a packet travels it; both are alike:
//
//	Send ─► loss ─► rate ─► delay ─┬─► Arrive                                                      plain
//	        └───── line (pure) ───┘└─► window ─► door ═ WireGuard, UDP, WireGuard ═ door ─► Arrive   encrypted
//
// The line decides when a packet is through, the window bounds what is inside the encryption, and a door is the encryption's TUN
// device, which has no kernel behind it. A direction has one goroutine that waits for the next packet to be through: the reader of
// the WireGuard device, or the link's own if there is none.
package link
