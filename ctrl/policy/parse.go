package policy

import (
	"fmt"
	"regexp"
	"strings"
)

// The versions of the language.
const (
	oldVersion = "2008-10-17" // the default; no policy variables
	version    = "2012-10-17"
)

// Parse understands a policy document. The error is a *SyntaxError. What depends on where the policy stands is left to Validate.
func Parse(text string) (*Document, error) {
	root, err := readJSON(text)
	if err != nil {
		return nil, err
	}
	if root.kind != object {
		return nil, root.fault("the policy is "+root.kind.String(), oneObject)
	}
	d := &Document{text: text}
	elements, err := root.elements("element", "Version", "Id", "Statement")
	if err != nil {
		return nil, err
	}
	if err := d.version(elements["Version"]); err != nil {
		return nil, err
	}
	if id := elements["Id"]; id != nil && id.value.kind != str {
		return nil, id.value.fault("Id is "+id.value.kind.String(), "it is a string")
	}
	if elements["Statement"] == nil {
		return nil, root.fault("the policy has no Statement", "it is a statement or a list of them")
	}
	return d, d.parseStatements(elements["Statement"].value)
}

// elements are the members of an object, all of them known by name.
func (n *node) elements(what string, known ...string) (map[string]*member, error) {
	found := map[string]*member{}
	for i := range n.members {
		m := &n.members[i]
		for _, name := range known {
			if m.key == name {
				found[name] = m
			}
		}
		if found[m.key] == nil {
			return nil, m.at.unknown(what, m.key, known)
		}
	}
	return found, nil
}

func (d *Document) version(m *member) error {
	if m == nil {
		return nil
	}
	if m.value.kind != str || m.value.text != version && m.value.text != oldVersion {
		return m.value.fault("unknown Version "+m.value.quoted(), fmt.Sprintf("it is %q", version))
	}
	d.variables = m.value.text == version
	return nil
}

func (d *Document) parseStatements(n *node) error {
	items := []*node{n}
	if n.kind == list {
		items = n.items
	}
	if len(items) == 0 {
		return n.fault("Statement is an empty list", "give at least one statement")
	}
	for _, item := range items {
		if item.kind != object {
			return item.fault("Statement is "+item.kind.String(), "it is an object or a list of objects")
		}
		s, err := d.parseStatement(item)
		if err != nil {
			return err
		}
		d.statements = append(d.statements, s)
	}
	return nil
}

func (d *Document) parseStatement(n *node) (s statement, err error) {
	s.at = n.place
	e, err := n.elements("element of a statement", "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition")
	if err != nil {
		return s, err
	}
	if err := s.parseSid(e["Sid"]); err != nil {
		return s, err
	}
	if err := s.parseEffect(n, e["Effect"]); err != nil {
		return s, err
	}
	if who, not, err := n.either(e, "Principal", false); err != nil {
		return s, err
	} else if who != nil {
		if s.principals, err = parsePrincipals(who.value, not); err != nil {
			return s, err
		}
	}
	action, not, err := n.either(e, "Action", true)
	if err != nil {
		return s, err
	}
	if s.actions, err = parseActions(action.value, not); err != nil {
		return s, err
	}
	resource, not, err := n.either(e, "Resource", true)
	if err != nil {
		return s, err
	}
	if s.resources, err = parseResources(resource.value, not, d.variables); err != nil {
		return s, err
	}
	if c := e["Condition"]; c != nil {
		s.conditions, err = parseConditions(c.value, d.variables)
	}
	return s, err
}

// either is an element or its negation, of which there is at most one; not says which.
func (n *node) either(elements map[string]*member, name string, must bool) (found *member, not bool, err error) {
	plain, negated := elements[name], elements["Not"+name]
	switch {
	case plain != nil && negated != nil:
		return nil, false, negated.at.fault(fmt.Sprintf("both %s and Not%s", name, name), "give one of them")
	case negated != nil:
		return negated, true, nil
	case plain == nil && must:
		return nil, false, n.fault("a statement without "+name, fmt.Sprintf("give %s or Not%s", name, name))
	}
	return plain, false, nil
}

func (s *statement) parseSid(m *member) error {
	if m == nil {
		return nil
	}
	if m.value.kind != str {
		return m.value.fault("Sid is "+m.value.kind.String(), "it is a string")
	}
	s.sid, s.sidAt = m.value.text, m.value.place
	return nil
}

func (s *statement) parseEffect(n *node, m *member) error {
	if m == nil {
		return n.fault("a statement without Effect", "it is Allow or Deny")
	}
	if m.value.kind != str || m.value.text != "Allow" && m.value.text != "Deny" {
		return m.value.fault("unknown Effect "+m.value.quoted(), "it is Allow or Deny")
	}
	s.deny = m.value.text == "Deny"
	return nil
}

// actions are patterns of which one must match, or none if not.
type actions struct {
	not      bool
	patterns []pattern
}

var actionForm = regexp.MustCompile(`^(\*|[A-Za-z0-9*?-]+:[A-Za-z0-9*?]+)$`)

func parseActions(n *node, not bool) (a actions, err error) {
	a.not = not
	items, err := n.strings("Action")
	if err != nil {
		return a, err
	}
	for _, item := range items {
		if !actionForm.MatchString(item.text) {
			return a, item.fault(fmt.Sprintf("%q is no action", item.text), `it is SERVICE:ACTION, such as "s3:GetObject" or "s3:Get*", or "*"`)
		}
		var p pattern
		p.add(strings.ToLower(item.text), true)
		a.patterns = append(a.patterns, p)
	}
	return a, nil
}

// match says that an action is among them. Case does not matter.
func (a *actions) match(action string) bool {
	action = strings.ToLower(action)
	for _, p := range a.patterns {
		if match(p.glyphs, action) {
			return !a.not
		}
	}
	return a.not
}

// quoted is a string as it was meant, and anything else by its kind.
func (n *node) quoted() string {
	if n.kind == str {
		return fmt.Sprintf("%q", n.text)
	}
	return "(" + n.kind.String() + ")"
}
