package policy

import "strings"

// Request is what a principal wants to do.
type Request struct {
	Principal Principal
	Action    string // "s3:GetObject"
	Resource  string // an ARN
	// Keys are the request's condition keys; case does not matter in their names. A key without values is absent. Decide adds those that
	// follow from the principal: aws:PrincipalArn, aws:PrincipalAccount, aws:PrincipalType, aws:userid, and for a user aws:username.
	Keys map[string][]string
}

// Policies are those that a request meets; nil is none.
type Policies struct {
	Identity *Document
	// Endpoint is nil for a request through no endpoint, or through one that lets everything through.
	Endpoint *Document
	// Gateway says that the endpoint is a gateway endpoint. An account that its policy names as a principal is that account's root user
	// alone (AWS PrivateLink Guide, "Principals for gateway endpoints").
	Gateway  bool
	Resource *Document
	// ResourceAccount owns the resource; empty is nobody's account.
	ResourceAccount string
}

// Decide combines the policies as AWS does. A statement that denies wins, in whichever policy. Then the endpoint's policy must allow.
// Within an account it is enough that the identity's policy allows, or that the resource's does and names the principal, its role, its session
// or everyone; naming the account leaves it to the identity's policy. Across accounts both must allow. What is anonymous is allowed by the
// resource's policy alone.
func Decide(p Policies, r *Request) Decision {
	k := r.keys()
	identity := p.Identity.evaluate(r, k, false)
	if r.Principal.Anonymous() {
		identity = outcome{statement: -1, absent: true}
	}
	endpoint := p.Endpoint.evaluate(r, k, p.Gateway)
	resource := p.Resource.evaluate(r, k, false)
	d := Decision{Statement: -1, action: r.Action, resource: r.Resource, who: r.Principal.String()}
	switch {
	case identity.denied:
		return d.explicit(Identity, identity)
	case endpoint.denied:
		return d.explicit(Endpoint, endpoint)
	case resource.denied:
		return d.explicit(Resource, resource)
	case p.Endpoint != nil && endpoint.allowed == notMeant:
		return d.implicit(Endpoint, endpoint)
	case r.Principal.Anonymous():
		return d.either(Resource, resource, resource.allowed == meant)
	case r.Principal.Account != "" && r.Principal.Account == p.ResourceAccount:
		return d.within(identity, resource)
	case identity.allowed == notMeant:
		return d.implicit(Identity, identity)
	}
	return d.either(Resource, resource, resource.allowed != notMeant)
}

// within decides between principals and resources of one account.
func (d Decision) within(identity, resource outcome) Decision {
	switch {
	case identity.allowed != notMeant:
		return d.allow(Identity, identity)
	case resource.allowed == meant:
		return d.allow(Resource, resource)
	}
	d = d.implicit(Identity, identity)
	if !resource.absent {
		d.nor = true
		if d.Because == "" {
			d.near(Resource, resource)
		}
	}
	return d
}

// outcome is what one policy says.
type outcome struct {
	absent    bool
	denied    bool
	allowed   grade
	statement int // the one that denied or allowed; or, with because, the one that would have allowed; otherwise -1
	sid       string
	because   string // the condition that held or did not
}

// evaluate asks one policy. Where several statements deny, or allow alike, the first one is named.
func (d *Document) evaluate(r *Request, k keys, rootOnly bool) outcome {
	o := outcome{statement: -1, absent: d == nil}
	if d == nil {
		return o
	}
	for i := range d.statements {
		s := &d.statements[i]
		g, failed := s.match(r, k, rootOnly)
		switch {
		case g == notMeant:
		case failed != nil:
			if !s.deny && o.statement < 0 {
				o.statement, o.sid, o.because = i, s.sid, failed.explain(k, false)
			}
		case s.deny:
			return outcome{denied: true, statement: i, sid: s.sid, because: s.reason(k)}
		case g > o.allowed:
			o.allowed, o.statement, o.sid, o.because = g, i, s.sid, ""
		}
	}
	return o
}

// match says whether a statement speaks of a request, and names the first condition that stands in the way.
func (s *statement) match(r *Request, k keys, rootOnly bool) (grade, *condition) {
	g := meant // without principals it is an identity's
	if s.principals != nil {
		g = s.principals.match(r.Principal, rootOnly)
	}
	if g == notMeant || !s.actions.match(r.Action) || !s.resources.match(r.Resource, k) {
		return notMeant, nil
	}
	for i := range s.conditions {
		if !s.conditions[i].holds(k) {
			return g, &s.conditions[i]
		}
	}
	return g, nil
}

func (s *statement) reason(k keys) string {
	if len(s.conditions) == 0 {
		return ""
	}
	return s.conditions[0].explain(k, true)
}

// keys are those that were given and those that follow from the principal, which nobody can give otherwise.
func (r *Request) keys() keys {
	k := keys{}
	for name, values := range r.Keys {
		name = strings.ToLower(name)
		k[name] = append(k[name], values...)
	}
	who := r.Principal
	set := func(name, value string) {
		delete(k, name)
		if value != "" {
			k[name] = []string{value}
		}
	}
	set("aws:principalarn", who.ARN)
	set("aws:principalaccount", who.Account)
	set("aws:userid", who.UserID)
	set("aws:principaltype", who.kind())
	set("aws:username", who.user())
	return k
}

// kind is aws:PrincipalType.
func (p Principal) kind() string {
	switch {
	case p.Anonymous():
		return "Anonymous"
	case p.Session != "":
		return "AssumedRole"
	case p.root():
		return "Account"
	}
	return "User"
}

// user is aws:username, which only users have: the last part of the ARN.
func (p Principal) user() string {
	_, path, found := strings.Cut(p.ARN, ":user/")
	if !found {
		return ""
	}
	return path[strings.LastIndexByte(path, '/')+1:]
}
