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
//   - `at` is a hop in full (web/sg-in) or without its name (sg-in).
//   - In a change, null for what is not there is a mistake, and `name`, `clock` and `checks` cannot be changed. A mistake that a
//     change causes elsewhere is reported at the change and says where it lies.
//   - `send PROTO WHAT to HOST [from HOST] [size BYTES] [ttl N] [flags FLAG,FLAG] [fragment] [df]`: see parseSend.
package scenario
