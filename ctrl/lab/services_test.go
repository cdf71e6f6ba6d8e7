package lab

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/check"
	"github.com/vpclab/vpclab/ctrl/scenario"
)

// loadLab has three instances that load an object through a gateway endpoint, and changes of the endpoint and of policies.
const loadLab = `
name: labtest-gone
vpcs:
  a:
    cidr: 10.0.0.0/16
    subnets: {p: {cidr: 10.0.0.0/24, az: a, route_table: private}}
    route_tables: {private: {}}
    instances: {one: {subnet: p}, two: {subnet: p}, three: {subnet: p}}
    endpoints: {s3: {type: gateway, service: s3, route_tables: [private]}}
services: {s3: {buckets: {logs: {}}}}
checks:
  - {name: load, from: one, do: s3 get logs/big, wait: 10s}
  - change: {vpcs: {a: {endpoints: {s3: null}}}}
  - change:
      vpcs:
        a:
          endpoints:
            s3:
              type: gateway
              service: s3
              route_tables: [private]
              policy: {Version: "2012-10-17", Statement: [{Sid: nothing, Effect: Deny, Principal: "*", Action: "s3:GetObject", Resource: "*"}]}
  - change: {vpcs: {a: {endpoints: {s3: {policy: null}}}}}
  - change:
      services:
        s3: {buckets: {logs: {policy: {Version: "2012-10-17", Statement: [{Sid: nobody, Effect: Deny, Principal: "*", Action: "s3:*", Resource: "*"}]}}}}
  - change: {services: {s3: {buckets: {logs: {policy: null}}}}}
`

// fates are how often loads ended in a way, with the reason in words.
type fates map[string]int

func (f fates) String() string {
	var b strings.Builder
	for _, fate := range slices.Sorted(maps.Keys(f)) {
		fmt.Fprintf(&b, "%6d %s\n", f[fate], fate)
	}
	return b.String()
}

// missing are the words of those fates that the changes are to bring about and that no load had.
func (f fates) missing() []string {
	words := []string{"ok", "NO_ROUTE_TO_DESTINATION", `statement 1 ("nothing") of the endpoint policy`, `statement 1 ("nobody") of the bucket policy`}
	return slices.DeleteFunc(words, func(word string) bool {
		for fate := range f {
			if strings.Contains(fate, word) {
				return true
			}
		}
		return false
	})
}

// fateOfLoad is how a load ended, and why if it failed; "" if nothing says why.
func fateOfLoad(r check.Result) string {
	switch {
	case r.Pass:
		return "ok"
	case r.Got == scenario.Denied && len(r.Denials) > 0:
		return "denied: " + r.Denials[0]
	case r.Got == scenario.Timeout && len(r.Drops) > 0:
		return fmt.Sprintf("timeout: %s at %s", r.Reason, r.At)
	case r.Got == scenario.Reset:
		return "reset"
	}
	return ""
}

// TestChangeBesideLoads: while instances load objects, their endpoint goes and comes and policies change. Each load that fails has its reason,
// and in the end all is as it was.
func TestChangeBesideLoads(t *testing.T) {
	warm(t)
	both(t, func(t *testing.T, offload bool) {
		leavesNothing(t, func(t *testing.T) { changesBesideLoads(t, offload) })
	})
}

func changesBesideLoads(t *testing.T, offload bool) {
	s := scenarioOnce(t, loadLab)
	l, err := Start(t.Context(), s, Options{Offload: offload})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := l.services.keep(t.Context(), "logs", "big", bytes.Repeat([]byte("x"), 1<<20)); err != nil {
		t.Fatal(err)
	}
	load, changes := s.Steps[0].Check, s.Steps[1:]
	var mu sync.Mutex
	var applied int
	seen, given := fates{}, time.Now().Add(6*patience)
	enough := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return applied > 2*len(changes) && len(seen.missing()) == 0 || time.Now().After(given)
	}
	passed := func() int {
		mu.Lock()
		defer mu.Unlock()
		return seen["ok"]
	}
	meddling := during(100*time.Millisecond, func(n int) error {
		if before := passed(); n%len(changes) == 0 { // all is as it was, and somebody is to see it, however slow the machine
			eventually(func() bool { return passed() > before || enough() })
		}
		err := l.Apply(context.Background(), changes[n%len(changes)].Change)
		mu.Lock()
		defer mu.Unlock()
		applied++
		return err
	})
	var loaders sync.WaitGroup
	for _, i := range s.Model.VPCs[0].Instances {
		loaders.Go(func() {
			r := check.NewRunner(l)
			defer r.Close()
			mine := *load
			mine.From = node("a", i.Name)
			for !enough() {
				result := r.Run(t.Context(), &mine)
				fate := fateOfLoad(result)
				if fate == "" {
					t.Errorf("%s: %s %s, and nothing says why: %+v", i.Name, result.Got, result.Detail, result)
				}
				mu.Lock()
				seen[fate]++
				mu.Unlock()
			}
		})
	}
	loaders.Wait()
	if _, err := meddling.stop(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d changes, and loads that ended so:\n%s", applied, seen)
	if missing := seen.missing(); len(missing) > 0 {
		t.Errorf("no load ended by %q", missing)
	}
	if err := l.Apply(t.Context(), s.Model); err != nil {
		t.Fatal(err)
	}
	for _, i := range s.Model.VPCs[0].Instances {
		mine := *load
		mine.From = node("a", i.Name)
		r := check.NewRunner(l)
		if result := r.Run(t.Context(), &mine); !result.Pass {
			t.Errorf("%s, when all is as it was: %s", i.Name, result.Detail)
		}
		r.Close()
	}
	select {
	case err := <-l.Broken():
		t.Errorf("the lab broke: %v", err)
	default:
	}
}
