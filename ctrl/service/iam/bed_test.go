package iam

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

const account = "123456789012"

// bed is a lab of one VPC, app, with the instances web and db, and an internet host, laptop. Its clock stands still.
type bed struct {
	t        *testing.T
	model    *vpc.Model
	app      *vpc.VPC
	web, db  *vpc.Instance
	clock    time.Time
	store    *Store
	gate     *Gate
	observed []*service.Denied
}

func newBed(t *testing.T) *bed {
	b := &bed{t: t, clock: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	b.web, b.db = launched("web", "10.0.0.10"), launched("db", "10.0.1.5")
	b.app = &vpc.VPC{Name: "app", ID: "vpc-0a", Region: "us-east-1", Account: account, Instances: []*vpc.Instance{b.web, b.db}}
	b.model = &vpc.Model{Account: account, VPCs: []*vpc.VPC{b.app}, Hosts: []*vpc.Host{{Name: "laptop"}}}
	b.store = b.newStore(1)
	b.gate = NewGate(b.store, func() time.Time { return b.clock }, func(_ service.Caller, d *service.Denied) { b.observed = append(b.observed, d) })
	return b
}

func launched(name, ip string) *vpc.Instance {
	return &vpc.Instance{Name: name, ID: vpc.InstanceID("i-0" + name), Interfaces: []*vpc.ENI{{Name: name, IP: netip.MustParseAddr(ip)}}}
}

// newStore is that of a lab whose secret key begins with a byte.
func (b *bed) newStore(first byte) *Store {
	s, err := New(bytes.NewReader(bytes.Repeat([]byte{first}, 32)), func() *vpc.Model { return b.model }, func() time.Time { return b.clock })
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// seen is what a service's handler saw of a request.
type seen struct {
	identity Identity
	body     string
	trailer  http.Header
	length   int64
	encoding string
}

// serve starts a service of us-east-1 that reads a request and answers with what the protocol needs at least. What it saw is in the
// seen that it returns.
func (b *bed) serve(name string, tls bool) (*httptest.Server, *seen) {
	saw := &seen{}
	own := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if denied, ok := err.(*service.Denied); ok {
			refuse(w, r, denied)
			return
		}
		*saw = seen{From(r.Context()), string(body), r.Trailer, r.ContentLength, r.Header.Get("Content-Encoding")}
		if name == "dynamodb" {
			io.WriteString(w, "{}")
		}
	})
	handler := b.gate.Authenticate(name, own, refuse)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller := service.Caller{Via: service.Public, Service: name, Region: "us-east-1", Addr: netip.MustParseAddr("203.0.113.5")}
		handler.ServeHTTP(w, r.WithContext(service.With(r.Context(), caller)))
	}))
	if tls {
		server.StartTLS()
	} else {
		server.Start()
	}
	b.t.Cleanup(server.Close)
	return server, saw
}

// refuse is each protocol's error in its least form.
func refuse(w http.ResponseWriter, r *http.Request, d *service.Denied) {
	w.Header().Set("X-Amzn-ErrorType", d.Code)
	w.WriteHeader(http.StatusForbidden)
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-amz-json") {
		json.NewEncoder(w).Encode(map[string]string{"__type": d.Code, "message": d.Message})
		return
	}
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", d.Code, d.Message)
}

func provider(c Credentials) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return forSDK(c), nil })
}

func forSDK(c Credentials) aws.Credentials {
	return aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}
}
