package scenario

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

// A shape says what a value may be. The language is one tree of shapes (language.go), from which come the strict checking of files,
// the near matches and the JSON Schema, so that they cannot disagree.
type shape interface {
	// kinds are the kinds of node that the shape takes.
	kinds() []nodeKind
	// wants says in words what it takes: "a mapping of names", "a CIDR such as 10.0.0.0/16".
	wants() string
	// check reports what is wrong with a node of one of the kinds.
	check(r *reader, n *node, patch bool)
	// schema is the shape as JSON Schema. In a patch every value may also be null and no key is required.
	schema(s *schemas, patch bool) map[string]any
}

// text is a single value.
type text struct {
	want    string
	types   []scalarType // what it may be unquoted; a string if empty
	pattern string       // ECMA 262 regular expression for the schema; it accepts all that parse accepts
	words   []string     // all values, if they are few
	parse   func(string) *fault
	example string
}

// object is a mapping with known keys.
type object struct {
	name     string // in messages and the schema: "subnet"
	about    string
	fields   []field
	excludes [2]string // these two keys exclude each other
	// unlessDo makes the field `from` needed only if the text of `do` does not match; a check's rule.
	fromUnlessDo string
}

// field is one key of an object.
type field struct {
	key, about string
	is         shape
	required   bool
	fixed      string // why a `change` may not touch it; empty if it may
}

// dict is a mapping whose keys are the file's own.
type dict struct {
	key text
	of  shape
	// noun is what one entry is: "subnet".
	noun string
}

// array is a list.
type array struct{ of shape }

// either takes one of several shapes, told apart by the kind of node.
type either []shape

// variants takes one of several objects, told apart by a key that only one of them has. The first is meant when none is there.
type variants []variant

type variant struct {
	key string
	is  shape
}

func (text) kinds() []nodeKind     { return []nodeKind{scalar} }
func (object) kinds() []nodeKind   { return []nodeKind{mapping} }
func (dict) kinds() []nodeKind     { return []nodeKind{mapping} }
func (array) kinds() []nodeKind    { return []nodeKind{list} }
func (variants) kinds() []nodeKind { return []nodeKind{mapping} }

func (e either) kinds() []nodeKind {
	var kinds []nodeKind
	for _, s := range e {
		kinds = append(kinds, s.kinds()...)
	}
	return kinds
}

func (t text) wants() string {
	if t.want == "" {
		return choices(t.words)
	}
	return t.want
}

func (o object) wants() string { return "a mapping with keys such as " + quote(o.fields[0].key) }
func (d dict) wants() string   { return "a mapping from names, one for each " + d.noun }
func (a array) wants() string  { return "a list" }
func (variants) wants() string { return "a mapping" }

func (e either) wants() string {
	words := make([]string, len(e))
	for i, s := range e {
		words[i] = s.wants()
	}
	return strings.Join(words, ", or ")
}

// reader reads one file.
type reader struct {
	reporter
	// step and stepPlace say where mistakes of a patched model are reported: at the node if it stands in this step's patch, else at
	// the step. step 0 is the file.
	step      int
	stepPlace place
}

// at is where a mistake in the node is reported; offset counts characters inside a scalar.
func (r *reader) at(n *node, offset int) place {
	if n.step != r.step {
		return r.stepPlace
	}
	if r.total >= maxErrors {
		return n.place
	}
	return r.inside(n, offset)
}

// keyAt is where a mistake in an entry's key is reported.
func (r *reader) keyAt(e entry) place {
	if e.step != r.step {
		return r.stepPlace
	}
	return e.place
}

// wrong reports a mistake in a node and marks it, so that consequences of the mistake are not reported too.
func (r *reader) wrong(n *node, f *fault) {
	if f == nil {
		return
	}
	n.bad = true
	r.report(r.at(n, f.at), f.what, f.hint)
}

// check reports how a node differs from a shape. The name says what the value is: a key, or "an element of `cidr`".
func (r *reader) check(name string, n *node, s shape, patch bool) {
	if n.null() {
		if !patch {
			n.bad = true
			r.report(r.at(n, 0), name+" has no value", "give it "+s.wants()+", or remove the key")
		}
		return
	}
	if !slices.Contains(s.kinds(), n.kind) {
		n.bad = true
		hint := "it takes " + s.wants()
		if a, isList := s.(array); isList && n.kind == scalar && n.text != "" {
			hint += ": write " + quote(a.asList(n.text))
		}
		r.report(r.at(n, 0), name+" is "+n.kind.String(), hint)
		return
	}
	s.check(r, n, patch)
}

// asList writes a single value as the list that was meant: a command by its words.
func (a array) asList(s string) string {
	if t, ok := a.of.(text); ok && t.want == freeText.want {
		s = strings.Join(strings.Fields(s), ", ")
	}
	return "[" + s + "]"
}

// otherNames are what people who know AWS's own tools, or Terraform, call things here: the key to each, if it is one of the object's.
var otherNames = map[string]string{
	"availability_zone": "az", "cidr_block": "cidr", "cidr_blocks": "cidr", "elastic_ip": "eip", "inbound": "ingress", "network_acl": "acl",
	"network_acls": "acls", "nacl": "acl", "nacls": "acls", "outbound": "egress", "private_ip": "ip", "private_ips": "secondary",
	"secondary_ips": "secondary", "security_group": "sg", "security_groups": "sg", "igw": "internet_gateway", "eigw": "egress_only_gateway",
	"map_public_ip_on_launch": "public_ip", "source_destination_check": "source_dest_check", "command": "run", "listen": "serve",
	"auto_accept": "accept", "bandwidth": "rate", "latency": "delay", "peer_vpc_id": "accepter", "peering": "peerings",
	"peering_connections": "peerings", "flow_log": "flow_logs", "traffic_type": "traffic", "log_format": "format", "log_destination": "destination",
	"max_aggregation_interval": "interval", "aggregation_interval": "interval", "hive_compatible_partitions": "hive", "per_hour_partition": "per_hour",
	"resource_id": "resource", "vpc_id": "requester", "vpc_peering_connections": "peerings",
	"vpc_endpoints": "endpoints", "vpc_endpoint_type": "type", "service_name": "service", "route_table_ids": "route_tables",
	"subnet_ids": "subnets", "security_group_ids": "sg", "private_dns_enabled": "private_dns", "acceptance_required": "acceptance",
	"allowed_principals": "principals", "vpc_endpoint_services": "endpoint_services", "proxy_protocol_v2": "proxy_protocol",
	"iam_role": "role", "iam_instance_profile": "role", "http_tokens": "tokens", "http_put_response_hop_limit": "hop_limit",
	"metadata_options": "metadata", "hash_key": "key", "partition_key": "key", "range_key": "sort", "sort_key": "sort", "zones": "private_zones",
	"hosted_zones": "private_zones",
}

// meantBy is the key that a person most likely meant by word, or "".
func meantBy(word string, known []string) string {
	if key := otherNames[strings.ReplaceAll(word, "-", "_")]; slices.Contains(known, key) {
		return key
	}
	return near(word, known)
}

func (t text) check(r *reader, n *node, _ bool) { r.wrong(n, t.judge(n)) }

// judge says what is wrong with a scalar.
func (t text) judge(n *node) *fault {
	if !t.takes(n) {
		what := map[scalarType]string{typeBoolean: "a truth value", typeInteger: "a number", typeNumber: "a number", typeString: "text"}[n.typ]
		hint := "it takes " + t.wants()
		switch {
		case n.quoted && plainType(n.text) != typeString && slices.Contains(t.types, plainType(n.text)):
			hint += "; write it without quotes"
		case n.typ != typeString && (t.words == nil || slices.Contains(t.words, n.text)) && t.matches(n.text):
			hint += "; write it in quotes"
		}
		return faultf(0, hint, "%s is %s", quote(n.text), what)
	}
	return t.judgeText(n.text)
}

// takes reports whether the scalar's type in YAML, and so in JSON, is one that the shape takes.
func (t text) takes(n *node) bool {
	if len(t.types) == 0 {
		return n.typ == typeString
	}
	return slices.Contains(t.types, n.typ) || n.typ == typeInteger && slices.Contains(t.types, typeNumber)
}

func (t text) matches(s string) bool {
	return t.pattern == "" || compiled(t.pattern).MatchString(s)
}

// patterns remembers compiled regular expressions.
var patterns sync.Map

func compiled(pattern string) *regexp.Regexp {
	if re, ok := patterns.Load(pattern); ok {
		return re.(*regexp.Regexp)
	}
	re := regexp.MustCompile(pattern)
	patterns.Store(pattern, re)
	return re
}

func (t text) judgeText(s string) *fault {
	if t.words != nil {
		if slices.Contains(t.words, s) {
			return nil
		}
		return faultf(0, didYouMean(s, t.words, "use"), "%s is not known here", quote(s))
	}
	if t.parse != nil {
		return t.parse(s)
	}
	if !t.matches(s) {
		return faultf(0, "it takes "+t.wants(), "%s is not valid here", quote(s))
	}
	return nil
}

func (o object) check(r *reader, n *node, patch bool) {
	meant := map[string]bool{} // keys that are here, misspelt
	for _, e := range n.entries {
		i := slices.IndexFunc(o.fields, func(f field) bool { return f.key == e.key })
		if i < 0 {
			known := o.known()
			hint := didYouMean(e.key, known, "the keys here are")
			if key := meantBy(e.key, known); key != "" {
				meant[key] = true
				hint = "did you mean " + quote(key) + "?"
			}
			r.report(r.keyAt(e), "unknown key "+quote(e.key), hint)
			continue
		}
		f := o.fields[i]
		if patch && f.fixed != "" {
			r.report(r.keyAt(e), quote(e.key)+" cannot be changed by a step", f.fixed)
			continue
		}
		r.check(quote(e.key), e.value, f.is, patch)
	}
	if patch {
		return
	}
	for _, f := range o.fields {
		if !f.required || n.has(f.key) || f.key == "from" && o.excused(n) {
			continue
		}
		n.bad = true // what follows from its absence is not told
		if !meant[f.key] {
			r.report(r.at(n, 0), "the "+o.name+" has no "+quote(f.key), "add it: "+f.is.wants())
		}
	}
	if a, b := n.get(o.excludes[0]), n.get(o.excludes[1]); a != nil && b != nil {
		r.wrong(b, faultf(0, "keep one of them", "%s and %s exclude each other", quote(o.excludes[0]), quote(o.excludes[1])))
	}
}

// excused reports whether a check needs no `from`.
func (o object) excused(n *node) bool {
	do := n.get("do")
	return o.fromUnlessDo != "" && do != nil && do.kind == scalar && compiled(o.fromUnlessDo).MatchString(do.text)
}

// known lists the object's keys.
func (o object) known() []string {
	keys := make([]string, len(o.fields))
	for i, f := range o.fields {
		keys[i] = f.key
	}
	return keys
}

func (d dict) check(r *reader, n *node, patch bool) {
	for _, e := range n.entries {
		if f := d.key.judgeText(e.key); f != nil {
			at := r.keyAt(e)
			if at == e.place {
				at.col += f.at
			}
			e.value.bad = true
			r.report(at, f.what, f.hint)
			continue
		}
		r.check("the "+d.noun+" "+quote(e.key), e.value, d.of, patch)
	}
}

func (a array) check(r *reader, n *node, _ bool) {
	for _, item := range n.items {
		r.check("the list's element", item, a.of, false)
	}
}

func (e either) check(r *reader, n *node, patch bool) {
	for _, s := range e {
		if slices.Contains(s.kinds(), n.kind) {
			r.check("", n, s, patch)
			return
		}
	}
}

// pick returns the variant that a mapping is.
func (v variants) pick(n *node) variant {
	for _, one := range v {
		if n.has(one.key) {
			return one
		}
	}
	// None of the keys is here: a misspelt one is nearer to the truth than a missing one.
	keys := make([]string, len(v))
	for i, one := range v {
		keys[i] = one.key
	}
	if len(n.entries) == 1 {
		if meant := near(n.entries[0].key, keys); meant != "" {
			return v[slices.Index(keys, meant)]
		}
	}
	return v[0]
}

func (v variants) check(r *reader, n *node, patch bool) {
	one := v.pick(n)
	for _, other := range v {
		if e, ok := n.find(other.key); ok && other.key != one.key {
			n.bad = true
			r.report(r.keyAt(e), quote(one.key)+" and "+quote(other.key)+" are steps of their own", "make two of them")
			return
		}
	}
	r.check("", n, one.is, patch)
}
