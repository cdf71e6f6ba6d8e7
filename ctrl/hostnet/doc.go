// Package hostnet makes the kernel match what a lab wants: namespaces, veth pairs, TUN devices, addresses, routes and sysctls, by
// observing, diffing, applying and pruning; and it takes all of that away again, also after a crash. It is the only package that
// knows netlink. It decides nothing about packets and reads none.
//
// Everything that it makes carries the lab's stamp, so that whoever comes later finds it without a list: namespaces are named
// vpclab-LAB.*, links have the alias vpclab:LAB and one link group, the state is the folder /run/vpclab/LAB, and a guest's
// resolv.conf lies below /etc/netns in a folder with its namespace's name.
package hostnet
