// Package hostnet makes the kernel match what a lab wants: namespaces, veth pairs, TUN devices, addresses, routes and sysctls, by
// observing, diffing, applying and pruning. It is the only package that knows netlink. It decides nothing about packets.
package hostnet
