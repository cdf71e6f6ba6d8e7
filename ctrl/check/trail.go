package check

import "github.com/vpclab/vpclab/dataplane/flow"

// trail is the connections that a check has made, one after the other, and what the lab dropped of them.
type trail struct {
	mark    uint64       // of the lab's journal, before the first of them
	tuple   flow.Tuple   // of the connection that is waited for; zero until its own address and port are known
	earlier []flow.Tuple // of those that have served their purpose: to the resolver, for credentials
	drops   []Drop       // connection by connection, each oldest first
	past    int          // how many of drops are of earlier connections
}

func (t *trail) begin(conn flow.Tuple) {
	if t.tuple != (flow.Tuple{}) {
		t.earlier = append(t.earlier, t.tuple)
	}
	t.tuple, t.past = conn, len(t.drops)
}

// look asks the lab for all drops so far.
func (t *trail) look(lab Lab) {
	t.drops = nil
	for _, conn := range t.earlier {
		t.drops = append(t.drops, lab.Drops(t.mark, conn)...)
	}
	t.past = len(t.drops)
	t.drops = append(t.drops, lab.Drops(t.mark, t.tuple)...)
}

// current are the drops of the connection that is waited for.
func (t *trail) current() []Drop { return t.drops[t.past:] }
