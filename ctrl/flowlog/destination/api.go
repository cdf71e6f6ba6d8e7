package destination

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/vpclab/vpclab/ctrl/flowlog/delivery"
)

// credentials are the endpoint's, for good.
func (e *Endpoint) credentials() aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: e.AccessKey, SecretAccessKey: e.SecretKey}, nil
	})
}

func (e *Endpoint) client() *http.Client { return cmp.Or(e.HTTP, http.DefaultClient) }

// remote says of an error of an API what its cause is, in AWS's words.
func remote(err error) error {
	if err == nil {
		return nil
	}
	status := 0
	if r, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		status = r.HTTPStatusCode()
	}
	code := codeOf(err)
	switch {
	case status == http.StatusTooManyRequests, code == "SlowDown", code == "ThrottlingException", code == "Throttling":
		return &delivery.Failure{Cause: delivery.RateLimited, Err: err}
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusNotFound, code == "AccessDeniedException",
		code == "ResourceNotFoundException":
		return &delivery.Failure{Cause: delivery.AccessError, Err: err}
	}
	return err
}

func codeOf(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return ""
}

// s3API is a store behind the S3 API.
type s3API struct{ client *s3.Client }

func newS3API(e *Endpoint, region string) *s3API {
	return &s3API{s3.New(s3.Options{
		BaseEndpoint: &e.URL, Region: region, Credentials: e.credentials(), HTTPClient: e.client(),
		UsePathStyle: true,             // the bucket's name need not resolve
		Retryer:      aws.NopRetryer{}, // delivery tries again, in lab time
		// Endpoints that are not AWS's may not know trailing checksums.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
	})}
}

func (a *s3API) put(ctx context.Context, bucket, key string, body []byte) error {
	_, err := a.client.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(body)})
	return remote(err)
}

// logsAPI is log groups behind the CloudWatch Logs API.
type logsAPI struct{ client *cloudwatchlogs.Client }

func newLogsAPI(e *Endpoint, region string) *logsAPI {
	return &logsAPI{cloudwatchlogs.New(cloudwatchlogs.Options{
		BaseEndpoint: &e.URL, Region: region, Credentials: e.credentials(), HTTPClient: e.client(), Retryer: aws.NopRetryer{},
	})}
}

// What PutLogEvents takes at once (CloudWatch Logs API, PutLogEvents).
const (
	maxEvents     = 10_000
	maxEventBytes = 1_048_576
	eventOverhead = 26
	maxEventSpan  = 24 * time.Hour
)

// events are those of one call.
type events struct {
	stream      string
	list        []types.InputLogEvent
	bytes       int
	first, last int64 // Unix seconds
}

// fits reports whether one more can go into the same call.
func (v *events) fits(stream string, e *delivery.Entry) bool {
	return len(v.list) == 0 || stream == v.stream && len(v.list) < maxEvents && v.bytes+len(e.Line)+eventOverhead <= maxEventBytes &&
		time.Duration(max(v.last, e.Start)-min(v.first, e.Start))*time.Second < maxEventSpan
}

func (v *events) add(stream string, e *delivery.Entry) {
	if len(v.list) == 0 {
		v.stream, v.first, v.last = stream, e.Start, e.Start
	}
	v.first, v.last = min(v.first, e.Start), max(v.last, e.Start)
	v.bytes += len(e.Line) + eventOverhead
	v.list = append(v.list, types.InputLogEvent{Message: aws.String(string(e.Line)), Timestamp: aws.Int64(e.Start * 1000)})
}

// Deliver implements delivery.Destination. An event's timestamp is its record's start. Entries come interface by interface, so a stream is
// seldom called twice.
func (a *logsAPI) Deliver(ctx context.Context, b *delivery.Batch) error {
	group := b.Subscription.Destination.Group
	var v events
	for e, err := range b.Entries {
		if err != nil {
			return err
		}
		stream := Stream(b.Subscription, e.Stream)
		if !v.fits(stream, &e) {
			if err := a.put(ctx, group, &v); err != nil {
				return remote(err)
			}
			v = events{}
		}
		v.add(stream, &e)
	}
	return remote(a.put(ctx, group, &v))
}

// put sends events, in the order of their time as the API asks, and makes the group and the stream if there are none.
func (a *logsAPI) put(ctx context.Context, group string, v *events) error {
	if len(v.list) == 0 {
		return nil
	}
	slices.SortStableFunc(v.list, func(x, y types.InputLogEvent) int { return cmp.Compare(*x.Timestamp, *y.Timestamp) })
	in := &cloudwatchlogs.PutLogEventsInput{LogGroupName: &group, LogStreamName: &v.stream, LogEvents: v.list}
	out, err := a.client.PutLogEvents(ctx, in)
	if codeOf(err) == "ResourceNotFoundException" {
		if err = a.create(ctx, group, v.stream); err == nil {
			out, err = a.client.PutLogEvents(ctx, in)
		}
	}
	if err != nil {
		return err
	}
	if out.RejectedLogEventsInfo != nil {
		return fmt.Errorf("log group %s: events of %s to %s are too old or too new for it", group,
			time.Unix(v.first, 0).UTC().Format(time.DateTime), time.Unix(v.last, 0).UTC().Format(time.DateTime))
	}
	return nil
}

func (a *logsAPI) create(ctx context.Context, group, stream string) error {
	_, err := a.client.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &group})
	if err != nil && codeOf(err) != "ResourceAlreadyExistsException" {
		return err
	}
	_, err = a.client.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &group, LogStreamName: &stream})
	if err != nil && codeOf(err) != "ResourceAlreadyExistsException" {
		return err
	}
	return nil
}
