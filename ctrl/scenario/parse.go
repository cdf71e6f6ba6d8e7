package scenario

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

// Load reads a scenario file. Mistakes in it are Errors; another error means that the file cannot be read.
func Load(file string) (*Scenario, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read scenario: %w", err)
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read scenario: %w", err)
	}
	return Parse(file, src)
}

// Parse reads a scenario from memory; name is what its errors call the file. The error is an Errors that lists all mistakes.
func Parse(name string, src []byte) (*Scenario, error) {
	r := &reader{reporter: reporter{file: name}}
	for line := range strings.SplitSeq(strings.TrimPrefix(string(src[:min(len(src), maxBytes)]), "\ufeff"), "\n") {
		r.lines = append(r.lines, strings.TrimSuffix(line, "\r"))
	}
	root := r.readYAML(src)
	if root == nil {
		return nil, r.err()
	}
	if root.kind != mapping {
		r.report(root.place, "the file holds "+root.kind.String(), "a scenario is a mapping with `name`, `vpcs` and `checks`")
		return nil, r.err()
	}
	s := r.scenario(root)
	if err := r.err(); err != nil {
		return nil, err
	}
	s.File = name
	return s, nil
}

// scenario reads a whole file: first the lab, then its steps one after another.
func (r *reader) scenario(root *node) *Scenario {
	lab := &node{kind: mapping, place: root.place, entries: root.entries}
	lab.keep(func(e entry) bool { return e.key != "checks" })
	st := &state{reader: r, tree: lab, held: map[string]*holding{}, ids: map[reference]map[string]string{}}
	s := &Scenario{Name: textOf(lab.get("name")), About: textOf(lab.get("about"))}
	st.declare()
	s.Clock = clockOf(lab.get("clock"))
	s.Model = st.model

	checks := root.get("checks")
	switch {
	case checks == nil:
		return s
	case checks.kind != list:
		r.check("`checks`", checks, array{stepVariants}, false)
		return s
	}
	for i, item := range checks.items {
		if step := st.step(i+1, item); step != nil {
			s.Steps = append(s.Steps, *step)
		}
	}
	return s
}

func clockOf(n *node) Clock {
	c := Clock{Rate: 1}
	if start := textOf(n.get("start")); start != "" {
		c.Start, _ = time.Parse(time.RFC3339, start) // checked by its shape
	}
	if rate := textOf(n.get("rate")); rate != "" {
		c.Rate, _ = strconv.ParseFloat(rate, 64) // checked by its shape
	}
	return c
}

// maxWork bounds the values that are read over all changes of a file, each of which makes a whole model anew.
const maxWork = 400_000

// maxElapsed bounds the sum of all `advance` steps, which a file can have many of.
const maxElapsed = 10 * maxDuration

// state is the lab as it is at one step.
type state struct {
	*reader
	tree  *node
	model *vpc.Model
	dir   *directory
	// sound says that no mistake was found in the lab so far. Once there is one, what follows from it is not reported.
	sound bool
	held  map[string]*holding
	work  int
	// elapsed is the sum of all `advance` steps so far.
	elapsed time.Duration
	down    []string // the availability zones that are down
	// ids are the IDs that policies can name, by VPC.
	ids map[reference]map[string]string
}

// declare reads the file's own lab.
func (st *state) declare() {
	before := st.total
	st.check("the file", st.tree, language, false)
	st.model = st.decode(st.tree)
	st.problems(st.model.Complete(nil))
	st.policies()
	st.sound = st.total == before
	st.dir = newDirectory(st.model, st.sound)
}

// step reads the nth element of `checks`.
func (st *state) step(n int, item *node) *Step {
	before := st.total
	st.check("the step", item, stepVariants, false)
	if item.kind != mapping {
		return nil
	}
	step := &Step{Line: item.place.line}
	switch stepVariants.pick(item).key {
	case "do":
		step.Check = st.readCheck(item)
	case "advance":
		step.Advance, _ = parseDuration(textOf(item.get("advance"))) // checked by its shape
		st.elapsed = min(st.elapsed+step.Advance, maxElapsed)
	case "change":
		e, ok := item.find("change")
		if !ok || e.value.kind != mapping {
			st.sound = false
			break
		}
		st.change(n, e, st.total == before)
		step.Change = st.model
	case zoneDown, zoneUp:
		zone := item.get(stepVariants.pick(item).key)
		if textOf(zone) == "" {
			break
		}
		step.Zone = Zone{Name: zone.text, Down: item.has(zoneDown)}
		st.zone(n, zone, step.Zone)
		step.Change = st.model
	default:
		return nil
	}
	return step
}

// change applies a patch; ok says that its shape is right.
func (st *state) change(n int, e entry, ok bool) {
	before := st.total
	st.tree = merge(st.tree, mark(e.value, n), func(gone entry, from *node) {
		if from != nil && ok {
			st.report(gone.place, quote(gone.key)+" is not there to remove", didYouMean(gone.key, from.keys(), ""))
		}
	})
	if !st.affords(e.place) {
		return
	}
	if !st.sound || !ok || st.total > before {
		st.sound = false
		st.model = (&reader{}).decode(st.tree)
		st.dir = newDirectory(st.model, false)
		return
	}
	st.again(n, e.place)
}

// affords reports whether the lab may be made anew once more.
func (st *state) affords(at place) bool {
	if st.work += st.tree.size(); st.work <= maxWork {
		return true
	}
	if st.sound {
		st.report(at, "the file has too many changes for a lab of this size", "split it")
	}
	st.sound = false
	return false
}

// again makes the lab's model anew from its tree, as the nth step leaves it.
func (st *state) again(n int, at place) {
	before := st.total
	st.reader.step, st.stepPlace = n, at
	st.check("the lab", st.tree, language, false)
	previous := st.model
	st.model = st.decode(st.tree)
	st.model.Elapsed, st.model.DownZones = st.elapsed, st.down
	st.problems(st.model.Complete(previous))
	st.policies()
	st.reader.step = 0
	st.sound = st.total == before
	st.dir = newDirectory(st.model, st.sound)
}

// problems reports what is wrong with the model, at the values that it came from. What lies at or around a mistake that was reported
// already, or follows from one in the addressing of its VPC, is left out.
func (st *state) problems(problems []vpc.Problem) {
	tainted := map[string]bool{}
	regionBad := bad(st.tree.get("region"))
	for _, e := range st.tree.get("vpcs").all() {
		gateway := e.value.get("internet_gateway")
		tainted[e.key] = regionBad || bad(e.value.get("region")) || bad(e.value.get("cidr")) || bad(e.value.get("ipv6")) ||
			bad(e.value.get("subnets")) || gateway != nil && gateway.bad
	}
	for _, e := range st.tree.get("peerings").all() {
		tainted["peering."+e.key] = tainted[textOf(e.value.get("requester"))] || tainted[textOf(e.value.get("accepter"))]
	}
	for _, p := range problems {
		if len(p.Path) > 1 && (p.Path[0] == "vpcs" && tainted[p.Path[1]] || p.Path[0] == "peerings" && tainted["peering."+p.Path[1]]) {
			continue
		}
		at, n := st.locate(p.Path)
		if n.anyBad() || st.aroundBad(p.Path) {
			continue
		}
		if n.kind == scalar && (strings.HasSuffix(p.What, "does not exist") || strings.HasPrefix(p.What, "the security group '")) {
			at = st.at(n, lastWord(n.text)) // the reference at the end of a rule
		}
		what := p.What
		if n.step != st.reader.step { // removed by the step, needed elsewhere
			what = fmt.Sprintf("after this change, %s in line %d: %s", quote(strings.Join(p.Path, ".")), n.place.line, what)
		}
		st.report(at, what, p.Hint)
	}
}

func bad(n *node) bool { return n != nil && n.anyBad() }

// lastWord is the offset of a text's last word, in characters.
func lastWord(s string) int {
	i := strings.LastIndexAny(strings.TrimRight(s, " \t"), " \t")
	return utf8.RuneCountInString(s[:i+1])
}

// locate finds the value that a path leads to, or the nearest above it: where a mistake in it is reported, and its node.
func (st *state) locate(path []string) (place, *node) {
	n := st.tree
	at := place{1, 1}
	if st.reader.step > 0 {
		at = st.stepPlace
	}
	for _, name := range path {
		switch n.kind {
		case mapping:
			e, ok := n.find(name)
			if !ok {
				return at, n
			}
			n, at = e.value, st.keyAt(e)
		case list:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(n.items) {
				return at, n
			}
			n = n.items[i]
		}
		if n.kind == list && len(n.items) == 1 && n.items[0].kind == scalar {
			n = n.items[0]
		}
		if n.kind == scalar {
			return st.at(n, 0), n
		}
	}
	return at, n
}

// aroundBad reports whether a mistake was reported for a value that the path goes through.
func (st *state) aroundBad(path []string) bool {
	n := st.tree
	for _, name := range path {
		if n = n.get(name); n == nil {
			return false
		}
		if n.bad {
			return true
		}
	}
	return false
}
