package scenario

import (
	"slices"
	"strings"
)

// holding is a connection that a check keeps open.
type holding struct {
	by   Node
	line int
}

// usual says what a check of each verb can end with, and which of its keys mean something.
type usual struct {
	outcomes []Outcome
	conn     bool // the check has a connection whose packets can be dropped: `because` and `at`
	source   bool // the other side tells whom it saw: `seen_as`
}

var usuals = map[Verb]usual{
	Ping:  {[]Outcome{OK, Timeout, Unreachable}, true, false},
	Ping6: {[]Outcome{OK, Timeout, Unreachable}, true, false},
	TCP:   {[]Outcome{OK, Timeout, Refused, Reset, Unreachable}, true, true},
	UDP:   {[]Outcome{OK, Timeout, Refused, Unreachable}, true, true},
	HTTP:  {[]Outcome{OK, Timeout, Refused, Reset, Unreachable}, true, true},
	Exec:  {[]Outcome{OK, Timeout}, false, false},
	Send:  {[]Outcome{OK, Timeout, Refused, Unreachable}, true, false},
	Say:   {[]Outcome{OK, Timeout, Reset}, true, true},
	Close: {[]Outcome{OK}, false, false},

	DNS:      {[]Outcome{OK, NXDomain, Timeout, Refused, Unreachable}, true, false},
	S3:       {[]Outcome{OK, Denied, NXDomain, Timeout, Refused, Reset, Unreachable}, true, false},
	DynamoDB: {[]Outcome{OK, Denied, NXDomain, Timeout, Refused, Reset, Unreachable}, true, false},
}

// readCheck reads one check. Its shape was checked; here names are looked up in the lab as it is at this step.
func (st *state) readCheck(n *node) *Check {
	c := &Check{Name: textOf(n.get("name")), Because: textOf(n.get("because")), At: textOf(n.get("at")), Keep: textOf(n.get("keep"))}
	c.Expect = expectOf(n.get("expect"))
	from, f := st.actor(n.get("from"))
	if f == nil {
		c.From = from
	}
	doing := n.get("do")
	if textOf(doing) == "" {
		return c
	}
	c.Do, f = parseDo(doing.text, st.dir, c.From)
	st.wrong(doing, f)
	if c.Name == "" {
		c.Name = c.Do.Text
	}
	if wait := textOf(n.get("wait")); wait != "" {
		c.Wait, _ = parseDuration(wait) // checked by its shape
	}
	if seen := n.get("seen_as"); textOf(seen) != "" {
		c.SeenAs, f = st.dir.address(seen.text, anyFamily)
		st.wrong(seen, f)
	}
	if f == nil {
		st.hold(n, c)
	}
	st.answers(n.get("expect").get("answers"), c)
	st.agree(n, c)
	st.hopExists(n.get("at"))
	c.Logs, c.NoLogs = st.records(n, "logs", c.Do.Verb), st.records(n, "no_logs", c.Do.Verb)
	return c
}

// actor looks up who acts.
func (st *state) actor(n *node) (Node, *fault) {
	if textOf(n) == "" {
		return Node{}, nil
	}
	node, f := st.dir.node(n.text)
	st.wrong(n, f)
	return node, f
}

func expectOf(n *node) Expect {
	if n == nil || n.kind == scalar {
		return Expect{Outcome: outcomeOf(n)}
	}
	e := Expect{Outcome: outcomeOf(n.get("outcome"))}
	e.Status, _ = parseNumber(textOf(n.get("status")), 599)
	e.MTU, _ = parseNumber(textOf(n.get("mtu")), 65535)
	if body := n.get("body"); body != nil && body.kind == scalar {
		e.Body = &body.text
	}
	if exit, ok := parseNumber(textOf(n.get("exit")), 255); ok {
		e.Exit = &exit
	}
	return e
}

// outcomeOf reads an outcome, ok by default.
func outcomeOf(n *node) Outcome {
	if s := textOf(n); s != "" {
		return Outcome(s)
	}
	return OK
}

// hold follows which connections are open: `keep` opens one, `say` needs one, `close` ends one.
func (st *state) hold(n *node, c *Check) {
	if keep := n.get("keep"); c.Keep != "" {
		open := st.held[c.Keep]
		switch {
		case c.Do.Verb != TCP && c.Do.Verb != UDP:
			st.wrong(keep, faultf(0, "use it with `tcp` or `udp`", "`%s` leaves no connection to keep", c.Do.Verb))
			return
		case c.Expect.Outcome != OK:
			st.wrong(keep, faultf(0, "expect `ok`, or do not keep it", "a connection that ends as `%s` cannot be kept", c.Expect.Outcome))
		case open != nil:
			st.wrong(keep, faultf(0, "`close` it first, or use another name", "connection %s is held since line %d", quote(c.Keep), open.line))
		}
		st.held[c.Keep] = &holding{c.From, n.place.line}
		return
	}
	if c.Do.Verb != Say && c.Do.Verb != Close {
		return
	}
	doing := n.get("do")
	open := st.held[c.Do.Held]
	if open == nil {
		names := make([]string, 0, len(st.held))
		for name := range st.held {
			names = append(names, name)
		}
		slices.Sort(names)
		st.wrong(doing, faultf(lastWord(doing.text), didYouMean(c.Do.Held, names, "held are"), "no connection %s is held here", quote(c.Do.Held)))
		return
	}
	if c.Do.Verb == Close {
		delete(st.held, c.Do.Held)
	}
	if c.From.Name == "" {
		c.From = open.by
	} else if c.From != open.by && open.by.Name != "" {
		st.wrong(n.get("from"), faultf(0, "leave `from` out", "connection %s belongs to %s", quote(c.Do.Held), quote(open.by.String())))
	}
	if c.From.Name != "" && !n.has("from") {
		if _, f := st.dir.node(c.From.String()); f != nil && st.sound {
			st.wrong(doing, faultf(lastWord(doing.text), "close it before", "the owner %s of connection %s was removed by a change",
				quote(c.From.String()), quote(c.Do.Held)))
		}
	}
}

// agree checks that what is expected can come of what is done.
func (st *state) agree(n *node, c *Check) {
	u, ok := usuals[c.Do.Verb]
	if !ok || bad(n.get("do")) {
		return
	}
	verb := quote(string(c.Do.Verb))
	expect := n.get("expect")
	said := expect
	if expect != nil && expect.kind == mapping {
		said = expect.get("outcome")
	}
	possible := u.outcomes
	if c.Do.Name != "" {
		possible = append(slices.Clone(possible), NXDomain)
	}
	if said != nil && textOf(said) != "" && !slices.Contains(possible, c.Expect.Outcome) {
		words := make([]string, len(possible))
		for i, o := range possible {
			words[i] = string(o)
		}
		hint := "it ends as " + choices(words)
		if c.Expect.Outcome == NXDomain && u.conn {
			hint += "; only a DNS name can be one that does not exist"
		}
		st.wrong(said, faultf(0, hint, "%s never ends as %s", verb, quote(said.text)))
	}
	only := func(key, verbs string, allowed bool, of *node) {
		if e, ok := of.find(key); ok && !allowed && !e.value.bad {
			st.report(e.place, quote(key)+" says nothing about "+verb, "it goes with "+verbs)
		}
	}
	if expect != nil && expect.kind == mapping {
		only("status", "`http`", c.Do.Verb == HTTP, expect)
		only("body", "`http`, `s3 get` and `dynamodb get`", c.Do.tellsBody(), expect)
		only("answers", "`dns` and `s3 list`", c.Do.tellsAnswers(), expect)
		only("exit", "`exec`", c.Do.Verb == Exec, expect)
		if e, ok := expect.find("answers"); ok && c.Do.tellsAnswers() && c.Expect.Outcome != OK {
			st.report(e.place, "only a query that is answered has `answers`", "remove them, or expect `ok`; `answers: []` says that there are none")
		}
		if e, ok := expect.find("mtu"); ok && c.Expect.Outcome != Unreachable {
			st.report(e.place, "`mtu` is told by an ICMP error only", "add `outcome: unreachable`")
		}
	}
	only("because", "checks that have a connection", u.conn, n)
	only("at", "checks that have a connection", u.conn, n)
	only("seen_as", "`tcp`, `udp`, `http` and `say`", u.source, n)
}

// peeringExists checks that the NAME of peering.NAME is a peering connection of the lab.
func (st *state) peeringExists(n *node, name string) {
	if st.model.Peering(name) != nil {
		return
	}
	var names []string
	for _, p := range st.model.Peerings {
		names = append(names, p.Name)
	}
	st.wrong(n, faultf(len("peering."), didYouMean(name, names, "there are"), "no peering connection is called %s", quote(name)))
}

// hopExists checks that the NAME of NAME/sg-in is an interface or internet host of the lab, and that of nat.NAME a NAT gateway.
func (st *state) hopExists(n *node) {
	if textOf(n) == "" {
		return
	}
	if st.managedHopExists(n) {
		return
	}
	name, station, named := strings.Cut(n.text, "/")
	instance, device, inner := strings.Cut(name, ".")
	if instance == "peering" && inner && !named {
		st.peeringExists(n, device)
		return
	}
	gateway := instance == "nat" && inner && (!named || slices.Contains(natStations, station))
	if !named && !gateway || gateway && len(st.dir.gateways[device]) > 0 {
		return
	}
	for _, r := range st.dir.instances[instance] {
		for _, eni := range r.instance.Interfaces {
			if eni.Name == name {
				return
			}
		}
	}
	if device == "" && st.dir.hosts[name] != nil {
		return
	}
	if gateway {
		st.wrong(n, faultf(0, didYouMean(name, st.dir.interfaceNames(), ""), "no NAT gateway is called %s", quote(device)))
		return
	}
	st.wrong(n, faultf(0, didYouMean(name, st.dir.interfaceNames(), ""), "no interface or internet host is called %s", quote(name)))
}
