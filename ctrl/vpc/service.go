package vpc

import (
	"hash/fnv"
	"net/netip"
	"slices"
)

// Service is an AWS service that the lab has in each of its regions.
type Service struct {
	Code    string // "s3"
	Gateway bool   // it has gateway endpoints
	Log     string // what flow logs call it: "S3", "DYNAMODB", "AMAZON"
	space   netip.Prefix
	home    netip.Prefix // of space, us-east-1's part
	rest    netip.Prefix // of space, what the other regions share
	share   int          // bits of another region's part
	offset  uint32       // of the first of its addresses in a region's part
}

// The public address space of services. A region's part of it is the service's prefix list there.
var catalog = []Service{
	{Code: "s3", Gateway: true, Log: "S3", space: netip.MustParsePrefix("52.216.0.0/15"), home: netip.MustParsePrefix("52.216.0.0/16"),
		rest: netip.MustParsePrefix("52.217.0.0/16"), share: 24, offset: 1},
	{Code: "dynamodb", Gateway: true, Log: "DYNAMODB", space: netip.MustParsePrefix("52.94.0.0/22"), home: netip.MustParsePrefix("52.94.0.0/24"),
		rest: netip.MustParsePrefix("52.94.2.0/23"), share: 30, offset: 1},
	amazon("sqs", 1), amazon("sns", 2), amazon("sts", 3), amazon("logs", 4), amazon("monitoring", 5), amazon("kms", 6), amazon("ssm", 7),
	amazon("secretsmanager", 8), amazon("ec2", 9),
}

func amazon(code string, n uint32) Service {
	return Service{Code: code, Log: "AMAZON", space: netip.MustParsePrefix("52.119.0.0/16"), home: netip.MustParsePrefix("52.119.0.0/17"),
		rest: netip.MustParsePrefix("52.119.128.0/17"), share: 25, offset: n}
}

// PublicResolver answers DNS queries on the lab's internet, over UDP and TCP. Internet hosts ask it.
var PublicResolver = netip.MustParseAddr("52.119.0.53")

// Regions are AWS's regions, us-east-1 first.
func Regions() []string { return append([]string{"us-east-1"}, regions...) }

// ServiceCatalog are the AWS services of a lab, in a fixed order.
func ServiceCatalog() []Service { return slices.Clone(catalog) }

// FindService finds an AWS service by its code.
func FindService(code string) (Service, bool) {
	i := slices.IndexFunc(catalog, func(s Service) bool { return s.Code == code })
	if i < 0 {
		return Service{}, false
	}
	return catalog[i], true
}

// Space is all of the service's public addresses in the lab.
func (s Service) Space() netip.Prefix { return s.space }

// Prefix is the service's prefix list in a region: its public addresses there.
func (s Service) Prefix(region string) netip.Prefix {
	if region == "us-east-1" {
		return s.home
	}
	n := regionNumber(region, 1<<(s.share-s.rest.Bits()))
	return netip.PrefixFrom(add(s.rest.Addr(), n<<(32-s.share)), s.share)
}

// Addr is the address at which the service answers in a region.
func (s Service) Addr(region string) netip.Addr { return add(s.Prefix(region).Addr(), s.offset) }

// HostName is the service's public DNS name in a region.
func (s Service) HostName(region string) string { return s.Code + "." + region + ".amazonaws.com" }

// FullName is the service's name in endpoints: com.amazonaws.us-east-1.s3.
func (s Service) FullName(region string) string { return "com.amazonaws." + region + "." + s.Code }

// regions are AWS's, in no order that means anything; what is new goes to the end, as addresses depend on the places.
var regions = []string{
	"us-east-2", "us-west-1", "us-west-2", "af-south-1", "ap-east-1", "ap-south-1", "ap-south-2", "ap-southeast-1", "ap-southeast-2",
	"ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ap-southeast-7", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3",
	"ca-central-1", "ca-west-1", "eu-central-1", "eu-central-2", "eu-west-1", "eu-west-2", "eu-west-3", "eu-south-1", "eu-south-2",
	"eu-north-1", "il-central-1", "me-south-1", "me-central-1", "mx-central-1", "sa-east-1", "us-gov-east-1", "us-gov-west-1",
	"cn-north-1", "cn-northwest-1", "ap-east-2",
}

// regionNumber is a region's place among n; a region that AWS does not have takes one of the places after AWS's.
func regionNumber(region string, n uint32) uint32 {
	if i := slices.Index(regions, region); i >= 0 {
		return uint32(i)
	}
	h := fnv.New32a()
	h.Write([]byte(region))
	first := uint32(len(regions))
	return first + h.Sum32()%(n-first)
}

func add(a netip.Addr, n uint32) netip.Addr {
	b := a.As4()
	v := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	v += n
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}
