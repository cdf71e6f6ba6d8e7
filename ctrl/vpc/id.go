package vpc

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// The identifiers of resources, in AWS's form: a prefix and 17 hexadecimal digits.
type (
	VPCID             string
	SubnetID          string
	RouteTableID      string
	PrefixListID      string
	SecurityGroupID   string
	ACLID             string
	InstanceID        string
	ENIID             string
	NATGatewayID      string
	PeeringID         string
	FlowLogID         string
	EndpointID        string
	EndpointServiceID string
)

// NewID derives an identifier from where its resource is, so that it is the same at every run: the prefix and the first 17 hex
// digits of SHA-256 over "account/region/vpc/kind/name".
func NewID(prefix, account, region, vpc, kind, name string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{account, region, vpc, kind, name}, "/")))
	return prefix + "-" + hex.EncodeToString(sum[:])[:17]
}
