// Package scenario reads the scenario language: files into a model, checks and steps, with every mistake reported at its line and
// column. It builds nothing and runs nothing.
//
// The language is one table of shapes (language.go). The strict check, the near matches and the JSON Schema all come from it; what a
// schema cannot say (references, addresses inside subnets, AWS's rules) is judged by package vpc and told at the value it came from.
//
// Where the language is open, it is read like this:
//
//   - YAML anchors, aliases, merge keys, tags, directives, `? ` keys and several documents are refused. A file has at most 1 MiB,
//     20000 keys and 32 levels.
//   - A rule's peer is a CIDR; a single address needs its /32 or /128. Host bits are cleared, as AWS does.
//   - `expect` left out is `ok`. `say` and `close` need no `from`: the connection has an owner, and a `from` must name it.
//     A check with `keep` has to expect `ok`, and a name can be kept again only after it was closed.
//   - A further interface has its instance's `source_dest_check` unless it has its own. `dns` is {support: true, hostnames: false}, as in
//     a new VPC.
//   - HOST may name a further interface: firewall.eth1, firewall.eth1.ipv6. An internet host's NAME.public is its IPv4 address. In `ping6`
//     a name alone is its IPv6 address. A URL cannot hold VPC/NAME, since its slash would begin the path.
//   - A check that expects ok and is refused by an instance or host whose `run` program lives is tried again until its `wait` is over:
//     the program may not listen yet.
//   - `exec` splits its text into words as a shell would that expands nothing; quotes keep words together.
//   - A NAT gateway's `type` is public by default, and then `eip` is needed. In `secondary` a public gateway has elastic
//     addresses or `auto`, each of which gets a private address of its own; a private gateway has private addresses. As HOST,
//     nat.NAME is its primary private address and nat.NAME.public its primary elastic one.
//   - A route for IPv6 can lead to a NAT gateway only inside 64:ff9b::/96. `blackhole` is no target of an edge route.
//   - A peering connection has `reject: true` beside `accept`: the accepter refuses, for good. `expect_state` is pending-acceptance,
//     active, rejected, failed or expired, holds until a change says otherwise, and may be left out unless the state is failed.
//     `link` has a `delay` of up to 10s one way, a `loss` from 0% to 100%, and a `rate` in bit, kbit, Mbit or Gbit per second, decimal,
//     from 1kbit to 1000Gbit. `dns` makes `hostnames: true` the default of both VPCs, since AWS asks for both DNS attributes.
//   - A change may answer a request, and change the link and `dns`; requester, accepter and encryption stay. A connection that was removed
//     and is declared again in a later change is a new request. What waits for acceptance is expired when `advance` steps of 168 hours
//     have passed; the time that checks take does not count.
//   - A rule with a group of a VPC whose peering connection waits or has failed is right, and matches nothing.
//   - A flow log has `hive`, `per_hour` and `file_format` beside the language's keys, for S3 alone. Its bucket needs no `services`. It
//     watches an instance's primary interface, eni.NAME.ethN, or nat.NAME; in another VPC with VPC/ in front. Nothing of it can
//     be changed. It ends for good when a change removes what it watches, and waits to be removed; under its name it can be declared
//     anew in the change after that.
//   - An element of `logs` or `no_logs` has any field of the record as a key, with a number or word as records have it; an address may be
//     a HOST. A field that the log's format leaves out cannot be asked for, but for flow-direction where `interface` is named and the
//     format has interface-id, srcaddr and dstaddr: then it is told by the interface's own addresses. `log-status: NODATA` or SKIPDATA asks
//     for records of the time since the check began that belong to no connection. An ICMP error belongs to the connection that it quotes.
//     `exec` has no connection that is known.
//   - HOST with a dot that is neither an address nor a reference is a DNS name, which whoever acts looks up: example.com, also where an
//     internet host is called example, but not web.pubilc of an instance web. endpoint.NAME is the interface of an interface endpoint and
//     endpoint_service.NAME that of a service's load balancer, each with .SUBNET behind where there are several. `send` needs addresses.
//   - An endpoint's `service` is an AWS service's code or VPC/NAME. Its `ip` is a mapping from subnets to addresses. `private_dns` is true
//     by default for an AWS service's interface endpoint in a VPC with both DNS attributes. Route tables may be main and those that subnets
//     have inline. `expect_state` is available, pendingAcceptance, rejected or failed, and may be left out. pl.s3 and pl.dynamodb
//     are for groups' rules; no route names them or an endpoint.
//   - An endpoint service has `acceptance: false`, no `principals` but its own account, and its targets' subnets by default, one an
//     availability zone. What was accepted stays so unless `rejected`; rejected, unless `accepted`. An endpoint whose service a change
//     removes has failed, for good.
//   - A policy document is a mapping; all its scalars become JSON strings. Words such as aws:SourceVpce, s3:GetObject and
//     arn:aws:s3:::logs/* need no quotes, even inside {}. ${endpoint.NAME} is of the policy's own VPC, and in `services` of any VPC;
//     ${VPC/endpoint.NAME} and ${vpc.NAME} are of the lab. What a change removed keeps its ID. A role's `name` is the instance's by
//     default; instances that name the same role in one account have one policy. `role: none` is an instance without any.
//   - A table's `key` and `sort` are an attribute and its type, S by default: `id N`. A private zone's record is an address, a list of them,
//     or a mapping from A, AAAA, CNAME, MX, NS, PTR, SRV and TXT to values, with a `TTL` of 300 by default. Its name is `@`, relative to
//     the zone, or whole.
//   - `dns NAME [TYPE]` asks for A by default; an address stands for its reverse name and PTR. `answers` of A and AAAA may name HOSTs;
//     `answers: []` is a name without records of that type. `s3` and `dynamodb` take `in REGION` and `by endpoint.NAME` behind; the region
//     is the endpoint's, or that of the bucket or table if `services` has it, or the caller's. `dynamodb get` takes the values of the key of a table in
//     `services`, or the key as JSON. `answers` also goes with `s3 list`, and `body` with `s3 get` and `dynamodb get`.
//     AWS's services answer `tcp 80` as the lab's own listeners do, with `seen_as` and `keep`; `http` at one that is not emulated tells
//     `seen_as`, too.
//   - `az_down` and `az_up` take a whole zone, such as us-east-1b, that a subnet of the lab lies in.
//   - Hops of endpoints are endpoint.NAME, and with a station behind endpoint.sqs/sg-in; of load balancers endpoint_service.NAME likewise,
//     with those stations that a NAT gateway has.
//   - `tracking` at the top level, our own key, sets AWS's idle timeouts of tracked connections for all interfaces:
//     {tcp_established: 350s, udp_stream: 120s, udp: 30s}.
//   - `at` is a hop in full (web/sg-in) or without its name (sg-in). Those of a NAT gateway are nat.NAME itself and
//     nat.NAME/acl-in, /acl-out and /route; a peering connection has the one hop peering.NAME.
//   - In a change, null for what is not there is a mistake, and `name`, `clock` and `checks` cannot be changed. A mistake that a
//     change causes elsewhere is reported at the change and says where it lies.
//   - `send PROTO WHAT to HOST [from HOST] [size BYTES] [ttl N] [flags FLAG,FLAG] [fragment] [fragments BYTES|FROM-TO,…] [df]`:
//     see parseSend.
package scenario
