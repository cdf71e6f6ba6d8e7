package engine

import (
	"time"

	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/packet"
)

// allowanceRate is how many packets a second, in real time, an interface may send to the resolver, the instance metadata and the time
// service together (VPC user guide, DNS quotas). A second's worth may come at once.
const allowanceRate = 1024

// allowance is how much an interface may still send: a bucket that fills by itself.
type allowance struct {
	left float64 // packets
	at   int64
}

func (a *allowance) take(now int64) bool {
	a.left = min(allowanceRate, a.left+time.Duration(now-a.at).Seconds()*allowanceRate)
	a.at = now
	if a.left < 1 {
		return false
	}
	a.left--
	return true
}

// decideDirect is a packet to or from what the VPC itself answers. Nothing is remembered of it: the answer finds its way by its
// addresses alone, and each packet counts against the interface's allowance.
func (e *Engine) decideDirect(att *fabric.Attachment, b []byte, info *packet.Info) uint32 {
	if att.ENI != nil && !e.allows(att.Index) {
		e.refuse(att, info.Tuple, info.Length, flow.LinkLocalAllowance)
		return 0
	}
	return e.decideOnce(att, b, info, nil)
}

func (e *Engine) allows(attachment uint32) bool {
	a := e.allowances[attachment]
	if a == nil {
		a = &allowance{left: allowanceRate, at: e.now}
		e.allowances[attachment] = a
	}
	return a.take(e.now)
}
