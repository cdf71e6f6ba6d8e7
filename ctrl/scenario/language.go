package scenario

import (
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/vpclab/vpclab/ctrl/vpc"
	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// Regular expressions of the schema (ECMA 262 and RE2 alike). Each accepts all that the parser accepts; the parser is stricter.
const (
	reAddr4    = `(([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])\.){3}([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])`
	reAddr6    = `[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*`
	reCIDR4    = reAddr4 + `/([0-9]|[12][0-9]|3[0-2])`
	reCIDR6    = reAddr6 + `/([0-9]|[1-9][0-9]|1[01][0-9]|12[0-8])`
	reName     = `[a-z][a-z0-9-]{0,30}`
	reSpace    = `[ \t\n]+`
	reEdge     = `[ \t\n]*`
	reHost     = `[^ \t\n]+`
	reTraffic  = `(all|tcp|udp|icmp|icmpv6|[0-9]{1,3})(` + reSpace + `[0-9]{1,5}([-/][0-9]{1,5})?)?` + reSpace
	rePeer     = `(` + reCIDR4 + `|` + reCIDR6 + `|(` + reName + `/)?sg\.` + reName + `|pl\.` + reName + `)`
	reCIDR     = `(` + reCIDR4 + `|` + reCIDR6 + `)`
	reNumbered = `[0-9]{1,5}` + reSpace + `(allow|deny)` + reSpace
	reDuration = `([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h|d))+`
)

// The single values of the language.
var (
	freeText = text{want: "text", types: []scalarType{typeString, typeNumber, typeBoolean}}
	nameText = text{want: "a name", pattern: namePattern, parse: checkName}
	boolean  = text{types: []scalarType{typeBoolean}, words: []string{"true", "false"}}
	region   = text{want: "a region such as us-east-1", pattern: `^[a-z]{2}(-[a-z]+)+-[1-9][0-9]?$`}
	account  = text{want: "an account of 12 digits", types: []scalarType{typeString, typeInteger}, pattern: `^[0-9]{12}$`}
	zoneText = text{want: "an availability zone: a letter, or a name such as us-east-1a",
		pattern: `^([a-z]|[a-z]{2}(-[a-z]+)+-[1-9][0-9]?[a-z])$`}

	cidr4   = text{want: "an IPv4 CIDR such as 10.0.0.0/16", pattern: `^` + reCIDR4 + `$`, parse: checkCIDR(ipv4)}
	cidr6   = text{want: "an IPv6 CIDR such as 2001:db8::/56", pattern: `^` + reCIDR6 + `$`, parse: checkCIDR(ipv6)}
	cidr    = text{want: "a CIDR", pattern: `^(` + reCIDR4 + `|` + reCIDR6 + `)$`, parse: checkCIDR(anyFamily)}
	addr4   = text{want: "an IPv4 address such as 10.0.0.10", pattern: `^` + reAddr4 + `$`, parse: checkAddr(ipv4)}
	addr    = text{want: "an IP address", pattern: `^(` + reAddr4 + `|` + reAddr6 + `)$`, parse: checkAddr(anyFamily)}
	eip     = text{want: "`auto` or a public IPv4 address", pattern: `^(auto|` + reAddr4 + `)$`, parse: or("auto", checkAddr(ipv4))}
	natAddr = text{want: "`auto` or an IPv4 address", pattern: eip.pattern, parse: eip.parse}
	addr6   = text{want: "`none` or an IPv6 address", pattern: `^(none|` + reAddr6 + `)$`, parse: or("none", checkAddr(ipv6))}

	routeKey = text{want: "a CIDR or pl.NAME",
		pattern: `^(` + reCIDR4 + `|` + reCIDR6 + `|pl\.` + reName + `)$`, parse: checkRouteKey}
	target = text{want: "a route's target: " + choices(targetKinds),
		pattern: `^(igw|eigw|local|blackhole|(instance|nat|peering)\.` + reName + `|eni\.` + reName + `(\.eth[0-9]{1,2})?)$`, parse: checkTarget}
	device  = text{want: "an interface from eth1 to eth99", pattern: `^eth[1-9][0-9]?$`}
	dnsName = text{want: "a DNS name",
		pattern: `^([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`}
	listener = text{want: "a listener such as `http 80`",
		pattern: `^` + reEdge + `(http|tcp|udp)` + reSpace + `[0-9]{1,5}` + reEdge + `$`, parse: checkListener}

	groupIngress = ruleText("a rule such as `tcp 80 from 0.0.0.0/0`", "", ingress, rePeer, checkRule(ingress))
	groupEgress  = ruleText("a rule such as `all to 0.0.0.0/0`", "", egress, rePeer, checkRule(egress))
	aclIngress   = ruleText("an entry such as `100 allow tcp 80 from 0.0.0.0/0`", reNumbered, ingress, reCIDR, checkEntry(ingress))
	aclEgress    = ruleText("an entry such as `100 allow all to 0.0.0.0/0`", reNumbered, egress, reCIDR, checkEntry(egress))

	timestamp = text{want: "a time such as 2026-01-01T00:00:00Z",
		pattern: `^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[-+][0-9]{2}:[0-9]{2})$`,
		parse:   checkTimestamp}
	rate = text{want: "a number from 0 to 1000000; 1 is real time", types: []scalarType{typeNumber}, parse: checkRate}

	actor = text{want: "an instance or an internet host: `NAME` or `VPC/NAME`", pattern: `^(` + reName + `/)?` + reName + `$`}
	host  = text{want: "an address, or an instance, internet host, NAT gateway or endpoint as in `web`, `web.ipv6`, `VPC/web`, `nat.out.public`, `endpoint.sqs`",
		pattern: `^` + reHost + `$`}
	doText = text{want: "what to do: `ping HOST`, `tcp PORT to HOST`, `http URL` …", parse: checkDo, example: "tcp 80 to web",
		pattern: `^` + reEdge + `(ping6?` + reSpace + reHost + `|(tcp|udp)` + reSpace + `[0-9]{1,5}` + reSpace + `to` + reSpace + reHost +
			`|http` + reSpace + `https?://` + reHost + `|dns` + reSpace + reHost + `(` + reSpace + reHost + `)?` +
			`|s3` + reSpace + `(put|get|list)` + reSpace + `[\s\S]+|dynamodb` + reSpace + `(put|get)` + reSpace + `[\s\S]+` +
			`|exec` + reSpace + `[\s\S]+|send` + reSpace + `[\s\S]+|(say|close)` + reSpace + reName + `)` + reEdge + `$`}
	duration = text{want: "a duration such as 10s, 5m or 1h30m", pattern: `^` + reDuration + `$`, parse: checkDuration}
	outcome  = text{words: []string{string(OK), string(Timeout), string(Refused), string(Reset), string(Unreachable), string(Denied),
		string(NXDomain)}}
	reason = text{want: "a drop reason such as ENI_SG_RULES_MISMATCH", words: reasonCodes()}
	hop    = text{want: "a hop: `NAME/sg-in`, a station such as `acl-out`, or `igw`, `nat.NAME`, `peering.NAME` or `endpoint.NAME`",
		pattern: `^((` + reName + `(\.eth[0-9]{1,2})?/)?(` + strings.Join(stations, "|") + `)|` + strings.Join(places, "|") +
			`|peering\.` + reName + `|nat\.` + reName + `(/(` + strings.Join(natStations, "|") + `))?` +
			`|endpoint\.` + reName + `(/(` + strings.Join(stations, "|") + `))?` +
			`|endpoint_service\.` + reName + `(/(` + strings.Join(natStations, "|") + `))?)$`,
		parse: checkHop}
	linkDelay = text{want: "a duration up to 10s, such as 60ms", pattern: duration.pattern, parse: checkDelay}
	linkLoss  = text{want: "a percentage such as 0.1%", pattern: `^[0-9]+(\.[0-9]+)?%$`, parse: checkLoss}
	linkRate  = text{want: "bits per second, such as 100Mbit", pattern: `^[0-9]+(\.[0-9]+)?(bit|kbit|Mbit|Gbit)$`, parse: checkLinkRate}

	watched = text{want: "what is watched, such as `vpc.app`, `subnet.web`, `instance.web`, `eni.web.eth1`, `nat.out` or `endpoint.sqs`",
		pattern: `^(` + reName + `/)?((vpc|subnet|instance|nat)\.` + reName + `|eni\.` + reName + `(\.eth[0-9]{1,2})?|endpoint\.` + reName + `(\.` + reName + `)?)$`, parse: checkWatched}
	destination = text{want: "where the records go: `s3://BUCKET/PREFIX`, `cloudwatch:/GROUP` or `file:PATH`", parse: checkDestination,
		pattern: `^(s3://[a-z0-9.-]{3,63}(/[\s\S]*)?|cloudwatch:[A-Za-z0-9_/.#-]{1,512}|file:[\s\S]+)$`, example: "s3://logs/prefix"}
	logFormat = text{want: "fields such as `${srcaddr} ${dstaddr} ${action}`", parse: checkFormat,
		pattern: `^[ \t\r\n]*\$\{[a-z-]+\}([ \t\r\n]+\$\{[a-z-]+\})*[ \t\r\n]*$`}

	status = text{want: "an HTTP status from 100 to 599", types: []scalarType{typeInteger}, parse: checkBetween(100, 599)}
	mtu    = text{want: "an MTU in bytes from 68 to 65535", types: []scalarType{typeInteger}, parse: checkBetween(68, 65535)}
	exit   = text{want: "an exit status from 0 to 255", types: []scalarType{typeInteger}, parse: checkBetween(0, 255)}
)

// ruleText is the shape of one rule; number and peer are the patterns of what stands before and behind.
func ruleText(want, number, direction, peer string, parse func(string) *fault) text {
	return text{want: want, pattern: `^` + reEdge + number + reTraffic + direction + reSpace + peer + reEdge + `$`, parse: parse}
}

// stations are the hops that belong to an interface or host, places the others.
var stations, places = fabric.Stations()

// zoneDown and zoneUp are the keys of the steps that take an availability zone down and bring it up again.
const (
	zoneDown = "az_down"
	zoneUp   = "az_up"
)

// natStations are the hops of a NAT gateway's interface, beside the gateway itself.
var natStations = []string{"acl-in", "acl-out", "route"}

func reasonCodes() []string {
	var codes []string
	for _, info := range flow.Reasons() {
		if info.Reason != flow.None {
			codes = append(codes, info.Code)
		}
	}
	return codes
}

// listOf takes one value or a list of them.
func listOf(one text) shape { return either{one, array{one}} }

func routesShape() shape { return dict{key: routeKey, of: target, noun: "route"} }

// The objects, from the leaves up.
var (
	interfaceObject = object{name: "interface", about: "A further elastic network interface of an instance.", fields: interfaceFields}

	interfaceFields = []field{
		{key: "subnet", about: "The subnet that the interface lies in.", is: nameText, required: true},
		{key: "ip", about: "Its primary private IPv4 address; the lowest free one by default.", is: addr4},
		{key: "secondary", about: "Further private IPv4 addresses.", is: array{addr4}},
		{key: "ipv6", about: "Its IPv6 address, or none; the lowest free one by default, if the subnet has IPv6.", is: addr6},
		{key: "eip", about: "An elastic IP address: `auto` draws one from 198.18.0.0/16.", is: eip},
		{key: "sg", about: "Its security groups; [default] by default.", is: array{nameText}},
		{key: "source_dest_check", about: "Drop what is neither from nor for the interface; true by default. Further interfaces have the instance's.",
			is: boolean},
	}

	instanceObject = object{name: "instance", about: "A virtual machine: a network namespace with one or more interfaces.",
		fields: append(slices.Clone(interfaceFields),
			field{key: "interfaces", about: "Interfaces beside eth0, by device.", is: dict{key: device, of: interfaceObject, noun: "interface"}},
			field{key: "forward", about: "The guest forwards packets, as an appliance does.", is: boolean},
			field{key: "serve", about: "Built-in listeners.", is: array{listener}},
			field{key: "run", about: "A program to run in the instance, and its arguments.", is: array{freeText}},
			field{key: "role", about: "What the instance's programs may do; everything by default, and nothing that takes credentials if it is `none`.",
				is: either{noRoleText, roleObject}},
			field{key: "metadata", about: "How the instance's metadata service answers.", is: metadataObject},
		)}

	subnetObject = object{name: "subnet", about: "A subnet in one availability zone.", excludes: [2]string{"routes", "route_table"},
		fields: []field{
			{key: "cidr", about: "Its IPv4 CIDR, /16 to /28; none in an IPv6-only subnet.", is: cidr4},
			{key: "ipv6", about: "Its IPv6 CIDR.", is: cidr6},
			{key: "az", about: "Its availability zone: a letter, or the whole name.", is: zoneText},
			{key: "public_ip", about: "Instances get a public IPv4 address at launch.", is: boolean},
			{key: "routes", about: "A route table of the subnet's own.", is: routesShape()},
			{key: "route_table", about: "The route table it is associated with; main by default.", is: nameText},
			{key: "acl", about: "Its network ACL; default by default.", is: nameText},
		}}

	routeTableObject = object{name: "route table", fields: []field{
		{key: "routes", about: "Routes by destination; the local ones are implied.", is: routesShape()},
	}}

	groupObject = object{name: "security group", about: "Allow rules. No ingress admits nothing; egress left out lets all out.",
		fields: []field{
			{key: "ingress", about: "Rules `PROTO [PORT|PORT-PORT] from PEER`.", is: array{groupIngress}},
			{key: "egress", about: "Rules `PROTO [PORT|PORT-PORT] to PEER`.", is: array{groupEgress}},
		}}

	aclObject = object{name: "network ACL", about: "Numbered entries; a direction left out denies all.", fields: []field{
		{key: "ingress", about: "Entries `NUMBER allow|deny PROTO [PORT|PORT-PORT] from CIDR`.", is: array{aclIngress}},
		{key: "egress", about: "Entries `NUMBER allow|deny PROTO [PORT|PORT-PORT] to CIDR`.", is: array{aclEgress}},
	}}

	natObject = object{name: "NAT gateway", about: "A zonal NAT gateway: an interface of its subnet.", fields: []field{
		{key: "subnet", about: "The subnet that it lies in.", is: nameText, required: true},
		{key: "type", about: "public (the default) or private.", is: text{words: []string{natPublic, natPrivate}}},
		{key: "eip", about: "The elastic IP address of a public one: `auto` draws one from 198.18.0.0/16.", is: eip},
		{key: "ip", about: "Its primary private IPv4 address; the lowest free one by default.", is: addr4},
		{key: "secondary", about: "Up to seven further addresses: elastic ones or `auto` of a public one, private ones of a private one.",
			is: array{natAddr}},
	}}

	vpcObject = object{name: "VPC", about: "A virtual private cloud.", fields: []field{
		{key: "region", about: "Its region, if it is not the lab's.", is: region},
		{key: "account", about: "Its owner, if it is not the lab's.", is: account},
		{key: "cidr", about: "Its IPv4 CIDRs, /16 to /28; the first is the primary.", is: listOf(cidr4), required: true},
		{key: "ipv6", about: "Its IPv6 CIDRs.", is: listOf(cidr6)},
		{key: "dns", about: "The VPC's DNS attributes.", is: object{name: "dns", fields: []field{
			{key: "support", about: "The VPC's resolver answers; true by default.", is: boolean},
			{key: "hostnames", about: "Instances with public addresses get public host names; false by default.", is: boolean},
		}}},
		{key: "internet_gateway", about: "The VPC has an internet gateway, which may have a route table of its own.",
			is: either{boolean, object{name: "internet gateway", fields: []field{
				{key: "routes", about: "The edge route table: a whole CIDR of a subnet or VPC to `instance.NAME`, `eni.NAME.ethN` or `local`.",
					is: routesShape()},
			}}}},
		{key: "egress_only_gateway", about: "The VPC has an egress-only internet gateway, for IPv6.", is: boolean},
		{key: "nat_gateways", about: "NAT gateways by name.", is: dict{key: nameText, of: natObject, noun: "NAT gateway"}},
		{key: "subnets", about: "Subnets by name.", is: dict{key: nameText, of: subnetObject, noun: "subnet"}},
		{key: "route_tables", about: "Route tables by name; `main` is the main one.",
			is: dict{key: nameText, of: routeTableObject, noun: "route table"}},
		{key: "acls", about: "Network ACLs by name; `default` is the default one.",
			is: dict{key: nameText, of: aclObject, noun: "network ACL"}},
		{key: "prefix_lists", about: "Customer-managed prefix lists by name.",
			is: dict{key: nameText, of: array{cidr}, noun: "prefix list"}},
		{key: "security_groups", about: "Security groups by name; `default` is the default one.",
			is: dict{key: nameText, of: groupObject, noun: "security group"}},
		{key: "instances", about: "Instances by name.", is: dict{key: nameText, of: instanceObject, noun: "instance"}},
		{key: "endpoints", about: "VPC endpoints by name.", is: dict{key: nameText, of: endpointObject, noun: "VPC endpoint"}},
		{key: "endpoint_services", about: "What the VPC offers to others by AWS PrivateLink, by name.",
			is: dict{key: nameText, of: endpointServiceObject, noun: "endpoint service"}},
	}}

	linkObject = object{name: "link", about: "What a peering connection's packets meet on their way, in each direction by itself.",
		fields: []field{
			{key: "delay", about: "How long each packet takes, one way, up to 10s.", is: linkDelay},
			{key: "loss", about: "The part of the packets that is lost, as in 0.1%.", is: linkLoss},
			{key: "rate", about: "Bits per second, from 1kbit to 1000Gbit, as in 100Mbit; unlimited by default.", is: linkRate},
		}}

	peeringObject = object{name: "peering connection", about: "A VPC peering connection: two VPCs whose routes may lead to each other.",
		fields: []field{
			{key: "requester", about: "The VPC that asks for it.", is: nameText, required: true},
			{key: "accepter", about: "The VPC that is asked.", is: nameText, required: true},
			{key: "accept", about: "The accepter accepts: true by default; false leaves the connection pending-acceptance.", is: boolean},
			{key: "reject", about: "The accepter rejects, for good; false by default.", is: boolean},
			{key: "dns", about: "The sides whose public host names resolve to private addresses at the other side.",
				is: object{name: "peering dns", fields: []field{
					{key: "requester", about: "The requester's host names; false by default.", is: boolean},
					{key: "accepter", about: "The accepter's host names; false by default.", is: boolean},
				}}},
			{key: "encryption", about: "wireguard (the default), or none, within one region only.",
				is: text{words: []string{string(vpc.WireGuard), string(vpc.NoEncryption)}}},
			{key: "link", about: "Delay, loss and rate of the connection; none by default.", is: linkObject},
			{key: "expect_state", about: "The state that the connection has: anything else is an error. One that fails must say so.",
				is: text{words: []string{string(vpc.PendingAcceptance), string(vpc.Active), string(vpc.Rejected), string(vpc.Failed),
					string(vpc.Expired)}}},
		}}

	flowLogObject = object{name: "flow log", about: "A flow log: what is recorded of whose packets, and where the records go. It cannot be changed.",
		fields: []field{
			{key: "resource", about: "Whose packets: a VPC, a subnet, an instance's interface, a NAT gateway, or an interface endpoint.", is: watched, required: true},
			{key: "traffic", about: "Which of them: all, or those that are accepted or rejected.", required: true,
				is: text{words: []string{string(vpc.LogAll), string(vpc.LogAccept), string(vpc.LogReject)}}},
			{key: "interval", about: "The aggregation interval in lab time: 60s, or 600s by default.", is: duration},
			{key: "destination", about: "Where the records go. A PATH is relative to this file.", is: destination, required: true},
			{key: "format", about: "The records' fields in their order; AWS's default format by default.", is: logFormat},
			{key: "hive", about: "S3: Hive-compatible prefixes, such as year=2026/month=10/day=05; false by default.", is: boolean},
			{key: "per_hour", about: "S3: a prefix for each hour; false by default.", is: boolean},
			{key: "file_format", about: "S3: text (the default), or parquet.",
				is: text{words: []string{string(vpc.TextFiles), string(vpc.ParquetFiles)}}},
		}}

	hostObject = object{name: "internet host", about: "A host of the lab's internet.", fields: []field{
		{key: "ip", about: "Its public addresses.", is: listOf(addr), required: true},
		{key: "names", about: "Its DNS names.", is: listOf(dnsName)},
		{key: "serve", about: "Built-in listeners.", is: array{listener}},
		{key: "run", about: "A program to run on the host, and its arguments.", is: array{freeText}},
	}}

	expectObject = object{name: "expectation", fields: []field{
		{key: "outcome", about: "How it ends; ok by default.", is: outcome},
		{key: "status", about: "http: this status exactly.", is: status},
		{key: "body", about: "http and s3 get: this body exactly; dynamodb get: this item, as JSON.", is: freeText},
		{key: "mtu", about: "unreachable: the MTU that the ICMP error tells.", is: mtu},
		{key: "exit", about: "exec: the exit status.", is: exit},
		{key: "answers", about: "dns: all records of the type that is asked for, in any order; s3 list: all keys. [] is none.", is: array{answerText}},
	}}

	recordObject = object{name: "record", about: "A flow-log record: what it says in the fields that are named here.",
		excludes: [2]string{"interface", "interface-id"}, fields: append([]field{
			{key: "log", about: "The flow log that it is in.", is: nameText, required: true},
			{key: "interface", about: "Whose record it is: an instance, NAME.ethN, nat.NAME, endpoint.NAME, or an ENI's ID.",
				is: text{want: "an instance, `nat.NAME`, `endpoint.NAME` or an ENI's ID", pattern: host.pattern}},
		}, recordFields()...)}

	checkObject = object{name: "check", about: "Something that happens in the lab, and how it must end.",
		fromUnlessDo: `^` + reEdge + `(say|close)([ \t\n]|$)`, fields: []field{
			{key: "do", about: "What happens.", is: doText, required: true},
			{key: "name", about: "The check's name; what it does by default.", is: freeText},
			{key: "from", about: "Who does it; not needed for `say` and `close`, whose connection has an owner.", is: actor, required: true},
			{key: "expect", about: "How it ends; ok by default.", is: either{outcome, expectObject}},
			{key: "because", about: "Why a packet of the connection was dropped.", is: reason},
			{key: "at", about: "Where it was dropped.", is: hop},
			{key: "seen_as", about: "The source address that the server saw.", is: host},
			{key: "keep", about: "Hold the connection open under this name.", is: nameText},
			{key: "wait", about: "The longest wait in real time; 5s by default.", is: duration},
			{key: "logs", about: "Flow-log records of its traffic that must exist.", is: array{recordObject}},
			{key: "no_logs", about: "Flow-log records of its traffic that must not exist.", is: array{recordObject}},
		}}

	changeObject = object{name: "change", fields: []field{
		{key: "change", about: "A JSON merge patch on this file (RFC 7396): null removes.", is: patchShape{}, required: true},
	}}

	advanceObject = object{name: "advance", fields: []field{
		{key: "advance", about: "The lab's clock jumps by this: a duration such as 350s, 5m or 2d.", is: duration, required: true},
	}}

	zoneDownObject = object{name: zoneDown, fields: []field{
		{key: zoneDown, about: "This availability zone fails: what is in it is unreachable until `az_up`.", is: wholeZone, required: true},
	}}

	zoneUpObject = object{name: zoneUp, fields: []field{
		{key: zoneUp, about: "This availability zone is back.", is: wholeZone, required: true},
	}}

	// stepVariants are what the elements of `checks` can be.
	stepVariants = variants{
		{"do", checkObject},
		{"change", changeObject},
		{"advance", advanceObject},
		{zoneDown, zoneDownObject},
		{zoneUp, zoneUpObject},
	}

	internetObject = object{name: "internet", fields: []field{
		{key: "hosts", about: "Internet hosts by name.", is: dict{key: nameText, of: hostObject, noun: "internet host"}},
	}}

	clockObject = object{name: "clock", fields: []field{
		{key: "start", about: "When lab time starts; now by default.", is: timestamp},
		{key: "rate", about: "How fast it runs: 1 is real time, 0 moves only by `advance`.", is: rate},
	}}

	trackingObject = object{name: "tracking", about: "How long idle connections stay tracked, where not AWS's defaults.",
		fields: []field{
			{key: "tcp_established", about: "Established TCP connections, from 60s to 432000s; 432000s by default.", is: duration},
			{key: "udp_stream", about: "UDP flows of more than one exchange, from 60s to 180s; 180s by default.", is: duration},
			{key: "udp", about: "Other UDP flows, from 30s to 60s; 30s by default.", is: duration},
		}}

	// language is a whole file.
	language = object{name: "scenario", about: "A scenario of vpclab: a lab and the checks that run in it.", fields: []field{
		{key: "name", about: "The lab's name.", is: nameText, required: true, fixed: "the lab keeps its name"},
		{key: "about", about: "What the scenario shows.", is: freeText},
		{key: "region", about: "The region of all VPCs; us-east-1 by default.", is: region},
		{key: "account", about: "The owner of everything.", is: account},
		{key: "clock", about: "Lab time.", is: clockObject, fixed: "time moves with `advance`"},
		{key: "tracking", about: "Idle timeouts of tracked connections, of all interfaces.", is: trackingObject},
		{key: "vpcs", about: "VPCs by name.", is: dict{key: nameText, of: vpcObject, noun: "VPC"}, required: true},
		{key: "peerings", about: "VPC peering connections by name.", is: dict{key: nameText, of: peeringObject, noun: "peering connection"}},
		{key: "internet", about: "What lies beyond the gateways.", is: internetObject},
		{key: "checks", about: "Checks, and steps between them, in order.",
			is: array{stepVariants}, fixed: "add the check as a step of its own"},
		{key: "flow_logs", about: "Flow logs by name.", is: dict{key: nameText, of: flowLogObject, noun: "flow log"}},
		{key: "private_zones", about: "Route 53 private hosted zones by domain name.",
			is: dict{key: zoneName, of: privateZoneObject, noun: "private zone"}},
		{key: "services", about: "What is in the lab's S3 and DynamoDB.", is: servicesObject},
	}}
)

// patchShape is the whole language where a `change` may say null for every value.
type patchShape struct{}

func (patchShape) kinds() []nodeKind                        { return []nodeKind{mapping} }
func (patchShape) wants() string                            { return "a part of this file, as a JSON merge patch" }
func (patchShape) check(r *reader, n *node, _ bool)         { language.check(r, n, true) }
func (patchShape) schema(s *schemas, _ bool) map[string]any { return s.define(language, true) }

func checkCIDR(want family) func(string) *fault {
	return func(s string) *fault {
		p, f := parseCIDR(s)
		switch {
		case f != nil:
			return f
		case want == ipv4 && !p.Addr().Is4():
			return faultf(0, "IPv6 belongs under `ipv6`", "%s is an IPv6 CIDR where an IPv4 one belongs", quote(s))
		case want == ipv6 && p.Addr().Is4():
			return faultf(0, "IPv4 belongs under `cidr`", "%s is an IPv4 CIDR where an IPv6 one belongs", quote(s))
		}
		return nil
	}
}

func checkAddr(want family) func(string) *fault {
	return func(s string) *fault {
		a, f := parseAddr(s)
		switch {
		case f != nil:
			return f
		case want == ipv4 && !a.Is4():
			return faultf(0, "write one such as 10.0.0.10", "%s is an IPv6 address where an IPv4 one belongs", quote(s))
		case want == ipv6 && a.Is4():
			return faultf(0, "write one such as 2001:db8::10", "%s is an IPv4 address where an IPv6 one belongs", quote(s))
		}
		return nil
	}
}

// or accepts one word beside what parse accepts.
func or(word string, parse func(string) *fault) func(string) *fault {
	return func(s string) *fault {
		if s == word {
			return nil
		}
		f := parse(s)
		if f != nil {
			f.hint += ", or " + quote(word)
		}
		return f
	}
}

func checkRouteKey(s string) *fault {
	if name, ok := strings.CutPrefix(s, "pl."); ok {
		return checkName(name).shift(3)
	}
	f := checkCIDR(anyFamily)(s)
	if f != nil && f.hint != "" {
		f.hint += ", or pl.NAME"
	}
	return f
}

var targetKinds = []string{"igw", "nat.NAME", "eigw", "peering.NAME", "instance.NAME", "eni.NAME.ethN", "local", "blackhole"}

// checkTarget judges the form of a route's target.
func checkTarget(s string) *fault {
	kind, name, named := strings.Cut(s, ".")
	switch kind {
	case "igw", "eigw", "local", "blackhole":
		if !named {
			return nil
		}
		return faultf(len(kind), "write "+quote(kind), "%s has no name", quote(kind))
	case "instance", "nat", "peering":
		if !named {
			return faultf(0, "write "+quote(kind+".NAME"), "%s needs a name", quote(kind))
		}
		return checkName(name).shift(len(kind) + 1)
	case "eni":
		base, dev, further := strings.Cut(name, ".")
		if f := checkName(base); f != nil || !further {
			return f.shift(len("eni."))
		}
		if dev == "eth0" || device.matches(dev) {
			return nil
		}
		return faultf(len("eni.")+len(base)+1, "write "+quote("eni."+base+".eth1"), "%s is not an interface", quote(dev))
	case "endpoint":
		return faultf(0, "name this table in a gateway endpoint's `route_tables`: its row comes and goes with that",
			"route table contains unsupported route target: %s. VPC Endpoints of this type cannot be used as route targets", quote(s))
	}
	if strings.Contains(s, "/") {
		return faultf(0, "use "+choices(targetKinds), "%s is not a target in this VPC", quote(s))
	}
	if !named && validName(s) && near(s, []string{"igw", "eigw", "local", "blackhole"}) == "" {
		return faultf(0, "an instance is "+quote("instance."+s), "%s is not a route's target", quote(s))
	}
	if meant := near(kind, []string{"igw", "eigw", "nat", "peering", "instance", "eni", "local", "blackhole"}); meant != "" {
		return faultf(0, "did you mean "+quote(meant+strings.TrimPrefix(s, kind))+"?", "%s is not a route's target", quote(s))
	}
	return faultf(0, "use "+choices(targetKinds), "%s is not a route's target", quote(s))
}

func checkRule(direction string) func(string) *fault {
	return func(s string) *fault {
		_, f := parseRule(s, direction)
		return f
	}
}

func checkEntry(direction string) func(string) *fault {
	return func(s string) *fault {
		_, f := parseEntry(s, direction)
		return f
	}
}

func checkDo(s string) *fault {
	_, f := parseDo(s, nil, Node{})
	return f
}

func checkListener(s string) *fault {
	p := split(s)
	kinds := []string{"http", "tcp", "udp"}
	kind, port := p.take(), p.take()
	if !slices.Contains(kinds, kind.text) {
		return faultf(kind.at, didYouMean(kind.text, kinds, "there are"), "%s is not a kind of listener", quote(kind.text))
	}
	if n, ok := parseNumber(port.text, 65535); !ok || n == 0 {
		return faultf(port.at, "write "+quote(kind.text+" 80"), "the listener takes a port from 1 to 65535%s", notThis(port))
	}
	return p.rest()
}

func checkTimestamp(s string) *fault {
	if _, err := time.Parse(time.RFC3339, s); err != nil {
		return faultf(0, "write one such as 2026-01-01T00:00:00Z", "%s is not a time", quote(s))
	}
	return nil
}

func checkRate(s string) *fault {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(n) || n < 0 || n > 1e6 {
		return faultf(0, "0 stands still, 1 is real time", "the clock's rate goes from 0 to 1000000, not %s", quote(s))
	}
	return nil
}

var durationPart = regexp.MustCompile(`([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h|d)`)

// maxDuration bounds a duration: ten years.
const maxDuration = 3652 * 24 * time.Hour

// parseDuration reads a Go duration; a day is 24 hours. It is more than 0 and at most maxDuration.
func parseDuration(s string) (time.Duration, *fault) {
	const hint = "write one such as 350s, 5m, 1h30m or 2d"
	if !compiled(`^` + reDuration + `$`).MatchString(s) {
		return 0, faultf(0, hint, "%s is not a duration", quote(s))
	}
	var total float64 // nanoseconds
	for _, part := range durationPart.FindAllStringSubmatch(s, -1) {
		unit := 24 * time.Hour
		if part[2] != "d" {
			unit, _ = time.ParseDuration("1" + part[2])
		}
		n, err := strconv.ParseFloat(part[1], 64)
		if err != nil {
			return 0, faultf(0, hint, "%s is not a duration", quote(s))
		}
		total += n * float64(unit)
	}
	switch {
	case total < 1:
		return 0, faultf(0, hint, "the duration must be more than 0")
	case total > float64(maxDuration):
		return 0, faultf(0, hint, "the duration is longer than ten years")
	}
	return time.Duration(total), nil
}

func checkDuration(s string) *fault {
	_, f := parseDuration(s)
	return f
}

// checkHop judges the form of `at`.
func checkHop(s string) *fault {
	if slices.Contains(places, s) {
		return nil
	}
	if isManaged, f := checkManagedHop(s); isManaged {
		return f
	}
	if isPeering, f := checkPeeringHop(s); isPeering {
		return f
	}
	if isNAT, f := checkNATHop(s); isNAT {
		return f
	}
	station, at := s, 0
	if i := strings.LastIndex(s, "/"); i >= 0 {
		station, at = s[i+1:], runes(s[:i+1])
		if strings.Contains(s[:i], "/") {
			return faultf(0, "write NAME/"+station+" without the VPC", "%s is not a hop", quote(s))
		}
	}
	if slices.Contains(stations, station) {
		return nil
	}
	known := append(slices.Clone(stations), places...)
	return faultf(at, didYouMean(station, known, "hops are NAME/ and one of"), "%s is not a hop", quote(station))
}

// checkPeeringHop judges peering.NAME, and leaves alone what can only be an interface of an instance called peering: peering.eth1/sg-in.
func checkPeeringHop(s string) (isPeering bool, f *fault) {
	connection, station, slashed := strings.Cut(s, "/")
	name, ok := strings.CutPrefix(connection, "peering.")
	switch {
	case !ok && strings.HasPrefix(station, "peering."):
		return true, faultf(0, "write "+quote(station)+" without the VPC", "%s is not a hop", quote(s))
	case !ok || slashed && (name == "eth0" || device.matches(name)):
		return false, nil
	case slashed:
		at := utf8.RuneCountInString(connection) + 1
		return true, faultf(at, "write "+quote(connection), "a peering connection has no hop %s", quote(station))
	}
	return true, checkName(name).shift(len("peering."))
}

// checkNATHop judges nat.NAME and nat.NAME/acl-in, and leaves alone what can only be an interface of an instance called nat:
// nat.eth1/sg-in.
func checkNATHop(s string) (isNAT bool, f *fault) {
	gateway, station, slashed := strings.Cut(s, "/")
	name, ok := strings.CutPrefix(gateway, "nat.")
	switch {
	case !ok && strings.HasPrefix(station, "nat."):
		return true, faultf(0, "write "+quote(station)+" without the VPC", "%s is not a hop", quote(s))
	case !ok:
		return false, nil
	case !slashed || slices.Contains(natStations, station):
		return true, checkName(name).shift(len("nat."))
	case name == "eth0" || device.matches(name):
		return false, nil
	}
	at := utf8.RuneCountInString(gateway) + 1
	return true, faultf(at, didYouMean(station, natStations, "there are"), "%s is not a hop of a NAT gateway", quote(station))
}

func checkBetween(least, most int) func(string) *fault {
	return func(s string) *fault {
		if n, ok := parseNumber(s, most); ok && n >= least {
			return nil
		}
		return faultf(0, "", "%s is not between %d and %d", quote(s), least, most)
	}
}

// prefixOf and addrOf read values whose form has been checked; what is wrong gives the zero value.
func prefixOf(n *node) netip.Prefix {
	if n == nil || n.kind != scalar {
		return netip.Prefix{}
	}
	p, _ := parseCIDR(n.text)
	return p
}

func addrOf(n *node) netip.Addr {
	if n == nil || n.kind != scalar {
		return netip.Addr{}
	}
	a, _ := parseAddr(n.text)
	return a
}
