// Package vpc is the resource model: VPCs, subnets, route tables, security groups, network ACLs, gateways, instances, flow logs and
// internet hosts as plain values, AWS's own validation rules for them, and the addresses and IDs that AWS would hand out. It knows no YAML, no
// kernel and no packet.
package vpc
