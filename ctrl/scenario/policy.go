package scenario

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/vpclab/vpclab/ctrl/policy"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// policyShape is an IAM policy document, as a mapping. Package policy judges what it says.
type policyShape struct{}

func (policyShape) kinds() []nodeKind { return []nodeKind{mapping} }

func (policyShape) wants() string {
	return "a policy document: {Version: \"2012-10-17\", Statement: [{Effect: Allow, …}]}"
}

func (policyShape) check(r *reader, n *node, patch bool) {
	for _, item := range n.items {
		r.check("the list's element", item, anyPolicyValue{}, patch)
	}
	for _, e := range n.entries {
		r.check(quote(e.key), e.value, anyPolicyValue{}, patch)
	}
}

func (policyShape) schema(*schemas, bool) map[string]any {
	return map[string]any{"type": "object", "properties": map[string]any{
		"Version":   map[string]any{"description": "2012-10-17", "type": []string{"string", "null"}},
		"Id":        map[string]any{"description": "The policy's name."},
		"Statement": map[string]any{"description": "What is allowed and denied.", "type": []string{"object", "array", "null"}},
	}}
}

// anyPolicyValue is a value within a policy document: anything but nothing.
type anyPolicyValue struct{ policyShape }

func (anyPolicyValue) kinds() []nodeKind { return []nodeKind{scalar, list, mapping} }
func (anyPolicyValue) wants() string     { return "a value" }

// policySite is a policy document of the file.
type policySite struct {
	node  *node
	kind  policy.Kind
	owner *vpc.VPC // whose references it may shorten; nil: nobody's
	text  *string  // where the model has it
}

// policies writes the policy documents into the complete model, as JSON in which references are IDs, and judges them.
func (st *state) policies() {
	for _, v := range st.model.VPCs {
		st.remember(reference{"vpc", v.Name}, v.Name, string(v.ID))
		for _, e := range v.Endpoints {
			st.remember(reference{"endpoint", e.Name}, v.Name, string(e.ID))
		}
	}
	for _, site := range st.policySites() {
		if site.node == nil || site.node.kind != mapping || site.node.anyBad() {
			continue
		}
		st.policy(site)
	}
	st.roles()
}

// roles reports a role that is named at two instances with different policies: IAM has it once an account.
func (st *state) roles() {
	type role struct{ account, name string }
	type holder struct {
		instance *vpc.Instance
		text     string
	}
	seen := map[role]holder{}
	for _, v := range st.model.VPCs {
		for _, i := range v.Instances {
			name := st.tree.get("vpcs").get(v.Name).get("instances").get(i.Name).get("role").get("name")
			if textOf(name) == "" {
				continue
			}
			key := role{v.Account, i.Role.Name}
			other, taken := seen[key]
			if taken && other.text != i.Role.Policy {
				st.wrong(name, faultf(0, "give both the same, or one another name", "role %s has another policy at instance %s", quote(i.Role.Name),
					quote(other.instance.Name)))
			}
			if !taken {
				seen[key] = holder{i, i.Role.Policy}
			}
		}
	}
}

func (st *state) policySites() []policySite {
	var sites []policySite
	for _, v := range st.model.VPCs {
		n := st.tree.get("vpcs").get(v.Name)
		for _, e := range v.Endpoints {
			sites = append(sites, policySite{n.get("endpoints").get(e.Name).get("policy"), policy.Endpoint, v, &e.Policy})
		}
		for _, i := range v.Instances {
			sites = append(sites, policySite{n.get("instances").get(i.Name).get("role").get("policy"), policy.Identity, v, &i.Role.Policy})
		}
	}
	services := st.tree.get("services")
	for _, b := range st.model.Services.Buckets {
		n := services.get("s3").get("buckets").get(b.Name)
		sites = append(sites, policySite{n.get("policy"), policy.Resource, nil, &b.Policy})
	}
	for _, t := range st.model.Services.Tables {
		n := services.get("dynamodb").get("tables").get(t.Name)
		sites = append(sites, policySite{n.get("policy"), policy.Resource, nil, &t.Policy})
	}
	return sites
}

// policy writes one policy document and judges it. A mistake is told at the value that it lies in.
func (st *state) policy(site policySite) {
	before := st.total
	w := policyWriter{state: st, owner: site.owner}
	w.value(site.node)
	if st.total > before {
		return
	}
	*site.text = strings.Join(w.tokens, "")
	if judgePolicy(*site.text, site.kind) == nil {
		return
	}
	// The same a token a line: the line says which token is wrong.
	wrong := judgePolicy(strings.Join(w.tokens, "\n"), site.kind)
	from := w.origins[min(wrong.Line, len(w.origins))-1]
	site.node.bad = true
	st.report(from.at, st.afterwards(from.step, from.written, "policy: "+wrong.Problem), wrong.Hint)
}

// afterwards adds to a mistake that a change causes elsewhere where that is.
func (st *state) afterwards(step int, written place, what string) string {
	if step == st.reader.step {
		return what
	}
	return fmt.Sprintf("after this change, line %d: %s", written.line, what)
}

// judgePolicy is what is wrong with a policy document, or nil.
func judgePolicy(text string, kind policy.Kind) *policy.SyntaxError {
	d, err := policy.Parse(text)
	if err == nil {
		err = d.Validate(kind)
	}
	if err == nil {
		return nil
	}
	wrong, ok := err.(*policy.SyntaxError)
	if !ok {
		return &policy.SyntaxError{Line: 1, Col: 1, Problem: err.Error()}
	}
	return wrong
}

// policyWriter writes a policy document as the tokens of a JSON text, each with what it comes from.
type policyWriter struct {
	*state
	owner   *vpc.VPC
	tokens  []string
	origins []origin
}

// origin is what a token comes from: where that is written, by which step, and where a mistake in it is told.
type origin struct {
	at, written place
	step        int
}

func (w *policyWriter) token(text string, from origin) {
	w.tokens = append(w.tokens, text)
	w.origins = append(w.origins, from)
}

// value writes a value. All scalars are strings, which IAM takes for numbers and truth values, too: an account keeps its zeros.
func (w *policyWriter) value(n *node) {
	at := origin{w.at(n, 0), n.place, n.step}
	switch n.kind {
	case scalar:
		w.token(quoteJSON(w.resolve(n)), at)
	case list:
		w.token("[", at)
		for i, item := range n.items {
			if i > 0 {
				w.token(",", at)
			}
			w.value(item)
		}
		w.token("]", at)
	case mapping:
		w.token("{", at)
		for i, e := range n.entries {
			if i > 0 {
				w.token(",", at)
			}
			key := origin{w.keyAt(e), e.place, e.step}
			w.token(quoteJSON(e.key), key)
			w.token(":", key)
			w.value(e.value)
		}
		w.token("}", at)
	}
}

func quoteJSON(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // AWS's limits count what people wrote
	if err := e.Encode(s); err != nil {
		panic(err) // a string: cannot happen
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// reference names what an ID stands for, in whichever VPC.
type reference struct{ kind, name string }

// remember notes an ID, also for the time after its object is removed.
func (st *state) remember(ref reference, owner, id string) {
	if st.ids[ref] == nil {
		st.ids[ref] = map[string]string{}
	}
	st.ids[ref][owner] = id
}

// referenceForm is ${…} without a colon, which IAM's own variables have; ${*}, ${?} and ${$} are IAM's, too.
var referenceForm = regexp.MustCompile(`\$\{([^}:]*)\}`)

// resolve is a text whose references are replaced by the IDs of what they name.
func (w *policyWriter) resolve(n *node) string {
	var out strings.Builder
	done := 0
	for _, at := range referenceForm.FindAllStringSubmatchIndex(n.text, -1) {
		inner := n.text[at[2]:at[3]]
		if slices.Contains([]string{"*", "?", "$"}, inner) {
			continue
		}
		id, f := w.id(inner)
		if f != nil {
			f.what = w.afterwards(n.step, n.place, f.what)
			w.wrong(n, f.shift(runes(n.text[:at[2]])))
			continue
		}
		out.WriteString(n.text[done:at[0]] + id)
		done = at[1]
	}
	return out.String() + n.text[done:]
}

// id finds the ID of endpoint.NAME or vpc.NAME: of the VPC that the policy belongs to, or else of VPC/, which may be left out where the
// name is unique in the lab. What a change removed keeps its ID.
func (w *policyWriter) id(s string) (string, *fault) {
	owner, rest, foreign := strings.Cut(s, "/")
	if !foreign {
		owner, rest = "", s
	}
	kind, name, named := strings.Cut(rest, ".")
	if !named || kind != "endpoint" && kind != "vpc" || !validName(name) {
		return "", faultf(0, "write `${endpoint.NAME}`, `${VPC/endpoint.NAME}` or `${vpc.NAME}`; IAM's own variables have a colon, as in `${aws:SourceVpc}`",
			"%s names nothing", quote("${"+s+"}"))
	}
	owners := w.ids[reference{kind, name}]
	if w.owner != nil && owner == "" && kind == "endpoint" {
		owner = w.owner.Name
	}
	switch id := owners[owner]; {
	case id != "":
		return id, nil
	case owner != "" || len(owners) == 0:
		return "", faultf(0, didYouMean(s, w.references(kind, foreign), "there are"), "there is no %s %s", kind, quote(s))
	}
	var candidates []string
	for owner, id := range owners {
		if len(owners) == 1 {
			return id, nil
		}
		candidates = append(candidates, owner+"/"+kind+"."+name)
	}
	slices.Sort(candidates)
	return "", faultf(0, "write "+choices(candidates), "%s is in several VPCs", quote(s))
}

// references are all that a policy can name of a kind, as it writes them. When so many mistakes are found that no more are shown, there
// is no need of them.
func (w *policyWriter) references(kind string, whole bool) []string {
	if w.total >= maxErrors {
		return nil
	}
	var names []string
	for ref, owners := range w.ids {
		if ref.kind != kind {
			continue
		}
		for owner := range owners {
			name := ref.kind + "." + ref.name
			if kind == "endpoint" && (whole || w.owner != nil && owner != w.owner.Name) {
				name = owner + "/" + name
			}
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
