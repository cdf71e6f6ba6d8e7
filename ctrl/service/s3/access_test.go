package s3_test

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// call is one of the SDK's, and the actions that it needs, by their resources.
type call struct {
	name string
	do   func(context.Context, *sdk.Client) error
	need map[string]string
}

func ignore[T any](_ T, err error) error { return err }

const (
	bucketARN = "arn:aws:s3:::logs"
	objectARN = "arn:aws:s3:::logs/a"
)

var (
	logs  = aws.String("logs")
	keyA  = aws.String("a")
	calls = []call{
		{"ListBuckets", func(ctx context.Context, c *sdk.Client) error {
			return ignore(c.ListBuckets(ctx, &sdk.ListBucketsInput{MaxBuckets: aws.Int32(10)}))
		}, map[string]string{"s3:ListAllMyBuckets": "arn:aws:s3:::*"}},
		{"CreateBucket", func(ctx context.Context, c *sdk.Client) error {
			return ignore(c.CreateBucket(ctx, &sdk.CreateBucketInput{Bucket: aws.String("another")}))
		}, map[string]string{"s3:CreateBucket": "arn:aws:s3:::another"}},
		{"DeleteBucket", func(ctx context.Context, c *sdk.Client) error {
			return ignore(c.DeleteBucket(ctx, &sdk.DeleteBucketInput{Bucket: aws.String("empty")}))
		}, map[string]string{"s3:DeleteBucket": "arn:aws:s3:::empty"}},
		{"ListObjectsV2", func(ctx context.Context, c *sdk.Client) error {
			return ignore(c.ListObjectsV2(ctx, &sdk.ListObjectsV2Input{Bucket: logs}))
		}, map[string]string{"s3:ListBucket": bucketARN}},
		{"GetBucketLocation", func(ctx context.Context, c *sdk.Client) error {
			return ignore(c.GetBucketLocation(ctx, &sdk.GetBucketLocationInput{Bucket: logs}))
		}, map[string]string{"s3:GetBucketLocation": bucketARN}},
		{"GetBucketVersioning", func(ctx context.Context, c *sdk.Client) error {
			return ignore(c.GetBucketVersioning(ctx, &sdk.GetBucketVersioningInput{Bucket: logs}))
		}, map[string]string{"s3:GetBucketVersioning": bucketARN}},
		{"PutBucketPolicy", func(ctx context.Context, c *sdk.Client) error {
			return ignore(c.PutBucketPolicy(ctx, &sdk.PutBucketPolicyInput{Bucket: logs, Policy: aws.String("{}")}))
		}, map[string]string{"s3:PutBucketPolicy": bucketARN}},
		{"GetBucketPolicy", func(ctx context.Context, c *sdk.Client) error {
			return ignore(c.GetBucketPolicy(ctx, &sdk.GetBucketPolicyInput{Bucket: logs}))
		}, map[string]string{"s3:GetBucketPolicy": bucketARN}},
		{"DeleteBucketPolicy", func(ctx context.Context, c *sdk.Client) error {
			return ignore(c.DeleteBucketPolicy(ctx, &sdk.DeleteBucketPolicyInput{Bucket: logs}))
		}, map[string]string{"s3:DeleteBucketPolicy": bucketARN}},
		{"ListMultipartUploads", func(ctx context.Context, c *sdk.Client) error {
			return ignore(c.ListMultipartUploads(ctx, &sdk.ListMultipartUploadsInput{Bucket: logs}))
		}, map[string]string{"s3:ListBucketMultipartUploads": bucketARN}},
		{"PutObject", func(ctx context.Context, c *sdk.Client) error {
			return ignore(c.PutObject(ctx, &sdk.PutObjectInput{Bucket: logs, Key: keyA, Body: strings.NewReader("x"), Tagging: aws.String("k=v")}))
		}, map[string]string{"s3:PutObject": objectARN, "s3:PutObjectTagging": objectARN}},
		{"PutObject with an ACL", func(ctx context.Context, c *sdk.Client) error {
			return ignore(c.PutObject(ctx, &sdk.PutObjectInput{Bucket: logs, Key: keyA, Body: strings.NewReader("x"),
				ACL: types.ObjectCannedACLBucketOwnerFullControl}))
		}, map[string]string{"s3:PutObject": objectARN, "s3:PutObjectAcl": objectARN}},
		{"GetObject", func(ctx context.Context, c *sdk.Client) error {
			return ignore(c.GetObject(ctx, &sdk.GetObjectInput{Bucket: logs, Key: keyA}))
		}, map[string]string{"s3:GetObject": objectARN}},
		{"GetObjectAttributes", func(ctx context.Context, c *sdk.Client) error {
			return ignore(c.GetObjectAttributes(ctx, &sdk.GetObjectAttributesInput{Bucket: logs, Key: keyA,
				ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesEtag}}))
		}, map[string]string{"s3:GetObject": objectARN, "s3:GetObjectAttributes": objectARN}},
		{"GetObjectTagging", func(ctx context.Context, c *sdk.Client) error {
			return ignore(c.GetObjectTagging(ctx, &sdk.GetObjectTaggingInput{Bucket: logs, Key: keyA}))
		}, map[string]string{"s3:GetObjectTagging": objectARN}},
		{"PutObjectTagging", func(ctx context.Context, c *sdk.Client) error {
			return ignore(c.PutObjectTagging(ctx, &sdk.PutObjectTaggingInput{Bucket: logs, Key: keyA, Tagging: &types.Tagging{TagSet: []types.Tag{}}}))
		}, map[string]string{"s3:PutObjectTagging": objectARN}},
		{"DeleteObjectTagging", func(ctx context.Context, c *sdk.Client) error {
			return ignore(c.DeleteObjectTagging(ctx, &sdk.DeleteObjectTaggingInput{Bucket: logs, Key: keyA}))
		}, map[string]string{"s3:DeleteObjectTagging": objectARN}},
		{"CopyObject", func(ctx context.Context, c *sdk.Client) error {
			return ignore(c.CopyObject(ctx, &sdk.CopyObjectInput{Bucket: logs, Key: aws.String("copy"), CopySource: aws.String("logs/a")}))
		}, map[string]string{"s3:GetObject": objectARN, "s3:PutObject": "arn:aws:s3:::logs/copy"}},
		{"CreateMultipartUpload", func(ctx context.Context, c *sdk.Client) error {
			return ignore(c.CreateMultipartUpload(ctx, &sdk.CreateMultipartUploadInput{Bucket: logs, Key: keyA}))
		}, map[string]string{"s3:PutObject": objectARN}},
		{"DeleteObject", func(ctx context.Context, c *sdk.Client) error {
			return ignore(c.DeleteObject(ctx, &sdk.DeleteObjectInput{Bucket: logs, Key: keyA}))
		}, map[string]string{"s3:DeleteObject": objectARN}},
	}
)

// Each call fails without any one of the actions that it needs, and succeeds with them.
func TestEveryCallNeedsItsActions(t *testing.T) {
	for _, row := range calls {
		t.Run(row.name, func(t *testing.T) {
			s := newScene(t)
			s.update(&vpc.Bucket{Name: "logs", Region: us, Account: ours, Policy: "{}"}, &vpc.Bucket{Name: "empty", Region: us, Account: ours})
			c := s.client(us)
			s.put(c, "a", "x")
			for _, action := range slices.Sorted(maps.Keys(row.need)) {
				s.refuse(action)
				err := row.do(t.Context(), c)
				s.wantCode("without "+action, err, "AccessDenied")
				if want := "may not " + action + " on " + row.need[action]; err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("without %s: got %v, want %q", action, err, want)
				}
			}
			s.refuse()
			s.wantCode("with all", row.do(t.Context(), c), "")
		})
	}
}

// What no SDK's answer shows: the parts of an upload, and HEAD.
func TestRequestsNeedTheirActions(t *testing.T) {
	s := newScene(t)
	s.put(s.client(us), "a", "x")
	for _, row := range []struct {
		method, url, action string
		allowed             int
	}{
		{"HEAD", "/logs", "s3:ListBucket", 200},
		{"HEAD", "/logs/a", "s3:GetObject", 200},
		{"PUT", "/logs/a?uploadId=none&partNumber=1", "s3:PutObject", 404},
		{"POST", "/logs/a?uploadId=none", "s3:PutObject", 404},
		{"DELETE", "/logs/a?uploadId=none", "s3:AbortMultipartUpload", 404},
		{"GET", "/logs/a?uploadId=none", "s3:ListMultipartUploadParts", 404},
	} {
		s.refuse(row.action)
		w := s.ask(row.method, row.url)
		if head := row.method == "HEAD"; w.Code != 403 || head != (w.Body.Len() == 0) || !head && !strings.Contains(w.Body.String(), "may not "+row.action) {
			t.Errorf("%s %s without %s: got %d %s", row.method, row.url, row.action, w.Code, w.Body)
		}
		s.refuse()
		if w := s.ask(row.method, row.url); w.Code != row.allowed {
			t.Errorf("%s %s: got %d %s", row.method, row.url, w.Code, w.Body)
		}
	}
}

func TestADenialIsAnErrorOfS3(t *testing.T) {
	s := newScene(t)
	s.refuse("s3:GetObject")
	w := s.ask("GET", "/logs/a")
	for _, want := range []string{"<Error><Code>AccessDenied</Code><Message>may not s3:GetObject on arn:aws:s3:::logs/a</Message>", "<RequestId>", "<HostId>"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("got %s, want %s", w.Body, want)
		}
	}
	if w.Header().Get("X-Amz-Request-Id") == "" || w.Header().Get("Content-Type") != "application/xml" {
		t.Errorf("got headers %v", w.Header())
	}
}

// What is not in the table of operations is done by nobody, whatever the library behind could make of it.
func TestWhatIsNotMappedIsNotDone(t *testing.T) {
	s := newScene(t)
	c := s.client(us)
	s.put(c, "a", "x")
	for _, row := range []struct{ method, url string }{
		{"DELETE", "/logs/a?acl"}, {"PUT", "/logs/a?acl"}, {"GET", "/logs?acl"}, {"PUT", "/logs?versioning"}, {"GET", "/logs?versions"},
		{"POST", "/logs"}, {"POST", "/logs/a"}, {"OPTIONS", "/logs/a"}, {"PUT", "/"}, {"DELETE", "/logs/a?uploadId=1&tagging"},
		{"GET", "/logs/a?versionId=1"}, {"GET", "/logs?location&policy"}, {"PUT", "/logs/a?restore"}, {"PATCH", "/logs/a"}, {"GET", "/logs?unheard-of"},
		{"GET", "/logs/a?select"},
	} {
		s.refuse()
		w := s.ask(row.method, row.url)
		if w.Code != http.StatusNotImplemented || !strings.Contains(w.Body.String(), "<Code>NotImplemented</Code>") {
			t.Errorf("%s %s: got %d %s", row.method, row.url, w.Code, w.Body)
		}
		if len(s.asked) > 0 {
			t.Errorf("%s %s: asked for %v", row.method, row.url, s.asked)
		}
	}
	if got := s.get(c, "a"); got != "x" {
		t.Errorf("the object is %q now", got)
	}
}

func TestAnOldSignature(t *testing.T) {
	w := newScene(t).ask("GET", "/logs/a?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Expires=1&Signature=x")
	if w.Code != 400 || !strings.Contains(w.Body.String(), "Please use AWS4-HMAC-SHA256.") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestWhoeverDidNotProveHimselfIsRefused(t *testing.T) {
	s := newScene(t)
	for code, status := range map[string]int{
		"AccessDenied": 403, "InvalidAccessKeyId": 403, "SignatureDoesNotMatch": 403, "RequestTimeTooSkewed": 403, "MissingContentLength": 411,
		"InvalidRequest": 400, "ExpiredToken": 400, "InvalidToken": 400, "AuthorizationHeaderMalformed": 400, "XAmzContentSHA256Mismatch": 400,
	} {
		w := httptest.NewRecorder()
		s.server.Refuse(w, httptest.NewRequest("GET", "/logs/a", nil), &service.Denied{Code: code, Message: "no"})
		if w.Code != status || !strings.Contains(w.Body.String(), "<Code>"+code+"</Code><Message>no</Message>") {
			t.Errorf("%s: got %d %s", code, w.Code, w.Body)
		}
	}
}

func TestAMissingKeyIsToldToThoseWhoMayList(t *testing.T) {
	s := newScene(t)
	c := s.client(us)
	get := func() error {
		return ignore(c.GetObject(t.Context(), &sdk.GetObjectInput{Bucket: logs, Key: keyA}))
	}
	s.refuse("s3:ListBucket")
	s.wantCode("without ListBucket", get(), "AccessDenied")
	s.refuse()
	s.wantCode("with ListBucket", get(), "NoSuchKey")
	s.put(c, "a", "x")
	s.refuse("s3:ListBucket")
	s.wantCode("a key that is there", get(), "")
}

func TestEachOfManyDeletesIsAuthorised(t *testing.T) {
	s := newScene(t)
	c := s.client(us)
	for _, key := range []string{"a", "b", "c"} {
		s.put(c, key, key)
	}
	s.refuse("s3:DeleteObject arn:aws:s3:::logs/b")
	out, err := c.DeleteObjects(t.Context(), &sdk.DeleteObjectsInput{Bucket: logs, Delete: &types.Delete{Objects: []types.ObjectIdentifier{
		{Key: aws.String("a")}, {Key: aws.String("b")}, {Key: aws.String("none")},
		{Key: aws.String("c"), ETag: aws.String(`"d41d8cd98f00b204e9800998ecf8427e"`)}}}})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Deleted) != 2 || *out.Deleted[0].Key != "a" || *out.Deleted[1].Key != "none" {
		t.Errorf("deleted: %v", out.Deleted)
	}
	if len(out.Errors) != 2 || *out.Errors[0].Code != "AccessDenied" || *out.Errors[0].Message != "may not s3:DeleteObject on arn:aws:s3:::logs/b" ||
		*out.Errors[1].Code != "PreconditionFailed" {
		t.Errorf("errors: %v", out.Errors)
	}
	list := sdk.NewListObjectsV2Paginator(c, &sdk.ListObjectsV2Input{Bucket: logs})
	if got := listed(t, list); got != "b c" {
		t.Errorf("left are %q", got)
	}
}

func TestTheGateLearnsWhatOnlyS3Knows(t *testing.T) {
	s := newScene(t)
	s.update(&vpc.Bucket{Name: "logs", Region: us, Account: theirs, Policy: `{"a": 1}`})
	c := s.client(us)
	s.refuse()
	_, err := c.ListObjectsV2(t.Context(), &sdk.ListObjectsV2Input{Bucket: logs, Prefix: aws.String("home/"), Delimiter: aws.String("/"), MaxKeys: aws.Int32(7)})
	if err != nil {
		t.Fatal(err)
	}
	a, _ := s.question("s3:ListBucket")
	if a.Account != theirs || a.Policy != `{"a": 1}` {
		t.Errorf("asked %+v", a)
	}
	for key, want := range map[string]string{"s3:prefix": "home/", "s3:delimiter": "/", "s3:max-keys": "7", "s3:ResourceAccount": theirs} {
		if got := a.Keys[key]; len(got) != 1 || got[0] != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	_, err = c.PutObject(t.Context(), &sdk.PutObjectInput{Bucket: logs, Key: keyA, Body: strings.NewReader("x"),
		ServerSideEncryption: types.ServerSideEncryptionAes256, ACL: types.ObjectCannedACLPublicRead})
	s.wantCode("an ACL", err, "AccessControlListNotSupported")
	a, _ = s.question("s3:PutObject")
	if a.Keys["s3:x-amz-acl"][0] != "public-read" || a.Keys["s3:x-amz-server-side-encryption"][0] != "AES256" {
		t.Errorf("asked %+v", a)
	}
}

// A presigned URL carries the signature, and some headers, in its query.
func TestPresignedURLs(t *testing.T) {
	s := newScene(t)
	c := s.client(us)
	p := sdk.NewPresignClient(c)
	put, err := p.PresignPutObject(t.Context(), &sdk.PutObjectInput{Bucket: logs, Key: keyA, Metadata: map[string]string{"who": "me"}})
	if err != nil {
		t.Fatal(err)
	}
	if w := s.ask(put.Method, put.URL); w.Code != 200 {
		t.Fatalf("put %s: %d %s", put.URL, w.Code, w.Body)
	}
	get, err := p.PresignGetObject(t.Context(), &sdk.GetObjectInput{Bucket: logs, Key: keyA, ResponseContentType: aws.String("text/x-mine")})
	if err != nil {
		t.Fatal(err)
	}
	w := s.ask(get.Method, get.URL)
	if w.Code != 200 || w.Header().Get("Content-Type") != "text/x-mine" {
		t.Errorf("get: %d %v", w.Code, w.Header())
	}
	s.refuse("s3:GetObject")
	if w := s.ask(get.Method, get.URL); w.Code != 403 {
		t.Errorf("get without s3:GetObject: %d", w.Code)
	}
	if w := s.ask("PUT", "http://s3.us-east-1.amazonaws.com/logs/b?X-Amz-Copy-Source=logs%2Fa&X-Amz-Signature=0"); w.Code != 403 {
		t.Errorf("a copy source in the query was not authorised: %d", w.Code)
	}
}
