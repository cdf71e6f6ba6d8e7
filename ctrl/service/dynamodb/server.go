// Package dynamodb is the lab's DynamoDB: tables per account and region, kept in one file, spoken to by ordinary AWS SDKs in the API's
// JSON 1.0 protocol. It has no secondary indexes, streams, PartiQL or legacy parameters, which it refuses by name; it opens no socket,
// and who may do what is decided by a service.Gate.
package dynamodb

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// Config is what a Server needs.
type Config struct {
	// Path is the file of tables and items, made if there is none. It is one process's at a time. Not used with a Backend.
	Path string
	// Backend is the URL of a service that does the work in place of the built-in one, and does not verify signatures: DynamoDB Local.
	// It is asked with the caller's account as access key and the caller's region. "": built in.
	Backend string
	// Room says why nothing more may be stored; nil: there is always room.
	Room func() error
	// Gate is asked before anything is done.
	Gate service.Gate
	// Now is the lab's time.
	Now func() time.Time
	// Account is the account of whoever sent a request, by its context; empty if that is nobody known.
	Account func(context.Context) string
}

// Server answers DynamoDB's API for all regions; the service.Caller in a request's context says which one was asked.
type Server struct {
	gate    service.Gate
	room    func() error
	now     func() time.Time
	account func(context.Context) string
	store   *store                 // nil with a backend
	backend *url.URL               // nil without one
	proxy   *httputil.ReverseProxy // to the backend
	tokens  tokens

	mu       sync.Mutex
	declared map[tableName]*vpc.Table
}

// New opens the store. Close the Server to release it.
func New(c Config) (*Server, error) {
	s := &Server{gate: c.Gate, room: c.Room, now: c.Now, account: c.Account}
	if c.Backend == "" {
		var err error
		s.store, err = openStore(c.Path)
		return s, err
	}
	u, err := url.Parse(c.Backend)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("dynamodb backend %q: want a URL such as http://127.0.0.1:8000", c.Backend)
	}
	s.backend, s.proxy = u, newProxy(u)
	return s, nil
}

// Close releases the store. Requests that are under way fail or end first.
func (s *Server) Close() error {
	if s.store == nil {
		return nil
	}
	return s.store.db.Close()
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		fmt.Fprintf(w, "healthy: dynamodb.%s.amazonaws.com ", service.From(r.Context()).Region) // as AWS answers load balancers and people
		return
	}
	operation, body, err := readRequest(w, r)
	if err == nil {
		err = s.authorize(r.Context(), operation, body)
	}
	if err == nil && s.proxy != nil {
		s.forward(w, r, body)
		return
	}
	var answer any
	if err == nil {
		answer, err = s.do(r.Context(), operation, body)
	}
	if err != nil {
		writeFailure(w, err)
		return
	}
	writeAnswer(w, http.StatusOK, answer)
}

func (s *Server) do(ctx context.Context, operation string, body []byte) (any, error) {
	do, ok := operations[operation]
	if !ok {
		return nil, unknownOperation(operation)
	}
	if s.room != nil && storing[operation] {
		if err := s.room(); err != nil {
			return nil, err
		}
	}
	return do(s, ctx, body)
}

// storing are the operations that may make the file larger. What deletes is always possible.
var storing = map[string]bool{"BatchWriteItem": true, "CreateTable": true, "PutItem": true, "TransactWriteItems": true, "UpdateItem": true}

// operations are what there is of the API.
var operations = map[string]func(*Server, context.Context, []byte) (any, error){
	"BatchGetItem":       of((*Server).batchGetItem),
	"BatchWriteItem":     of((*Server).batchWriteItem),
	"CreateTable":        of((*Server).createTable),
	"DeleteItem":         of((*Server).deleteItem),
	"DeleteTable":        of((*Server).deleteTable),
	"DescribeEndpoints":  of((*Server).describeEndpoints),
	"DescribeTable":      of((*Server).describeTable),
	"GetItem":            of((*Server).getItem),
	"ListTables":         of((*Server).listTables),
	"PutItem":            of((*Server).putItem),
	"Query":              of((*Server).query),
	"Scan":               of((*Server).scan),
	"TransactGetItems":   of((*Server).transactGetItems),
	"TransactWriteItems": of((*Server).transactWriteItems),
	"UpdateItem":         of((*Server).updateItem),
}

// of makes an operation of one that takes its own kind of request.
func of[R any](do func(*Server, context.Context, *R) (any, error)) func(*Server, context.Context, []byte) (any, error) {
	return func(s *Server, ctx context.Context, body []byte) (any, error) {
		r := new(R)
		if err := decodeStrictly(body, r); err != nil {
			return nil, err
		}
		return do(s, ctx, r)
	}
}
