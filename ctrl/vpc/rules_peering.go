package vpc

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// The quotas that AWS gives every account (VPC user guide, quotas).
const (
	maxActivePeerings  = 50 // per VPC
	maxPeeringRequests = 25 // not answered yet, per account that asks
)

// failedStatus is AWS's message for a connection that failed, whatever the cause (EC2 API, CreateVpcPeeringConnection).
const failedStatus = "Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range"

func peeringPath(p *Peering) path { return path{"peerings", p.Name} }

// peerings judges the peering connections and works out the state of each.
func (c *completion) peerings() {
	var names []string
	for _, p := range c.model.Peerings {
		names = append(names, p.Name)
		requester, accepter := c.peeringEnd(p, "requester", p.Requester), c.peeringEnd(p, "accepter", p.Accepter)
		if requester != nil && accepter != nil {
			c.peering(p, requester, accepter)
		}
	}
	c.names(path{"peerings"}, "peering connection", names)
	c.onePerPair()
	c.peeringQuotas()
}

func (c *completion) peeringEnd(p *Peering, key, name string) *VPC {
	v := c.model.VPC(name)
	if v == nil {
		c.report(peeringPath(p).at(key), fmt.Sprintf("the VPC '%s' does not exist", name),
			declareOr("vpcs", name, namesOf(c.model.VPCs, func(v *VPC) string { return v.Name })))
	}
	return v
}

// misnamed reports whether a connection names a VPC that does not exist: what follows from that is not told.
func (c *completion) misnamed(p *Peering) bool {
	return c.model.VPC(p.Requester) == nil || c.model.VPC(p.Accepter) == nil
}

// peering judges one connection between two VPCs that exist. Where it cannot come about as the file says, nothing else is told of it.
func (c *completion) peering(p *Peering, requester, accepter *VPC) {
	if !c.proceed(p, requester, accepter) {
		return
	}
	if p.State == PendingAcceptance && overlap(requester, accepter) != nil { // the accepter has another CIDR now
		c.step(peeringPath(p), p, FailPeering)
	}
	p.StatusMessage = statusMessage(p, accepter)
	c.expectState(p, requester, accepter)
	c.peeringDNS(p, requester, accepter)
	if p.Encryption == NoEncryption && requester.Region != accepter.Region {
		c.report(peeringPath(p).at("encryption"), fmt.Sprintf("traffic between %s and %s is always encrypted", requester.Region,
			accepter.Region), "remove `encryption`; `none` is for two VPCs of one region")
	}
}

// proceed takes a connection as far as the file says, from where the change found it; false means that it cannot go there.
func (c *completion) proceed(p *Peering, requester, accepter *VPC) bool {
	if old := c.prev.Peering(p.Name); old != nil {
		return c.resume(p, old)
	}
	return c.request(p, requester, accepter)
}

// samePeering judges what a change does to a connection: its ends and its encryption stay.
func (c *completion) samePeering(p, old *Peering) bool {
	same := true
	for _, fixed := range []struct{ key, was, is string }{
		{"requester", old.Requester, p.Requester},
		{"accepter", old.Accepter, p.Accepter},
		{"encryption", string(old.Encryption), string(p.Encryption)},
	} {
		if fixed.was != fixed.is {
			same = false
			c.report(peeringPath(p).at(fixed.key), fmt.Sprintf("the %s of peering connection '%s' cannot be changed from %s to %s",
				fixed.key, p.Name, fixed.was, fixed.is), "remove the connection in one change, and declare it anew in the next")
		}
	}
	return same
}

// request begins a connection. What the accepter answers at once does not help where the VPCs overlap.
func (c *completion) request(p *Peering, requester, accepter *VPC) bool {
	p.State, p.Requested = InitiatingRequest, c.model.Elapsed
	if overlap(requester, accepter) != nil {
		return c.step(peeringPath(p), p, FailPeering)
	}
	c.step(peeringPath(p), p, DeliverPeering)
	if p.Accept && p.Reject {
		c.report(peeringPath(p).at("reject"), fmt.Sprintf("peering connection '%s' cannot be both accepted and rejected", p.Name),
			"keep one of the two")
		return false
	}
	return c.answer(p, p.Accept, p.Reject)
}

// resume goes on with a connection that was there before the change.
func (c *completion) resume(p, old *Peering) bool {
	p.Life = old.Life
	if !c.samePeering(p, old) {
		return false
	}
	if p.State == PendingAcceptance && c.model.Elapsed-p.Requested >= PeeringExpiry {
		c.step(peeringPath(p), p, ExpirePeering)
	}
	if p.State == Active && old.Accept && !p.Accept && !p.Reject {
		c.report(peeringPath(p).at("accept"), InvalidTransition{p.ID, Active, PendingAcceptance}.Error(),
			"acceptance cannot be taken back: remove the connection")
		return false
	}
	return c.answer(p, p.Accept && !old.Accept, p.Reject && !old.Reject)
}

// answer is what the accepter does.
func (c *completion) answer(p *Peering, accept, reject bool) bool {
	switch {
	case reject:
		return c.step(peeringPath(p).at("reject"), p, RejectPeering)
	case accept:
		return c.step(peeringPath(p).at("accept"), p, AcceptPeering) && c.step(peeringPath(p), p, ProvisionPeering)
	}
	return true
}

// step moves a connection on, or reports that its state does not allow it.
func (c *completion) step(at path, p *Peering, step PeeringStep) bool {
	to, err := p.State.After(step)
	p.State = to
	var wrong InvalidTransition
	if !errors.As(err, &wrong) {
		return true
	}
	wrong.ID = p.ID
	hint := fmt.Sprintf("%s a request while it is %s", step, PendingAcceptance)
	switch wrong.From {
	case Expired:
		hint += fmt.Sprintf(", which is for %d hours", int(PeeringExpiry.Hours()))
	case Active:
		hint = "it was accepted already: remove the connection to end it"
	}
	c.report(at, wrong.Error(), hint)
	return false
}

// statusMessage has AWS's words for a connection's state.
func statusMessage(p *Peering, accepter *VPC) string {
	switch p.State {
	case PendingAcceptance:
		return "Pending Acceptance by " + accepter.Account
	case Active:
		return "Active"
	case Rejected:
		return "Rejected by " + accepter.Account
	case Expired:
		return "Expired"
	default:
		return failedStatus
	}
}

// overlap finds a prefix of each VPC that share addresses, or nil: any pair of any family, the secondary ones too (Amazon VPC peering
// guide, limitations). A VPC overlaps itself.
func overlap(a, b *VPC) []netip.Prefix {
	for _, ours := range a.prefixes() {
		for _, theirs := range b.prefixes() {
			if ours.Overlaps(theirs) {
				return []netip.Prefix{ours, theirs}
			}
		}
	}
	return nil
}

// expectState holds a connection against the state that the file says it has. One that fails must be expected to.
func (c *completion) expectState(p *Peering, requester, accepter *VPC) {
	at := peeringPath(p)
	both := overlap(requester, accepter)
	const orExpect = ", or write `expect_state: failed`"
	switch {
	case p.ExpectState == p.State:
	case p.State == Failed:
		hint := "it failed before this change, and stays so: remove it in one change, and declare it anew in the next" + orExpect
		switch {
		case requester == accepter:
			at, hint = at.at("accepter"), "a VPC cannot be peered with itself: name another VPC"+orExpect
		case both != nil:
			hint = fmt.Sprintf("%s of VPC %s and %s of VPC %s overlap: give one of them another block%s", both[0], requester.Name,
				both[1], accepter.Name, orExpect)
		}
		c.report(at, fmt.Sprintf("peering connection '%s' failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range", p.Name), hint)
	case p.ExpectState != "":
		hint := fmt.Sprintf("write `expect_state: %s`", p.State)
		if p.ExpectState == Failed {
			hint = fmt.Sprintf("no block of VPC %s overlaps one of VPC %s: %s", requester.Name, accepter.Name, hint)
		}
		c.report(at.at("expect_state"), fmt.Sprintf("peering connection '%s' is %s, not %s", p.Name, p.State, p.ExpectState), hint)
	}
}

// peeringDNS judges the DNS options: only an active connection has them, and both VPCs need both DNS attributes.
func (c *completion) peeringDNS(p *Peering, requester, accepter *VPC) {
	const option = "AllowDnsResolutionFromRemoteVpc"
	for _, side := range []struct {
		key string
		on  bool
	}{{"requester", p.DNSRequester}, {"accepter", p.DNSAccepter}} {
		at := peeringPath(p).at("dns", side.key)
		switch {
		case !side.on, p.State == Failed && p.ExpectState != Failed: // the second is told already
		case !p.Active():
			c.report(at, fmt.Sprintf("%s cannot be set while peering connection '%s' is %s", option, p.Name, p.State),
				"set `dns` when the connection is active")
		default:
			for _, v := range []*VPC{requester, accepter} {
				if !v.DNSSupport || !v.DNSHostnames {
					c.report(at, fmt.Sprintf("%s needs both DNS attributes of VPC '%s'", option, v.Name),
						fmt.Sprintf("write `dns: {support: true, hostnames: true}` in VPC %s", v.Name))
				}
			}
		}
	}
}

// onePerPair judges that two VPCs have one live connection, whichever asks for it.
func (c *completion) onePerPair() {
	seen := map[[2]string]*Peering{}
	for _, p := range c.model.Peerings {
		if !p.State.Live() {
			continue
		}
		pair := [2]string{min(p.Requester, p.Accepter), max(p.Requester, p.Accepter)}
		if other := seen[pair]; other != nil {
			c.report(peeringPath(p), fmt.Sprintf("a VPC peering connection between the VPCs %s and %s already exists", pair[0], pair[1]),
				fmt.Sprintf("it is '%s': remove one of the two", other.Name))
			continue
		}
		seen[pair] = p
	}
}

// peeringQuotas reports the first connection that is one too many.
func (c *completion) peeringQuotas() {
	active, requests := map[string]int{}, map[string]int{}
	for _, p := range c.model.Peerings {
		switch p.State {
		case Active:
			for _, end := range []string{p.Requester, p.Accepter} {
				if active[end]++; active[end] == maxActivePeerings+1 {
					c.report(peeringPath(p), "the maximum number of active VPC peering connections per VPC has been reached",
						fmt.Sprintf("VPC %s has %d already", end, maxActivePeerings))
				}
			}
		case PendingAcceptance:
			account := c.model.VPC(p.Requester).Account
			if requests[account]++; requests[account] == maxPeeringRequests+1 {
				c.report(peeringPath(p), "the maximum number of outstanding VPC peering connection requests has been reached",
					fmt.Sprintf("account %s has %d already: accept or remove some", account, maxPeeringRequests))
			}
		}
	}
}

// besidePeers judges a CIDR that a change adds to a VPC with peering connections (VPC user guide, add or remove a CIDR block): one
// that waits lets its requester add none, and an active one none that overlaps the peer.
func (c *completion) besidePeers(at path, v *VPC, cidr netip.Prefix) {
	if slices.Contains(c.before(v).prefixes(), cidr) {
		return
	}
	for _, p := range c.model.Peerings {
		peer := c.model.VPC(p.Peer(v.Name))
		if peer == nil || c.prev.Peering(p.Name) == nil {
			continue
		}
		if p.State == PendingAcceptance && p.Requester == v.Name {
			c.report(at, fmt.Sprintf("the CIDR '%s' cannot be added while peering connection '%s' is %s", cidr, p.Name, p.State),
				fmt.Sprintf("VPC %s has requested the connection: accept or remove it in an earlier change", v.Name))
			return
		}
		overlaps := func(theirs netip.Prefix) bool { return theirs.Overlaps(cidr) }
		if i := slices.IndexFunc(peer.prefixes(), overlaps); p.Active() && i >= 0 {
			c.report(at, fmt.Sprintf("the CIDR '%s' conflicts with %s of VPC %s", cidr, peer.prefixes()[i], peer.Name), fmt.Sprintf(
				"peering connection '%s' is active, and peers must not overlap: take another block", p.Name))
			return
		}
	}
}

// targetPeering judges a route to a peering connection. It may lead anywhere, since AWS asks the packets and not the route what they
// are for; until the connection is active it is a blackhole.
func (c *completion) targetPeering(at path, v *VPC, r *Route) {
	name := r.Target.Name
	p := c.model.Peering(name)
	if p != nil && p.Peer(v.Name) != "" {
		r.Blackhole = !p.Active()
		return
	}
	if r.Blackhole = c.removed[v.Name+"/peering."+name]; r.Blackhole {
		return
	}
	if p != nil && c.misnamed(p) {
		r.Blackhole = true
		return
	}
	if p != nil {
		c.report(at, fmt.Sprintf("peering connection '%s' does not belong to VPC '%s'", name, v.Name), fmt.Sprintf(
			"it joins %s and %s only, and peering is not transitive: declare a connection of VPC %s", p.Requester, p.Accepter, v.Name))
		return
	}
	var names []string
	for _, p := range c.model.Peerings {
		if p.Peer(v.Name) != "" {
			names = append(names, p.Name)
		}
	}
	c.report(at, fmt.Sprintf("the peering connection '%s' does not exist", name), declareOr("peerings", name, names))
}

// peeredGroup judges a reference to a group of another VPC: a peering connection within the region must lead there (Amazon VPC peering
// guide, update your security groups). AWS looks at the connection when packets come, so one that is not active yet will do.
func (c *completion) peeredGroup(at path, v, other *VPC, r *SGRule) bool {
	p := c.model.PeeringBetween(v.Name, other.Name)
	switch {
	case v.Region != other.Region:
		c.report(at, fmt.Sprintf("the security group '%s' is in %s, and VPC '%s' in %s", r.Group.Name, other.Region, v.Name, v.Region),
			fmt.Sprintf("rules know groups of their own region only: use the CIDR blocks of VPC %s, %s", other.Name, list(other.prefixes())))
		return false
	case p != nil:
		r.Unpeered = !p.Active()
	case c.removed[v.Name+"/peer."+other.Name]:
		r.Stale = true
	case slices.ContainsFunc(c.model.Peerings, c.misnamed): // that may be the one
		r.Unpeered = true
	default:
		c.report(at, fmt.Sprintf("the security group '%s' is in VPC '%s', which is no peer of VPC '%s'", r.Group.Name, other.Name, v.Name),
			"declare a connection between the two in `peerings`, or use CIDR blocks")
		return false
	}
	return true
}
