// Package privatelink is the load balancer of endpoint services: it takes the connections that come by interface endpoints and proxies
// each to one of the service's targets (PrivateLink guide, share your services; Network Load Balancer guide). It opens no listener,
// knows no namespace, decides neither who may connect nor who is healthy, and does not look at what it carries.
//
// Where it differs from a Network Load Balancer: TCP alone, every target in every zone (cross-zone is on), no target when none is healthy
// (it does not fail open), the consumer's handshake is complete before the target's begins, and a keepalive without data does not end a connection's idleness.
package privatelink
