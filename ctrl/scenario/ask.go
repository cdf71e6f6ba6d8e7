package scenario

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

// queryTypes are the types of records that `dns` asks for.
var queryTypes = []string{"A", "AAAA", "CNAME", "PTR", "TXT", "MX", "SRV", "NS", "SOA"}

// addressType and reverseType are what `dns` asks for unless it says otherwise: of a name, and of an address.
const (
	addressType = "A"
	reverseType = "PTR"
)

// query reads `dns NAME [TYPE]`. An address stands for its reverse name.
func (do Do) query(p *phrase) (Do, *fault) {
	name, typ := p.take(), p.take()
	if name.text == "" {
		return do, faultf(name.at, "write `dns NAME` or `dns NAME TYPE`", "the name is missing")
	}
	do.DNS = Query{Name: strings.TrimSuffix(name.text, "."), Type: strings.ToUpper(typ.text)}
	if a, err := netip.ParseAddr(name.text); err == nil && a.Zone() == "" {
		if typ.text == "" {
			do.DNS.Type = reverseType
		}
		if do.DNS.Type != reverseType {
			return do, faultf(typ.at, "write PTR, or nothing", "an address has no records of type %s", quote(typ.text))
		}
		do.DNS.Name = reverseName(a.Unmap())
		return do, p.rest()
	}
	switch {
	case !queryName.matches(do.DNS.Name) || len(do.DNS.Name) > maxName:
		return do, faultf(name.at, "write one such as db.corp.internal", "%s is not a domain name", quote(name.text))
	case typ.text == "":
		do.DNS.Type = addressType
	case !slices.Contains(queryTypes, do.DNS.Type):
		return do, faultf(typ.at, didYouMean(do.DNS.Type, queryTypes, "there are"), "%s is not a type of records", quote(typ.text))
	}
	return do, p.rest()
}

// queryName is a name that can be asked for: more than hosts have.
var queryName = text{pattern: `^([A-Za-z0-9_*-]{1,63}\.)*[A-Za-z0-9_*-]{1,63}$`}

// reverseName is the name under which the name of an address is looked up (RFC 1035 section 3.5, RFC 3596 section 2.5).
func reverseName(a netip.Addr) string {
	var b strings.Builder
	bytes := a.AsSlice()
	slices.Reverse(bytes)
	for _, octet := range bytes {
		if a.Is4() {
			fmt.Fprintf(&b, "%d.", octet)
		} else {
			fmt.Fprintf(&b, "%x.%x.", octet&0xf, octet>>4)
		}
	}
	if a.Is4() {
		return b.String() + "in-addr.arpa"
	}
	return b.String() + "ip6.arpa"
}

// way reads what may stand at the end of a request to a service, `in REGION` and `by ENDPOINT`, and takes it away; at least so many
// words are left.
func way(p *phrase, least int, code string, d *directory, from Node) (in string, by vpc.EndpointRef, f *fault) {
	for len(p.words)-p.next >= least+2 {
		word, value := p.words[len(p.words)-2], p.words[len(p.words)-1]
		switch {
		case word.text == "in" && in == "" && region.matches(value.text):
			in = value.text
		case word.text == "by" && by.Name == "" && strings.Contains(value.text, "endpoint."):
			if by, f = d.askedEndpoint(value.text, code, from); f != nil {
				return in, by, f.shift(value.at)
			}
		default:
			return in, by, nil
		}
		p.words = p.words[:len(p.words)-2]
		last := p.words[len(p.words)-1]
		p.end = last.at + runes(last.text)
	}
	return in, by, nil
}

// askedEndpoint finds the interface endpoint that a request is to go by. It has to lead to the service.
func (d *directory) askedEndpoint(s, code string, from Node) (vpc.EndpointRef, *fault) {
	ref, f := parseEndpointRef(s)
	if f != nil || d == nil {
		return ref, f
	}
	at := len(s) - len(ref.Name)
	found := d.managedNamed("endpoint", ref.Name)
	if ref.VPC == "" && len(found) > 1 {
		ref.VPC = from.VPC
	}
	found = slices.DeleteFunc(found, func(m managedInterfacesOf) bool { return ref.VPC != "" && m.vpc.Name != ref.VPC })
	if len(found) != 1 {
		return ref, faultf(at, didYouMean(ref.Name, d.managedNames("endpoint", ref.VPC), "there are"), "no endpoint is called %s", quote(ref.Name))
	}
	ref.VPC = found[0].vpc.Name
	e := found[0].vpc.Endpoint(ref.Name)
	switch {
	case e.Type != vpc.InterfaceEndpoint:
		return ref, faultf(at, "leave `by` out: what goes by a gateway endpoint is the route tables' business",
			"gateway endpoint %s has no DNS name of its own", quote(ref.Name))
	case e.Service != vpc.ServiceRef{Name: code}:
		return ref, faultf(at, "", "endpoint %s leads to %s, not to %s", quote(ref.Name), e.Service, code)
	}
	return ref, nil
}

// asked is the region whose service is asked: the one that is said, the endpoint's, that of what is asked for, or the caller's.
func (d *directory) asked(said string, by vpc.EndpointRef, of string, from Node) string {
	switch at, caller := d.vpcs[by.VPC], d.vpcs[from.VPC]; {
	case said != "":
		return said
	case at != nil:
		return at.Region
	case of != "":
		return of
	case caller != nil:
		return caller.Region
	}
	return d.model.Region
}

// operation reads the word that says what is done with a service.
func operation(p *phrase, verb Verb, operations ...string) (string, *fault) {
	w := p.take()
	if slices.Contains(operations, w.text) {
		return w.text, nil
	}
	return "", faultf(w.at, didYouMean(w.text, operations, "write"), "expected what %s does%s", quote(string(verb)), notThis(w))
}

// s3 reads `s3 put BUCKET/KEY TEXT`, `s3 get BUCKET/KEY` and `s3 list BUCKET[/PREFIX]`, all with `in REGION` and `by ENDPOINT` behind.
func (do Do) s3(p *phrase, s string, d *directory, from Node) (Do, *fault) {
	op, f := operation(p, S3, Put, Get, List)
	if f != nil {
		return do, f
	}
	do.S3.Op = op
	if f := do.S3.target(p.take()); f != nil {
		return do, f
	}
	words := map[string]int{Put: 1} // what follows the key
	in, by, f := way(p, words[op], "s3", d, from)
	if f != nil {
		return do, f
	}
	do.S3.Region, do.S3.By = in, by
	if op == Put {
		if do.S3.Text, f = p.remainder(s); f != nil {
			return do, f
		}
	}
	if d != nil && d.complete {
		of := ""
		for _, b := range d.model.Services.Buckets {
			if b.Name == do.S3.Bucket {
				of = b.Region
			}
		}
		do.S3.Region = d.asked(in, by, of, from)
	}
	return do, p.rest()
}

// target reads BUCKET/KEY, or BUCKET[/PREFIX] of list.
func (r *S3Do) target(w word) *fault {
	bucket, key, _ := strings.Cut(w.text, "/")
	r.Bucket, r.Key = bucket, key
	switch {
	case w.text == "":
		return faultf(w.at, "write "+quote("s3 "+r.Op+" BUCKET/KEY"), "the bucket is missing")
	case checkBucket(bucket) != nil:
		return checkBucket(bucket).shift(w.at)
	case r.Op != List && key == "":
		return faultf(w.at, "write "+quote(bucket+"/KEY"), "the key is missing")
	}
	return nil
}

// remainder takes all that is left as one text, whose quotation marks are taken off as in `exec`.
func (p *phrase) remainder(s string) (string, *fault) {
	first := p.peek()
	if first.text == "" {
		return "", faultf(first.at, "write it behind the key", "the text is missing")
	}
	args, f := splitArgs(string([]rune(s)[first.at:p.end]))
	if f != nil {
		return "", f.shift(first.at)
	}
	p.next = len(p.words)
	return strings.Join(args, " "), nil
}

// dynamodb reads `dynamodb put TABLE JSON` and `dynamodb get TABLE KEY [SORT]`, both with `in REGION` and `by ENDPOINT` behind.
func (do Do) dynamodb(p *phrase, s string, d *directory, from Node) (Do, *fault) {
	op, f := operation(p, DynamoDB, Put, Get)
	if f != nil {
		return do, f
	}
	table := p.take()
	do.DynamoDB.Op, do.DynamoDB.Table = op, table.text
	switch {
	case table.text == "":
		return do, faultf(table.at, "write "+quote("dynamodb "+op+" TABLE …"), "the table is missing")
	case !tableName.matches(table.text):
		return do, faultf(table.at, "it takes "+tableName.want, "%s is not a table's name", quote(table.text))
	}
	in, by, f := way(p, 1, "dynamodb", d, from)
	if f != nil {
		return do, f
	}
	do.DynamoDB.Region, do.DynamoDB.By = in, by
	var declared *vpc.Table
	var tables []string
	if d != nil && d.complete {
		of := ""
		for _, t := range d.model.Services.Tables {
			tables = append(tables, t.Name)
			if t.Name == table.text {
				declared, of = t, t.Region
			}
		}
		do.DynamoDB.Region = d.asked(in, by, of, from)
	}
	if do.DynamoDB.Item, f = p.item(s, op, declared, didYouMean(table.text, tables, ""), d != nil && d.complete); f != nil {
		return do, f
	}
	return do, p.rest()
}

// item reads the rest of a request: a JSON object, or of get also the values of the table's key.
func (p *phrase) item(s, op string, t *vpc.Table, nearTable string, known bool) (string, *fault) {
	first := p.peek()
	if first.text == "" {
		hint := map[string]string{Put: `write an item such as {"id": "1"}`, Get: "write the key's value"}[op]
		return "", faultf(first.at, hint, "%s is missing", map[string]string{Put: "the item", Get: "the key"}[op])
	}
	raw := string([]rune(s)[first.at:p.end])
	if op == Put || strings.HasPrefix(raw, "{") {
		p.next = len(p.words)
		var object map[string]any
		if err := json.Unmarshal([]byte(raw), &object); err != nil || object == nil {
			return "", faultf(first.at, `write one such as {"id": "1", "count": 3}`, "%s is not a JSON object", quote(raw))
		}
		return raw, nil
	}
	values, f := splitArgs(raw)
	if f != nil {
		return "", f.shift(first.at)
	}
	p.next = len(p.words)
	if !known {
		return "", nil
	}
	if t == nil {
		hint := "write the key as JSON, as in {\"id\": \"1\"}, or declare the table under `services`"
		if nearTable != "" {
			hint = nearTable
		}
		return "", faultf(first.at, hint, "the table is not declared, and so its key is not known here")
	}
	item, f := keyOf(t, values)
	return item, f.shift(first.at)
}

// keyOf is the key of an item as a JSON object.
func keyOf(t *vpc.Table, values []string) (string, *fault) {
	keys := []vpc.KeyAttribute{t.Key}
	if t.Sort.Name != "" {
		keys = append(keys, t.Sort)
	}
	if len(values) != len(keys) {
		want := quote(t.Key.Name)
		if t.Sort.Name != "" {
			want += " and " + quote(t.Sort.Name)
		}
		return "", faultf(0, "write the values of "+want, "the key of table %s has %d attributes, not %d", quote(t.Name), len(keys), len(values))
	}
	key := map[string]any{}
	for i, k := range keys {
		key[k.Name] = values[i]
		switch {
		case k.Type == "N" && !json.Valid([]byte(values[i])) || k.Type == "N" && plainType(values[i]) == typeString:
			return "", faultf(0, "write a decimal number", "%s is a number, and %s is none", quote(k.Name), quote(values[i]))
		case k.Type == "N":
			key[k.Name] = json.Number(values[i])
		case k.Type == "B":
			return "", faultf(0, "use `exec`", "%s is bytes, which a check cannot write", quote(k.Name))
		}
	}
	b, err := json.Marshal(key)
	if err != nil {
		return "", faultf(0, "", "the key cannot be written as JSON: %v", err)
	}
	return string(b), nil
}

// tellsBody and tellsAnswers report what a check of this kind finds out beside its outcome.
func (do Do) tellsBody() bool {
	return do.Verb == HTTP || do.Verb == S3 && do.S3.Op == Get || do.Verb == DynamoDB && do.DynamoDB.Op == Get
}

func (do Do) tellsAnswers() bool { return do.Verb == DNS || do.Verb == S3 && do.S3.Op == List }

// answers reads what a query is to be answered: of addresses also what stands for them, as in HOST.
func (st *state) answers(n *node, c *Check) {
	if n == nil || n.kind != list || n.bad {
		return
	}
	c.Expect.Answers = []string{}
	family, ofAddresses := map[string]family{"A": ipv4, "AAAA": ipv6}[c.Do.DNS.Type]
	for _, item := range n.items {
		text := textOf(item)
		if text == "" {
			continue
		}
		if ofAddresses {
			a, f := st.dir.address(text, family)
			if f != nil {
				st.wrong(item, answersOnly(f, c.Do.DNS.Type))
				continue
			}
			text = a.String()
		} else if c.Do.Verb == DNS {
			text = recordValue(c.Do.DNS.Type, text)
		}
		c.Expect.Answers = append(c.Expect.Answers, text)
	}
}

// answersOnly makes of a fault that was told for `ping` one that fits answers.
func answersOnly(f *fault, typ string) *fault {
	if strings.HasPrefix(f.hint, "use `ping") {
		f.hint = "ask for type A or AAAA as it fits"
		f.what += ", and the query is for type " + typ
	}
	return f
}
