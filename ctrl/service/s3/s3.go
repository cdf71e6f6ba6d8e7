// Package s3 is the lab's S3: an http.Handler that AWS's SDKs and command line speak to, with the policies of whoever asks in front and
// objects in files behind. It verifies no signature and evaluates no policy itself, but asks a service.Gate before it does anything.
//
// A request becomes an operation of the table in operation.go, or is refused as not implemented; the operation's accesses are authorised;
// then it is done here, by the protocol library over package store, or by a backend elsewhere. The library and the backend get nothing of
// a request's address but what the operation knows, so they cannot take it for another one.
package s3

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/rclone/gofakes3"
	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/service/s3/store"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// Config is what a Server needs.
type Config struct {
	// Dir holds buckets and objects, and outlives the Server. It is used by one Server at a time.
	Dir  string
	Gate service.Gate
	// Now is the lab's time. Buckets and objects are dated with it.
	Now func() time.Time
	// Room says why no more may be stored in Dir; nil: there is always room.
	Room func() error
	// Account is that of whoever signed a request; empty: nobody did.
	Account func(context.Context) string
	// CheckPolicy says what is wrong with a bucket policy.
	CheckPolicy func(document string) error
	// Backend is the URL of an S3 that keeps the objects in place of Dir, addressed by paths: "http://KEY:SECRET@HOST:PORT". Without a key
	// it is asked anonymously. Which buckets there are, whose, where, and their policies stay in Dir.
	Backend string
	// Wall is real time, which signatures for the backend are dated with; needed with a Backend only.
	Wall func() time.Time
}

// Server is the S3 of all regions: the service.Caller of a request's context says in which it arrived.
type Server struct {
	config    Config
	store     *store.Store
	engine    http.Handler // does what is authorised: the protocol library, or a backend
	elsewhere bool         // the engine is a backend
	requests  atomic.Uint64
}

// New opens the folder of objects, or gets ready to ask the backend.
func New(c Config) (*Server, error) {
	st, err := store.Open(c.Dir, c.Now)
	if err != nil {
		return nil, err
	}
	if c.Room != nil {
		st.Room = c.Room
	}
	s := &Server{config: c, store: st}
	if c.Backend != "" {
		s.elsewhere = true
		if s.engine, err = newBackend(c.Backend, c.Wall); err != nil {
			return nil, err
		}
		return s, nil
	}
	// Signatures, and how old they are, were judged in front of us.
	s.engine = gofakes3.New(st, gofakes3.WithTimeSource(clock(c.Now)), gofakes3.WithTimeSkewLimit(0), gofakes3.WithoutVersioning()).Server()
	return s, nil
}

// clock is the lab's time as the library wants it.
type clock func() time.Time

func (c clock) Now() time.Time                  { return c() }
func (c clock) Since(t time.Time) time.Duration { return c().Sub(t) }

// Update makes the buckets of a scenario exist. Those that an earlier Update declared and this one does not are deleted with their
// objects; on a backend they are only forgotten. Buckets that clients made stay, and so does a policy that a client put, until the
// scenario's own text of it changes. Server goes on serving meanwhile.
func (s *Server) Update(buckets []*vpc.Bucket) error {
	errs := []error{s.store.Declare(buckets)}
	if s.elsewhere {
		for _, b := range buckets {
			errs = append(errs, s.makeElsewhere(context.Background(), b.Name))
		}
	}
	return errors.Join(errs...)
}

// ServeHTTP answers one request. Its body is plain: who verified the signature has taken chunks and their signatures off, set ContentLength
// to what is left, and puts the trailers into r.Trailer by the body's end. w should be net/http's own or pass on ReadFrom: large objects
// are sent by it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	reply := s.newReply(w)
	q, err := s.read(r)
	if err == nil {
		err = s.serve(reply, q)
	}
	if err != nil {
		reply.refuse(r.Method, err)
	}
	reply.end()
}

func (s *Server) serve(w *reply, q *request) error {
	if err := s.resolve(q); err != nil {
		return err
	}
	if err := s.authorize(q); err != nil {
		return err
	}
	if err := q.missing(); err != nil {
		return err
	}
	if err := q.checkQuery(); err != nil {
		return err
	}
	if err := s.checkHeaders(q); err != nil {
		return err
	}
	if err := q.checkBody(); err != nil {
		return err
	}
	w.request = q
	q.note.Checksum = q.checksum.value
	if q.op.do != nil {
		return q.op.do(s, w, q)
	}
	return s.forward(w, q)
}
