package s3_test

import (
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
)

// raw sends a request whose path is as it stands in the request line.
func (s *scene) raw(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	s.Helper()
	u, err := url.ParseRequestURI(path)
	if err != nil {
		s.Fatal(err)
	}
	r := httptest.NewRequest(method, "/", strings.NewReader(body))
	r.Host, r.URL = "s3.us-east-1.amazonaws.com", u
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return s.send(r)
}

// files are all below the folder above that of the service, by their paths.
func (s *scene) files() (all []string) {
	s.Helper()
	err := filepath.WalkDir(filepath.Dir(s.dir), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			path, err = filepath.Rel(s.dir, path)
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		s.Fatal(err)
	}
	return all
}

// Whatever a key is called, it is that key and no other, and its file lies where objects do.
func TestKeysAreNoPaths(t *testing.T) {
	s := newScene(t)
	keys := []string{
		"..", "../..", "../../etc/passwd", "../bucket.json", "a/../b", "a/./b", ".", "/", "//", "a//b", "a", "a/", "a/b", "a/b/", "tmp/put-1", "objects/x",
		"\x00", "a\x00b", "a\nb", "a\\..\\b", "C:\\x", "%2e%2e/%2e%2e", "%00", "é", "e\u0301", "\u202e", "a b", "a+b", "?", "#", "&", "a;b", strings.Repeat("k", 1024), strings.Repeat("é", 512),
		strings.Repeat("d/", 512),
	}
	for i, key := range keys {
		path := "/logs/" + url.PathEscape(key)
		if w := s.raw("PUT", path, fmt.Sprint("object ", i)); w.Code != http.StatusOK {
			t.Errorf("PUT %q: %d %s", key, w.Code, w.Body)
		}
	}
	for i, key := range keys {
		if w := s.raw("GET", "/logs/"+url.PathEscape(key), ""); w.Code != http.StatusOK || w.Body.String() != fmt.Sprint("object ", i) {
			t.Errorf("GET %q: %d %s", key, w.Code, w.Body)
		}
	}
	list, err := s.client(us).ListObjectsV2(t.Context(), &sdk.ListObjectsV2Input{Bucket: logs, EncodingType: "url"})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Contents) != len(keys) {
		t.Errorf("%d keys are listed of %d", len(list.Contents), len(keys))
	}
	place := regexp.MustCompile(`^logs/(bucket\.json|objects/[0-9a-f]{64})$`)
	files := s.files()
	for _, path := range files {
		if !place.MatchString(path) {
			t.Errorf("there is a file %s", path)
		}
	}
	if len(files) != len(keys)+1 {
		t.Errorf("%d files of %d keys and a bucket", len(files), len(keys))
	}
	for _, key := range keys {
		if w := s.raw("DELETE", "/logs/"+url.PathEscape(key), ""); w.Code != http.StatusNoContent {
			t.Errorf("DELETE %q: %d %s", key, w.Code, w.Body)
		}
	}
	if left := s.files(); len(left) != 1 {
		t.Errorf("left are %v", left)
	}
}

// Requests that mean nothing get an error of S3's, and leave nothing.
func TestWhatS3Refuses(t *testing.T) {
	bomb := `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><Delete><Object><Key>&c;</Key></Object></Delete>`
	external := `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><Delete><Object><Key>&a;</Key></Object></Delete>`
	nested := strings.Repeat("<Delete>", 100_000)
	for _, row := range []struct {
		what, method, path, body string
		headers                  []string
		status                   int
		code                     string
	}{
		{"a key of 1025 bytes", "PUT", "/logs/" + strings.Repeat("k", 1025), "x", nil, 400, "KeyTooLongError"},
		{"a key of 342 letters that are 1026 bytes", "PUT", "/logs/" + strings.Repeat("%E2%82%AC", 342), "x", nil, 400, "KeyTooLongError"},
		{"a key that is no UTF-8", "PUT", "/logs/%ff%fe", "x", nil, 400, "InvalidURI"},
		{"a bucket above", "PUT", "/..", "", nil, 400, "InvalidBucketName"},
		{"a bucket above, encoded", "PUT", "/%2e%2e", "", nil, 400, "InvalidBucketName"},
		{"a bucket with a slash", "PUT", "/%2fetc", "", nil, 501, "NotImplemented"},
		{"a bucket with a NUL", "PUT", "/abc%00def", "", nil, 400, "InvalidBucketName"},
		{"a bucket with a newline", "PUT", "/abc%0a", "", nil, 400, "InvalidBucketName"},
		{"an object of a bucket above", "GET", "/../passwd", "", nil, 404, "NoSuchBucket"},
		{"a copy from above", "PUT", "/logs/copy", "", []string{"X-Amz-Copy-Source", "/../../etc/passwd"}, 404, "NoSuchBucket"},
		{"a copy from a key that is none", "PUT", "/logs/copy", "", []string{"X-Amz-Copy-Source", "logs/%zz"}, 400, "InvalidArgument"},
		{"entities within entities", "POST", "/logs?delete", bomb, nil, 400, "MalformedXML"},
		{"an entity from a file", "POST", "/logs?delete", external, nil, 400, "MalformedXML"},
		{"elements within elements", "POST", "/logs?delete", nested, nil, 400, "MalformedXML"},
		{"no XML", "POST", "/logs?delete", "\x00\xff<", nil, 400, "MalformedXML"},
		{"too much XML", "POST", "/logs?delete", strings.Repeat(" ", 2<<20+1), nil, 400, "MaxMessageLengthExceeded"},
		{"XML for a new bucket", "PUT", "/another", nested, nil, 400, "MaxMessageLengthExceeded"},
		{"entities for a completion", "POST", "/logs/a?uploadId=none", bomb, nil, 404, "NoSuchUpload"},
		{"tags within tags", "PUT", "/logs/a?tagging", nested, nil, 404, "NoSuchKey"},
		{"a policy that is too long", "PUT", "/logs?policy", "{" + strings.Repeat(" ", 20<<10) + "}", nil, 400, "MaxMessageLengthExceeded"},
		{"part 0", "PUT", "/logs/a?partNumber=0&uploadId=none", "x", nil, 400, "InvalidArgument"},
		{"part 10001", "PUT", "/logs/a?partNumber=10001&uploadId=none", "x", nil, 400, "InvalidArgument"},
		{"part of a word", "PUT", "/logs/a?partNumber=one&uploadId=none", "x", nil, 400, "InvalidArgument"},
		{"an upload that is none", "PUT", "/logs/a?partNumber=1&uploadId=..%2f..", "x", nil, 404, "NoSuchUpload"},
		{"pages of no size", "GET", "/logs?list-type=2&max-keys=-1", "", nil, 400, "InvalidArgument"},
		{"pages beyond all", "GET", "/logs?list-type=2&max-keys=99999999999999999999", "", nil, 400, "InvalidArgument"},
		{"a token that is none", "GET", "/logs?list-type=2&continuation-token=%ff", "", nil, 400, "InvalidArgument"},
		{"a grant to others", "PUT", "/logs/a", "x", []string{"X-Amz-Grant-Read", "id=1"}, 400, "AccessControlListNotSupported"},
		{"a bucket with a grant", "PUT", "/another", "", []string{"X-Amz-Grant-Read", "id=1"}, 400, "InvalidBucketAclWithObjectOwnership"},
		{"a bucket of others' objects", "PUT", "/another", "", []string{"X-Amz-Object-Ownership", "ObjectWriter"}, 501, "NotImplemented"},
		{"a bucket nowhere", "PUT", "/another", "<CreateBucketConfiguration><LocationConstraint>mars-1</LocationConstraint></CreateBucketConfiguration>", nil, 400, "InvalidLocationConstraint"},
		{"a bucket with tags", "PUT", "/another", "<CreateBucketConfiguration><Tags><Tag><Key>a</Key></Tag></Tags></CreateBucketConfiguration>", nil, 501, "NotImplemented"},
		{"a bucket of a name that is kept", "PUT", "/abc--x-s3", "", nil, 400, "InvalidBucketName"},
		{"more of an object", "PUT", "/logs/a", "x", []string{"X-Amz-Write-Offset-Bytes", "1"}, 501, "NotImplemented"},
		{"an archive", "PUT", "/logs/a", "x", []string{"X-Amz-Storage-Class", "GLACIER"}, 501, "NotImplemented"},
		{"an archive in parts", "POST", "/logs/a?uploads", "", []string{"X-Amz-Storage-Class", "DEEP_ARCHIVE"}, 501, "NotImplemented"},
		{"a storage class that is none", "PUT", "/logs/a", "x", []string{"X-Amz-Storage-Class", "BEST"}, 400, "InvalidStorageClass"},
		{"a put over what has another tag", "PUT", "/logs/a", "x", []string{"If-None-Match", `"1"`}, 501, "NotImplemented"},
		{"a copy to where nothing is", "PUT", "/logs/a", "", []string{"X-Amz-Copy-Source", "logs/b", "If-None-Match", "*"}, 501, "NotImplemented"},
		{"a prefix of HTTP/2", "PRI", "/*", "", nil, 501, "NotImplemented"},
		{"another protocol's method", "PROPFIND", "/logs", "", nil, 501, "NotImplemented"},
	} {
		t.Run(row.what, func(t *testing.T) {
			s := newScene(t)
			w := s.raw(row.method, row.path, row.body, row.headers...)
			if w.Code != row.status || !strings.Contains(w.Body.String(), "<Code>"+row.code+"</Code>") {
				t.Errorf("%d %s, want %d %s", w.Code, w.Body, row.status, row.code)
			}
			if files := s.files(); len(files) != 1 {
				t.Errorf("there are %v", files)
			}
		})
	}
}

// An upload is of the bucket and the key that it was begun for.
func TestUploadsAreNoOtherKeys(t *testing.T) {
	s := newScene(t)
	c := s.client(us)
	begun, err := c.CreateMultipartUpload(t.Context(), &sdk.CreateMultipartUploadInput{Bucket: logs, Key: aws.String("mine")})
	if err != nil {
		t.Fatal(err)
	}
	id := "uploadId=" + *begun.UploadId
	for _, x := range [][2]string{{"PUT", "/logs/other?partNumber=1&" + id}, {"GET", "/logs/other?" + id}, {"DELETE", "/logs/other?" + id}, {"DELETE", "/nobody/mine?" + id}} {
		if w := s.raw(x[0], x[1], "x"); w.Code != http.StatusNotFound {
			t.Errorf("%s %s: %d %s", x[0], x[1], w.Code, w.Body)
		}
	}
	if w := s.raw("PUT", "/logs/mine?partNumber=1&"+id, "x"); w.Code != http.StatusOK {
		t.Errorf("its own part: %d %s", w.Code, w.Body)
	}
}

// No more than 5 GB are put at once. One byte less may be begun.
func TestLargestPart(t *testing.T) {
	s := newScene(t)
	for length, want := range map[int64]string{5<<30 + 1: "EntityTooLarge", 5 << 30: "IncompleteBody"} {
		r := httptest.NewRequest("PUT", "/logs/a", strings.NewReader("x"))
		r.ContentLength = length
		if w := s.send(r); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "<Code>"+want+"</Code>") {
			t.Errorf("%d bytes: %d %s, want %s", length, w.Code, w.Body, want)
		}
	}
}
