package scenario

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

// Regular expressions of the values below, for the schema and for their own checks.
const (
	reZone   = `^[a-z]{2}(-[a-z]+)+-[1-9][0-9]?[a-z]$`
	reBucket = `^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`
	reURL    = `^https?://[^ \t\n]+$`
	reLabels = `([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?`
	reTarget = `([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?`
	reRecord = `^(@|\*|(\*\.)?` + reLabels + `)$`
	reDomain = `^` + reLabels + `$`
)

// The single values of endpoints, services and private zones.
var (
	serviceText = text{want: "an AWS service such as s3, or VPC/NAME of an endpoint service", parse: checkService,
		pattern: `^(` + strings.Join(serviceCodes(), "|") + `|` + reName + `/` + reName + `)$`}
	endpointState = text{words: []string{string(vpc.EndpointAvailable), string(vpc.EndpointPendingAcceptance),
		string(vpc.EndpointRejected), string(vpc.EndpointFailed)}}
	endpointRef = text{want: "an endpoint, such as `app/endpoint.shop`", parse: checkEndpointRef,
		pattern: `^(` + reName + `/)?endpoint\.` + reName + `$`}
	portText = text{want: "a port from 1 to 65535", types: []scalarType{typeInteger}, parse: checkBetween(1, 65535)}
	// principal is judged by package vpc, in AWS's words.
	principal = text{want: "\"*\", an account of 12 digits, or an ARN", types: []scalarType{typeString, typeInteger}, pattern: `^[\s\S]+$`}
	roleName  = text{want: "a role's name: up to 64 letters, digits and characters of _+=,.@-", pattern: `^[A-Za-z0-9_+=,.@-]{1,64}$`}
	// noRoleText is the `role` of an instance without an instance profile.
	noRoleText = text{want: "`none`", pattern: `^` + noRole + `$`, parse: func(s string) *fault {
		if s == noRole {
			return nil
		}
		return faultf(0, "write `none`, or a mapping such as {name: reader}", "%s is not a role", quote(s))
	}}
	hopLimit  = text{want: "a number from 1 to 64", types: []scalarType{typeInteger}, parse: checkBetween(1, 64)}
	wholeZone = text{want: "an availability zone such as us-east-1b", pattern: reZone, parse: checkWholeZone}

	bucketName = text{want: "a bucket's name", pattern: reBucket, parse: checkBucket}
	tableName  = text{want: "a table's name: 3 to 255 letters, digits and characters of _.-", pattern: `^[A-Za-z0-9_.-]{3,255}$`}
	keyText    = text{want: "an attribute and its type S, N or B, as in `id` or `id N`", parse: checkKey,
		pattern: `^` + reEdge + reHost + `(` + reSpace + `[SNB])?` + reEdge + `$`}
	backendURL = text{want: "a URL such as http://127.0.0.1:9000", pattern: reURL, parse: checkBackend}

	zoneName   = text{want: "a domain name such as corp.internal", pattern: reDomain, parse: checkDomain}
	recordName = text{want: "a name within the zone, such as `db`, `*`, or `@` for the zone's own", pattern: reRecord, parse: checkRecordName}
	recordTTL  = text{want: "seconds, from 0 to 2147483647", types: []scalarType{typeInteger}, parse: checkBetween(0, 1<<31-1)}
	answerText = text{want: "what a record says, such as an address or a name", types: freeText.types}
)

// The objects of endpoints, services and private zones.
var (
	endpointObject = object{name: "VPC endpoint", about: "A private way from the VPC to a service.", fields: []field{
		{key: "type", about: "gateway, by rows in route tables, or interface, by interfaces in subnets.", required: true,
			is: text{words: []string{string(vpc.GatewayEndpoint), string(vpc.InterfaceEndpoint)}}},
		{key: "service", about: "Where it leads: an AWS service, or VPC/NAME of an endpoint service.", is: serviceText, required: true},
		{key: "route_tables", about: "gateway: the route tables that have its row.", is: array{nameText}},
		{key: "subnets", about: "interface: the subnets that it has an interface in, one an availability zone.", is: array{nameText}},
		{key: "ip", about: "interface: its private IPv4 addresses, by subnet; the lowest free ones by default.",
			is: dict{key: nameText, of: addr4, noun: "address"}},
		{key: "sg", about: "interface: the security groups of its interfaces; [default] by default.", is: array{nameText}},
		{key: "private_dns", about: "interface: the service's public name leads to it in the whole VPC; true by default for AWS services where the VPC has both DNS attributes.",
			is: boolean},
		{key: "dualstack", about: "interface: its interfaces have IPv6 addresses, too; false by default.", is: boolean},
		{key: "policy", about: "Who may do what through it; everybody everything by default.", is: policyShape{}},
		{key: "expect_state", about: "The state that the endpoint has: anything else is an error.", is: endpointState},
	}}

	endpointServiceObject = object{name: "endpoint service", about: "Instances behind a load balancer, offered to other VPCs.", fields: []field{
		{key: "targets", about: "The instances that are asked in turn.", is: array{nameText}, required: true},
		{key: "ports", about: "The TCP ports of the load balancer; targets are asked at the same.", is: array{portText}, required: true},
		{key: "subnets", about: "Where the load balancer has an interface, one an availability zone; the targets' subnets by default.",
			is: array{nameText}},
		{key: "acceptance", about: "Endpoints wait until they are in `accepted`; false by default.", is: boolean},
		{key: "accepted", about: "Endpoints that are accepted.", is: array{endpointRef}},
		{key: "rejected", about: "Endpoints that are rejected.", is: array{endpointRef}},
		{key: "principals", about: "Who may make endpoints to it beside its own account: \"*\", accounts or ARNs.", is: array{principal}},
		{key: "proxy_protocol", about: "Targets get a PROXY protocol v2 header; false by default.", is: boolean},
	}}

	roleObject = object{name: "role", about: "The IAM role of an instance profile.", fields: []field{
		{key: "name", about: "Its name; the instance's by default.", is: roleName},
		{key: "policy", about: "What it may do; everything by default.", is: policyShape{}},
	}}

	metadataObject = object{name: "metadata", about: "The options of an instance's metadata service.", fields: []field{
		{key: "tokens", about: "optional (the default), or required: answers to requests with a token only.",
			is: text{words: []string{tokensOptional, tokensRequired}}},
		{key: "hop_limit", about: "How many hops the answer with a token may travel; 1 by default.", is: hopLimit},
		{key: "enabled", about: "It answers; true by default.", is: boolean},
		{key: "ipv6", about: "It answers at fd00:ec2::254, too; false by default.", is: boolean},
	}}

	bucketObject = object{name: "bucket", about: "An S3 bucket.", fields: []field{
		{key: "region", about: "Its region; the lab's by default.", is: region},
		{key: "account", about: "Its owner; the lab's by default.", is: account},
		{key: "policy", about: "Who else may do what with it.", is: policyShape{}},
	}}

	tableObject = object{name: "table", about: "A DynamoDB table.", fields: []field{
		{key: "key", about: "Its partition key and that's type, as in `id` or `id N`.", is: keyText, required: true},
		{key: "sort", about: "Its sort key, likewise.", is: keyText},
		{key: "region", about: "Its region; the lab's by default.", is: region},
		{key: "account", about: "Its owner; the lab's by default.", is: account},
		{key: "policy", about: "Who else may do what with it.", is: policyShape{}},
	}}

	servicesObject = object{name: "services", fields: []field{
		{key: "s3", about: "Amazon S3.", is: object{name: "s3", fields: []field{
			{key: "buckets", about: "Buckets by name.", is: dict{key: bucketName, of: bucketObject, noun: "bucket"}},
			{key: "backend", about: "Another server that does the work in place of the built-in one; our policies stand before it.", is: backendURL},
		}}},
		{key: "dynamodb", about: "Amazon DynamoDB.", is: object{name: "dynamodb", fields: []field{
			{key: "tables", about: "Tables by name.", is: dict{key: tableName, of: tableObject, noun: "table"}},
			{key: "backend", about: "Another server that does the work in place of the built-in one; our policies stand before it.", is: backendURL},
		}}},
	}}

	privateZoneObject = object{name: "private zone", about: "A Route 53 private hosted zone.", fields: []field{
		{key: "vpcs", about: "The VPCs that it answers in.", is: array{nameText}, required: true},
		{key: "records", about: "What it says, by name within the zone: addresses, or a mapping from types of records.",
			is: dict{key: recordName, of: either{addr, array{addr}, recordSetObject}, noun: "record"}},
	}}

	recordSetObject = object{name: "record set", about: "The records of one name, by type.", fields: recordSetFields()}
)

const noRole = "none"

// The values of `tokens`.
const (
	tokensOptional = "optional"
	tokensRequired = "required"
)

func serviceCodes() []string {
	var codes []string
	for _, s := range vpc.ServiceCatalog() {
		codes = append(codes, s.Code)
	}
	return codes
}

var serviceForm = `^([A-Za-z0-9][A-Za-z0-9.-]*)$`

// checkService judges the form of what an endpoint leads to; whether it exists is package vpc's to say.
func checkService(s string) *fault {
	owner, name, own := strings.Cut(s, "/")
	switch {
	case own && owner != "" && !validName(owner):
		return checkName(owner)
	case own && owner != "" && name != "":
		return checkName(name).shift(len(owner) + 1)
	case compiled(serviceForm).MatchString(s):
		return nil
	}
	return faultf(0, "write the code of an AWS service, such as s3, or VPC/NAME of an endpoint service", "%s is not a service", quote(s))
}

func serviceRef(s string) vpc.ServiceRef {
	owner, name, own := strings.Cut(s, "/")
	if !own {
		owner, name = "", s
	}
	return vpc.ServiceRef{VPC: owner, Name: name}
}

// parseEndpointRef reads endpoint.NAME or VPC/endpoint.NAME; without a VPC it is that in which it stands.
func parseEndpointRef(s string) (vpc.EndpointRef, *fault) {
	owner, rest, foreign := strings.Cut(s, "/")
	if !foreign {
		owner, rest = "", s
	}
	at := utf8.RuneCountInString(s) - utf8.RuneCountInString(rest)
	name, ok := strings.CutPrefix(rest, "endpoint.")
	switch {
	case foreign && !validName(owner):
		return vpc.EndpointRef{}, checkName(owner)
	case !ok:
		hint := "write `endpoint.NAME` or `VPC/endpoint.NAME`"
		if validName(rest) {
			hint = "an endpoint is " + quote(s[:len(s)-len(rest)]+"endpoint."+rest)
		}
		return vpc.EndpointRef{}, faultf(at, hint, "%s is not an endpoint", quote(rest))
	}
	return vpc.EndpointRef{VPC: owner, Name: name}, checkName(name).shift(at + len("endpoint."))
}

func checkEndpointRef(s string) *fault {
	_, f := parseEndpointRef(s)
	return f
}

func checkWholeZone(s string) *fault {
	switch {
	case compiled(reZone).MatchString(s):
		return nil
	case compiled(`^[a-z]$`).MatchString(s):
		return faultf(0, "write its region before it, as in "+quote("us-east-1"+s), "%s is not a whole zone", quote(s))
	}
	return faultf(0, "write one such as us-east-1b", "%s is not an availability zone", quote(s))
}

// checkBucket follows the S3 user guide, general purpose bucket naming rules.
func checkBucket(s string) *fault {
	why := ""
	switch _, err := netip.ParseAddr(s); {
	case !compiled(reBucket).MatchString(s):
		why = "it has 3 to 63 lower case letters, digits, dots and hyphens, and begins and ends with a letter or digit"
	case strings.Contains(s, ".."):
		why = "no two dots stand together in it"
	case err == nil:
		why = "it is not formatted as an IP address"
	}
	for _, reserved := range []string{"xn--", "sthree-", "amzn-s3-demo-"} {
		if strings.HasPrefix(s, reserved) {
			why = "names that begin with " + reserved + " are AWS's"
		}
	}
	for _, reserved := range []string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"} {
		if strings.HasSuffix(s, reserved) {
			why = "names that end with " + reserved + " are AWS's"
		}
	}
	if why == "" {
		return nil
	}
	return faultf(0, "the specified bucket is not valid: "+why, "%s is not a bucket's name", quote(s))
}

// parseKey reads an attribute of a primary key and its type, a string by default.
func parseKey(s string) (vpc.KeyAttribute, *fault) {
	p := split(s)
	name, typ := p.take(), p.take()
	key := vpc.KeyAttribute{Name: name.text, Type: typ.text}
	switch {
	case name.text == "":
		return key, faultf(0, "write `id` or `id N`", "the attribute is missing")
	case len(name.text) > 255:
		return key, faultf(name.at, "", "an attribute's name has at most 255 bytes")
	case typ.text == "":
		key.Type = "S"
	case !slices.Contains([]string{"S", "N", "B"}, typ.text):
		return key, faultf(typ.at, "write S for a string, N for a number or B for bytes", "%s is not a type that a key can have", quote(typ.text))
	}
	return key, p.rest()
}

func checkKey(s string) *fault {
	_, f := parseKey(s)
	return f
}

func checkBackend(s string) *fault {
	u, err := url.Parse(s)
	const form = "write one such as http://127.0.0.1:9000"
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || !compiled(reURL).MatchString(s):
		return faultf(0, form, "%s is not the URL of a service", quote(s))
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return faultf(0, form, "a service's URL has no user, query or fragment")
	}
	if u.Port() == "" {
		return nil
	}
	if n, err := strconv.Atoi(u.Port()); err != nil || n < 1 || n > 65535 {
		return faultf(0, "ports go from 1 to 65535", "%s is not a port", quote(u.Port()))
	}
	return nil
}
