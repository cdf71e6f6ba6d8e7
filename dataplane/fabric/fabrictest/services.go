package fabrictest

import (
	"net/netip"

	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// Services are the lab's services beside the bed, each at its addresses outside and inside:
//
//	dns   10.0.0.2        100.96.0.1    of app itself
//	imds  169.254.169.254 100.96.0.2    of app itself
//	s3    52.216.0.1      100.96.0.3    public, and 100.96.0.4 by the gateway endpoint "endpoint.s3" of app
//	sqs   10.0.1.9        100.96.0.5    by the interface endpoint "endpoint.sqs" in private, whose group admits TCP from 10.0.0.0/8
//	shop  10.0.2.8        100.96.0.6    the load balancer "endpoint_service.shop" in middle
//
// Private routes S3's prefix list to the gateway endpoint. Callers are client 100.64.0.1, web 100.64.0.2, firewall 100.64.0.3 and x
// 100.64.0.5 of app, and web's public address 100.64.0.4.
type Services struct {
	*fabric.Services
	SQS, Shop *fabric.ENI
	SQSGroup  *fabric.SecurityGroup
}

// AddServices adds them.
func (b *Bed) AddServices() *Services {
	s := &Services{Services: &fabric.Services{
		Attachment: b.next(), Portals: map[netip.Addr]*fabric.Portal{}, Callers: map[netip.Addr]fabric.Caller{}, Inside: map[fabric.Caller]netip.Addr{},
	}}
	b.Network.Services = s.Services
	b.Attachments = append(b.Attachments, &fabric.Attachment{Index: s.Attachment, Services: s.Services})
	b.App.Direct, b.Internet.Portals = map[netip.Addr]*fabric.Portal{}, map[netip.Addr]*fabric.Portal{}
	portal := func(p fabric.Portal, outside, inside string, ports ...uint16) *fabric.Portal {
		p.Outside, p.Inside, p.Ports = Addr(outside), Addr(inside), ports
		s.Portals[p.Inside] = &p
		return &p
	}
	b.App.Direct[Addr("10.0.0.2")] = portal(fabric.Portal{Kind: fabric.Direct, Service: "dns", VPC: b.App}, "10.0.0.2", "100.96.0.1", 53)
	b.App.Direct[Addr("169.254.169.254")] = portal(fabric.Portal{Kind: fabric.Direct, Service: "imds", VPC: b.App, Protocol: flow.TCP}, "169.254.169.254", "100.96.0.2", 80)
	b.Internet.Portals[Addr("52.216.0.1")] = portal(fabric.Portal{Kind: fabric.PublicPortal, Service: "s3", Protocol: flow.TCP, PrefixList: "pl.s3"}, "52.216.0.1", "100.96.0.3", 80, 443)
	gateway := portal(fabric.Portal{Kind: fabric.GatewayPortal, Name: "endpoint.s3", Service: "s3", VPC: b.App, Protocol: flow.TCP}, "52.216.0.1", "100.96.0.4", 80, 443)
	b.Private.Routes.Routes.Insert(Prefix("52.216.0.0/16"), &fabric.Route{
		Prefix: Prefix("52.216.0.0/16"), Kind: fabric.ToEndpoint, Text: "52.216.0.0/16",
		Endpoint: &fabric.GatewayEndpoint{Name: "endpoint.s3", Portals: map[netip.Addr]*fabric.Portal{gateway.Outside: gateway}},
	})
	s.SQSGroup = &fabric.SecurityGroup{ID: 9, Name: "sqs", Ingress: []fabric.SGRule{From(fabric.Traffic{Protocol: flow.TCP, ToPort: 65535}, "10.0.0.0/8")}}
	s.SQS = b.eni("endpoint.sqs", b.Private, s.SQSGroup, "", "10.0.1.9")
	s.SQS.Portals = map[netip.Addr]*fabric.Portal{Addr("10.0.1.9"): portal(fabric.Portal{
		Kind: fabric.InterfacePortal, Name: "endpoint.sqs", Service: "sqs", VPC: b.App, ENI: s.SQS, Protocol: flow.TCP,
	}, "10.0.1.9", "100.96.0.5", 80, 443)}
	s.Shop = b.eni("endpoint_service.shop", b.Middle, nil, "", "10.0.2.8")
	s.Shop.Groups = nil
	s.Shop.Portals = map[netip.Addr]*fabric.Portal{Addr("10.0.2.8"): portal(fabric.Portal{
		Kind: fabric.BalancerPortal, Name: "endpoint_service.shop", Service: "shop", VPC: b.App, ENI: s.Shop,
	}, "10.0.2.8", "100.96.0.6")}
	s.caller("100.64.0.1", b.App.Index, "10.0.1.5")
	s.caller("100.64.0.2", b.App.Index, "10.0.0.10")
	s.caller("100.64.0.3", b.App.Index, "10.0.2.9")
	s.caller("100.64.0.4", fabric.InternetDomain, "198.51.100.10")
	s.caller("100.64.0.5", b.App.Index, "10.0.0.11")
	return s
}

func (s *Services) caller(inside string, vpc uint32, addr string) {
	who := fabric.Caller{VPC: vpc, Addr: Addr(addr)}
	s.Callers[Addr(inside)], s.Inside[who] = who, Addr(inside)
}
