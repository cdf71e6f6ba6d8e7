package iam

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/vpclab/vpclab/ctrl/policy"
	"github.com/vpclab/vpclab/ctrl/service"
)

// Gate is a lab's service.Gate.
type Gate struct {
	store   *Store
	now     func() time.Time // lab time, which conditions are about
	observe func(service.Caller, *service.Denied)
	docs    documents
}

// NewGate makes a gate for a store's identities; now is lab time. Each denial is told to observe, too, which may be nil; a request that
// cannot prove who sent it has no access yet.
func NewGate(s *Store, now func() time.Time, observe func(service.Caller, *service.Denied)) *Gate {
	if observe == nil {
		observe = func(service.Caller, *service.Denied) {}
	}
	return &Gate{store: s, now: now, observe: observe}
}

// Refuse writes a denial to the client in the form of the service's protocol.
type Refuse func(http.ResponseWriter, *http.Request, *service.Denied)

// Authenticate verifies the signature of a request to an AWS service before next sees it, and puts who signed it into its context. A
// request without a signature passes as anonymous, a wrong one is refused. The context knows the caller (service.With).
//
// The body of a request to S3 is decoded (aws-chunked) and checked while it is read: an error of reading may be a *service.Denied for
// the client. It comes in place of the last bytes, so that nobody has the whole of what is not proven. A checksum that came as trailer is
// in Request.Trailer with the last bytes. Answers say the
// time, so that clients correct their clocks.
func (g *Gate) Authenticate(name string, next http.Handler, refuse Refuse) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", g.store.now().UTC().Format(http.TimeFormat))
		caller := service.From(r.Context())
		id, denied := g.store.verify(r, name, caller.Region)
		if denied != nil {
			g.observe(caller, denied)
			refuse(w, r, denied)
			return
		}
		next.ServeHTTP(w, with(r, id))
	})
}

// Authorize decides about one access of the request of the context.
func (g *Gate) Authorize(ctx context.Context, a service.Access) error {
	caller, known := service.From(ctx), requestOf(ctx)
	denied := g.decide(caller, known, a)
	if denied == nil {
		return nil
	}
	g.observe(caller, denied)
	return denied
}

func (g *Gate) decide(c service.Caller, known request, a service.Access) *service.Denied {
	what := fmt.Sprintf("%s on %s: ", a.Action, a.Resource)
	policies, denied := g.policies(c, known.identity, a)
	if denied != nil {
		denied.Why = what + denied.Why
		return denied
	}
	d := policy.Decide(policies, &policy.Request{
		Principal: known.identity.Principal, Action: a.Action, Resource: a.Resource, Keys: keys(c, known, a, g.now()),
	})
	if d.Allowed {
		return nil
	}
	denied = denial(c, known.identity, a, d)
	if d.Explicit { // else the decision names what nobody allows
		denied.Why = what + denied.Why
	}
	return denied
}

// everything is the policy of identities that were given none.
const everything = `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}`

// policies are those that have a say. One that cannot be read denies: it may be what keeps somebody out.
func (g *Gate) policies(c service.Caller, id Identity, a service.Access) (p policy.Policies, denied *service.Denied) {
	p.ResourceAccount, p.Gateway = a.Account, c.Via == service.ByGateway
	read := func(text, whose string) *policy.Document {
		if text == "" {
			return nil
		}
		d, err := g.docs.read(text)
		if err != nil {
			denied = deny("AccessDenied", message(id, a, "because a policy cannot be read"), whose+" cannot be read: "+err.Error())
		}
		return d
	}
	p.Identity = read(cmp.Or(id.Policy, everything), "the policy of "+id.Name)
	if c.Endpoint != nil {
		p.Endpoint = read(c.Endpoint.Policy, "the policy of "+endpoint(c))
	}
	p.Resource = read(a.Policy, "the policy of "+a.Resource)
	return p, denied
}

// documents are policies that were read before, by their text.
type documents struct {
	mu  sync.Mutex
	all map[string]*policy.Document
}

// maxDocuments is how many are kept; a lab has fewer, but for buckets whose policy changes all the time.
const maxDocuments = 1024

func (d *documents) read(text string) (*policy.Document, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.all[text]; known != nil {
		return known, nil
	}
	parsed, err := policy.Parse(text)
	if err != nil {
		return nil, err
	}
	if d.all == nil || len(d.all) >= maxDocuments {
		d.all = map[string]*policy.Document{}
	}
	d.all[text] = parsed
	return parsed, nil
}
