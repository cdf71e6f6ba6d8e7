package imds

import (
	"bufio"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

func TestWhatIsThere(t *testing.T) {
	b := newBed(t)
	const macs = "/latest/meta-data/network/interfaces/macs/"
	for _, row := range []struct{ path, want string }{
		{"/latest", "dynamic\nmeta-data"},
		{"/latest/", "dynamic\nmeta-data"},
		{"/latest/dynamic", "instance-identity/"},
		{"/latest/meta-data/", "hostname\niam/\ninstance-action\ninstance-id\ninstance-life-cycle\nipv6\nlocal-hostname\nlocal-ipv4\nmac\nnetwork/\n" +
			"placement/\npublic-hostname\npublic-ipv4\nsecurity-groups\nservices/"},
		{"/latest/meta-data/instance-id", "i-0web"},
		{"/2021-03-23/meta-data/instance-id", "i-0web"},
		{"/1.0/meta-data/instance-id", "i-0web"},
		{"/latest/meta-data/hostname", "private.web"},
		{"/latest/meta-data/public-hostname", "public.web"},
		{"/latest/meta-data/local-ipv4", "10.0.0.10"},
		{"/latest/meta-data/public-ipv4", "198.51.100.10"},
		{"/latest/meta-data/ipv6", "2600:1f18::10"},
		{"/latest/meta-data/security-groups", "web\ndefault"},
		{"/latest/meta-data/placement/", "availability-zone\navailability-zone-id\nregion"},
		{"/latest/meta-data/placement/availability-zone", "us-east-1a"},
		{"/latest/meta-data/placement/availability-zone-id", "use1-az1"},
		{"/latest/meta-data/services/domain", "amazonaws.com"},
		{macs, "02:00:00:00:00:0a/\n02:00:00:00:00:0b/"},
		{macs + "02:00:00:00:00:0a", "device-number\ninterface-id\nipv4-associations/\nipv6s\nlocal-hostname\nlocal-ipv4s\nmac\nnetwork-card-index\nowner-id\n" +
			"public-hostname\npublic-ipv4s\nsecurity-group-ids\nsecurity-groups\nsubnet-id\nsubnet-ipv4-cidr-block\nsubnet-ipv6-cidr-blocks\n" +
			"vpc-id\nvpc-ipv4-cidr-block\nvpc-ipv4-cidr-blocks\nvpc-ipv6-cidr-blocks"},
		{macs + "02:00:00:00:00:0a/local-ipv4s", "10.0.0.10\n10.0.0.11"},
		{macs + "02:00:00:00:00:0a/ipv4-associations/", "198.51.100.10"},
		{macs + "02:00:00:00:00:0a/ipv4-associations/198.51.100.10", "10.0.0.10"},
		{macs + "02:00:00:00:00:0a/security-group-ids", "sg-0w\nsg-0d"},
		{macs + "02:00:00:00:00:0a/vpc-ipv4-cidr-block", "10.0.0.0/16"},
		{macs + "02:00:00:00:00:0a/vpc-ipv4-cidr-blocks", "10.0.0.0/16\n10.1.0.0/16"},
		{macs + "02:00:00:00:00:0a/subnet-ipv6-cidr-blocks", "2600:1f18::/64"},
		{macs + "02:00:00:00:00:0b/device-number", "1"},
		{macs + "02:00:00:00:00:0b/interface-id", "eni-0b"},
		{macs + "02:00:00:00:00:0b/subnet-id", "subnet-0b"},
		{"/latest/meta-data/iam/", "info\nsecurity-credentials/"},
		{"/latest/meta-data/iam/security-credentials", "reader"},
		{"/latest/meta-data/iam/security-credentials/", "reader"},
		{"/", strings.Join(versions, "\n")},
	} {
		w := b.ask(b.from(b.web), "GET "+row.path)
		if got := w.Body.String(); w.Code != http.StatusOK || got != row.want || w.Header().Get("Content-Type") != "text/plain" {
			t.Errorf("%s: %d %q, want %q", row.path, w.Code, got, row.want)
		}
	}
}

func TestWhatIsNotThere(t *testing.T) {
	b := newBed(t)
	for _, path := range []string{
		"/latest/meta-data/public-ipv4", "/latest/meta-data/public-hostname", "/latest/meta-data/ipv6",
		"/latest/meta-data/network/interfaces/macs/02:00:00:00:00:0c/ipv4-associations/", "/latest/meta-data/network/interfaces/macs/02:00:00:00:00:0a/",
		"/latest/meta-data/iam/security-credentials/reader", "/latest/meta-data/iam/security-credentials-extended/", "/latest/meta-data/instance-id/", "/latest/meta-data//", "/latest//meta-data", "//",
		"/latest/user-data", "/latest/dynamic/instance-identity/pkcs7", "/2099-01-01/meta-data/", "/nothing", "/latest/meta-data/inst",
	} {
		w := b.ask(b.from(b.db), "GET "+path)
		if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "<h1>404 - Not Found</h1>") {
			t.Errorf("%s: %d %q", path, w.Code, w.Body)
		}
	}
	if w := b.ask(b.from(b.db), "GET /latest/meta-data/iam/security-credentials/db"); w.Code != http.StatusOK {
		t.Errorf("its own role: %d", w.Code)
	}
	b.db.Role.None = true
	for _, path := range []string{"", "info", "security-credentials/", "security-credentials/db"} {
		if w := b.ask(b.from(b.db), "GET /latest/meta-data/iam/"+path); w.Code != http.StatusNotFound {
			t.Errorf("iam/%s without a role: %d %q", path, w.Code, w.Body)
		}
	}
}

func TestTokens(t *testing.T) {
	b := newBed(t)
	for _, row := range []struct {
		name    string
		request string
		headers []string
		status  int
	}{
		{"for a second", "PUT /latest/api/token", []string{ttlHeader + ": 1"}, 200},
		{"for six hours", "PUT /latest/api/token", []string{ttlHeader + ": 21600"}, 200},
		{"for longer", "PUT /latest/api/token", []string{ttlHeader + ": 21601"}, 400},
		{"for no time", "PUT /latest/api/token", []string{ttlHeader + ": 0"}, 400},
		{"for a word", "PUT /latest/api/token", []string{ttlHeader + ": long"}, 400},
		{"without saying for how long", "PUT /latest/api/token", nil, 400},
		{"by a proxy", "PUT /latest/api/token", []string{ttlHeader + ": 60", "X-Forwarded-For: 10.0.0.9"}, 403},
		{"by a proxy that hides for whom", "PUT /latest/api/token", []string{ttlHeader + ": 60", "X-Forwarded-For: "}, 403},
		{"with a slash", "PUT /latest/api/token/", []string{ttlHeader + ": 60"}, 403},
		{"elsewhere", "PUT /latest/meta-data/", []string{ttlHeader + ": 60"}, 403},
		{"by GET", "GET /latest/api/token", []string{ttlHeader + ": 60"}, 405},
		{"by POST", "POST /latest/api/token", []string{ttlHeader + ": 60"}, 405},
	} {
		w := b.ask(b.from(b.web), row.request, row.headers...)
		if w.Code != row.status {
			t.Errorf("%s: %d, want %d", row.name, w.Code, row.status)
		}
		if ttl := w.Header().Get(ttlHeader); w.Code == 200 && (len(w.Body.String()) != 56 || ttlHeader+": "+ttl != row.headers[0]) {
			t.Errorf("%s: token %q for %s seconds", row.name, w.Body, ttl)
		}
	}
}

func TestSessions(t *testing.T) {
	const id = "GET /latest/meta-data/instance-id"
	b := newBed(t)
	web, db := b.session(b.web), b.session(b.db)
	late := func(b *bed) { b.clock = b.clock.Add(60 * time.Second) }
	require := func(b *bed) { b.web.Metadata.TokensRequired = true }
	for _, row := range []struct {
		name    string
		change  func(*bed)
		request string
		header  string
		status  int
	}{
		{"without a token", nil, id, "", 200},
		{"with a token", nil, id, web, 200},
		{"with another instance's token", nil, id, db, 401},
		{"with a token that is none", nil, id, tokenHeader + ": AAAA", 401},
		{"with a token that is over", late, id, web, 401},
		{"with a token that is nearly over", func(b *bed) { b.clock = b.clock.Add(59 * time.Second) }, id, web, 200},
		{"required, with a token", require, id, web, 200},
		{"required, without a token", require, id, "", 401},
		{"required, with another instance's token", require, id, db, 401},
		{"required, something that is not there, without a token", require, "GET /nothing", "", 401},
		{"required, HEAD with a token", require, "HEAD /latest/meta-data/instance-id", web, 200},
		{"required, HEAD without a token", require, "HEAD /latest/meta-data/instance-id", "", 401},
	} {
		b := newBed(t)
		if row.change != nil {
			row.change(b)
		}
		var headers []string
		if row.header != "" {
			headers = []string{row.header}
		}
		if w := b.ask(b.from(b.web), row.request, headers...); w.Code != row.status {
			t.Errorf("%s: %d, want %d", row.name, w.Code, row.status)
		}
	}
}

func TestHeadHasNoBody(t *testing.T) {
	b := newBed(t)
	w := b.ask(b.from(b.web), "HEAD /latest/meta-data/instance-id")
	if w.Body.Len() != 0 || w.Header().Get("Content-Length") != "6" {
		t.Errorf("got %q, length %s", w.Body, w.Header().Get("Content-Length"))
	}
}

func TestWhoIsAnswered(t *testing.T) {
	six := func(c *service.Caller) { c.Asked = addr("fd00:ec2::254") }
	for _, row := range []struct {
		name     string
		metadata vpc.Metadata
		change   func(*service.Caller)
		status   int
	}{
		{"an instance", vpc.Metadata{}, nil, 200},
		{"one whose metadata is disabled", vpc.Metadata{Disabled: true}, nil, 403},
		{"over IPv6", vpc.Metadata{IPv6: true}, six, 200},
		{"over IPv6 where that is off", vpc.Metadata{}, six, 403},
		{"over IPv4 where IPv6 is on, too", vpc.Metadata{IPv6: true}, nil, 200},
		{"nobody's address", vpc.Metadata{}, func(c *service.Caller) { c.Instance, c.ENI = nil, nil }, 403},
	} {
		b := newBed(t)
		b.web.Metadata = row.metadata
		c := b.from(b.web)
		if row.change != nil {
			row.change(&c)
		}
		for _, request := range []string{"GET /latest/meta-data/", "PUT /latest/api/token"} {
			if w := b.ask(c, request, ttlHeader+": 60"); w.Code != row.status {
				t.Errorf("%s: %s: %d, want %d", row.name, request, w.Code, row.status)
			}
		}
	}
}

func TestAnswersToTokenRequestsGoNoFurtherThanTheInstanceSays(t *testing.T) {
	b := newBed(t)
	b.ask(b.from(b.web), "PUT /latest/api/token", ttlHeader+": 60")
	b.ask(b.from(b.web), "GET /latest/meta-data/")
	b.web.Metadata.HopLimit = 3
	b.ask(b.from(b.web), "PUT /latest/api/token")
	b.ask(b.from(b.web), "HEAD /")
	if want := []int{1, 64, 3, 64}; !slices.Equal(b.hops, want) {
		t.Errorf("answers go %v hops, want %v", b.hops, want)
	}
}

func FuzzRequest(f *testing.F) {
	b := newBed(f)
	for _, seed := range []string{
		"GET /latest/meta-data/ HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n", "PUT /latest/api/token HTTP/1.0\r\n" + ttlHeader + ": 60\r\n\r\n",
		"GET http://169.254.169.254//latest/../1.0 HTTP/1.1\r\nHost: a\r\n" + tokenHeader + ": AAAA\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
		"HEAD /latest/dynamic/instance-identity/document?x HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		f.Add(seed, true, false)
		f.Add(seed, false, true)
	}
	f.Fuzz(func(t *testing.T, text string, required, six bool) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			return
		}
		b.web.Metadata.TokensRequired = required
		c := b.from(b.web)
		if six {
			c.Asked = netip.MustParseAddr("fd00:ec2::254")
		}
		w := b.serve(c, r)
		if required && r.Method != http.MethodPut && w.Code == http.StatusOK {
			t.Errorf("%q: answered without a token", text)
		}
		if six && w.Code == http.StatusOK {
			t.Errorf("%q: answered over IPv6", text)
		}
	})
}
