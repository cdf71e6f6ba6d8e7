package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Principal is who asks. The zero value is an anonymous request.
type Principal struct {
	ARN     string // of the role, user or account: "arn:aws:iam::123456789012:role/reader"
	Session string // of the role's session: "arn:aws:sts::123456789012:assumed-role/reader/i-0123456789abcdef0"; empty if there is none
	Account string // 12 digits
	UserID  string // aws:userid: "AROAEXAMPLE:i-0123456789abcdef0"
}

// Anonymous says that nobody signed the request.
func (p Principal) Anonymous() bool { return p.ARN == "" && p.Session == "" && p.Account == "" }

func (p Principal) root() bool { return strings.HasSuffix(p.ARN, ":root") }

// String is the principal for a person.
func (p Principal) String() string {
	switch {
	case p.Anonymous():
		return "anonymous requests"
	case p.ARN != "":
		return p.ARN
	case p.Session != "":
		return p.Session
	}
	return "account " + p.Account
}

// principals are whom a statement names. Services, federated and canonical users ask for nothing in a lab and match nobody.
type principals struct {
	at            place
	not, everyone bool
	accounts      []string
	arns          []string // of roles, users and sessions
}

// grade is how a statement means a principal.
type grade uint8

const (
	notMeant  grade = iota
	byAccount       // only the account is named: it may be let in, but who in it may is for its identity policies to say
	meant
)

var (
	accountForm   = regexp.MustCompile(`^[0-9]{12}$`)
	rootForm      = regexp.MustCompile(`^arn:[a-z-]+:iam::([0-9]{12}):root$`)
	principalForm = regexp.MustCompile(`^arn:[a-z-]+:(iam|sts)::([0-9]{12}|cloudfront):[a-z-]+/.+$`)
	// principalTypes are those that the language knows.
	principalTypes = []string{"AWS", "Service", "Federated", "CanonicalUser"}
)

const principalHint = `it is "*", an account of 12 digits, or the ARN of an account, a role, a user or a role's session`

func parsePrincipals(n *node, not bool) (*principals, error) {
	p := &principals{at: n.place, not: not}
	if n.kind == str && n.text == "*" {
		p.everyone = true
		return p, nil
	}
	if n.kind != object || len(n.members) == 0 {
		return nil, n.fault("unknown Principal "+n.quoted(), `it is "*", or an object such as {"AWS": "123456789012"}`)
	}
	types, err := n.elements("type of principal", principalTypes...)
	if err != nil {
		return nil, err
	}
	for _, name := range principalTypes {
		if types[name] == nil {
			continue
		}
		items, err := types[name].value.strings(name)
		if err != nil {
			return nil, err
		}
		for _, item := range items {
			if err := p.add(name, item); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

func (p *principals) add(kind string, n *node) error {
	root := rootForm.FindStringSubmatch(n.text)
	switch {
	case n.text == "":
		return n.fault("an empty principal", principalHint)
	case kind != "AWS":
	case n.text == "*":
		p.everyone = true
	case accountForm.MatchString(n.text):
		p.accounts = append(p.accounts, n.text)
	case root != nil:
		p.accounts = append(p.accounts, root[1])
	case strings.ContainsAny(n.text, "*?"):
		return n.fault(fmt.Sprintf("principal %q has wildcards", n.text), `a principal is named in full; use "*" with a condition ArnLike aws:PrincipalArn`)
	case principalForm.MatchString(n.text):
		p.arns = append(p.arns, n.text)
	default:
		return n.fault(fmt.Sprintf("unknown principal %q", n.text), principalHint)
	}
	return nil
}

// match says how the statement means a principal. An account stands for all in it; with rootOnly, as at a gateway endpoint, for its
// root user alone.
func (p *principals) match(who Principal, rootOnly bool) grade {
	found := p.find(who, rootOnly)
	if !p.not {
		return found
	}
	if found == notMeant {
		return meant
	}
	return notMeant
}

func (p *principals) find(who Principal, rootOnly bool) grade {
	switch {
	case p.everyone:
		return meant
	case who.Anonymous():
		return notMeant
	case slices.Contains(p.arns, who.ARN) || slices.Contains(p.arns, who.Session):
		return meant
	case !slices.Contains(p.accounts, who.Account):
		return notMeant
	case who.root():
		return meant
	case rootOnly:
		return notMeant
	}
	return byAccount
}
