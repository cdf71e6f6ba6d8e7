package dns

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

// PrivateName is an interface's private host name, without the last dot: ip-10-0-0-1.ec2.internal, or its instance's resource name if it
// has no IPv4 address. It is there whatever the VPC's DNS attributes are; whether the resolver knows it is another matter (EC2 user guide,
// instance hostname types).
func PrivateName(v *vpc.VPC, e *vpc.ENI) string {
	if e.IP.IsValid() {
		return ipName(v.Region, e.IP)
	}
	for i, of := range v.InstanceENIs() {
		if of == e {
			return ResourceName(v, i)
		}
	}
	return ""
}

// ResourceName is an instance's host name of the type resource-name, without the last dot: i-0123456789abcdef0.ec2.internal.
func ResourceName(v *vpc.VPC, i *vpc.Instance) string {
	return string(i.ID) + "." + internalDomain(v.Region)
}

// PublicName is an interface's public host name, without the last dot: ec2-198-51-100-10.compute-1.amazonaws.com. It is empty without a
// public address, and in a VPC that has not both DNS attributes.
func PublicName(v *vpc.VPC, e *vpc.ENI) string {
	if !e.Public.IsValid() || !named(v) {
		return ""
	}
	return publicName(v.Region, e.Public)
}

// named says that the VPC's interfaces have names that can be resolved: both attributes are on (VPC user guide, DNS attributes).
func named(v *vpc.VPC) bool { return v.DNSSupport && v.DNSHostnames }

func ipName(region string, a netip.Addr) string {
	return "ip-" + dashed(a) + "." + internalDomain(region)
}

func publicName(region string, a netip.Addr) string {
	return "ec2-" + dashed(a) + "." + publicDomain(region)
}

func dashed(a netip.Addr) string { return strings.ReplaceAll(a.String(), ".", "-") }

// us-east-1 was there before regions had names.
const firstRegion = "us-east-1"

func internalDomain(region string) string {
	if region == firstRegion {
		return "ec2.internal"
	}
	return region + ".compute.internal"
}

func publicDomain(region string) string {
	if region == firstRegion {
		return "compute-1.amazonaws.com"
	}
	return region + ".compute.amazonaws.com"
}

// serviceNames are an AWS service's public names in a region; a star stands for any bucket or account.
func serviceNames(s vpc.Service, region string) []string {
	names := []string{s.HostName(region)}
	switch s.Code {
	case "s3":
		names = append(names, "*."+s.HostName(region))
	case "dynamodb":
		names = append(names, "*.ddb."+region+".amazonaws.com")
	}
	return names
}

// globalNames are those from before regions, which lead to us-east-1.
func globalNames(s vpc.Service) []string {
	switch s.Code {
	case "s3":
		return []string{"s3.amazonaws.com", "*.s3.amazonaws.com"}
	case "sts":
		return []string{"sts.amazonaws.com"}
	}
	return nil
}

// EndpointNames are the DNS names of an interface endpoint of v, without the last dot and in the order of the EC2 API's DnsEntries: the
// regional name, a zonal one for each of its interfaces, and the service's own name if the endpoint has private DNS. Below those of S3
// there are any others, such as bucket.NAME. A gateway endpoint has none, nor one whose service is gone.
func EndpointNames(m *vpc.Model, v *vpc.VPC, e *vpc.Endpoint) []string {
	suffix, ok := endpointDomain(m, v, e)
	if !ok {
		return nil
	}
	label := string(e.ID) + "-" + digits(e.ID)
	names := []string{label + suffix}
	for _, i := range e.Interfaces {
		names = append(names, label+"-"+zoneOf(v, i)+suffix)
	}
	if s, ok := privateService(v, e); ok {
		names = append(names, s.HostName(v.Region))
	}
	return names
}

// endpointDomain is what an interface endpoint's names end with, from the dot on.
func endpointDomain(m *vpc.Model, v *vpc.VPC, e *vpc.Endpoint) (string, bool) {
	if e.Type != vpc.InterfaceEndpoint {
		return "", false
	}
	if e.Service.VPC == "" {
		return "." + e.Service.Name + "." + v.Region + ".vpce.amazonaws.com", true
	}
	provider := m.VPC(e.Service.VPC)
	if provider == nil {
		return "", false
	}
	i := slices.IndexFunc(provider.EndpointServices, func(s *vpc.EndpointService) bool { return s.Name == e.Service.Name })
	if i < 0 {
		return "", false
	}
	return "." + string(provider.EndpointServices[i].ID) + "." + provider.Region + ".vpce.amazonaws.com", true
}

// digits are what AWS puts behind the ID to make names hard to guess; ours are the same at every run.
func digits(id vpc.EndpointID) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:4])
}

// zoneOf is the availability zone of an endpoint's interface.
func zoneOf(v *vpc.VPC, i *vpc.EndpointInterface) string {
	if s := v.Subnet(i.Subnet); s != nil {
		return s.AZ
	}
	return ""
}

// privateService is the AWS service whose name an endpoint takes over in its VPC.
func privateService(v *vpc.VPC, e *vpc.Endpoint) (vpc.Service, bool) {
	if !e.PrivateDNS || !named(v) || e.Type != vpc.InterfaceEndpoint || e.Service.VPC != "" {
		return vpc.Service{}, false
	}
	return vpc.FindService(e.Service.Name)
}
