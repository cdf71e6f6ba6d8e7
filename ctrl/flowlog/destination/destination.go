package destination

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"

	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/ctrl/flowlog/delivery"
)

// Endpoint is a service that speaks AWS's API.
type Endpoint struct {
	URL                  string // http://127.0.0.1:9000
	AccessKey, SecretKey string
	HTTP                 *http.Client // nil: http.DefaultClient
}

// Places are where the kinds of destination are. A nil endpoint means a folder below Dir.
type Places struct {
	Dir  string // bucket/key and group/stream below it
	S3   *Endpoint
	Logs *Endpoint
	// Buckets, which may be nil, gets each object that a folder has got, for whoever else has buckets.
	Buckets func(ctx context.Context, bucket, key string, body []byte) error
}

// EndpointOf is the URL of the service that takes a subscription's records, and empty where they go to a folder.
func (p Places) EndpointOf(s *flowlog.Subscription) string {
	switch d := s.Destination; {
	case d.Kind == flowlog.S3 && p.S3 != nil:
		return p.S3.URL
	case d.Kind == flowlog.CloudWatch && p.Logs != nil:
		return p.Logs.URL
	}
	return ""
}

// Of makes a subscription's destination. A file's relative path is below Dir.
func (p Places) Of(s *flowlog.Subscription) (delivery.Destination, error) {
	switch d := s.Destination; {
	case d.Kind == flowlog.S3 && p.S3 != nil:
		return &bucket{newS3API(p.S3, s.Region)}, nil
	case d.Kind == flowlog.S3:
		return &bucket{shared{tree(p.Dir), p.Buckets}}, nil
	case d.Kind == flowlog.CloudWatch && p.Logs != nil:
		return newLogsAPI(p.Logs, s.Region), nil
	case d.Kind == flowlog.CloudWatch:
		return &groups{p.Dir}, nil
	case d.Kind == flowlog.File && filepath.IsAbs(d.Path):
		return &plainFile{d.Path}, nil
	case d.Kind == flowlog.File:
		return &plainFile{filepath.Join(p.Dir, d.Path)}, nil
	}
	return nil, fmt.Errorf("flow log %s: destination %v is of no kind", s.ID, s.Destination)
}
