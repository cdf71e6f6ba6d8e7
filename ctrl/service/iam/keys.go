package iam

import (
	"maps"
	"strconv"
	"time"

	"github.com/vpclab/vpclab/ctrl/service"
)

// keys are the condition keys of a request (IAM user guide, global condition context keys). By an endpoint it has aws:SourceVpce,
// aws:SourceVpc and aws:VpcSourceIp and no aws:SourceIp; from the internet it is the other way about. Those that follow
// from the principal are policy.Decide's.
func keys(c service.Caller, known request, a service.Access, now time.Time) map[string][]string {
	all := map[string][]string{}
	maps.Copy(all, a.Keys)
	maps.Copy(all, known.identity.Keys)
	set := func(key, value string) {
		if value != "" {
			all[key] = []string{value}
		}
	}
	switch {
	case c.Endpoint != nil:
		set("aws:SourceVpce", string(c.Endpoint.ID))
		set("aws:SourceVpc", string(c.VPC.ID))
		set("aws:VpcSourceIp", c.Addr.String())
	case c.Via == service.Public:
		set("aws:SourceIp", c.Addr.String())
	}
	set("aws:PrincipalIsAWSService", "false")
	set("aws:ResourceAccount", a.Account)
	set("aws:RequestedRegion", c.Region)
	set("aws:SecureTransport", strconv.FormatBool(known.secure))
	set("aws:UserAgent", known.agent)
	set("aws:Referer", known.referer)
	set("aws:ViaAWSService", "false")
	set("aws:CurrentTime", stamp(now))
	set("aws:EpochTime", strconv.FormatInt(now.Unix(), 10))
	return all
}
