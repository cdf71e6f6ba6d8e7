package check

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/ctrl/vpc"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// cloud is an S3 and a DynamoDB that know one access key each of host and instance, and one table.
type cloud struct {
	mu      sync.Mutex
	objects map[string]string // by host and path
	item    string
	asked   []string // the requests: "PUT bucket.s3.us-east-1.amazonaws.com/key"
	tokens  []string // the session tokens that they came with
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, r.Method+" "+r.Host+r.URL.Path)
	c.tokens = append(c.tokens, r.Header.Get("X-Amz-Security-Token"))
	signed := strings.Contains(r.Header.Get("Authorization"), "Credential=AKID")
	target := r.Header.Get("X-Amz-Target")
	switch {
	case !signed || strings.HasSuffix(r.URL.Path, "/secret"):
		s3Error(w, http.StatusForbidden, "AccessDenied", "Access Denied")
	case target != "":
		c.dynamo(w, r, strings.TrimPrefix(target, "DynamoDB_20120810."))
	case r.Method == http.MethodPut:
		c.objects[r.Host+r.URL.Path] = contentOf(r)
	case r.URL.Query().Has("list-type"):
		c.list(w, r)
	default:
		text, ok := c.objects[r.Host+r.URL.Path]
		if !ok {
			s3Error(w, http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
			return
		}
		io.WriteString(w, text)
	}
}

// requests are those that came, and their session tokens.
func (c *cloud) requests() (asked, tokens string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.asked, ", "), strings.Join(c.tokens, ", ")
}

func s3Error(w http.ResponseWriter, status int, code, message string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, message)
}

// contentOf is a body without the chunks in which the SDK sends it.
func contentOf(r *http.Request) string {
	body := io.Reader(r.Body)
	if r.Header.Get("X-Amz-Decoded-Content-Length") != "" {
		body = httputil.NewChunkedReader(body)
	}
	b, _ := io.ReadAll(body)
	return string(b)
}

func (c *cloud) list(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, "<ListBucketResult>")
	for path := range c.objects {
		key := strings.TrimPrefix(path, r.Host+"/")
		if strings.HasPrefix(key, r.URL.Query().Get("prefix")) {
			fmt.Fprintf(w, "<Contents><Key>%s</Key></Contents>", key)
		}
	}
	fmt.Fprint(w, "</ListBucketResult>")
}

func (c *cloud) dynamo(w http.ResponseWriter, r *http.Request, action string) {
	var in struct {
		TableName string
		Item, Key json.RawMessage
	}
	json.NewDecoder(r.Body).Decode(&in)
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	switch {
	case in.TableName == "closed":
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"__type":"com.amazonaws.dynamodb.v20120810#AccessDeniedException","Message":"User is not authorized"}`)
	case in.TableName != "orders":
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"Requested resource not found"}`)
	case action == "PutItem":
		c.item = string(in.Item)
		io.WriteString(w, "{}")
	case action == "GetItem" && strings.Contains(c.item, strings.Trim(string(in.Key), "{}")):
		fmt.Fprintf(w, `{"Item":%s}`, c.item)
	default:
		io.WriteString(w, "{}")
	}
}

// imds is an instance metadata service that answers what has its token.
func imds(w http.ResponseWriter, r *http.Request) {
	const roles = "/latest/meta-data/iam/security-credentials/"
	switch {
	case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token" && r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds") != "":
		io.WriteString(w, "letmein")
	case r.Header.Get("X-Aws-Ec2-Metadata-Token") != "letmein":
		w.WriteHeader(http.StatusUnauthorized)
	case r.URL.Path == roles:
		io.WriteString(w, "reader")
	case r.URL.Path == roles+"reader":
		io.WriteString(w, `{"Code":"Success","AccessKeyId":"AKIDROLE","SecretAccessKey":"s","Token":"session","Expiration":"2026-01-01T06:00:00Z"}`)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

const (
	s3Host     = "logs.s3.us-east-1.amazonaws.com"
	dynamoHost = "dynamodb.us-east-1.amazonaws.com"
	ownHost    = "bucket.vpce-1.s3.us-east-1.vpce.amazonaws.com"
)

// newCloud makes a town with all services.
func newCloud(t *testing.T) (*town, *cloud) {
	t.Helper()
	lab, c := newTown(t), &cloud{objects: map[string]string{}}
	own, roots := certificate(t, s3Host, dynamoHost, ownHost)
	lab.roots = roots
	at := " A " + servicesAt.String()
	lab.resolve(t, zone(t, s3Host+"."+at, dynamoHost+"."+at, ownHost+"."+at, "other.s3.us-east-1.amazonaws.com."+at, "closed.s3.us-east-1.amazonaws.com. A 127.0.0.44"))
	lab.serve(t, netip.AddrPortFrom(servicesAt, 443), own, c)
	lab.serve(t, netip.AddrPortFrom(metadataAt, 80), nil, http.HandlerFunc(imds))
	return lab, c
}

func s3Do(op, bucket, key, text string) scenario.Do {
	return scenario.Do{Verb: scenario.S3, S3: scenario.S3Do{Op: op, Bucket: bucket, Key: key, Text: text, Region: "us-east-1"}}
}

func dynamoDo(op, table, item string) scenario.Do {
	return scenario.Do{Verb: scenario.DynamoDB, DynamoDB: scenario.DynamoDBDo{Op: op, Table: table, Item: item, Region: "us-east-1"}}
}

func body(text string) scenario.Expect { return scenario.Expect{Body: &text} }

func TestServices(t *testing.T) {
	lab, _ := newCloud(t)
	r := start(t, lab)
	denied := scenario.Expect{Outcome: scenario.Denied}
	for _, row := range []struct {
		about  string
		do     scenario.Do
		expect scenario.Expect
		pass   bool
		got    scenario.Outcome
		detail string
	}{
		{"an object is put", s3Do(scenario.Put, "logs", "a/b", "hello"), scenario.Expect{}, true, scenario.OK, ""},
		{"and another", s3Do(scenario.Put, "logs", "c", ""), scenario.Expect{}, true, scenario.OK, ""},
		{"and read", s3Do(scenario.Get, "logs", "a/b", ""), body("hello"), true, scenario.OK, "5 bytes"},
		{"and is not another", s3Do(scenario.Get, "logs", "a/b", ""), body("bye"), false, scenario.OK, `expected body "bye", got "hello"`},
		{"keys are listed", s3Do(scenario.List, "logs", "", ""), scenario.Expect{Answers: []string{"c", "a/b"}}, true, scenario.OK, "a/b, c"},
		{"those of a prefix", s3Do(scenario.List, "logs", "a/", ""), scenario.Expect{Answers: []string{"c"}}, false, scenario.OK, "expected answers c, got a/b"},
		{"no object", s3Do(scenario.Get, "logs", "x", ""), scenario.Expect{}, false, Failed, "expected ok, got failed: NoSuchKey: The specified key does not exist."},
		{"what policies deny", s3Do(scenario.Put, "logs", "secret", "x"), denied, true, scenario.Denied, "AccessDenied: Access Denied"},
		{"what should be allowed", s3Do(scenario.Get, "logs", "secret", ""), scenario.Expect{}, false, scenario.Denied, "expected ok, got denied: AccessDenied"},
		{"what should be denied", s3Do(scenario.Get, "logs", "c", ""), denied, false, scenario.OK, "expected denied, got ok"},
		{"a bucket without a name", s3Do(scenario.Get, "gone", "c", ""), scenario.Expect{Outcome: scenario.NXDomain}, true, scenario.NXDomain,
			"there is no name gone.s3.us-east-1.amazonaws.com"},
		{"nobody listens", s3Do(scenario.Get, "closed", "c", ""), scenario.Expect{Outcome: scenario.Refused}, true, scenario.Refused, "RST in answer"},
		{"another's certificate", s3Do(scenario.Get, "other", "c", ""), scenario.Expect{}, false, Failed, "no TLS with other.s3.us-east-1.amazonaws.com: tls: failed to verify certificate"},

		{"an item is put", dynamoDo(scenario.Put, "orders", `{"id":"1","n":10.50,"ok":true,"no":null,"l":[1,"x"],"m":{"a":"b"}}`), scenario.Expect{}, true, scenario.OK, ""},
		{"and read", dynamoDo(scenario.Get, "orders", `{"id":"1"}`), body(`{"n": 10.50, "id": "1", "l": [1, "x"], "m": {"a": "b"}, "no": null, "ok": true}`), true, scenario.OK, ""},
		{"and is not another", dynamoDo(scenario.Get, "orders", `{"id":"1"}`), body(`{"id": "1"}`), false, scenario.OK, `expected body "{\"id\":\"1\"}", got "{\"id\":\"1\",\"l\"`},
		{"no item", dynamoDo(scenario.Get, "orders", `{"id":"2"}`), body(""), true, scenario.OK, "there is no such item"},
		{"no table", dynamoDo(scenario.Get, "carts", `{"id":"2"}`), scenario.Expect{}, false, Failed, "ResourceNotFoundException: Requested resource not found"},
		{"a table that policies deny", dynamoDo(scenario.Get, "closed", `{"id":"2"}`), denied, true, scenario.Denied, "AccessDeniedException: User is not authorized"},
		{"no JSON", dynamoDo(scenario.Put, "orders", `{} x`), scenario.Expect{}, false, "", "dynamodb put orders: {} x is not JSON"},
		{"no object", dynamoDo(scenario.Put, "orders", `[]`), scenario.Expect{}, false, "", "dynamodb put orders: [] is not a JSON object"},
	} {
		t.Run(row.about, func(t *testing.T) {
			want(t, run(t, r, scenario.Check{Do: row.do, Expect: row.expect}), row.pass, row.got, row.detail)
		})
	}
}

// An instance has its role's credentials, a host its own, and both make a single request.
func TestRequestsAreSignedByWhomTheyAreFrom(t *testing.T) {
	for node, token := range map[scenario.Node]string{client: "session", guestHost: ""} {
		t.Run(node.String(), func(t *testing.T) {
			lab, c := newCloud(t)
			check := &scenario.Check{From: node, Do: s3Do(scenario.Put, "logs", "a", "x")}
			want(t, start(t, lab).Run(t.Context(), check), true, scenario.OK, "")
			if asked, tokens := c.requests(); asked != "PUT "+s3Host+"/a" || tokens != token {
				t.Errorf("asked was %s, the session tokens are %q, want %q", asked, tokens, token)
			}
		})
	}
	t.Run("a host without", func(t *testing.T) {
		lab, _ := newCloud(t)
		lab.keys = Credentials{}
		check := &scenario.Check{From: guestHost, Do: s3Do(scenario.Put, "logs", "a", "x")}
		want(t, start(t, lab).Run(t.Context(), check), false, "", "credentials of example: it has none")
	})
}

// By an interface endpoint's own name the bucket is in the path.
func TestAnEndpointsOwnName(t *testing.T) {
	lab, c := newCloud(t)
	lab.endpointHost = ownHost
	do := s3Do(scenario.Put, "logs", "a", "x")
	do.S3.By = vpc.EndpointRef{VPC: "app", Name: "s3"}
	want(t, run(t, start(t, lab), scenario.Check{Do: do}), true, scenario.OK, "")
	if asked, _ := c.requests(); asked != "PUT "+ownHost+"/logs/a" {
		t.Errorf("asked was %s", asked)
	}
	lab.endpointHost = ""
	want(t, run(t, start(t, lab), scenario.Check{Do: do}), false, "", "endpoint app/s3: it has no DNS name")
}

func TestWithoutCredentialsNothingIsAsked(t *testing.T) {
	for about, row := range map[string]struct {
		metadata http.HandlerFunc
		detail   string
	}{
		"tokens are refused": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
			"credentials from instance metadata: PUT api/token answers status 403"},
		"no role": {func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPut {
				w.WriteHeader(http.StatusNotFound)
			}
		}, "GET meta-data/iam/security-credentials/ answers status 404"},
		"a role without": {func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "x") }, "role x has none: x"},
	} {
		t.Run(about, func(t *testing.T) {
			lab := newTown(t)
			lab.serve(t, netip.AddrPortFrom(metadataAt, 80), nil, row.metadata)
			want(t, run(t, start(t, lab), scenario.Check{Do: s3Do(scenario.Get, "logs", "a", "")}), false, Failed, row.detail)
		})
	}
}

// The drop that explains may be of any of a check's connections.
func TestDropsOfAnyConnectionExplain(t *testing.T) {
	for _, row := range []struct {
		port   uint16 // of the connection whose packets are dropped
		detail string
	}{
		{80, "credentials from instance metadata: dropped at web/route for NO_ROUTE_TO_DESTINATION"},
		{53, "resolver 127.0.0.53 asked for " + s3Host + ": dropped at web/route for NO_ROUTE_TO_DESTINATION"},
		{443, "dropped at web/route for NO_ROUTE_TO_DESTINATION"},
	} {
		t.Run(fmt.Sprintf("port %d", row.port), func(t *testing.T) {
			t.Parallel()
			lab := newTown(t)
			lost := func(port uint16) bool {
				if port == row.port {
					lab.dropTo(port, Drop{Reason: flow.NoRoute, At: "web/route"})
				}
				return port == row.port
			}
			lab.accept(t, netip.AddrPortFrom(servicesAt, 443), func() { lost(443) })
			lab.resolve(t, func(w dns.ResponseWriter, q *dns.Msg) {
				if !lost(53) {
					zone(t, s3Host+". A "+servicesAt.String())(w, q)
				}
			})
			lab.serve(t, netip.AddrPortFrom(metadataAt, 80), nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if lost(80) {
					<-r.Context().Done()
				}
				imds(w, r)
			}))
			result := run(t, start(t, lab), scenario.Check{Do: s3Do(scenario.Get, "logs", "a", ""), Because: "NO_ROUTE_TO_DESTINATION", At: "route",
				Expect: scenario.Expect{Outcome: scenario.Timeout}})
			want(t, result, true, scenario.Timeout, row.detail)
			if result.MS > 3000 {
				t.Errorf("it took %v ms, want about 500", result.MS)
			}
		})
	}
}

func TestADenialTellsWhichPolicy(t *testing.T) {
	lab, _ := newCloud(t)
	lab.denied = []string{"the policy of endpoint app/s3: no statement allows s3:PutObject"}
	r := start(t, lab)
	result := run(t, r, scenario.Check{Do: s3Do(scenario.Put, "logs", "secret", "x")})
	if len(result.Denials) != 1 || result.Denials[0] != "app/web: "+lab.denied[0] {
		t.Errorf("denials are %q", result.Denials)
	}
	if result := run(t, r, scenario.Check{Do: s3Do(scenario.Put, "logs", "a", "x")}); len(result.Denials) != 0 {
		t.Errorf("what was allowed tells of denials: %q", result.Denials)
	}
}

func TestHTTPS(t *testing.T) {
	lab, _ := newCloud(t)
	r := start(t, lab)
	own, _ := certificate(t, s3Host)
	lab.serve(t, netip.AddrPortFrom(servicesAt, 8443), own, http.NotFoundHandler())
	page := func(url string) scenario.Check {
		return scenario.Check{Do: scenario.Do{Verb: scenario.HTTP, URL: url, TLS: true}, Expect: scenario.Expect{Outcome: scenario.OK, Status: 403}}
	}
	want(t, run(t, r, page("https://"+s3Host+"/")), true, scenario.OK, "status 403")
	want(t, run(t, r, page("https://"+s3Host+":8443/")), false, Failed, "no TLS with "+s3Host+": tls: failed to verify certificate")
	want(t, run(t, r, page("https://127.0.0.43/")), false, Failed, "cannot validate certificate for 127.0.0.43")
	want(t, run(t, r, page("https://"+s3Host+":80/")), false, scenario.Refused, "")
}
