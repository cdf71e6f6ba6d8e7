package s3_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

func create(s *scene, c *sdk.Client, name, region string) error {
	in := &sdk.CreateBucketInput{Bucket: &name}
	if region != "" {
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(region)}
	}
	return ignore(c.CreateBucket(s.Context(), in))
}

func TestBucketsAreMade(t *testing.T) {
	s := newScene(t)
	home, away := s.client(us), s.client(eu)
	s.account = theirs
	s.wantCode("in us-east-1", create(s, home, "one", ""), "")
	s.wantCode("in eu-west-1", create(s, away, "two", eu), "")
	s.wantCode("in eu-west-1, asked of us-east-1", create(s, home, "three", eu), "")
	s.wantCode("again, in us-east-1", create(s, home, "one", ""), "")
	s.wantCode("again, elsewhere", create(s, away, "two", eu), "BucketAlreadyOwnedByYou")
	s.wantCode("another account's", create(s, home, "logs", ""), "BucketAlreadyExists")
	s.wantCode("for another region", create(s, away, "four", "us-west-2"), "IllegalLocationConstraintException")
	s.wantCode("a name that is none", create(s, home, "No_Name", ""), "InvalidBucketName")
	out, err := home.ListBuckets(t.Context(), &sdk.ListBucketsInput{})
	if err != nil || len(out.Buckets) != 3 || *out.Buckets[0].Name != "one" || *out.Buckets[1].BucketRegion != eu || *out.Owner.DisplayName != theirs {
		t.Errorf("list: %v, %v", out, err)
	}
	var pages []string
	for p := sdk.NewListBucketsPaginator(home, &sdk.ListBucketsInput{MaxBuckets: aws.Int32(2)}); p.HasMorePages(); {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range page.Buckets {
			pages = append(pages, *b.Name)
		}
	}
	if strings.Join(pages, " ") != "one three two" {
		t.Errorf("by pages: %v", pages)
	}
	s.account = ""
	s.wantCode("by nobody", create(s, home, "five", ""), "AccessDenied")
}

func TestOnlyAnEmptyBucketIsDeleted(t *testing.T) {
	s := newScene(t)
	c := s.client(us)
	s.put(c, "a", "x")
	remove := func() error { return ignore(c.DeleteBucket(t.Context(), &sdk.DeleteBucketInput{Bucket: logs})) }
	s.wantCode("with an object", remove(), "BucketNotEmpty")
	if err := ignore(c.DeleteObject(t.Context(), &sdk.DeleteObjectInput{Bucket: logs, Key: keyA})); err != nil {
		t.Fatal(err)
	}
	s.wantCode("without", remove(), "")
	s.wantCode("twice", remove(), "NoSuchBucket")
}

// A bucket is in one region: elsewhere one learns where.
func TestABucketOfAnotherRegion(t *testing.T) {
	s := newScene(t)
	s.update(&vpc.Bucket{Name: "logs", Region: us, Account: ours}, &vpc.Bucket{Name: "paris", Region: eu, Account: ours})
	home, away := s.client(us), s.client(eu)
	paris := aws.String("paris")
	list := func(c *sdk.Client) error {
		return ignore(c.ListObjectsV2(t.Context(), &sdk.ListObjectsV2Input{Bucket: paris}))
	}
	s.wantCode("in its region", list(away), "")
	s.refuse("s3:ListBucket") // to be sent on needs no permission
	err := list(home)
	s.wantCode("elsewhere", err, "PermanentRedirect")
	var answer *awshttp.ResponseError
	if !errors.As(err, &answer) || answer.HTTPStatusCode() != 301 || answer.Response.Header.Get("x-amz-bucket-region") != eu {
		t.Errorf("got %v", err)
	}
	w := s.ask("GET", "/paris/a")
	if !strings.Contains(w.Body.String(), "<Endpoint>paris.s3.eu-west-1.amazonaws.com</Endpoint>") {
		t.Errorf("got %s", w.Body)
	}
	if w := s.ask("HEAD", "/paris"); w.Code != 301 || w.Header().Get("X-Amz-Bucket-Region") != eu || w.Body.Len() > 0 {
		t.Errorf("head: %d %v", w.Code, w.Header())
	}
	s.refuse()
	where := func(c *sdk.Client, bucket string) string {
		out, err := c.GetBucketLocation(t.Context(), &sdk.GetBucketLocationInput{Bucket: &bucket})
		if err != nil {
			return code(err)
		}
		return string(out.LocationConstraint)
	}
	for _, row := range []struct {
		in           *sdk.Client
		bucket, want string
	}{{home, "paris", eu}, {away, "paris", eu}, {home, "logs", ""}, {away, "logs", "PermanentRedirect"}} {
		if got := where(row.in, row.bucket); got != row.want {
			t.Errorf("where is %s: got %q, want %q", row.bucket, got, row.want)
		}
	}
	head, err := away.HeadBucket(t.Context(), &sdk.HeadBucketInput{Bucket: paris})
	if err != nil || *head.BucketRegion != eu {
		t.Errorf("head: %v, %v", head, err)
	}
}

func TestCopiesBetweenRegionsTakeThePublicPath(t *testing.T) {
	s := newScene(t)
	s.put(s.client(us), "a", "x")
	s.update(&vpc.Bucket{Name: "logs", Region: us, Account: ours}, &vpc.Bucket{Name: "paris", Region: eu, Account: ours})
	away := s.client(eu)
	copying := func(source string) error {
		return ignore(away.CopyObject(t.Context(), &sdk.CopyObjectInput{Bucket: aws.String("paris"), Key: aws.String("b"), CopySource: &source}))
	}
	for _, row := range []struct {
		via          service.Via
		source, want string
	}{
		{service.ByGateway, "logs/a", "AccessDenied"},
		{service.ByInterface, "logs/a", "AccessDenied"},
		{service.Public, "logs/a", ""},
		{service.ByGateway, "paris/b", "InvalidRequest"}, // onto itself; but it is found
	} {
		s.via = row.via
		err := copying(row.source)
		s.wantCode(row.source, err, row.want)
		if row.want == "AccessDenied" && !strings.Contains(err.Error(), "VPC endpoints do not support cross-region requests") {
			t.Errorf("got %v", err)
		}
	}
}

func TestBucketPolicies(t *testing.T) {
	s := newScene(t)
	c := s.client(us)
	get := func() (string, error) {
		out, err := c.GetBucketPolicy(t.Context(), &sdk.GetBucketPolicyInput{Bucket: logs})
		if err != nil {
			return "", err
		}
		return *out.Policy, nil
	}
	put := func(text string) error {
		return ignore(c.PutBucketPolicy(t.Context(), &sdk.PutBucketPolicyInput{Bucket: logs, Policy: &text}))
	}
	_, err := get()
	s.wantCode("none", err, "NoSuchBucketPolicy")
	err = put("nonsense")
	s.wantCode("nonsense", err, "MalformedPolicy")
	if err == nil || !strings.Contains(err.Error(), "line 1, column 1: not an object") {
		t.Errorf("got %v", err)
	}
	s.wantCode("too long", put("{"+strings.Repeat(" ", 20<<10)+"}"), "MaxMessageLengthExceeded")
	s.wantCode("a policy", put(`{"a": 1}`), "")
	s.open() // it is kept
	c = s.client(us)
	if got, err := get(); got != `{"a": 1}` || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	s.refuse()
	s.put(c, "a", "x")
	if a, _ := s.question("s3:PutObject"); a.Policy != `{"a": 1}` {
		t.Errorf("the gate was asked with policy %q", a.Policy)
	}
	s.account = theirs
	s.wantCode("another account's, though allowed", put("{}"), "MethodNotAllowed")
	s.account = ours
	if err := ignore(c.DeleteBucketPolicy(t.Context(), &sdk.DeleteBucketPolicyInput{Bucket: logs})); err != nil {
		t.Fatal(err)
	}
	_, err = get()
	s.wantCode("deleted", err, "NoSuchBucketPolicy")
}

func TestScenariosDeclareBuckets(t *testing.T) {
	s := newScene(t)
	c := s.client(us)
	s.put(c, "a", "x")
	s.wantCode("one of a client's", create(s, c, "mine", ""), "")
	policy := func() string {
		out, err := c.GetBucketPolicy(t.Context(), &sdk.GetBucketPolicyInput{Bucket: logs})
		if err != nil {
			return code(err)
		}
		return *out.Policy
	}
	want := func(what, text string) {
		t.Helper()
		if got := policy(); got != text {
			t.Errorf("%s: policy %q, want %q", what, got, text)
		}
	}
	s.update(&vpc.Bucket{Name: "logs", Region: us, Account: ours, Policy: `{"declared": 1}`})
	want("declared", `{"declared": 1}`)
	if got := s.get(c, "a"); got != "x" {
		t.Errorf("the object is %q after an update", got)
	}
	if err := ignore(c.PutBucketPolicy(t.Context(), &sdk.PutBucketPolicyInput{Bucket: logs, Policy: aws.String("{}")})); err != nil {
		t.Fatal(err)
	}
	s.open()
	s.update(&vpc.Bucket{Name: "logs", Region: us, Account: ours, Policy: `{"declared": 1}`})
	c = s.client(us)
	want("a client's, the scenario's being the same", "{}")
	s.update(&vpc.Bucket{Name: "logs", Region: us, Account: ours, Policy: `{"declared": 2}`})
	want("declared anew", `{"declared": 2}`)
	s.update()
	s.wantCode("declared no more", ignore(c.HeadBucket(t.Context(), &sdk.HeadBucketInput{Bucket: logs})), "NotFound")
	s.wantCode("a client's stays", ignore(c.HeadBucket(t.Context(), &sdk.HeadBucketInput{Bucket: aws.String("mine")})), "")
	s.update(&vpc.Bucket{Name: "logs", Region: us, Account: ours})
	if got := listed(t, sdk.NewListObjectsV2Paginator(c, &sdk.ListObjectsV2Input{Bucket: logs})); got != "" {
		t.Errorf("a bucket declared again has %q", got)
	}
}

func TestHosts(t *testing.T) {
	s := newScene(t)
	s.update(&vpc.Bucket{Name: "logs", Region: us, Account: ours}, &vpc.Bucket{Name: "a.b", Region: us, Account: ours},
		&vpc.Bucket{Name: "s3-logs", Region: us, Account: ours})
	for _, row := range []struct{ url, action, resource string }{
		{"http://s3.us-east-1.amazonaws.com/logs/k/1", "s3:PutObject", "arn:aws:s3:::logs/k/1"},
		{"http://s3.amazonaws.com/logs/k", "s3:PutObject", "arn:aws:s3:::logs/k"},
		{"http://logs.s3.us-east-1.amazonaws.com/k/1", "s3:PutObject", "arn:aws:s3:::logs/k/1"},
		{"http://LOGS.s3.us-east-1.amazonaws.com:80/k", "s3:PutObject", "arn:aws:s3:::logs/k"},
		{"http://logs.s3.amazonaws.com/k", "s3:PutObject", "arn:aws:s3:::logs/k"},
		{"http://logs.s3.dualstack.us-east-1.amazonaws.com/k", "s3:PutObject", "arn:aws:s3:::logs/k"},
		{"http://logs.s3-us-west-2.amazonaws.com/k", "s3:PutObject", "arn:aws:s3:::logs/k"},
		{"http://a.b.s3.us-east-1.amazonaws.com/k", "s3:PutObject", "arn:aws:s3:::a.b/k"},
		{"http://s3-logs.s3.us-east-1.amazonaws.com/k", "s3:PutObject", "arn:aws:s3:::s3-logs/k"},
		{"http://logs.bucket.vpce-0a1-b2c3.s3.us-east-1.vpce.amazonaws.com/k", "s3:PutObject", "arn:aws:s3:::logs/k"},
		{"http://bucket.vpce-0a1-b2c3.s3.us-east-1.vpce.amazonaws.com/logs/k", "s3:PutObject", "arn:aws:s3:::logs/k"},
		{"http://bucket.vpce-0a1-b2c3-us-east-1a.s3.us-east-1.vpce.amazonaws.com/logs/k", "s3:PutObject", "arn:aws:s3:::logs/k"},
		{"http://10.0.0.9:9000/logs/k", "s3:PutObject", "arn:aws:s3:::logs/k"},
		{"http://logs.s3.us-east-1.amazonaws.com//k", "s3:PutObject", "arn:aws:s3:::logs//k"},
		{"http://logs.s3.us-east-1.amazonaws.com/", "s3:CreateBucket", "arn:aws:s3:::logs"},
	} {
		s.refuse()
		w := s.ask(http.MethodPut, row.url)
		if a, ok := s.question(row.action); !ok || a.Resource != row.resource || w.Code != 200 {
			t.Errorf("%s: got %d, asked %+v", row.url, w.Code, s.asked)
		}
	}
}

func TestAnExpectedOwner(t *testing.T) {
	s := newScene(t)
	c := s.client(us)
	for _, row := range []struct{ owner, want string }{{ours, ""}, {theirs, "AccessDenied"}} {
		err := ignore(c.ListObjectsV2(context.Background(), &sdk.ListObjectsV2Input{Bucket: logs, ExpectedBucketOwner: &row.owner}))
		s.wantCode(row.owner, err, row.want)
	}
}
