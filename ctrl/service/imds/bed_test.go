package imds

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/service/iam"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// bed is VPC app with the instances web, which has two interfaces and all that one can have, and db, which has the least.
type bed struct {
	t       *testing.T
	app     *vpc.VPC
	web, db *vpc.Instance
	clock   time.Time
	service *Service
	hops    []int // as they were told
}

func newBed(t testing.TB) *bed {
	b := &bed{clock: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	b.t, _ = t.(*testing.T)
	b.web = &vpc.Instance{Name: "web", ID: "i-0web", Role: vpc.Role{Name: "reader"}, Interfaces: []*vpc.ENI{
		{Name: "web", ID: "eni-0a", Subnet: "public", IP: addr("10.0.0.10"), Secondary: []netip.Addr{addr("10.0.0.11")}, IPv6: addr("2600:1f18::10"),
			Public: addr("198.51.100.10"), Groups: []vpc.GroupRef{{Name: "web"}, {Name: "default"}}},
		{Name: "web.eth1", ID: "eni-0b", Subnet: "private", IP: addr("10.0.1.10"), Groups: []vpc.GroupRef{{Name: "default"}}},
	}}
	b.db = &vpc.Instance{Name: "db", ID: "i-0db", Interfaces: []*vpc.ENI{{Name: "db", ID: "eni-0c", Subnet: "private", IP: addr("10.0.1.5")}}}
	b.app = &vpc.VPC{
		Name: "app", ID: "vpc-0a", Region: "us-east-1", Account: "123456789012", CIDRs: []netip.Prefix{prefix("10.0.0.0/16"), prefix("10.1.0.0/16")},
		IPv6: []netip.Prefix{prefix("2600:1f18::/56")}, Instances: []*vpc.Instance{b.web, b.db},
		Subnets: []*vpc.Subnet{
			{Name: "public", ID: "subnet-0a", CIDR: prefix("10.0.0.0/24"), IPv6: prefix("2600:1f18::/64"), AZ: "us-east-1a"},
			{Name: "private", ID: "subnet-0b", CIDR: prefix("10.0.1.0/24"), AZ: "us-east-1b"},
		},
		SecurityGroups: []*vpc.SecurityGroup{{Name: "default", ID: "sg-0d"}, {Name: "web", ID: "sg-0w"}},
	}
	b.service = b.new(t)
	return b
}

func (b *bed) new(t testing.TB) *Service {
	now := func() time.Time { return b.clock }
	model := &vpc.Model{VPCs: []*vpc.VPC{b.app}}
	store, err := iam.New(strings.NewReader(strings.Repeat("k", 32)), func() *vpc.Model { return model }, now)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{
		Names: Names{
			Private: func(_ *vpc.VPC, e *vpc.ENI) string { return "private." + e.Name },
			Public: func(_ *vpc.VPC, e *vpc.ENI) string {
				if !e.Public.IsValid() {
					return ""
				}
				return "public." + e.Name
			},
			MAC: func(e *vpc.ENI) string { return "02:00:00:00:00:" + string(e.ID[4:]) },
		},
		Role: store.Role, Now: now, Hops: func(_ context.Context, n int) { b.hops = append(b.hops, n) },
		Random: strings.NewReader(strings.Repeat("r", 32)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func addr(text string) netip.Addr     { return netip.MustParseAddr(text) }
func prefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }

// from is who asks: an instance, at the IPv4 address.
func (b *bed) from(i *vpc.Instance) service.Caller {
	return service.Caller{Via: service.Direct, Service: "imds", Region: "us-east-1", VPC: b.app, Addr: i.Interfaces[0].IP, Asked: addr("169.254.169.254"),
		Instance: i, ENI: i.Interfaces[0]}
}

// ask sends a request "METHOD PATH" with headers "NAME: VALUE".
func (b *bed) ask(c service.Caller, request string, headers ...string) *httptest.ResponseRecorder {
	method, path, _ := strings.Cut(request, " ")
	r := httptest.NewRequest(method, path, nil)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return b.serve(c, r)
}

func (b *bed) serve(c service.Caller, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	b.service.ServeHTTP(w, r.WithContext(service.With(r.Context(), c)))
	return w
}

// session is a header with a new token of an instance.
func (b *bed) session(i *vpc.Instance) string {
	w := b.ask(b.from(i), "PUT /latest/api/token", ttlHeader+": 60")
	if w.Code != http.StatusOK {
		b.t.Fatalf("no token: %d", w.Code)
	}
	return tokenHeader + ": " + w.Body.String()
}
