package check

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/vpclab/vpclab/ctrl/scenario"
)

// askS3 makes one signed request to S3 with the SDK and its defaults, but for retries: there are none. What `get` read is the body; the
// keys of `list`, at most the 1,000 of one page, are the answers.
func askS3(p *probe, do scenario.S3Do) seen {
	credentials, err := p.credentials()
	if err != nil {
		return seenOf(err)
	}
	base, err := p.baseEndpoint(do.By)
	if err != nil {
		return seen{err: err}
	}
	client := s3.New(s3.Options{
		Region: do.Region, Credentials: credentials, HTTPClient: browser{p}, Retryer: aws.NopRetryer{},
		BaseEndpoint: base, UsePathStyle: base != nil, // no bucket's name stands before an endpoint's
	})
	switch do.Op {
	case scenario.Put:
		return putObject(p, client, do)
	case scenario.Get:
		return getObject(p, client, do)
	case scenario.List:
		return listObjects(p, client, do)
	}
	return seen{err: fmt.Errorf("s3 %s: there is no such operation", do.Op)}
}

func putObject(p *probe, client *s3.Client, do scenario.S3Do) seen {
	in := &s3.PutObjectInput{Bucket: &do.Bucket, Key: &do.Key, Body: strings.NewReader(do.Text)}
	if _, err := client.PutObject(p.ctx, in); err != nil {
		return seenOfService(p, err)
	}
	return seen{outcome: scenario.OK}
}

func getObject(p *probe, client *s3.Client, do scenario.S3Do) seen {
	out, err := client.GetObject(p.ctx, &s3.GetObjectInput{Bucket: &do.Bucket, Key: &do.Key})
	if err != nil {
		return seenOfService(p, err)
	}
	b, err := io.ReadAll(out.Body)
	if err != nil {
		return seenOfService(p, err)
	}
	body := string(b)
	return seen{outcome: scenario.OK, detail: fmt.Sprintf("%d bytes", len(b)), body: &body}
}

func listObjects(p *probe, client *s3.Client, do scenario.S3Do) seen {
	out, err := client.ListObjectsV2(p.ctx, &s3.ListObjectsV2Input{Bucket: &do.Bucket, Prefix: &do.Key})
	if err != nil {
		return seenOfService(p, err)
	}
	keys := []string{}
	for _, object := range out.Contents {
		keys = append(keys, aws.ToString(object.Key))
	}
	slices.Sort(keys)
	return seen{outcome: scenario.OK, detail: listed(keys), answers: keys}
}
