package engine

import (
	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/packet"
)

// LostByLink takes a packet of sender, which the link behind an end did not carry to its other end, for dropped and not for delivered.
// b is the packet where it is still known, else nil: then it is counted and not told.
func (e *Engine) LostByLink(now int64, end, sender uint32, why flow.Reason, length int, b []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.now = now
	e.revoke(sender, why, length)
	var info packet.Info
	at := e.attachment(end)
	if at == nil || at.Peering == nil || b == nil || !packet.Decode(b, &info) {
		return
	}
	about := info.Tuple
	var quoted packet.Info
	if info.ICMPError && packet.Quoted(b, &info, &quoted) {
		about = quoted.Tuple
	}
	e.net.RefuseByLink(info.Tuple, at.Peering, why, &e.path)
	e.journal.add(now, flow.Key{Attachment: sender, Tuple: about}, &e.path)
}
