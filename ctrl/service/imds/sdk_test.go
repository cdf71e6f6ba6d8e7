package imds

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	client "github.com/aws/aws-sdk-go-v2/feature/ec2/imds"

	"github.com/vpclab/vpclab/ctrl/service"
)

// Amazon's own client, of an instance that requires tokens.
func TestTheSDKUnderstandsIt(t *testing.T) {
	b := newBed(t)
	b.web.Metadata.TokensRequired = true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.service.ServeHTTP(w, r.WithContext(service.With(r.Context(), b.from(b.web))))
	}))
	defer server.Close()
	ctx := context.Background()
	c := client.New(client.Options{Endpoint: server.URL})

	answer, err := c.GetMetadata(ctx, &client.GetMetadataInput{Path: "placement/region"})
	if err != nil {
		t.Fatal(err)
	}
	if region, _ := io.ReadAll(answer.Content); string(region) != "us-east-1" {
		t.Errorf("the region is %s", region)
	}
	document, err := c.GetInstanceIdentityDocument(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if document.InstanceID != "i-0web" || document.AccountID != "123456789012" || document.PrivateIP != "10.0.0.10" ||
		document.AvailabilityZone != "us-east-1a" || document.Version != "2017-09-30" || document.Architecture == "" {
		t.Errorf("the document is %+v", document.InstanceIdentityDocument)
	}
	info, err := c.GetIAMInfo(ctx, nil)
	if err != nil || info.InstanceProfileArn != "arn:aws:iam::123456789012:instance-profile/reader" || info.InstanceProfileID[:4] != "AIPA" {
		t.Errorf("the profile is %+v, %v", info, err)
	}
	got, err := ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = c }).Retrieve(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := b.service.Role(b.app, b.web)
	if got.AccessKeyID != want.AccessKeyID || got.SecretAccessKey != want.SecretAccessKey || got.SessionToken != want.SessionToken {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
