package suite

import (
	"cmp"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/service/front"
	"github.com/vpclab/vpclab/ctrl/service/iam"
	"github.com/vpclab/vpclab/ctrl/service/whoami"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// headerLimit is how long a client may take for the head of a request, and idleLimit how long a connection waits for the next one, in
// real time.
const (
	headerLimit = 30 * time.Second
	idleLimit   = 5 * time.Minute
)

// headerSize is the largest head of a request, in bytes; net/http takes a little more. S3's limit is 8 KB (S3 API, PutObject), and
// credentials fit in, too. A larger one is answered by 431.
const headerSize = 16 << 10

type connKey struct{}

func (s *Suite) serveWeb(handler http.Handler, l net.Listener) {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: headerLimit, IdleTimeout: idleLimit, MaxHeaderBytes: headerSize,
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, conn)
		},
		ErrorLog: log.New(io.Discard, "", 0), // a client's mistakes are the client's to see
	}
	s.servers = append(s.servers, server)
	s.serve("http", func() error { return server.Serve(l) })
}

// limitHops sets the TTL of what the connection of a request sends from now on.
func limitHops(request context.Context, n int) {
	conn, ok := request.Value(connKey{}).(net.Conn)
	if !ok {
		return
	}
	_ = ipv4.NewConn(conn).SetTTL(n) // the one that is not of the connection's family fails
	_ = ipv6.NewConn(conn).SetHopLimit(n)
}

// handler hands each request to the service that was asked. Who asks is looked up anew each time, since an endpoint's policy may change
// while a connection to it stands.
func (s *Suite) handler() http.Handler {
	handlers := s.handlers()
	bodies := budget{callers: map[netip.Addr]*share{}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _ := r.Context().Value(connKey{}).(net.Conn)
		local, remote := front.Ends(conn)
		caller, known := s.config.Directory.Caller(local.Addr(), remote.Addr())
		handler := handlers[caller.Service]
		if !known || handler == nil {
			panic(http.ErrAbortHandler) // the way by which it came is gone
		}
		if size := memoryOf(caller.Service, r); size > 0 {
			bodies.take(remote.Addr(), size)
			defer bodies.give(remote.Addr(), size)
		}
		handler.ServeHTTP(w, r.WithContext(service.With(r.Context(), caller)))
	})
}

func (s *Suite) handlers() map[string]http.Handler {
	all := map[string]http.Handler{
		metadata:   s.metadata,
		"s3":       s.gate.Authenticate("s3", s.s3, s.s3.Refuse),
		"dynamodb": s.gate.Authenticate("dynamodb", s.dynamodb, s.dynamodb.Refuse),
	}
	others := &whoami.Handler{Gate: s.gate, Principal: principal}
	for _, known := range vpc.ServiceCatalog() {
		if all[known.Code] == nil {
			all[known.Code] = s.gate.Authenticate(known.Code, others, others.Refuse)
		}
	}
	return all
}

// principal is who signed a request, an instance by its role's session as STS tells it.
func principal(request context.Context) whoami.Principal {
	id := iam.From(request)
	arn := cmp.Or(id.Principal.Session, id.Principal.ARN)
	return whoami.Principal{ARN: arn, Account: id.Principal.Account, UserID: id.Principal.UserID}
}
