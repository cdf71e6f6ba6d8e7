package scenario

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// Record is a flow-log record as an element of `logs` or `no_logs` describes it.
type Record struct {
	Log   string // the flow log's name
	Text  string // as written: "everything: interface app, dstport 80, action ACCEPT"
	Wants []Want
}

// Want is what a record says in one field.
type Want struct {
	Field flowlog.Field
	OneOf []string // as records write it, in any notation of an address
}

// Idle reports whether the record tells of an interface without packets, or without memory for them, and so belongs to no connection.
func (r *Record) Idle() bool {
	return slices.ContainsFunc(r.Wants, func(w Want) bool {
		return w.Field == flowlog.LogStatus && w.OneOf[0] != flowlog.OK.String()
	})
}

// Differs lists the fields in which a delivered record is not the one that is described.
func (r *Record) Differs(row flowlog.Row) []flowlog.Field {
	var fields []flowlog.Field
	for _, w := range r.Wants {
		is := func(value string) bool { return flowlog.Filter{{Field: w.Field, Value: value}}.Match(row) }
		if !slices.ContainsFunc(w.OneOf, is) {
			fields = append(fields, w.Field)
		}
	}
	return fields
}

// nothing is what a record says where a field does not apply.
const nothing = "-"

// fieldWords are all that a field can say, where that is few words.
var fieldWords = map[flowlog.Field][]string{
	flowlog.Action:        {"ACCEPT", "REJECT", nothing},
	flowlog.LogStatus:     {flowlog.OK.String(), flowlog.NoData.String(), flowlog.SkipData.String()},
	flowlog.FlowDirection: {ingressFlow, egressFlow, nothing},
	flowlog.Type:          {"IPv4", "IPv6", nothing},
	flowlog.RejectReason:  {"BPA", "EC", nothing},
}

// The values of flow-direction.
const (
	ingressFlow = "ingress"
	egressFlow  = "egress"
)

var addressFields = []flowlog.Field{flowlog.SrcAddr, flowlog.DstAddr, flowlog.PktSrcAddr, flowlog.PktDstAddr}

// idleFields are those that a NODATA or SKIPDATA record has.
var idleFields = []flowlog.Field{flowlog.Version, flowlog.AccountID, flowlog.InterfaceID, flowlog.Start, flowlog.End, flowlog.LogStatus}

// recordFields are the keys of a record beside `log` and `interface`: all that records have.
func recordFields() []field {
	var all []field
	for _, f := range flowlog.Fields() {
		all = append(all, field{key: f.String(), about: "What the record says as " + f.String() + ": " + f.About() + ".", is: fieldValue(f)})
	}
	return all
}

// fieldValue is the shape of a field's value.
func fieldValue(f flowlog.Field) text {
	switch {
	case fieldWords[f] != nil:
		return text{words: fieldWords[f]}
	case slices.Contains(addressFields, f):
		return text{want: "an address, or whose as in `web`, `web.ipv6`, `VPC/web`, `nat.out.public`", pattern: host.pattern}
	case f.Kind() == flowlog.String:
		return text{want: "a value without spaces, as records have it", types: []scalarType{typeString, typeInteger}, pattern: host.pattern}
	}
	return text{want: "a number", types: []scalarType{typeInteger, typeString}, pattern: `^(-|0|[1-9][0-9]*)$`, parse: checkFieldNumber(f)}
}

// checkFieldNumber judges a number, or the dash that stands for none.
func checkFieldNumber(f flowlog.Field) func(string) *fault {
	most := int64(1<<63 - 1)
	switch {
	case f == flowlog.SrcPort || f == flowlog.DstPort:
		most = 65535
	case f == flowlog.Protocol:
		most = 255
	case f.Kind() == flowlog.Int32:
		most = 1<<31 - 1
	}
	return func(s string) *fault {
		if s == nothing {
			return nil
		}
		n, err := strconv.ParseInt(s, 10, 64)
		number, named := protocols[s]
		switch {
		case f == flowlog.Protocol && named && number >= 0:
			return faultf(0, "write "+quote(strconv.Itoa(number)), "%s is not a number, and records have protocols as numbers", quote(s))
		case err != nil || n < 0 || strconv.FormatInt(n, 10) != s:
			return faultf(0, "write it as records do: a decimal number, or \"-\"", "%s is not a number", quote(s))
		case n > most:
			return faultf(0, "it goes from 0 to "+strconv.FormatInt(most, 10), "no record has %s as %s", quote(s), f)
		}
		return nil
	}
}

// records reads what a check says of flow logs under a key.
func (st *state) records(n *node, key string, verb Verb) []Record {
	var all []Record
	for _, item := range n.get(key).elements() {
		if item.kind != mapping {
			continue
		}
		if r, ok := st.record(item); ok {
			if verb == Exec && !r.Idle() {
				st.report(item.place, "the connections of a program are not known, and so its records are not either",
					"use `tcp`, `udp`, `http`, `ping` or `send`, or ask for `log-status: NODATA`")
			}
			all = append(all, r)
		}
	}
	return all
}

// record reads one record. It is false if its flow log is not there, of which nothing else can be said then.
func (st *state) record(n *node) (Record, bool) {
	l := st.log(n.get("log"))
	if l == nil {
		return Record{}, false
	}
	format, _ := flowlog.ParseFormat(l.Format) // it was read before; empty is the default
	d := &description{state: st, log: l, format: format, Record: Record{Log: l.Name}}
	d.nic = d.watchedNIC(n)
	var texts []string
	for _, e := range n.entries {
		if e.key == "log" || textOf(e.value) == "" {
			continue
		}
		texts = append(texts, e.key+" "+e.value.text)
		if f, ok := flowlog.FieldOf(e.key); ok {
			d.field(e, f)
		}
	}
	d.Text = l.Name + ": " + strings.Join(texts, ", ")
	if texts == nil {
		d.Text = l.Name + ": any record"
	}
	if d.Idle() {
		d.sayNothing(n)
	}
	return d.Record, true
}

// log finds the flow log that a record is in. It is nil without a report if the log itself is wrong.
func (st *state) log(n *node) *vpc.FlowLog {
	name := textOf(n)
	if name == "" {
		return nil
	}
	l := st.model.FlowLog(name)
	declared := st.tree.get("flow_logs")
	switch {
	case l == nil:
		hint := "declare it in `flow_logs`"
		if declared != nil && len(declared.entries) > 0 {
			hint = didYouMean(name, declared.keys(), "there are")
		}
		st.wrong(n, faultf(0, hint, "no flow log is called %s", quote(name)))
	case declared.get(name).anyBad():
	case l.Ended:
		st.wrong(n, faultf(0, "it records nothing any more: declare one of another resource", "flow log %s ended when a change removed %s",
			quote(name), l.Resource))
	default:
		return l
	}
	return nil
}

// description is a record that is being read.
type description struct {
	*state
	log    *vpc.FlowLog
	format flowlog.Format
	nic    nic // the interface that it names
	Record
}

// nic is an interface as flow logs know it.
type nic struct {
	vpc    vpc.VPCID
	subnet vpc.SubnetID
	eni    vpc.ENIID // empty: none
	addrs  []netip.Addr
}

// watchedNIC reads `interface`, and checks that the flow log has records of it.
func (d *description) watchedNIC(n *node) nic {
	e, ok := n.find("interface")
	if !ok || textOf(e.value) == "" {
		return nic{}
	}
	f, wrong := d.dir.nic(e.value.text)
	switch {
	case wrong != nil:
		d.wrong(e.value, wrong)
		return nic{}
	case !d.has(flowlog.InterfaceID):
		d.report(e.place, "flow log "+quote(d.log.Name)+" does not record `interface-id`, by which an `interface` is known",
			"add ${interface-id} to its `format`")
	case d.sound && !d.log.Covers(f.vpc, f.subnet, f.eni):
		d.wrong(e.value, faultf(0, "name an interface of "+d.log.Resource.String(), "flow log %s does not cover %s: it watches %s",
			quote(d.log.Name), quote(e.value.text), d.log.Resource))
	}
	d.want(flowlog.InterfaceID, string(f.eni))
	return f
}

func (d *description) has(fields ...flowlog.Field) bool {
	return !slices.ContainsFunc(fields, func(f flowlog.Field) bool { return !slices.Contains(d.format.Fields(), f) })
}

func (d *description) want(f flowlog.Field, values ...string) {
	d.Wants = append(d.Wants, Want{f, values})
}

// field reads what the record says in one field.
func (d *description) field(e entry, f flowlog.Field) {
	value := e.value.text
	switch {
	case f == flowlog.FlowDirection && !d.has(f):
		d.direction(e, value)
		return
	case !d.has(f):
		d.lacks(e, "add ${"+e.key+"} to its `format`")
	case f == flowlog.Action && d.log.Traffic != vpc.LogAll && !strings.EqualFold(value, string(d.log.Traffic)):
		d.wrong(e.value, faultf(0, "it has traffic "+quote(string(d.log.Traffic)), "no record of flow log %s has action %s", quote(d.log.Name), quote(value)))
	case slices.Contains(addressFields, f) && value != nothing:
		a, wrong := d.dir.address(value, anyFamily)
		d.wrong(e.value, wrong)
		value = a.String()
	}
	d.want(f, value)
}

// direction reads a flow's direction where the format leaves it out: what an interface sends has an address of the interface as srcaddr,
// and what it gets has one as dstaddr (VPC user guide, flow log records).
func (d *description) direction(e entry, value string) {
	if d.nic.eni == "" || !d.has(flowlog.InterfaceID, flowlog.SrcAddr, flowlog.DstAddr) {
		d.lacks(e, "add ${flow-direction} to its `format`, or name the `interface` where it has ${interface-id}, ${srcaddr} and ${dstaddr}")
		return
	}
	var own []string
	for _, a := range d.nic.addrs {
		if a.IsValid() {
			own = append(own, a.String())
		}
	}
	switch value {
	case egressFlow:
		d.want(flowlog.SrcAddr, own...)
	case ingressFlow:
		d.want(flowlog.DstAddr, own...)
	default:
		d.lacks(e, "add ${flow-direction} to its `format`")
	}
}

func (d *description) lacks(e entry, hint string) {
	if d.log.Format == "" {
		hint = strings.Replace(hint, "its `format`", "a `format` of its own", 1)
	}
	d.report(e.place, "flow log "+quote(d.log.Name)+" does not record "+quote(e.key), hint)
}

// sayNothing reports what a record of no packets cannot say.
func (d *description) sayNothing(n *node) {
	for _, e := range n.entries {
		f, ok := flowlog.FieldOf(e.key)
		if ok && !slices.Contains(idleFields, f) && textOf(e.value) != "" && e.value.text != nothing {
			d.report(e.place, "a record of no packets says nothing as "+quote(e.key), "leave it out beside "+quote("log-status: "+n.get("log-status").text))
		}
	}
}

// nic finds an interface by what checks call it: an instance, which is its primary interface, NAME.ethN, nat.NAME, endpoint.NAME, all of
// them also behind VPC/, or an ENI's ID.
func (d *directory) nic(s string) (nic, *fault) {
	if f, ok := d.nics()[vpc.ENIID(s)]; ok {
		return f, nil
	}
	if compiled(`^eni-[0-9a-f]{8,17}$`).MatchString(s) {
		return nic{}, faultf(0, "name the interface as in `web`, `web.eth1` or `nat.out`", "no interface has the ID %s", quote(s))
	}
	if i, at, f := d.managed(s); f != nil || i != nil {
		if f == nil && at < len(s) {
			f = faultf(at, "write "+quote(s[:at-1]), "an endpoint's interface has no %s", quote(s[at:]))
		}
		if f != nil {
			return nic{}, f
		}
		return d.nics()[i.ID], nil
	}
	if g, at, f := d.translator(s); f != nil || g != nil {
		if f == nil && at < len(s) {
			f = faultf(at, "write "+quote(s[:at-1]), "a NAT gateway has one interface, and no %s", quote(s[at:]))
		}
		if f != nil {
			return nic{}, f
		}
		return d.nics()[g.ENIID], nil
	}
	whole, device, further := strings.Cut(s, ".")
	r, h, f := d.find(whole)
	switch {
	case f != nil:
		return nic{}, f
	case h != nil:
		return nic{}, faultf(0, "name an instance or a NAT gateway", "internet host %s has no interface that a flow log watches", quote(h.Name))
	case !further:
		device = "eth0"
	}
	for _, e := range r.instance.Interfaces {
		if e.Device == device {
			return d.nics()[e.ID], nil
		}
	}
	return nic{}, faultf(utf8.RuneCountInString(whole)+1, "its interfaces are "+choices(devices(r.instance)),
		"instance %s has no interface %s", quote(whole), quote(device))
}

// nics are all interfaces by their IDs.
func (d *directory) nics() map[vpc.ENIID]nic {
	if d.byID != nil {
		return d.byID
	}
	d.byID = map[vpc.ENIID]nic{}
	for _, v := range d.vpcs {
		id := func(subnet string) vpc.SubnetID {
			if s := v.Subnet(subnet); s != nil {
				return s.ID
			}
			return ""
		}
		for _, e := range v.InstanceENIs() {
			d.byID[e.ID] = nic{v.ID, id(e.Subnet), e.ID, append([]netip.Addr{e.IP, e.IPv6}, e.Secondary...)}
		}
		for _, g := range v.NATGateways {
			f := nic{v.ID, id(g.Subnet), g.ENIID, nil}
			for _, a := range g.Addresses {
				f.addrs = append(f.addrs, a.IP)
			}
			d.byID[g.ENIID] = f
		}
		for _, i := range managedInterfaces(v) {
			d.byID[i.ID] = nic{v.ID, id(i.Subnet), i.ID, []netip.Addr{i.IP, i.IPv6}}
		}
	}
	return d.byID
}
