package iam

import (
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/vpclab/vpclab/ctrl/service"
)

// The two examples of the S3 API guide (signature calculations: transferring payload in multiple chunks, and with trailing headers):
// 66,560 times "a" in two chunks, with published signatures.
var (
	exampleSize    = 66560
	exampleSeed    = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
	exampleChunks  = []string{"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648", "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497", "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"}
	trailerSeed    = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
	trailerChunks  = []string{"b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2", "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7", "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"}
	exampleTrailer = "x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n"
)

// exampleChain is the guide's key, time and scope.
func exampleChain(seed string) *chain {
	g := &signature{date: "20130524", region: "us-east-1", service: "s3", at: time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)}
	return &chain{signing: newSigning("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", g), last: seed}
}

// exampleBody are the guide's chunks with the given signatures.
func exampleBody(sums []string, rest string) string {
	return "10000;chunk-signature=" + sums[0] + "\r\n" + strings.Repeat("a", 65536) + "\r\n400;chunk-signature=" + sums[1] + "\r\n" +
		strings.Repeat("a", 1024) + "\r\n0;chunk-signature=" + sums[2] + "\r\n" + rest + "\r\n"
}

func crc32c() *trailer {
	sum, _ := newChecksum("x-amz-checksum-crc32c")
	return &trailer{name: "x-amz-checksum-crc32c", sum: sum}
}

func TestChunksOfTheGuide(t *testing.T) {
	plain := exampleBody(exampleChunks, "")
	trailed := exampleBody(trailerChunks, exampleTrailer)
	none := func(*chunks) {}
	for _, row := range []struct {
		name, body string
		chain      *chain
		trailer    *trailer
		adjust     func(*chunks)
		code, why  string
	}{
		{"as in the guide", plain, exampleChain(exampleSeed), nil, none, "", ""},
		{"with a trailer as in the guide", trailed, exampleChain(trailerSeed), crc32c(), none, "", ""},
		{"unsigned with a trailer", "3\r\nabc\r\n0\r\nx-amz-checksum-crc32c:Nks/tw==\r\n\r\n", nil, crc32c(), length(3), "", ""},
		{"nothing", "0\r\n\r\n", nil, nil, length(0), "", ""},
		{"a byte changed", strings.Replace(plain, "aa\r\n0;", "ab\r\n0;", 1), exampleChain(exampleSeed), nil, none,
			"SignatureDoesNotMatch", "a chunk's signature"},
		{"another seed", plain, exampleChain(trailerSeed), nil, none, "SignatureDoesNotMatch", "a chunk's signature"},
		{"the last signature changed", strings.Replace(plain, "b6c6", "b6c7", 1), exampleChain(exampleSeed), nil, none,
			"SignatureDoesNotMatch", "a chunk's signature"},
		{"the trailer's signature changed", strings.Replace(trailed, "d81f", "d81e", 1), exampleChain(trailerSeed), crc32c(), none,
			"SignatureDoesNotMatch", "the trailer's signature"},
		{"the trailer changed", strings.Replace(trailed, "sOO8", "tOO8", 1), exampleChain(trailerSeed), crc32c(), none,
			"SignatureDoesNotMatch", "the trailer's signature"},
		{"a wrong checksum", "3\r\nabd\r\n0\r\nx-amz-checksum-crc32c:Nks/tw==\r\n\r\n", nil, crc32c(), length(3), "BadDigest", "changed on its way"},
		{"another trailer", "3\r\nabc\r\n0\r\nx-amz-checksum-crc32:Nks/tw==\r\n\r\n", nil, crc32c(), length(3), "MalformedTrailerError", "does not follow"},
		{"less than it says", "3\r\nabc\r\n0\r\n\r\n", nil, nil, length(4), "IncompleteBody", "1 bytes are missing"},
		{"more than it says", "3\r\nabc\r\n0\r\n\r\n", nil, nil, length(2), "InvalidRequest", "have more than"},
		{"cut off", "3\r\nab", nil, nil, length(3), "IncompleteBody", "ends within a chunk"},
		{"no size", "x\r\n", nil, nil, length(3), "InvalidRequest", `a chunk's size is "x"`},
		{"a negative size", "-1\r\n", nil, nil, length(3), "InvalidRequest", `a chunk's size is "-1"`},
		{"a chunk too long", "2\r\nabc\r\n0\r\n\r\n", nil, nil, length(3), "InvalidRequest", "longer than its size"},
		{"an endless line", strings.Repeat("1", 5000), nil, nil, length(3), "InvalidRequest", "longer than 4096 bytes"},
		{"something after the end", "0\r\nmore\r\n\r\n", nil, nil, length(0), "InvalidRequest", "follows the last chunk"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newChunks(io.NopCloser(iotest.HalfReader(strings.NewReader(row.body))), int64(exampleSize), row.chain, row.trailer, http.Header{})
			row.adjust(c)
			wanted := c.missing
			var n int64
			var err error
			if denied := c.open(); denied != nil {
				err = denied
			} else {
				n, err = io.CopyN(io.Discard, c, wanted) // as one reads who knows the length, and does not look for the end
			}
			if row.code == "" {
				if err != nil || n != wanted {
					t.Errorf("read %d bytes of %d: %v", n, wanted, err)
				}
				return
			}
			denied, ok := errors.AsType[*service.Denied](err)
			if !ok || denied.Code != row.code || !strings.Contains(denied.Why, row.why) {
				t.Errorf("got %+v, want %s because %s", err, row.code, row.why)
			}
		})
	}
}

func length(n int64) func(*chunks) { return func(c *chunks) { c.missing = n } }

func TestBodiesThatAreNotWhatWasSigned(t *testing.T) {
	r := func(body string) *http.Request {
		r, _ := http.NewRequest("PUT", "/a", strings.NewReader(body))
		return r
	}
	good, bad := r("hello"), r("hallo")
	for _, one := range []*http.Request{good, bad} {
		if denied := openPayload(one, "s3", hashText("hello"), exampleChain(exampleSeed)); denied != nil {
			t.Fatal(denied)
		}
	}
	if body, err := io.ReadAll(good.Body); err != nil || string(body) != "hello" {
		t.Errorf("the right body: %q, %v", body, err)
	}
	_, err := io.ReadFull(bad.Body, make([]byte, 5)) // without a look for the end
	if denied, ok := errors.AsType[*service.Denied](err); !ok || denied.Code != "XAmzContentSHA256Mismatch" {
		t.Errorf("another body: got %v", err)
	}
}

// What has no content is refused before somebody does not read it.
func TestEmptyBodiesAreCheckedAtOnce(t *testing.T) {
	for _, row := range []struct {
		name, payload, body, code string
	}{
		{"nothing, as signed", emptyHash, "", ""},
		{"nothing, though something was signed", hashText("hello"), "", "XAmzContentSHA256Mismatch"},
		{"no chunks", unsignedTrailer, "0\r\n\r\n", ""},
		{"no chunks, unsigned", signedChunks, "0\r\n\r\n", "SignatureDoesNotMatch"},
		{"a chunk where there is none", unsignedTrailer, "1\r\na\r\n0\r\n\r\n", "InvalidRequest"},
	} {
		r, _ := http.NewRequest("PUT", "/a", strings.NewReader(row.body))
		r.Header.Set(decodedLength, "0")
		denied := openPayload(r, "s3", row.payload, exampleChain(exampleSeed))
		if row.code == "" && denied != nil || row.code != "" && (denied == nil || denied.Code != row.code) {
			t.Errorf("%s: got %+v, want %q", row.name, denied, row.code)
		}
	}
}

func TestChunkedRequestsSayWhatTheyHave(t *testing.T) {
	for _, row := range []struct {
		name   string
		header http.Header
		signed *chain
		code   string
	}{
		{"a length and a trailer", http.Header{decodedLength: {"5"}, announcedTrailer: {"x-amz-checksum-crc32"}}, nil, ""},
		{"no length", http.Header{}, nil, "MissingContentLength"},
		{"a negative length", http.Header{decodedLength: {"-1"}}, nil, "MissingContentLength"},
		{"a trailer that is no checksum", http.Header{decodedLength: {"5"}, announcedTrailer: {"x-amz-meta-a"}}, nil, "InvalidRequest"},
		{"a checksum without its prefix", http.Header{decodedLength: {"5"}, announcedTrailer: {"crc32"}}, nil, "InvalidRequest"},
	} {
		r, _ := http.NewRequest("PUT", "/a", strings.NewReader(""))
		r.Header = row.header
		r.Header.Set("X-Amz-Content-Sha256", unsignedTrailer)
		r.Header.Set("Content-Encoding", "gzip, aws-chunked")
		denied := openPayload(r, "s3", "", row.signed)
		if row.code == "" && (denied != nil || r.ContentLength != 5 || r.Header.Get("Content-Encoding") != "gzip") {
			t.Errorf("%s: %v, %d bytes, encoding %s", row.name, denied, r.ContentLength, r.Header.Get("Content-Encoding"))
		}
		if row.code != "" && (denied == nil || denied.Code != row.code) {
			t.Errorf("%s: got %v, want %s", row.name, denied, row.code)
		}
	}
	r, _ := http.NewRequest("PUT", "/a", strings.NewReader(""))
	r.Header.Set("X-Amz-Content-Sha256", signedChunks)
	if denied := openPayload(r, "s3", "", nil); denied == nil || denied.Code != "InvalidArgument" {
		t.Errorf("signed chunks of nobody: got %v", denied)
	}
}

func FuzzChunks(f *testing.F) {
	f.Add([]byte("3\r\nabc\r\n0\r\nx-amz-checksum-crc32c:Nks/tw==\r\n\r\n"), int64(3), true)
	f.Add([]byte("1;chunk-signature=00\r\na\r\n0\r\n\r\n"), int64(1), false)
	f.Fuzz(func(t *testing.T, body []byte, length int64, trailing bool) {
		var last *trailer
		if trailing {
			last = crc32c()
		}
		c := newChunks(io.NopCloser(strings.NewReader(string(body))), max(length, 0), nil, last, http.Header{})
		n, err := io.Copy(io.Discard, c)
		if n > max(length, 0) || err == nil && n != max(length, 0) {
			t.Errorf("%s: read %d bytes of %d without an error", hex.EncodeToString(body), n, length)
		}
		if _, ok := errors.AsType[*service.Denied](err); err != nil && !ok {
			t.Errorf("%s: error %v is not for a client", strconv.Quote(string(body)), err)
		}
	})
}
