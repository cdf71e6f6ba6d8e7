package engine

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/fabric/fabrictest"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// Whatever happens to rules, time and the table, each sender's packets are counted once: as delivered, or as dropped.
func TestCountsBalanceUnderRandomEvents(t *testing.T) {
	open := func() []fabric.SGRule { return []fabric.SGRule{fabrictest.From(fabrictest.Anything, "0.0.0.0/0")} }
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 7))
		b := newBedWith(t, func(b *fabrictest.Bed) { b.WebGroup.Ingress = open() }, nil, 64)
		sent := map[uint32]uint64{}
		send := func(from *fabric.ENI, raw []byte) {
			sent[from.Attachment]++
			b.send(from, raw)
		}
		for step := range 400 {
			port := uint16(40000 + random.IntN(3))
			switch random.IntN(12) {
			case 0:
				b.change(func(b *fabrictest.Bed) { b.WebGroup.Ingress = nil })
			case 1:
				b.change(func(b *fabrictest.Bed) { b.WebGroup.Ingress = open() })
			case 2:
				b.change(func(b *fabrictest.Bed) { b.Public.ACL.Egress = nil })
			case 3:
				b.change(func(b *fabrictest.Bed) {
					b.Public.ACL.Egress = []fabric.ACLEntry{fabrictest.Entry(true, fabrictest.Anything, "0.0.0.0/0")}
				})
			case 4:
				b.wait(2 * time.Second)
				b.engine.Sweep(b.now)
			case 5:
				if random.IntN(4) == 0 {
					b.engine.Advance(b.now, 40*time.Second)
				}
			case 6, 7:
				send(b.Web, b.udp("10.0.0.10", 53, "10.0.1.5", port))
			case 8:
				send(b.Web, b.tcp("10.0.0.10", 22, "10.0.1.5", port, []uint8{synAck, ack, finAck, rst}[random.IntN(4)]))
			case 9:
				send(b.Client, b.tcp("10.0.1.5", port, "10.0.0.10", 22, []uint8{syn, ack, finAck, rst}[random.IntN(4)]))
			default:
				send(b.Client, b.udp("10.0.1.5", port, "10.0.0.10", 53))
			}
			s := b.engine.Stats()
			for sender, want := range sent {
				got := s.Delivered[sender].Packets
				for _, info := range flow.Reasons() {
					got += b.mem.Drop(sender, info.Reason).Read().Packets
				}
				if got != want {
					t.Fatalf("seed %d step %d: %s sent %d packets, counted are %d", seed, step, b.Attachments[sender].Name(), want, got)
				}
			}
		}
	}
}
