// Package dns is the VPC resolver (Amazon DNS server): one model in, answers out, and a server that speaks them over UDP and TCP. It knows
// the lab's names and no others, asks nobody, caches nothing, and does not limit how often one asks.
//
// A Resolver is built from a model and never changes; each VPC sees the names through a view of its own:
//
//	private hosted zones, private DNS of endpoints     the longest that holds the name answers alone
//	names of the VPC, and of peers that allow it       private addresses
//	IP names of the region's other VPCs                RFC 1918 addresses
//	the internet: hosts, services, endpoints, ec2-…    the same for everybody
//
// Internet hosts see the last of these alone. A view looks from top to bottom. What it finds is what there is: a name that none of them
// has does not exist (NXDOMAIN), and one that has no records of the type asked for, or only names below it, exists without an answer
// (NODATA).
package dns
