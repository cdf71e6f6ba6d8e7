package s3_test

import (
	"bytes"
	"crypto/md5"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func TestObjectsGoInAndComeOut(t *testing.T) {
	s := newScene(t)
	c := s.client(us)
	for _, key := range []string{"a", "a/b", "a b+c=d&e", "//x", "../up", "dot/./dot", "ключ", strings.Repeat("k", 1024)} {
		_, err := c.PutObject(t.Context(), &sdk.PutObjectInput{Bucket: aws.String("logs"), Key: &key, Body: strings.NewReader("text of " + key),
			ContentType: aws.String("text/plain"), Metadata: map[string]string{"who": "me"}, CacheControl: aws.String("no-cache")})
		if err != nil {
			t.Fatalf("put %q: %v", key, err)
		}
		out, err := c.GetObject(t.Context(), &sdk.GetObjectInput{Bucket: aws.String("logs"), Key: &key})
		if err != nil {
			t.Fatalf("get %q: %v", key, err)
		}
		if got := read(t, out.Body); got != "text of "+key {
			t.Errorf("get %q: got %q", key, got)
		}
		if *out.ContentType != "text/plain" || out.Metadata["who"] != "me" || *out.CacheControl != "no-cache" {
			t.Errorf("get %q: got headers %v %v %v", key, *out.ContentType, out.Metadata, *out.CacheControl)
		}
		if out.LastModified.Year() != 2031 {
			t.Errorf("%q is dated %v, not with the lab's time", key, out.LastModified)
		}
		if want := fmt.Sprintf(`"%x"`, md5.Sum([]byte("text of "+key))); *out.ETag != want {
			t.Errorf("%q has entity tag %s, want %s", key, *out.ETag, want)
		}
	}
	s.put(c, "a", "again")
	if got := s.get(c, "a"); got != "again" {
		t.Errorf("after a second put: got %q", got)
	}
	s.put(c, "empty", "")
	if got := s.get(c, "empty"); got != "" {
		t.Errorf("empty: got %q", got)
	}
}

// An object whose type nobody said has S3's own, and none that is guessed from its content.
func TestAnObjectOfNoType(t *testing.T) {
	s := newScene(t)
	s.ask("PUT", "/logs/page")
	for _, method := range []string{"GET", "HEAD"} {
		if got := s.ask(method, "/logs/page").Header().Get("Content-Type"); got != "binary/octet-stream" {
			t.Errorf("%s: got %q", method, got)
		}
		if got := s.ask(method, "/logs/page?response-content-type=text/x-mine").Header().Get("Content-Type"); got != "text/x-mine" {
			t.Errorf("%s as another: got %q", method, got)
		}
	}
}

func TestADeletedObjectIsGone(t *testing.T) {
	s := newScene(t)
	c := s.client(us)
	s.put(c, "a", "x")
	for range 2 { // the second time there is nothing to delete, which is fine
		if _, err := c.DeleteObject(t.Context(), &sdk.DeleteObjectInput{Bucket: aws.String("logs"), Key: aws.String("a")}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := c.GetObject(t.Context(), &sdk.GetObjectInput{Bucket: aws.String("logs"), Key: aws.String("a")})
	s.wantCode("get", err, "NoSuchKey")
	if err == nil || !strings.Contains(err.Error(), "The specified key does not exist.") {
		t.Errorf("got %v", err)
	}
	_, err = c.HeadObject(t.Context(), &sdk.HeadObjectInput{Bucket: aws.String("logs"), Key: aws.String("a")})
	s.wantCode("head", err, "NotFound")
}

func TestRanges(t *testing.T) {
	s := newScene(t)
	c := s.client(us)
	s.put(c, "a", "0123456789")
	for _, row := range []struct{ ask, want, told string }{
		{"bytes=0-3", "0123", "bytes 0-3/10"},
		{"bytes=8-", "89", "bytes 8-9/10"},
		{"bytes=-3", "789", "bytes 7-9/10"},
		{"bytes=5-100", "56789", "bytes 5-9/10"},
		{"bytes=-100", "0123456789", "bytes 0-9/10"},
	} {
		out, err := c.GetObject(t.Context(), &sdk.GetObjectInput{Bucket: aws.String("logs"), Key: aws.String("a"), Range: &row.ask})
		if err != nil {
			t.Errorf("%s: %v", row.ask, err)
			continue
		}
		if got := read(t, out.Body); got != row.want || *out.ContentRange != row.told {
			t.Errorf("%s: got %q as %s, want %q as %s", row.ask, got, *out.ContentRange, row.want, row.told)
		}
		w := s.ask("HEAD", "/logs/a", "Range", row.ask)
		if h := w.Header(); w.Code != 206 || w.Body.Len() > 0 || h.Get("Content-Range") != row.told || h.Get("Content-Length") != strconv.Itoa(len(row.want)) {
			t.Errorf("head of %s: got %d %v and %d bytes", row.ask, w.Code, h, w.Body.Len())
		}
	}
	_, err := c.GetObject(t.Context(), &sdk.GetObjectInput{Bucket: aws.String("logs"), Key: aws.String("a"), Range: aws.String("bytes=10-")})
	s.wantCode("a range behind the end", err, "InvalidRange")
	if w := s.ask("HEAD", "/logs/a", "Range", "bytes=10-"); w.Code != 416 || w.Body.Len() > 0 {
		t.Errorf("head of a range behind the end: got %d %s", w.Code, w.Body)
	}
	s.put(c, "empty", "")
	if w := s.ask("GET", "/logs/empty", "Range", "bytes=-5"); w.Code != 416 {
		t.Errorf("the last bytes of nothing: got %d", w.Code)
	}
}

func TestConditions(t *testing.T) {
	s := newScene(t)
	c := s.client(us)
	s.put(c, "a", "x")
	tag := fmt.Sprintf(`"%x"`, md5.Sum([]byte("x")))
	other := `"d41d8cd98f00b204e9800998ecf8427e"`
	for _, row := range []struct {
		what, want string
		do         func() error
	}{
		{"get if it is this one", "", func() error { return conditionalGet(s, c, &tag, nil) }},
		{"get if it is another", "PreconditionFailed", func() error { return conditionalGet(s, c, &other, nil) }},
		{"get if it is not another", "", func() error { return conditionalGet(s, c, nil, &other) }},
		{"get if it is not this one", "NotModified", func() error { return conditionalGet(s, c, nil, &tag) }},
		{"put if there is none", "PreconditionFailed", func() error { return conditionalPut(s, c, "a", nil, aws.String("*")) }},
		{"put where there is none", "", func() error { return conditionalPut(s, c, "b", nil, aws.String("*")) }},
		{"put over another", "PreconditionFailed", func() error { return conditionalPut(s, c, "a", &other, nil) }},
		{"put over this one", "", func() error { return conditionalPut(s, c, "a", &tag, nil) }},
	} {
		s.wantCode(row.what, row.do(), row.want)
	}
}

func conditionalGet(s *scene, c *sdk.Client, match, noneMatch *string) error {
	out, err := c.GetObject(s.Context(), &sdk.GetObjectInput{Bucket: aws.String("logs"), Key: aws.String("a"), IfMatch: match, IfNoneMatch: noneMatch})
	if err == nil {
		read(s, out.Body)
	}
	return err
}

func conditionalPut(s *scene, c *sdk.Client, key string, match, noneMatch *string) error {
	_, err := c.PutObject(s.Context(), &sdk.PutObjectInput{Bucket: aws.String("logs"), Key: &key, Body: strings.NewReader("y"),
		IfMatch: match, IfNoneMatch: noneMatch})
	return err
}

func TestListing(t *testing.T) {
	s := newScene(t)
	c := s.client(us)
	for _, key := range []string{"a", "a/1", "a/2", "b/1", "b/c/1", "d e", "z"} {
		s.put(c, key, key)
	}
	for _, row := range []struct {
		prefix, delimiter, after, want string
	}{
		{"", "", "", "a a/1 a/2 b/1 b/c/1 d%20e z"},
		{"", "/", "", "a a/ b/ d%20e z"},
		{"a", "/", "", "a a/"},
		{"a/", "/", "", "a/1 a/2"},
		{"b/", "/", "", "b/1 b/c/"},
		{"", "", "a/2", "b/1 b/c/1 d%20e z"},
		{"", "/", "a/1", "a/ b/ d%20e z"},
		{"none", "", "", ""},
	} {
		for _, page := range []int32{1, 2, 1000} {
			p := sdk.NewListObjectsV2Paginator(c, &sdk.ListObjectsV2Input{Bucket: aws.String("logs"), Prefix: &row.prefix,
				Delimiter: &row.delimiter, StartAfter: &row.after, MaxKeys: &page, EncodingType: types.EncodingTypeUrl})
			if got := listed(t, p); got != row.want {
				t.Errorf("%+v, %d a page: got %q", row, page, got)
			}
		}
	}
}

// listed are the keys and common prefixes of all pages, in order.
func listed(t *testing.T, p *sdk.ListObjectsV2Paginator) string {
	t.Helper()
	var names []string
	for p.HasMorePages() {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		objects, prefixes := page.Contents, page.CommonPrefixes
		for len(objects)+len(prefixes) > 0 {
			if len(prefixes) == 0 || len(objects) > 0 && *objects[0].Key < *prefixes[0].Prefix {
				names, objects = append(names, *objects[0].Key), objects[1:]
				continue
			}
			names, prefixes = append(names, *prefixes[0].Prefix), prefixes[1:]
		}
	}
	return strings.Join(names, " ")
}

// Numbers are told even if they are 0: programs ask an empty bucket for its KeyCount.
func TestListingOfNothing(t *testing.T) {
	s := newScene(t)
	for query, want := range map[string][]string{
		"?list-type=2":                        {"<KeyCount>0</KeyCount>", "<MaxKeys>1000</MaxKeys>"},
		"?list-type=2&max-keys=0":             {"<KeyCount>0</KeyCount>", "<MaxKeys>0</MaxKeys>"},
		"?list-type=2&max-keys=0&prefix=%3Ca": {"<KeyCount>0</KeyCount>", "<Prefix>&lt;a</Prefix>"},
		"?max-keys=0":                         {"<MaxKeys>0</MaxKeys>"},
	} {
		got := s.ask("GET", "/logs"+query).Body.String()
		for _, w := range want {
			if strings.Count(got, w) != 1 {
				t.Errorf("%s: got %s, want one %s", query, got, w)
			}
		}
		if strings.Contains(got, "KeyCount") != strings.Contains(query, "list-type") {
			t.Errorf("%s: KeyCount is of the second version alone: %s", query, got)
		}
	}
	s.put(s.client(us), "<KeyCount>", "x")
	if got := s.ask("GET", "/logs?list-type=2").Body.String(); strings.Count(got, "<KeyCount>") != 1 || !strings.Contains(got, "<KeyCount>1</KeyCount>") {
		t.Errorf("of a key that is called so: %s", got)
	}
}

func TestListingVersionOne(t *testing.T) {
	s := newScene(t)
	c := s.client(us)
	s.put(c, "a", "x")
	s.put(c, "b", "x")
	out, err := c.ListObjects(t.Context(), &sdk.ListObjectsInput{Bucket: aws.String("logs"), Marker: aws.String("a")})
	if err != nil || len(out.Contents) != 1 || *out.Contents[0].Key != "b" || *out.Contents[0].Owner.DisplayName != ours {
		t.Errorf("got %v, %v", out, err)
	}
}

func TestMultipart(t *testing.T) {
	s := newScene(t)
	c := s.client(us)
	first, last := random(5<<20), []byte("the end")
	parts := upload(s, c, "big", first, last)
	out, err := c.HeadObject(t.Context(), &sdk.HeadObjectInput{Bucket: aws.String("logs"), Key: aws.String("big")})
	if err != nil || !strings.HasSuffix(*out.ETag, `-2"`) || *out.ContentType != "text/x-big" {
		t.Fatalf("head: got %v, %v", out, err)
	}
	if got := s.get(c, "big"); got != string(first)+string(last) {
		t.Errorf("got %d bytes", len(got))
	}
	list, err := c.ListObjectsV2(t.Context(), &sdk.ListObjectsV2Input{Bucket: aws.String("logs")})
	if err != nil || *list.Contents[0].ETag != *out.ETag {
		t.Errorf("listed with another entity tag: %v, %v", list, err)
	}
	attributes, err := c.GetObjectAttributes(t.Context(), &sdk.GetObjectAttributesInput{Bucket: aws.String("logs"), Key: aws.String("big"),
		ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesEtag, types.ObjectAttributesObjectParts}})
	if err != nil || `"`+*attributes.ETag+`"` != *out.ETag || *attributes.ObjectParts.TotalPartsCount != 2 {
		t.Errorf("attributes with another entity tag: %v, %v", attributes, err)
	}
	part, err := c.GetObject(t.Context(), &sdk.GetObjectInput{Bucket: aws.String("logs"), Key: aws.String("big"), PartNumber: aws.Int32(2), IfMatch: out.ETag})
	if err != nil || read(t, part.Body) != "the end" || *part.PartsCount != int32(len(parts)) {
		t.Errorf("part 2: %v, %v", part, err)
	}
}

// upload puts an object in parts.
func upload(s *scene, c *sdk.Client, key string, parts ...[]byte) []types.CompletedPart {
	s.Helper()
	bucket := aws.String("logs")
	begun, err := c.CreateMultipartUpload(s.Context(), &sdk.CreateMultipartUploadInput{Bucket: bucket, Key: &key, ContentType: aws.String("text/x-big")})
	if err != nil {
		s.Fatal(err)
	}
	var done []types.CompletedPart
	for i, p := range parts {
		n := aws.Int32(int32(i + 1))
		out, err := c.UploadPart(s.Context(), &sdk.UploadPartInput{Bucket: bucket, Key: &key, UploadId: begun.UploadId, PartNumber: n, Body: bytes.NewReader(p)})
		if err != nil {
			s.Fatal(err)
		}
		done = append(done, types.CompletedPart{ETag: out.ETag, PartNumber: n})
	}
	listed, err := c.ListParts(s.Context(), &sdk.ListPartsInput{Bucket: bucket, Key: &key, UploadId: begun.UploadId})
	if err != nil || len(listed.Parts) != len(parts) {
		s.Fatalf("list parts: %v, %v", listed, err)
	}
	_, err = c.CompleteMultipartUpload(s.Context(), &sdk.CompleteMultipartUploadInput{Bucket: bucket, Key: &key, UploadId: begun.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: done}})
	if err != nil {
		s.Fatal(err)
	}
	return done
}

// A page of parts begins behind the number that the one before ended with.
func TestPartsByPages(t *testing.T) {
	s := newScene(t)
	c := s.client(us)
	bucket, key := aws.String("logs"), aws.String("k")
	begun, err := c.CreateMultipartUpload(t.Context(), &sdk.CreateMultipartUploadInput{Bucket: bucket, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int32{1, 2, 5} {
		_, err := c.UploadPart(t.Context(), &sdk.UploadPartInput{Bucket: bucket, Key: key, UploadId: begun.UploadId, PartNumber: &n, Body: strings.NewReader("x")})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct{ query, want string }{
		{"", "1 2 5 next 5 false"},
		{"&max-parts=2", "1 2 next 2 true"},
		{"&max-parts=2&part-number-marker=2", "5 next 5 false"},
		{"&part-number-marker=1", "2 5 next 5 false"},
		{"&part-number-marker=3&max-parts=5000", "5 next 5 false"},
		{"&part-number-marker=5", "next 0 false"},
		{"&max-parts=0", "next 0 false"},
	} {
		w := s.ask("GET", "/logs/k?uploadId="+*begun.UploadId+row.query)
		var list struct {
			Part                 []struct{ PartNumber int }
			NextPartNumberMarker int
			IsTruncated          bool
		}
		if err := xml.Unmarshal(w.Body.Bytes(), &list); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, p := range list.Part {
			got += fmt.Sprint(p.PartNumber, " ")
		}
		if got += fmt.Sprint("next ", list.NextPartNumberMarker, " ", list.IsTruncated); got != row.want {
			t.Errorf("%s: got %q, want %q", row.query, got, row.want)
		}
	}
	for _, query := range []string{"&max-parts=-1", "&part-number-marker=x"} {
		if w := s.ask("GET", "/logs/k?uploadId="+*begun.UploadId+query); !strings.Contains(w.Body.String(), "<Code>InvalidArgument</Code>") {
			t.Errorf("%s: got %s", query, w.Body)
		}
	}
}

func TestMultipartUploadsThatEndOtherwise(t *testing.T) {
	s := newScene(t)
	c := s.client(us)
	bucket, key := aws.String("logs"), aws.String("k")
	begin := func() *string {
		out, err := c.CreateMultipartUpload(t.Context(), &sdk.CreateMultipartUploadInput{Bucket: bucket, Key: key})
		if err != nil {
			t.Fatal(err)
		}
		return out.UploadId
	}
	put := func(id *string, n int32, text string) types.CompletedPart {
		out, err := c.UploadPart(t.Context(), &sdk.UploadPartInput{Bucket: bucket, Key: key, UploadId: id, PartNumber: &n, Body: strings.NewReader(text)})
		if err != nil {
			t.Fatal(err)
		}
		return types.CompletedPart{ETag: out.ETag, PartNumber: &n}
	}
	complete := func(id *string, parts ...types.CompletedPart) error {
		_, err := c.CompleteMultipartUpload(t.Context(), &sdk.CompleteMultipartUploadInput{Bucket: bucket, Key: key, UploadId: id,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
		return err
	}
	id := begin()
	one, two := put(id, 1, "small"), put(id, 2, "x")
	s.wantCode("a part but the last is small", complete(id, one, two), "EntityTooSmall")
	s.wantCode("out of order", complete(id, two, one), "InvalidPartOrder")
	s.wantCode("a part with another tag", complete(id, types.CompletedPart{ETag: two.ETag, PartNumber: aws.Int32(1)}), "InvalidPart")
	s.wantCode("the last part alone", complete(id, two), "")
	if got := s.get(c, "k"); got != "x" {
		t.Errorf("got %q", got)
	}
	id = begin()
	if _, err := c.AbortMultipartUpload(t.Context(), &sdk.AbortMultipartUploadInput{Bucket: bucket, Key: key, UploadId: id}); err != nil {
		t.Fatal(err)
	}
	s.wantCode("complete what was aborted", complete(id, one), "NoSuchUpload")
	id = begin()
	out, err := c.ListMultipartUploads(t.Context(), &sdk.ListMultipartUploadsInput{Bucket: bucket})
	if err != nil || len(out.Uploads) != 1 || *out.Uploads[0].UploadId != *id {
		t.Errorf("list uploads: %v, %v", out, err)
	}
}

func TestCopy(t *testing.T) {
	s := newScene(t)
	c := s.client(us)
	upload(s, c, "from a b", random(5<<20), []byte("tail"))
	copied, err := c.CopyObject(t.Context(), &sdk.CopyObjectInput{Bucket: aws.String("logs"), Key: aws.String("to"), CopySource: aws.String("logs/from%20a%20b")})
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.GetObject(t.Context(), &sdk.GetObjectInput{Bucket: aws.String("logs"), Key: aws.String("to")})
	if err != nil || *out.ContentType != "text/x-big" || *out.ETag != *copied.CopyObjectResult.ETag {
		t.Fatalf("get: %v, %v", out, err)
	}
	want := string(random(5<<20)) + "tail"
	if got := read(t, out.Body); got != want || *out.ETag != fmt.Sprintf(`"%x"`, md5.Sum([]byte(want))) {
		t.Errorf("got %d bytes with %s", len(got), *out.ETag)
	}
	_, err = c.CopyObject(t.Context(), &sdk.CopyObjectInput{Bucket: aws.String("logs"), Key: aws.String("to"), CopySource: aws.String("logs/none")})
	s.wantCode("copy what is not there", err, "NoSuchKey")

	begun, err := c.CreateMultipartUpload(t.Context(), &sdk.CreateMultipartUploadInput{Bucket: aws.String("logs"), Key: aws.String("part")})
	if err != nil {
		t.Fatal(err)
	}
	part, err := c.UploadPartCopy(t.Context(), &sdk.UploadPartCopyInput{Bucket: aws.String("logs"), Key: aws.String("part"), UploadId: begun.UploadId,
		PartNumber: aws.Int32(1), CopySource: aws.String("logs/to"), CopySourceRange: aws.String("bytes=0-9")})
	if err != nil || *part.CopyPartResult.ETag != fmt.Sprintf(`"%x"`, md5.Sum(random(10))) {
		t.Errorf("copy a part: %v, %v", part, err)
	}
}

func TestTagsAndAttributes(t *testing.T) {
	s := newScene(t)
	c := s.client(us)
	bucket, key := aws.String("logs"), aws.String("a")
	s.put(c, "a", "x")
	before, err := c.HeadObject(t.Context(), &sdk.HeadObjectInput{Bucket: bucket, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.PutObjectTagging(t.Context(), &sdk.PutObjectTaggingInput{Bucket: bucket, Key: key,
		Tagging: &types.Tagging{TagSet: []types.Tag{{Key: aws.String("team"), Value: aws.String("net work")}}}})
	if err != nil {
		t.Fatal(err)
	}
	s.open() // tags are as persistent as the object
	c = s.client(us)
	tags, err := c.GetObjectTagging(t.Context(), &sdk.GetObjectTaggingInput{Bucket: bucket, Key: key})
	if err != nil || len(tags.TagSet) != 1 || *tags.TagSet[0].Value != "net work" {
		t.Errorf("tags: %v, %v", tags, err)
	}
	if got := s.get(c, "a"); got != "x" {
		t.Errorf("a tagged object has %q", got)
	}
	if _, err := c.DeleteObjectTagging(t.Context(), &sdk.DeleteObjectTaggingInput{Bucket: bucket, Key: key}); err != nil {
		t.Fatal(err)
	}
	tags, err = c.GetObjectTagging(t.Context(), &sdk.GetObjectTaggingInput{Bucket: bucket, Key: key})
	if err != nil || len(tags.TagSet) != 0 {
		t.Errorf("tags after all were deleted: %v, %v", tags, err)
	}
	out, err := c.GetObjectAttributes(t.Context(), &sdk.GetObjectAttributesInput{Bucket: bucket, Key: key,
		ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesEtag, types.ObjectAttributesObjectSize}})
	if err != nil || *out.ObjectSize != 1 || *out.ETag != strings.Trim(*before.ETag, `"`) {
		t.Errorf("attributes: %v, %v", out, err)
	}
}

func TestChecksums(t *testing.T) {
	s := newScene(t)
	c := s.client(us)
	put := func(sum string) error {
		_, err := c.PutObject(t.Context(), &sdk.PutObjectInput{Bucket: aws.String("logs"), Key: aws.String("a"), Body: strings.NewReader("hello"), ChecksumCRC32: &sum})
		return err
	}
	s.wantCode("a wrong checksum", put("AAAAAA=="), "BadDigest")
	_, err := c.GetObject(t.Context(), &sdk.GetObjectInput{Bucket: aws.String("logs"), Key: aws.String("a")})
	s.wantCode("what did not add up", err, "NoSuchKey")
	if w := s.ask("PUT", "/logs/a", "X-Amz-Checksum-Crc32", "NhCmhg=="); w.Code != 400 {
		t.Errorf("a wrong checksum of nothing: got %d", w.Code)
	}
	s.wantCode("a right checksum", put("NhCmhg=="), "")
	out, err := c.HeadObject(t.Context(), &sdk.HeadObjectInput{Bucket: aws.String("logs"), Key: aws.String("a"), ChecksumMode: types.ChecksumModeEnabled})
	if err != nil || aws.ToString(out.ChecksumCRC32) != "NhCmhg==" {
		t.Errorf("head: %v, %v", aws.ToString(out.ChecksumCRC32), err)
	}
}

// Whoever verified the signature has taken the chunks off, and leaves the trailer in http.Request.Trailer.
func TestTrailingChecksums(t *testing.T) {
	s := newScene(t)
	for _, row := range []struct {
		url, sum string
		status   int
		want     string
	}{
		{"/logs/a", "AAAAAA==", 400, "<Code>BadDigest</Code>"},
		{"/logs/a", "NhCmhg==", 200, ""},
	} {
		r := httptest.NewRequest(http.MethodPut, row.url, strings.NewReader("hello"))
		r.Header.Set("X-Amz-Trailer", "x-amz-checksum-crc32")
		r.Header.Set("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
		r.Header.Set("X-Amz-Decoded-Content-Length", "5")
		r.Trailer = http.Header{"X-Amz-Checksum-Crc32": {row.sum}}
		w := s.send(r)
		if w.Code != row.status || !strings.Contains(w.Body.String(), row.want) {
			t.Errorf("%s: got %d %s", row.sum, w.Code, w.Body)
		}
		if row.status == 200 && w.Header().Get("X-Amz-Checksum-Crc32") != row.sum {
			t.Errorf("%s: got headers %v", row.sum, w.Header())
		}
	}
	r := httptest.NewRequest(http.MethodPut, "/logs/short", strings.NewReader("hello"))
	r.ContentLength = 6
	if w := s.send(r); !strings.Contains(w.Body.String(), "<Code>IncompleteBody</Code>") || w.Code != 400 {
		t.Errorf("a body that is short: got %d %s", w.Code, w.Body)
	}
}

func TestObjectsOutliveTheProcess(t *testing.T) {
	s := newScene(t)
	c := s.client(us)
	s.put(c, "a", "stays")
	upload(s, c, "big", random(5<<20), []byte("tail"))
	s.open()
	c = s.client(us)
	if got := s.get(c, "a"); got != "stays" {
		t.Errorf("got %q", got)
	}
	out, err := c.HeadObject(t.Context(), &sdk.HeadObjectInput{Bucket: aws.String("logs"), Key: aws.String("big")})
	if err != nil || !strings.HasSuffix(*out.ETag, `-2"`) {
		t.Errorf("got %v, %v", out, err)
	}
}

// endless gives n bytes out of nothing.
type endless struct{ left int }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), e.left)
	e.left -= n
	return n, nil
}

// sink takes a file as a TCP connection would, and remembers whether it got one.
type sink struct {
	http.ResponseWriter
	bytes int64
	file  bool
}

func (s *sink) ReadFrom(r io.Reader) (int64, error) {
	if limited, ok := r.(*io.LimitedReader); ok {
		_, s.file = limited.R.(*os.File)
	}
	n, err := io.Copy(io.Discard, r)
	s.bytes += n
	return n, err
}

// A large object goes to its file a buffer at a time, and from there to the socket without passing through us: what the writer below gets
// is the file itself, which net/http sends by sendfile.
func TestLargeObjectsAreNotHeldInMemory(t *testing.T) {
	const size = 100 << 20
	s := newScene(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := httptest.NewRequest(http.MethodPut, "/logs/large", &endless{size})
	r.ContentLength = size
	if w := s.send(r); w.Code != 200 {
		t.Fatalf("put: %d %s", w.Code, w.Body)
	}
	w := &sink{ResponseWriter: httptest.NewRecorder()}
	s.in(us).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/logs/large", nil))
	runtime.ReadMemStats(&after)
	if w.bytes != size || !w.file {
		t.Errorf("the writer got %d bytes, as a file: %v", w.bytes, w.file)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
		t.Errorf("%d bytes were allocated for %d", used, size)
	}
	part := &sink{ResponseWriter: httptest.NewRecorder()}
	r = httptest.NewRequest(http.MethodGet, "/logs/large", nil)
	r.Header.Set("Range", "bytes=1000-1000999")
	s.in(us).ServeHTTP(part, r)
	if part.bytes != 1000000 || !part.file {
		t.Errorf("of a range the writer got %d bytes, as a file: %v", part.bytes, part.file)
	}
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }

func TestABodyThatBreaksOffLeavesTheObjectAsItWas(t *testing.T) {
	s := newScene(t)
	c := s.client(us)
	s.put(c, "a", "whole")
	r := httptest.NewRequest(http.MethodPut, "/logs/a", io.MultiReader(strings.NewReader("ha"), broken{}))
	r.ContentLength = 4
	if w := s.send(r); w.Code < 400 {
		t.Errorf("got %d", w.Code)
	}
	if got := s.get(c, "a"); got != "whole" {
		t.Errorf("got %q", got)
	}
}
