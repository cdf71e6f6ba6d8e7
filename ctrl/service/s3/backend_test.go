package s3_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// behind is an S3 with an S3 of the same kind behind it, which remembers how it was asked.
func behind(t *testing.T) (front, back *scene, signature *atomic.Value) {
	signature = &atomic.Value{}
	back = newScene(t)
	back.update()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		signature.Store(r.Header.Get("Authorization"))
		back.in(us).ServeHTTP(w, r)
	}))
	t.Cleanup(web.Close)
	front = newSceneOn(t, strings.Replace(web.URL, "http://", "http://minio:minio123@", 1))
	return front, back, signature
}

func TestTheLabKeepsObjectsOfItsOwn(t *testing.T) {
	alone := newScene(t)
	front, back, _ := behind(t)
	for _, row := range []struct {
		name     string
		in, from *scene
	}{{"here", alone, alone}, {"on a backend", front, back}} {
		row.in.refuse("s3:PutObject")
		if err := row.in.server.Keep(t.Context(), "logs", "AWSLogs/a+b.gz", []byte("x")); err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
		if err := row.in.server.Keep(t.Context(), "nobodys", "a", []byte("x")); err != nil {
			t.Errorf("%s: where there is no bucket: %v", row.name, err)
		}
		if got := row.from.get(row.from.client(us), "AWSLogs/a+b.gz"); got != "x" {
			t.Errorf("%s: got %q", row.name, got)
		}
	}
}

func TestABackendDoesWhatIsAuthorised(t *testing.T) {
	s, back, signature := behind(t)
	c := s.client(us)
	s.put(c, "a b+c", "x")
	if got := s.get(c, "a b+c"); got != "x" {
		t.Errorf("got %q", got)
	}
	if got := back.get(back.client(us), "a b+c"); got != "x" {
		t.Errorf("the backend has %q", got)
	}
	if got := fmt.Sprint(signature.Load()); !strings.Contains(got, "Credential=minio/") {
		t.Errorf("the backend was asked with %q", got)
	}
	upload(s, c, "big", random(5<<20), []byte("tail"))
	out, err := c.HeadObject(t.Context(), &sdk.HeadObjectInput{Bucket: logs, Key: aws.String("big")})
	if err != nil || !strings.HasSuffix(*out.ETag, `-2"`) {
		t.Errorf("head: %v, %v", out, err)
	}
	s.refuse("s3:PutObject", "s3:DeleteObject arn:aws:s3:::logs/big")
	err = ignore(c.PutObject(t.Context(), &sdk.PutObjectInput{Bucket: logs, Key: keyA, Body: strings.NewReader("x")}))
	s.wantCode("what is denied", err, "AccessDenied")
	deleted, err := c.DeleteObjects(t.Context(), &sdk.DeleteObjectsInput{Bucket: logs,
		Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: aws.String("big")}, {Key: aws.String("a b+c")}}}})
	if err != nil || len(deleted.Deleted) != 1 || len(deleted.Errors) != 1 || *deleted.Errors[0].Key != "big" {
		t.Errorf("delete: %v, %v", deleted, err)
	}
	if got := listed(t, sdk.NewListObjectsV2Paginator(back.client(us), &sdk.ListObjectsV2Input{Bucket: logs})); got != "big" {
		t.Errorf("the backend has %q", got)
	}
}

func TestBucketsOfABackend(t *testing.T) {
	s, back, _ := behind(t)
	c := s.client(us)
	s.put(c, "a", "x")
	s.wantCode("create", create(s, c, "mine", ""), "")
	s.wantCode("a bucket of the backend's alone", ignore(c.HeadBucket(t.Context(), &sdk.HeadBucketInput{Bucket: aws.String("other")})), "NotFound")
	remove := func(name string) error {
		return ignore(c.DeleteBucket(t.Context(), &sdk.DeleteBucketInput{Bucket: &name}))
	}
	s.wantCode("delete with an object", remove("logs"), "BucketNotEmpty")
	s.wantCode("which is still there", ignore(c.HeadBucket(t.Context(), &sdk.HeadBucketInput{Bucket: logs})), "")
	s.wantCode("delete", remove("mine"), "")
	s.wantCode("which is gone", ignore(c.HeadBucket(t.Context(), &sdk.HeadBucketInput{Bucket: aws.String("mine")})), "NotFound")
	s.update() // forgets the bucket, and leaves it to the backend
	if got := back.get(back.client(us), "a"); got != "x" {
		t.Errorf("the backend has %q", got)
	}
	s.update(&vpc.Bucket{Name: "logs", Region: us, Account: ours})
	if got := s.get(c, "a"); got != "x" {
		t.Errorf("got %q", got)
	}
}

// A server that cleans paths must not make another key of one that was authorised.
func TestKeysThatABackendCouldMistake(t *testing.T) {
	s, _, _ := behind(t)
	for _, row := range []struct {
		url  string
		want int
	}{
		{"/logs/a/../b", 400}, {"/logs/./b", 400}, {"/logs/a//b", 400}, {"/logs//b", 400}, {"/logs/a/..", 400}, {"/logs/a..b", 200},
	} {
		if w := s.ask(http.MethodPut, row.url); w.Code != row.want {
			t.Errorf("%s: got %d %s", row.url, w.Code, w.Body)
		}
	}
}

func TestABackendThatIsNotThere(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	s, _, _ := behind(t)
	s.backend = web.URL
	web.Close()
	s.open()
	if w := s.ask("GET", "/logs/a"); w.Code != 503 || !strings.Contains(w.Body.String(), "The backend does not answer") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if err := s.server.Update([]*vpc.Bucket{{Name: "new", Region: us, Account: ours}}); err == nil || !strings.Contains(err.Error(), "make bucket new on the S3 backend") {
		t.Errorf("update: %v", err)
	}
}
