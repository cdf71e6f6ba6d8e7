package policy

import (
	"fmt"
	"strings"
)

// Decision is whether a request is allowed, and by what.
type Decision struct {
	Allowed   bool
	Kind      Kind   // whose policy decided
	Explicit  bool   // a statement denied it; false: none allowed it
	Statement int    // the one that decided, from 0; -1: none did
	Sid       string // its Sid
	// Because is the condition that made a statement deny, or that kept one from allowing; empty if it was no condition.
	Because string

	action, resource, who string

	absent bool   // there is no such policy
	nor    bool   // nor does the resource's policy allow it
	almost string // the statement that Because belongs to, where none decided
}

func (d Decision) explicit(k Kind, o outcome) Decision {
	d.Kind, d.Explicit, d.Statement, d.Sid, d.Because = k, true, o.statement, o.sid, o.because
	return d
}

func (d Decision) allow(k Kind, o outcome) Decision {
	d.Allowed, d.Kind, d.Statement, d.Sid = true, k, o.statement, o.sid
	return d
}

func (d Decision) implicit(k Kind, o outcome) Decision {
	d.Kind, d.absent = k, o.absent
	d.near(k, o)
	return d
}

func (d Decision) either(k Kind, o outcome, allowed bool) Decision {
	if allowed {
		return d.allow(k, o)
	}
	return d.implicit(k, o)
}

// near remembers the statement that would have allowed but for a condition.
func (d *Decision) near(k Kind, o outcome) {
	if o.because != "" {
		d.Because = o.because
		d.almost = nth(o.statement, o.sid) + " of the " + d.policy(k)
	}
}

// String is a sentence without its full stop, for a person.
func (d Decision) String() string {
	switch statement := nth(d.Statement, d.Sid) + " of the " + d.policy(d.Kind); {
	case d.Allowed:
		return "allowed by " + statement
	case d.Explicit && d.Because != "":
		return fmt.Sprintf("explicit deny by %s (%s)", statement, d.Because)
	case d.Explicit:
		return "explicit deny by " + statement
	}
	return d.nobody() + d.unmet()
}

// nobody says that no statement allows the request.
func (d Decision) nobody() string {
	what := fmt.Sprintf("%s on %s", d.action, d.resource)
	if d.Kind == Resource {
		what += " to " + d.who
	}
	switch {
	case d.absent && d.nor:
		return fmt.Sprintf("no statement of the %s allows %s by itself, and there is no %s", d.policy(Resource), what, d.policy(d.Kind))
	case d.absent:
		return fmt.Sprintf("there is no %s that allows %s", d.policy(d.Kind), what)
	case d.nor:
		return fmt.Sprintf("no statement of the %s or the %s allows %s", d.policy(d.Kind), d.policy(Resource), what)
	}
	return fmt.Sprintf("no statement of the %s allows %s", d.policy(d.Kind), what)
}

func (d Decision) unmet() string {
	if d.almost == "" {
		return ""
	}
	return fmt.Sprintf("; %s would, but %s", d.almost, d.Because)
}

// nth counts statements from one, as people do.
func nth(statement int, sid string) string {
	if sid == "" {
		return fmt.Sprintf("statement %d", statement+1)
	}
	return fmt.Sprintf("statement %d (%q)", statement+1, sid)
}

// policy names a policy as its owner would.
func (d Decision) policy(k Kind) string {
	if k != Resource {
		return k.String() + " policy"
	}
	parts := strings.SplitN(d.resource, ":", 4)
	if len(parts) < 4 {
		return "resource policy"
	}
	switch parts[2] {
	case "s3":
		return "bucket policy"
	case "dynamodb":
		return "table policy"
	case "sqs":
		return "queue policy"
	case "sns":
		return "topic policy"
	}
	return "resource policy"
}
