// Package policy parses IAM policy documents and decides about requests by them, as AWS combines the policies of an identity, an
// endpoint and a resource. It verifies no signature, knows no service, and does no I/O: whoever asks says who the principal is and
// which condition keys the request has.
//
// The language is that of the IAM User Guide (reference_policies_elements and reference_policies_evaluation-logic). Left out, since
// labs have none of it: permissions boundaries, session policies, organizations' policies, and ACLs. Where the guide leaves a choice, in
// NotPrincipal, a statement spares whoever is listed by their own ARN, their role's or their account's.
package policy

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kind is what a policy belongs to.
type Kind uint8

// The kinds.
const (
	Identity Kind = iota // of a role
	Endpoint             // of a VPC endpoint
	Resource             // of a bucket, a table, a queue, a topic
)

// String is the kind's name within a sentence.
func (k Kind) String() string {
	switch k {
	case Identity:
		return "identity"
	case Endpoint:
		return "endpoint"
	default:
		return "resource"
	}
}

// Document is a policy that Parse understood. It does not change, so many may ask it at once.
type Document struct {
	text       string
	variables  bool // Version 2012-10-17
	statements []statement
}

// statement has each of its lists compiled; of a pair such as Action and NotAction there is one, and not says which.
type statement struct {
	at         place
	sid        string
	sidAt      place
	deny       bool
	principals *principals // nil: none given
	actions    actions
	resources  resources
	conditions []condition
}

// Limits of AWS's, in characters.
const (
	maxIdentity = 10240 // white space not counted
	maxOther    = 20480
)

// Validate says whether the document may stand where it is to stand: who must name principals and who must not, and how long it may be.
// The error is a *SyntaxError.
func (d *Document) Validate(k Kind) error {
	if n, limit := d.size(k), k.limit(); n > limit {
		return start.fault(fmt.Sprintf("the policy has %d characters", n), fmt.Sprintf("%s policies have at most %d", k, limit))
	}
	sids := map[string]bool{}
	for i := range d.statements {
		s := &d.statements[i]
		if err := s.validate(k); err != nil {
			return err
		}
		if s.sid != "" && sids[s.sid] {
			return s.sidAt.fault(fmt.Sprintf("Sid %q is given twice", s.sid), "a Sid is unique within its policy")
		}
		sids[s.sid] = true
	}
	return nil
}

func (s *statement) validate(k Kind) error {
	switch {
	case k == Identity && s.principals != nil:
		return s.principals.at.fault("an identity policy names no principal", "it is whoever has the policy; leave it out")
	case k != Identity && s.principals == nil:
		return s.at.fault("a statement without Principal", fmt.Sprintf(`%s policies say who: "Principal": "*"`, k))
	case s.principals != nil && s.principals.not && !s.deny:
		return s.principals.at.fault("NotPrincipal in a statement that allows", "it would let everybody else in; name who may by Principal, or deny")
	case k == Identity && strings.ContainsFunc(s.sid, notAlphanumeric):
		return s.sidAt.fault(fmt.Sprintf("Sid %q in an identity policy", s.sid), "it has letters A-Z, a-z and digits only")
	}
	return nil
}

func notAlphanumeric(r rune) bool {
	return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r)
}

func (k Kind) limit() int {
	if k == Identity {
		return maxIdentity
	}
	return maxOther
}

func (d *Document) size(k Kind) int {
	n := utf8.RuneCountInString(d.text)
	if k == Identity {
		for _, r := range d.text {
			if unicode.IsSpace(r) {
				n--
			}
		}
	}
	return n
}

// SyntaxError is a mistake in a document.
type SyntaxError struct {
	Line, Col int // from 1, in characters
	// Path leads to the mistake in whatever the document was written in: "Statement[0].Effect"; empty for the whole.
	Path    string
	Problem string // what is wrong: `unknown element "Efect"`
	Hint    string // what would be right
}

// Error is one line with the position first.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%d:%d: %s: %s", e.Line, e.Col, e.Problem, e.Hint)
}
