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
//   - `tracking` at the top level, our own key, sets AWS's idle timeouts of tracked connections for all interfaces:
//     {tcp_established: 350s, udp_stream: 120s, udp: 30s}.
//   - `at` is a hop in full (web/sg-in) or without its name (sg-in). Those of a NAT gateway are nat.NAME itself and
//     nat.NAME/acl-in, /acl-out and /route; a peering connection has the one hop peering.NAME.
//   - In a change, null for what is not there is a mistake, and `name`, `clock` and `checks` cannot be changed. A mistake that a
//     change causes elsewhere is reported at the change and says where it lies.
//   - `send PROTO WHAT to HOST [from HOST] [size BYTES] [ttl N] [flags FLAG,FLAG] [fragment] [fragments BYTES|FROM-TO,…] [df]`:
//     see parseSend.
package scenario
