package vpc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// two are the VPCs of most connections here.
func two(parts ...part) *Model {
	return lab(network("app", "10.0.0.0/16", parts...), network("data", "10.9.0.0/16", group("db")))
}

// abroad is a VPC of another region.
func abroad(name, cidrs string, parts ...part) *VPC {
	v := network(name, cidrs, parts...)
	v.Region = "eu-west-1"
	return v
}

// names switches both DNS attributes on.
func dnsNames(v *VPC) { v.DNSSupport, v.DNSHostnames = true, true }

// TestPeeringLife gives every step to every state: what the peering guide's diagram does not show is refused with AWS's words.
func TestPeeringLife(t *testing.T) {
	allowed := map[string]PeeringState{
		"deliver initiating-request": PendingAcceptance, "fail initiating-request": Failed, "fail pending-acceptance": Failed,
		"accept pending-acceptance": Provisioning, "provision provisioning": Active, "reject pending-acceptance": Rejected,
		"expire pending-acceptance": Expired, "delete pending-acceptance": Deleting, "delete active": Deleting, "remove deleting": Deleted,
	}
	states := []PeeringState{InitiatingRequest, PendingAcceptance, Provisioning, Active, Deleting, Failed, Expired, Rejected, Deleted}
	for step, next := range peeringSteps {
		for _, from := range states {
			to, err := from.After(step)
			if want, ok := allowed[string(step)+" "+string(from)]; ok {
				if err != nil || to != want {
					t.Errorf("%s from %s leads to %s (%v), want %s", step, from, to, err, want)
				}
				continue
			}
			var wrong InvalidTransition
			if !errors.As(err, &wrong) || to != from || wrong.From != from || wrong.To != next.to {
				t.Errorf("%s from %s leads to %s (%v), want a refusal", step, from, to, err)
			}
		}
	}
	const want = "InvalidStateTransition: Invalid state transition for pcx-1, attempted to transition from failed to provisioning"
	if got := (InvalidTransition{"pcx-1", Failed, Provisioning}).Error(); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	for _, s := range states {
		live := slices.Contains([]PeeringState{InitiatingRequest, PendingAcceptance, Provisioning, Active}, s)
		if s.Live() != live {
			t.Errorf("%s is live: %v", s, s.Live())
		}
	}
}

// expectPeerings writes the connections as "NAME STATE MESSAGE".
func expectPeerings(t *testing.T, m *Model, want ...string) {
	t.Helper()
	var got []string
	for _, p := range m.Peerings {
		got = append(got, fmt.Sprint(p.Name, " ", p.State, " ", p.StatusMessage))
	}
	if !slices.Equal(got, want) {
		t.Errorf("peerings:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func TestPeeringsOfAFile(t *testing.T) {
	m := complete(t, lab(network("app", "10.0.0.0/16", dnsNames), network("data", "10.9.0.0/16", dnsNames), abroad("far", "10.7.0.0/16"),
		network("twin", "10.0.128.0/17")).peered("app-data data app dns=requester dns=accepter expect=active", "waits app far pending",
		"no far data rejected expect=rejected", "never app twin expect=failed", "plain twin data none", "self app app expect=failed"), nil)
	const failed = " failed Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range"
	expectPeerings(t, m, "app-data active Active", "waits pending-acceptance Pending Acceptance by 123456789012",
		"no rejected Rejected by 123456789012", "never"+failed, "plain active Active", "self"+failed)

	p := m.Peering("app-data")
	if want := PeeringID(NewID("pcx", "123456789012", "us-east-1", "data", "peering", "app-data")); p.ID != want {
		t.Errorf("ID %s, want %s", p.ID, want)
	}
	if p.Encryption != WireGuard || m.Peering("plain").Encryption != NoEncryption {
		t.Errorf("encryption %s and %s, want wireguard and none", p.Encryption, m.Peering("plain").Encryption)
	}
	if p.Peer("app") != "data" || p.Peer("data") != "app" || p.Peer("far") != "" {
		t.Errorf("the peers of app, data and far are %q, %q and %q", p.Peer("app"), p.Peer("data"), p.Peer("far"))
	}
	if !p.Active() || m.Peering("waits").Active() || m.InterRegion(p) || !m.InterRegion(m.Peering("waits")) {
		t.Error("app-data is active within a region, and waits is neither")
	}
	if m.PeeringBetween("app", "data") != p || m.PeeringBetween("data", "app") != p || m.PeeringBetween("far", "twin") != nil {
		t.Error("app-data is between app and data both ways, and nothing between far and twin")
	}
	if far := m.VPC("far"); far.Account != "123456789012" || m.Peering("nothing") != nil {
		t.Error("there is a connection called nothing")
	}
}

// TestPeeringRoutes: a connection carries where it is active, and is a blackhole otherwise; AWS accepts any destination.
func TestPeeringRoutes(t *testing.T) {
	for state, words := range map[PeeringState]string{Active: "", PendingAcceptance: "pending", Rejected: "rejected"} {
		m := complete(t, two(prefixList("corp", "10.50.0.0/16"),
			table("main", "10.9.0.0/16 peering.p", "0.0.0.0/0 peering.p", "pl.corp peering.p")).peered("p app data "+words), nil)
		if got := m.Peering("p").State; got != state {
			t.Errorf("%q is %s, want %s", words, got, state)
		}
		for _, r := range m.VPC("app").EffectiveRoutes(m.VPC("app").RouteTable(Main)) {
			if r.Target.Kind == TargetPeering && r.Blackhole != (state != Active) {
				t.Errorf("%s: the route %s to %s is a blackhole: %v", state, r.Destination, r.Target, r.Blackhole)
			}
		}
	}
}

// TestPeerGroups: a rule with a peer's group matches while the connection is active.
func TestPeerGroups(t *testing.T) {
	for words, unpeered := range map[string]bool{"": false, "pending": true, "rejected": true} {
		m := complete(t, two(group("web", allow(tcp(80, 80), "data/sg.db"))).peered("p data app "+words), nil)
		r := &m.VPC("app").SecurityGroup("web").Ingress[0]
		if r.Stale || r.Unpeered != unpeered || r.MatchesNothing() != unpeered {
			t.Errorf("%q: stale %v, unpeered %v", words, r.Stale, r.Unpeered)
		}
	}
}

func TestWrongPeerings(t *testing.T) {
	const (
		failed = "peering connection 'p' failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range; "
		expect = ", or write `expect_state: failed`"
		twice  = "a VPC peering connection between the VPCs app and data already exists; it is 'p': remove one of the two"
	)
	overlapping := func(ours, theirs string) string {
		return "peerings.p: " + failed + ours + " of VPC app and " + theirs + " of VPC data overlap: give one of them another block" + expect
	}
	pair := func(app, data string) *Model {
		return lab(network("app", app), network("data", data)).peered("p app data")
	}
	dns := func(app, data part) *Model {
		return lab(network("app", "10.0.0.0/16", app), network("data", "10.9.0.0/16", data)).peered("p app data dns=accepter")
	}
	support := func(v *VPC) { v.DNSSupport = true }
	main := "vpcs.app.route_tables.main.routes."
	rule := "vpcs.app.security_groups.web.ingress: "
	judge(t, []wrong{
		{"peers do not overlap", pair("10.0.0.0/16", "10.0.1.0/24"), []string{overlapping("10.0.0.0/16", "10.0.1.0/24")}},
		{"nor do their secondary CIDRs", pair("10.0.0.0/16 10.3.0.0/16", "10.9.0.0/16 10.3.4.0/24"),
			[]string{overlapping("10.3.0.0/16", "10.3.4.0/24")}},
		{"nor their IPv6 ones", lab(network("app", "10.0.0.0/16", ipv6("fd00:1::/56")), network("data", "10.9.0.0/16",
			ipv6("fd00:9::/56 fd00:1::/60"))).peered("p app data"), []string{overlapping("fd00:1::/56", "fd00:1::/60")}},
		{"a request that is not accepted fails too", pair("10.0.0.0/16", "10.0.0.0/16").peered("q app data pending"), []string{
			overlapping("10.0.0.0/16", "10.0.0.0/16"), strings.Replace(overlapping("10.0.0.0/16", "10.0.0.0/16"), "p: peering connection 'p'",
				"q: peering connection 'q'", 1)}},
		{"a VPC has no peering with itself", two().peered("p app app"), []string{
			"peerings.p.accepter: " + failed + "a VPC cannot be peered with itself: name another VPC" + expect}},
		{"the VPCs exist", two().peered("p appp dta"), []string{
			"peerings.p.requester: the VPC 'appp' does not exist; did you mean app?",
			"peerings.p.accepter: the VPC 'dta' does not exist; did you mean data?"}},
		{"two VPCs have one connection", two().peered("p app data", "q app data"), []string{"peerings.q: " + twice}},
		{"whichever asks", two().peered("p app data pending", "q data app"), []string{"peerings.q: " + twice}},
		{"one that ended does not count", two().peered("p app data rejected", "q data app"), nil},
		{"a third VPC may be peered with both", lab(network("app", "10.0.0.0/16"), network("data", "10.9.0.0/16"),
			network("hub", "10.7.0.0/16")).peered("p app data", "q hub data", "r app hub"), nil},
		{"an answer is one", two().peered("p app data").answered(true, true), []string{
			"peerings.p.reject: peering connection 'p' cannot be both accepted and rejected; keep one of the two"}},
		{"what is expected to fail does", two().peered("p app data expect=failed"), []string{"peerings.p.expect_state: peering connection " +
			"'p' is active, not failed; no block of VPC app overlaps one of VPC data: write `expect_state: active`"}},
		{"any state can be expected", two().peered("p app data pending expect=active"), []string{"peerings.p.expect_state: peering " +
			"connection 'p' is pending-acceptance, not active; write `expect_state: pending-acceptance`"}},
		{"a link between regions is encrypted", lab(network("app", "10.0.0.0/16"), abroad("far", "10.7.0.0/16")).peered("p app far none"),
			[]string{"peerings.p.encryption: traffic between us-east-1 and eu-west-1 is always encrypted; remove `encryption`; `none` is for " +
				"two VPCs of one region"}},
		{"a connection has a name", two().peered("P app data"), []string{"peerings.P: 'P' is not a name for a peering connection; a name has " +
			"1 to 31 lower-case letters, digits and hyphens and starts with a letter"}},

		{"DNS options need both attributes of both VPCs", dns(dnsNames, support), []string{"peerings.p.dns.accepter: " +
			"AllowDnsResolutionFromRemoteVpc needs both DNS attributes of VPC 'data'; write `dns: {support: true, hostnames: true}` in VPC data"}},
		{"and an active connection", two(dnsNames).peered("p app data pending dns=requester"), []string{"peerings.p.dns.requester: " +
			"AllowDnsResolutionFromRemoteVpc cannot be set while peering connection 'p' is pending-acceptance; set `dns` when the connection " +
			"is active"}},
		{"which is not told of one that failed unexpectedly", pair("10.0.0.0/16", "10.0.0.0/16").peered("q data app dns=requester " +
			"expect=failed"), []string{overlapping("10.0.0.0/16", "10.0.0.0/16"), "peerings.q.dns.requester: AllowDnsResolutionFromRemoteVpc " +
			"cannot be set while peering connection 'q' is failed; set `dns` when the connection is active"}},

		{"a route leads to a connection of its VPC", lab(network("app", "10.0.0.0/16", table("main", "10.9.0.0/16 peering.q")),
			network("data", "10.9.0.0/16"), network("hub", "10.7.0.0/16")).peered("q hub data"), []string{main + "10.9.0.0/16: peering " +
			"connection 'q' does not belong to VPC 'app'; it joins hub and data only, and peering is not transitive: declare a connection of " +
			"VPC app"}},
		{"that exists", two(table("main", "10.9.0.0/16 peering.ap-data")).peered("app-data app data"), []string{
			main + "10.9.0.0/16: the peering connection 'ap-data' does not exist; did you mean app-data?"}},
		{"which is not told where its VPC does not exist", two(table("main", "10.9.0.0/16 peering.p"),
			group("web", allow(tcp(80, 80), "data/sg.db"))).peered("p appp data"), []string{
			"peerings.p.requester: the VPC 'appp' does not exist; did you mean app?"}},
		{"not inside its own VPC", two(subnet("web", "10.0.1.0/24"), table("main", "10.0.1.0/24 peering.p")).peered("p app data"), []string{
			main + "10.0.1.0/24: the destination CIDR block 10.0.1.0/24 is equal to or more specific than one of this VPC's CIDR blocks; this " +
				"route can target only an interface, an instance or a NAT gateway"}},
		{"nor from the internet gateway", two(edge("10.0.0.0/16 peering.p")).peered("p app data"), []string{"vpcs.app.internet_gateway.routes." +
			"10.0.0.0/16: the internet gateway's route table cannot have peering.p as a target; its targets are local, instance.NAME and " +
			"eni.NAME"}},

		{"a group of another VPC needs a connection", two(group("web", allow(tcp(80, 80), "data/sg.db"))), []string{rule + "the security " +
			"group 'db' is in VPC 'data', which is no peer of VPC 'app'; declare a connection between the two in `peerings`, or use CIDR blocks"}},
		{"within one region", lab(network("app", "10.0.0.0/16", group("web", allow(tcp(80, 80), "far/sg.db"))),
			abroad("far", "10.7.0.0/16 10.8.0.0/16", group("db"))).peered("p app far"), []string{rule + "the security group 'db' is in " +
			"eu-west-1, and VPC 'app' in us-east-1; rules know groups of their own region only: use the CIDR blocks of VPC far, 10.7.0.0/16, " +
			"10.8.0.0/16"}},
		{"the group exists", two(group("web", allow(tcp(80, 80), "data/sg.dbb"))).peered("p app data"), []string{
			rule + "the security group 'dbb' does not exist; did you mean db?"}},
	})
}

// answered is the model with another answer to its first request.
func (m *Model) answered(accept, reject bool) *Model {
	m.Peerings[0].Accept, m.Peerings[0].Reject = accept, reject
	return m
}

func TestPeeringQuotas(t *testing.T) {
	hub := func(connections int, words string) *Model {
		m := lab(network("hub", "10.255.0.0/16"))
		for i := range connections {
			name := fmt.Sprintf("v%d", i)
			m.VPCs = append(m.VPCs, network(name, fmt.Sprintf("10.%d.0.0/16", i)))
			m.peered(name + " hub " + name + words)
		}
		return m
	}
	judge(t, []wrong{
		{"50 active connections fit", hub(50, ""), nil},
		{"51 do not", hub(52, ""), []string{"peerings.v50: the maximum number of active VPC peering connections per VPC has been reached; VPC " +
			"hub has 50 already"}},
		{"25 requests fit", hub(25, " pending"), nil},
		{"26 do not", hub(27, " pending"), []string{"peerings.v25: the maximum number of outstanding VPC peering connection requests has been " +
			"reached; account 123456789012 has 25 already: accept or remove some"}},
	})
}

// TestWrongPeeringChanges are the mistakes that only a change can make.
func TestWrongPeeringChanges(t *testing.T) {
	p := NewID("pcx", "123456789012", "us-east-1", "app", "peering", "p")
	transition := func(from, to string) string {
		return fmt.Sprintf("InvalidStateTransition: Invalid state transition for %s, attempted to transition from %s to %s; ", p, from, to)
	}
	fixed := func(key, was, is string) string {
		return fmt.Sprintf("peerings.p.%s: the %s of peering connection 'p' cannot be changed from %s to %s; remove the connection in one "+
			"change, and declare it anew in the next", key, key, was, is)
	}
	wider := func(app, data string) *Model { return lab(network("app", app), network("data", data)) }
	rows := []struct {
		name          string
		before, after *Model
		want          []string
	}{
		{"a request is accepted later", two().peered("p app data pending"), two().peered("p app data").later(167), nil},
		{"but not after 168 hours", two().peered("p app data pending"), two().peered("p app data").later(168), []string{
			"peerings.p.accept: " + transition("expired", "provisioning") + "accept a request while it is pending-acceptance, which is for 168 " +
				"hours"}},
		{"or rejected", two().peered("p app data pending"), two().peered("p app data rejected"), nil},
		{"an active one is not rejected", two().peered("p app data"), two().peered("p app data rejected"), []string{
			"peerings.p.reject: " + transition("active", "rejected") + "it was accepted already: remove the connection to end it"}},
		{"nor given back", two().peered("p app data"), two().peered("p app data pending"), []string{
			"peerings.p.accept: " + transition("active", "pending-acceptance") + "acceptance cannot be taken back: remove the connection"}},
		{"a rejected one is not accepted", two().peered("p app data rejected"), two().peered("p app data"), []string{
			"peerings.p.accept: " + transition("rejected", "provisioning") + "accept a request while it is pending-acceptance"}},
		{"nor is a failed one", wider("10.0.0.0/16", "10.0.0.0/16").peered("p app data pending expect=failed"),
			wider("10.0.0.0/16", "10.0.0.0/16").peered("p app data expect=failed"), []string{
				"peerings.p.accept: " + transition("failed", "provisioning") + "accept a request while it is pending-acceptance"}},
		{"a failed one stays so", wider("10.0.0.0/16 10.3.0.0/16", "10.9.0.0/16 10.3.0.0/16").peered("p app data expect=failed"),
			wider("10.0.0.0/16", "10.9.0.0/16").peered("p app data"), []string{"peerings.p: peering connection 'p' failed due to incorrect " +
				"VPC-ID, Account ID, or overlapping CIDR range; it failed before this change, and stays so: remove it in one change, and declare " +
				"it anew in the next, or write `expect_state: failed`"}},
		{"its ends stay", two().peered("p app data"), two().peered("p data app"), []string{
			fixed("requester", "app", "data"), fixed("accepter", "data", "app")}},
		{"and its encryption", two().peered("p app data"), two().peered("p app data none"), []string{fixed("encryption", "wireguard", "none")}},
		{"its VPC stays", two().peered("p app data"), lab(network("app", "10.0.0.0/16")).peered("p app data"), []string{
			"peerings.p.accepter: the VPC 'data' does not exist; declare it in `vpcs` or use one of app"}},
		{"a new CIDR does not overlap an active peer", two().peered("p app data"), wider("10.0.0.0/16", "10.9.0.0/16 10.0.0.0/20").peered(
			"p app data"), []string{"vpcs.data.cidr.1: the CIDR '10.0.0.0/20' conflicts with 10.0.0.0/16 of VPC app; peering connection 'p' is " +
			"active, and peers must not overlap: take another block"}},
		{"nor does a new IPv6 one", lab(network("app", "10.0.0.0/16", ipv6("fd00::/56")), network("data", "10.9.0.0/16")).peered("p app data"),
			lab(network("app", "10.0.0.0/16", ipv6("fd00::/56")), network("data", "10.9.0.0/16", ipv6("fd00::/60"))).peered("p app data"),
			[]string{"vpcs.data.ipv6: the CIDR 'fd00::/60' conflicts with fd00::/56 of VPC app; peering connection 'p' is active, and peers " +
				"must not overlap: take another block"}},
		{"another one is fine", two().peered("p app data"), wider("10.0.0.0/16", "10.9.0.0/16 10.8.0.0/16").peered("p app data"), nil},
		{"a requester adds none while it waits", two().peered("p app data pending"), wider("10.0.0.0/16 10.3.0.0/16", "10.9.0.0/16").peered(
			"p app data pending"), []string{"vpcs.app.cidr.1: the CIDR '10.3.0.0/16' cannot be added while peering connection 'p' is " +
			"pending-acceptance; VPC app has requested the connection: accept or remove it in an earlier change"}},
		{"an accepter may", two().peered("p app data pending"), wider("10.0.0.0/16", "10.9.0.0/16 10.8.0.0/16").peered("p app data pending"), nil},
		{"and one that overlaps makes the request fail", two().peered("p app data pending"),
			wider("10.0.0.0/16", "10.9.0.0/16 10.0.0.0/20").peered("p app data pending expect=failed"), nil},
		{"two waiting requests are one too many as well", two().peered("p app data pending"), two().peered("p app data pending", "q data app"),
			[]string{"peerings.q: a VPC peering connection between the VPCs app and data already exists; it is 'p': remove one of the two"}},
		{"but after 168 hours there can be another", two().peered("p app data pending"), two().peered("p app data pending expect=expired",
			"q data app").later(200), nil},
		{"the state is held against the file again", two().peered("p app data pending expect=pending-acceptance"),
			two().peered("p app data expect=pending-acceptance"), []string{"peerings.p.expect_state: peering connection 'p' is active, not " +
				"pending-acceptance; write `expect_state: active`"}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) { same(t, row.after.Complete(complete(t, row.before, nil)), row.want) })
	}
}

// TestChangeKeepsPeering: what lets packets through may change while it does.
func TestChangeKeepsPeering(t *testing.T) {
	first := complete(t, two().peered("p app data pending"), nil)
	second := complete(t, two().peered("p app data pending").later(100), first)
	if p := second.Peering("p"); p.State != PendingAcceptance || p.Requested != 0 {
		t.Errorf("after 100 hours it is %s, requested at %v", p.State, p.Requested)
	}
	next := two().peered("p app data pending", "q data app pending").later(168)
	third := complete(t, next, second)
	expectPeerings(t, third, "p expired Expired", "q pending-acceptance Pending Acceptance by 123456789012")
	if q := third.Peering("q"); q.Requested != 168*time.Hour {
		t.Errorf("q was requested at %v", q.Requested)
	}

	next = two().peered("q data app").later(168)
	next.Peerings[0].Link = Link{Delay: time.Second, Loss: 0.5, Rate: 1e6}
	fourth := complete(t, next, third)
	expectPeerings(t, fourth, "q active Active")
	if q := fourth.Peering("q"); q.Delay != time.Second || q.Loss != 0.5 || q.Rate != 1e6 {
		t.Errorf("the link of q is %+v", q.Link)
	}
}

// TestRemovedPeeringLeaves follows a connection that is removed and made anew: what led to it waits for it.
func TestRemovedPeeringLeaves(t *testing.T) {
	app := func() *Model {
		return two(table("main", "10.9.0.0/16 peering.p"), group("web", allow(tcp(80, 80), "data/sg.db")))
	}
	expect := func(m *Model, blackhole, stale bool) {
		t.Helper()
		route, rule := m.VPC("app").RouteTable(Main).Routes[0], m.VPC("app").SecurityGroup("web").Ingress[0]
		if route.Blackhole != blackhole || rule.Stale != stale || rule.Unpeered {
			t.Errorf("blackhole %v, stale %v, unpeered %v; want %v, %v and false", route.Blackhole, rule.Stale, rule.Unpeered, blackhole, stale)
		}
	}
	first := complete(t, app().peered("p app data"), nil)
	expect(first, false, false)
	second := complete(t, app(), first)
	expect(second, true, true)
	third := complete(t, app(), second)
	expect(third, true, true)
	other := complete(t, app().peered("q data app"), third) // the same VPCs, by a connection of another name
	expect(other, true, false)
	again := complete(t, app().peered("p app data"), third)
	expect(again, false, false)
	if len(again.Removed) != 0 || again.Peering("p").State != Active {
		t.Errorf("removed %v, and p is %s", again.Removed, again.Peering("p").State)
	}
}
