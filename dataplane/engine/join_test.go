package engine

import (
	"slices"
	"testing"
	"time"

	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/fabric/fabrictest"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// carried is web's connection to an endpoint, which the load balancer carries on to x.
//
//	10.0.0.10:40000 -> 10.0.1.9:443, inside 100.64.0.2 -> 100.96.0.5     front
//	inside 100.96.0.6:999 -> 100.64.0.5:80, 10.0.2.8 -> 10.0.0.11        back
type carried struct {
	*bed
	asked, front, back, provider flow.Tuple
}

func newCarried(t *testing.T, change func(*fabrictest.Bed)) carried {
	t.Helper()
	b := newBed(t, func(f *fabrictest.Bed) {
		f.AddServices()
		if change != nil {
			change(f)
		}
	})
	c := carried{
		bed: b, asked: tupleOf(t, b.tcp("10.0.0.10", 40000, "10.0.1.9", 443, syn)), front: tupleOf(t, b.tcp("100.64.0.2", 40000, "100.96.0.5", 443, syn)),
		back: tupleOf(t, b.tcp("100.96.0.6", 999, "100.64.0.5", 80, syn)), provider: tupleOf(t, b.tcp("10.0.2.8", 999, "10.0.0.11", 80, syn)),
	}
	b.expect("SYN", b.Web, b.tcp("10.0.0.10", 40000, "10.0.1.9", 443, syn), "services")
	return c
}

// call sends the load balancer's SYN.
func (c carried) call(want string) {
	c.t.Helper()
	if got, _ := c.sendFrom(c.Network.Services.Attachment, c.tcp("100.96.0.6", 999, "100.64.0.5", 80, syn)); got != want {
		c.t.Errorf("the load balancer's SYN is delivered to %q, want %q", got, want)
	}
}

func closeX(b *fabrictest.Bed) { b.X.Groups = nil }

func TestDropsBehindALoadBalancer(t *testing.T) {
	c := newCarried(t, closeX)
	c.engine.Join(c.front, c.back)
	begun := c.now
	c.call("")
	if got := c.reasons(c.asked); !slices.Equal(got, []flow.Reason{flow.SGRulesMismatch}) {
		t.Errorf("the consumer's connection: %v", got)
	}
	if drops := c.engine.Drops(0, c.asked); len(drops) != 1 || !drops[0].Carried || len(drops[0].Before) == 0 || drops[0].Before[0].At() != "web/send" {
		t.Errorf("it is not of the load balancer's, behind the way to it: %+v", drops)
	}
	if drops := c.engine.Drops(0, c.back); len(drops) != 1 || drops[0].Carried || drops[0].Before != nil {
		t.Errorf("it is not of the connection that was asked for: %+v", drops)
	}
	if !c.engine.Refused(begun, c.back) || c.engine.Refused(c.now+1, c.back) {
		t.Error("the load balancer's connection was refused, since it began and not later")
	}
	c.wait(2 * dropTTL)
	c.engine.Sweep(c.now)
	family := c.engine.Family(c.asked)
	for _, want := range []flow.Tuple{c.asked, c.front, c.back, c.provider, c.provider.Reply()} {
		if !family[want] {
			t.Errorf("%s is not of the connection", want)
		}
	}
}

func TestOthersConnectionsAreNotJoined(t *testing.T) {
	c := newCarried(t, closeX)
	c.call("")
	if got := c.reasons(c.asked); len(got) != 0 {
		t.Errorf("without a joint: %v", got)
	}
	other := c.back
	other.SrcPort++
	c.engine.Join(c.front, other)
	if got := c.reasons(c.asked); len(got) != 0 {
		t.Errorf("with that of another port: %v", got)
	}
	if got := c.reasons(c.back); len(got) != 1 {
		t.Errorf("the load balancer's own: %v", got)
	}
}

// An answer that the target's subnet keeps is a refusal, too; one that a full queue lost is none.
func TestRefusedAnswers(t *testing.T) {
	c := newCarried(t, func(b *fabrictest.Bed) {
		b.Public.ACL = &fabric.ACL{
			Name: "half", Ingress: b.Public.ACL.Ingress, Egress: []fabric.ACLEntry{fabrictest.Entry(true, fabrictest.Anything, "10.0.1.0/24")},
		}
	})
	c.engine.Join(c.front, c.back)
	c.call("x")
	if c.engine.Refused(0, c.back) {
		t.Error("the SYN was refused")
	}
	c.expect("SYN-ACK", c.X, c.tcp("10.0.0.11", 80, "10.0.2.8", 999, synAck), "")
	if !c.engine.Refused(0, c.back) {
		t.Errorf("the answer was not refused: %v", c.reasons(c.back))
	}
	busy := newCarried(t, nil)
	busy.call("x")
	busy.engine.tell(flow.Key{Tuple: busy.back})
	busy.engine.journal.ring[0].Path.Reason = flow.DeliveryFailed
	if busy.engine.Refused(0, busy.back) {
		t.Error("a full queue refuses nobody")
	}
}

func TestAnotherTargetTakesOver(t *testing.T) {
	c := newCarried(t, closeX)
	c.engine.Join(c.front, c.back)
	c.call("")
	other := c.back
	other.SrcPort++
	c.engine.Join(c.front, other)
	if got := c.reasons(c.asked); len(got) != 0 {
		t.Errorf("of the first target is told %v", got)
	}
	if !c.engine.Family(c.asked)[other] {
		t.Error("and nothing of the second")
	}
}

func TestAJointEndsWithItsConnections(t *testing.T) {
	c := newCarried(t, nil)
	c.engine.Join(c.front, c.back)
	c.call("x")
	c.engine.Sweep(c.now)
	if len(c.engine.joints) != 1 {
		t.Error("it ended before them")
	}
	c.engine.Advance(c.now, 400*time.Second)
	c.engine.Sweep(c.now)
	if len(c.engine.joints) != 0 || len(c.engine.flows) != 0 {
		t.Errorf("%d joints of %d flows are left", len(c.engine.joints), len(c.engine.flows))
	}
}
