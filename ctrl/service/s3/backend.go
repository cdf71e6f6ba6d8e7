package s3

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// backend is an S3 elsewhere that does what is authorised. It sees one user: the one of its URL, or nobody.
type backend struct {
	url  *url.URL
	keys aws.Credentials
	wall func() time.Time
}

func newBackend(text string, wall func() time.Time) (http.Handler, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("S3 backend: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("S3 backend %s: not an http or https URL", u.Redacted())
	}
	b := &backend{url: &url.URL{Scheme: u.Scheme, Host: u.Host}, wall: wall}
	b.keys.AccessKeyID = u.User.Username()
	b.keys.SecretAccessKey, _ = u.User.Password()
	return &httputil.ReverseProxy{
		Rewrite:        b.rewrite,
		ModifyResponse: ours,
		ErrorHandler:   unreachable,
		ErrorLog:       log.New(io.Discard, "", 0), // the client is told, or is gone
	}, nil
}

// rewrite addresses a request to the backend and signs it. Bodies are not signed: they are on their way.
func (b *backend) rewrite(p *httputil.ProxyRequest) {
	p.SetURL(b.url)
	p.Out.Host = b.url.Host
	p.Out.Header.Del("Expect")
	if b.keys.AccessKeyID == "" {
		return
	}
	const unsigned = "UNSIGNED-PAYLOAD"
	p.Out.Header.Set("X-Amz-Content-Sha256", unsigned)
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if err := signer.SignHTTP(p.Out.Context(), b.keys, p.Out, unsigned, "s3", vpc.DefaultRegion, b.wall()); err != nil {
		p.Out.Header.Del("Authorization") // the backend then says that it is not signed
	}
}

// ours: the answer's number is the one that we gave it.
func ours(r *http.Response) error {
	for _, name := range []string{"X-Amz-Request-Id", "X-Amz-Id-2", "X-Amz-Bucket-Region", "Server"} {
		r.Header.Del(name)
	}
	return nil
}

func unreachable(w http.ResponseWriter, _ *http.Request, err error) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(http.StatusServiceUnavailable)
	_ = xml.NewEncoder(w).Encode(&failure{Code: "ServiceUnavailable", Message: "The backend does not answer: " + err.Error()})
}

// makeElsewhere makes a bucket on the backend; that it is there already is fine.
func (s *Server) makeElsewhere(ctx context.Context, name string) error {
	err := s.ask(ctx, http.MethodPut, address{bucket: name}, http.Header{})
	var f *failure
	if errors.As(err, &f) && f.Status == http.StatusConflict {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make bucket %s on the S3 backend: %w", name, err)
	}
	return nil
}
