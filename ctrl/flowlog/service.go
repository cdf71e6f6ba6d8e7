package flowlog

import (
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
)

// ServicePrefix says that a prefix of public addresses belongs to one of AWS's services, by its tag in records: S3, DYNAMODB.
type ServicePrefix struct {
	Prefix  netip.Prefix
	Service string
}

// Services finds the service that a public address belongs to. A nil one knows none.
type Services struct{ table bart.Table[string] }

// general are the tags of prefixes that others lie in, the widest last.
var general = []string{"EC2", "AMAZON"}

// NewServices builds the lookup. The longest prefix wins; of equal ones the tag that says more than AMAZON or EC2, else the last.
func NewServices(prefixes []ServicePrefix) *Services {
	s := &Services{}
	for _, p := range prefixes {
		if old, ok := s.table.Get(p.Prefix); ok && slices.Index(general, p.Service) > slices.Index(general, old) {
			continue
		}
		s.table.Insert(p.Prefix, p.Service)
	}
	return s
}

// Of is the service's tag, and "" for private addresses and strangers.
func (s *Services) Of(a netip.Addr) string {
	if s == nil || a.IsPrivate() {
		return ""
	}
	service, _ := s.table.Lookup(a)
	return service
}
