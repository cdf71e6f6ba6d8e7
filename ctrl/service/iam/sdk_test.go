package iam

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// s3Client is Amazon's own, as an instance's programs have it.
func (b *bed) s3Client(url string, own *http.Client, c Credentials, adjust ...func(*s3.Options)) *s3.Client {
	o := s3.Options{BaseEndpoint: &url, Region: "us-east-1", Credentials: provider(c), HTTPClient: own, UsePathStyle: true, Retryer: aws.NopRetryer{},
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported}
	for _, a := range adjust {
		a(&o)
	}
	return s3.New(o)
}

// real lets the lab's clock go with the SDK's, which cannot be set.
func (b *bed) real() *bed {
	b.clock = time.Now()
	return b
}

func TestObjectsOfTheSDK(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 20_000)
	for _, row := range []struct {
		name, key, body string
		tls             bool
		adjust          func(*s3.PutObjectInput)
		trailer         string
	}{
		{name: "a body whose hash is signed", key: "a", body: "hello"},
		{name: "an empty object", key: "empty"},
		{name: "a key that needs encoding", key: "a b/ü+&=~(x)*'/%41//c", body: "hello"},
		{name: "a checksum as trailer", key: "a", body: "hello", tls: true, trailer: "X-Amz-Checksum-Crc32"},
		{name: "a large object with a trailer", key: "large", body: large, tls: true, trailer: "X-Amz-Checksum-Crc32"},
		{name: "CRC32C", key: "a", body: large, tls: true, trailer: "X-Amz-Checksum-Crc32c",
			adjust: func(in *s3.PutObjectInput) { in.ChecksumAlgorithm = s3types.ChecksumAlgorithmCrc32c }},
		{name: "CRC64NVME", key: "a", body: large, tls: true, trailer: "X-Amz-Checksum-Crc64nvme",
			adjust: func(in *s3.PutObjectInput) { in.ChecksumAlgorithm = s3types.ChecksumAlgorithmCrc64nvme }},
		{name: "SHA-1", key: "a", body: "hello", tls: true, trailer: "X-Amz-Checksum-Sha1",
			adjust: func(in *s3.PutObjectInput) { in.ChecksumAlgorithm = s3types.ChecksumAlgorithmSha1 }},
		{name: "SHA-256", key: "a", body: "hello", tls: true, trailer: "X-Amz-Checksum-Sha256",
			adjust: func(in *s3.PutObjectInput) { in.ChecksumAlgorithm = s3types.ChecksumAlgorithmSha256 }},
		{name: "metadata with spaces", key: "a", body: "x",
			adjust: func(in *s3.PutObjectInput) { in.Metadata = map[string]string{"note": "two  spaces"} }},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBed(t).real()
			server, saw := b.serve("s3", row.tls)
			in := &s3.PutObjectInput{Bucket: aws.String("logs"), Key: &row.key, Body: strings.NewReader(row.body)}
			if row.adjust != nil {
				row.adjust(in)
			}
			if _, err := b.s3Client(server.URL, server.Client(), b.store.Role(b.app, b.web)).PutObject(context.Background(), in); err != nil {
				t.Fatal(err)
			}
			if saw.body != row.body || saw.length != int64(len(row.body)) || saw.encoding != "" {
				t.Errorf("the service saw %d bytes of %d, encoding %q", len(saw.body), saw.length, saw.encoding)
			}
			if saw.identity.Name != "role web" {
				t.Errorf("it was sent by %s", saw.identity.Name)
			}
			if row.trailer != "" && saw.trailer.Get(row.trailer) == "" {
				t.Errorf("trailer %s is missing in %v", row.trailer, saw.trailer)
			}
		})
	}
}

func TestQueriesOfTheSDK(t *testing.T) {
	b := newBed(t).real()
	server, saw := b.serve("s3", false)
	client := b.s3Client(server.URL, server.Client(), b.store.User(account, "laptop"))
	in := &s3.ListObjectsV2Input{Bucket: aws.String("logs"), Prefix: aws.String("a b/+ü&=*"), Delimiter: aws.String("/")}
	if _, err := client.ListObjectsV2(context.Background(), in); err != nil {
		t.Fatal(err)
	}
	if saw.identity.Name != "user laptop" {
		t.Errorf("it was sent by %s", saw.identity.Name)
	}
}

func TestPresignedRequestsOfTheSDK(t *testing.T) {
	b := newBed(t).real()
	server, saw := b.serve("s3", false)
	signer := s3.NewPresignClient(b.s3Client(server.URL, server.Client(), b.store.Role(b.app, b.web)), s3.WithPresignExpires(10*time.Minute))
	in := &s3.PutObjectInput{Bucket: aws.String("logs"), Key: aws.String("a b"), Metadata: map[string]string{"k": "v"}}
	signed, err := signer.PresignPutObject(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	send := func() int {
		r, _ := http.NewRequest(signed.Method, signed.URL, strings.NewReader("hello"))
		r.Header = signed.SignedHeader.Clone()
		answer, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	if status := send(); status != http.StatusOK || saw.body != "hello" || saw.identity.Name != "role web" {
		t.Fatalf("got status %d, body %q, from %s", status, saw.body, saw.identity.Name)
	}
	b.clock = b.clock.Add(11 * time.Minute)
	if status := send(); status != http.StatusForbidden || b.last() != "Request has expired" {
		t.Errorf("after its time: status %d, %s", status, b.last())
	}
	b.clock = b.clock.Add(-time.Hour)
	if status := send(); status != http.StatusForbidden || b.last() != "Request is not yet valid" {
		t.Errorf("before its time: status %d, %s", status, b.last())
	}
}

// last is the last denial's message.
func (b *bed) last() string {
	if len(b.observed) == 0 {
		return ""
	}
	return b.observed[len(b.observed)-1].Message
}

func TestItemsOfTheSDK(t *testing.T) {
	b := newBed(t).real()
	server, saw := b.serve("dynamodb", false)
	put := func(c Credentials) error {
		client := dynamodb.New(dynamodb.Options{BaseEndpoint: &server.URL, Region: "us-east-1", Credentials: provider(c), Retryer: aws.NopRetryer{}})
		_, err := client.PutItem(context.Background(), &dynamodb.PutItemInput{
			TableName: aws.String("orders"), Item: map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: "7"}}})
		return err
	}
	if err := put(b.store.Role(b.app, b.db)); err != nil {
		t.Fatal(err)
	}
	if saw.identity.Name != "role db" || !strings.Contains(saw.body, `"orders"`) {
		t.Errorf("the service saw %q from %s", saw.body, saw.identity.Name)
	}
	stolen := b.store.Role(b.app, b.db)
	stolen.SecretAccessKey = b.store.Role(b.app, b.web).SecretAccessKey
	if err := put(stolen); err == nil || !strings.Contains(err.Error(), "SignatureDoesNotMatch") {
		t.Errorf("with another's secret key: got %v", err)
	}
}

// Answers say the time, and the SDK of a client whose clock is hours behind corrects it.
func TestTheSDKCorrectsItsClock(t *testing.T) {
	b := newBed(t).real()
	b.clock = b.clock.Add(3 * time.Hour)
	server, saw := b.serve("s3", false)
	client := b.s3Client(server.URL, server.Client(), b.store.Role(b.app, b.web), func(o *s3.Options) { o.Retryer = nil })
	in := &s3.PutObjectInput{Bucket: aws.String("logs"), Key: aws.String("a"), Body: bytes.NewReader([]byte("hello"))}
	if _, err := client.PutObject(context.Background(), in); err != nil {
		t.Fatal(err)
	}
	if len(b.observed) != 1 || b.observed[0].Code != "RequestTimeTooSkewed" || saw.body != "hello" {
		t.Errorf("the service saw %q after %v", saw.body, b.observed)
	}
}

func TestAnonymousRequestsPass(t *testing.T) {
	b := newBed(t)
	server, saw := b.serve("s3", false)
	answer, err := server.Client().Post(server.URL+"/logs/a", "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK || !saw.identity.Principal.Anonymous() || saw.body != "hello" {
		t.Errorf("got status %d, %q from %s", answer.StatusCode, saw.body, saw.identity.Name)
	}
	if got := answer.Header.Get("Date"); got != "Sun, 01 Mar 2026 12:00:00 GMT" {
		t.Errorf("the answer's time is %s, not the lab's", got)
	}
}
