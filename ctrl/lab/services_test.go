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

// crowdSize is how many instances ask at once.
const crowdSize = 100

// crowdLab is a lab of so many instances, each of which may ask all services, with the checks by which each does.
func crowdLab(size int) string {
	var b strings.Builder
	b.WriteString(`
name: labtest-gone
vpcs:
  a:
    cidr: 10.0.0.0/16
    dns: {support: true, hostnames: true}
    subnets: {p: {cidr: 10.0.0.0/24, az: a, route_table: main}}
    route_tables: {main: {}}
    security_groups: {open: {ingress: [all from 10.0.0.0/16]}}
    instances:
`)
	for i := range size {
		fmt.Fprintf(&b, "      i%d: {subnet: p, ip: 10.0.0.%d}\n", i, 10+i)
	}
	b.WriteString(`
    endpoints:
      s3: {type: gateway, service: s3, route_tables: [main]}
      dynamodb: {type: gateway, service: dynamodb, route_tables: [main]}
      sqs: {type: interface, service: sqs, subnets: [p], sg: [open], ip: {p: 10.0.0.250}}
      shop: {type: interface, service: b/shop, subnets: [p], sg: [open], ip: {p: 10.0.0.251}}
  b:
    cidr: 10.0.0.0/16
    subnets: {s: {cidr: 10.0.0.0/24, az: a}}
    security_groups: {shop: {ingress: [tcp 9000 from 10.0.0.0/16]}}
    instances: {db: {subnet: s, sg: [shop], serve: [tcp 9000]}}
    endpoint_services: {shop: {targets: [db], ports: [9000]}}
services:
  s3: {buckets: {logs: {}}}
  dynamodb: {tables: {orders: {key: id}}}
checks:
`)
	for i := range size {
		fmt.Fprintf(&b, `
  - {name: resolver, from: i%[1]d, do: dns sqs.us-east-1.amazonaws.com, wait: 60s, expect: {outcome: ok, answers: [10.0.0.250]}}
  - {name: itself, from: i%[1]d, do: dns ip-10-0-0-%[2]d.ec2.internal, wait: 60s, expect: {outcome: ok, answers: [10.0.0.%[2]d]}}
  - {name: metadata, from: i%[1]d, do: http http://169.254.169.254/latest/meta-data/local-ipv4, wait: 60s, expect: {outcome: ok, body: 10.0.0.%[2]d}}
  - {name: its source at S3, from: i%[1]d, do: tcp 80 to s3.us-east-1.amazonaws.com, wait: 60s, seen_as: 10.0.0.%[2]d}
  - {name: its source at SQS, from: i%[1]d, do: http http://sqs.us-east-1.amazonaws.com/, wait: 60s, seen_as: 10.0.0.%[2]d}
  - {name: an object, from: i%[1]d, do: s3 put logs/i%[1]d i%[1]d, wait: 60s}
  - {name: which is its own, from: i%[1]d, do: s3 get logs/i%[1]d, wait: 60s, expect: {outcome: ok, body: i%[1]d}}
  - {name: an item, from: i%[1]d, do: 'dynamodb put orders {"id": "i%[1]d"}', wait: 60s}
  - {name: which is there, from: i%[1]d, do: dynamodb get orders i%[1]d, wait: 60s}
  - {name: a load balancer, from: i%[1]d, do: tcp 9000 to endpoint.shop, wait: 60s}
`, i, 10+i)
	}
	return b.String()
}

// TestManyInstancesAskAllServices: however many ask at once, each has its own answers.
func TestManyInstancesAskAllServices(t *testing.T) {
	warm(t)
	both(t, func(t *testing.T, offload bool) {
		leavesNothing(t, func(t *testing.T) {
			s := scenarioOnce(t, crowdLab(crowdSize))
			l, err := Start(t.Context(), s, Options{Offload: offload})
			if err != nil {
				t.Fatal(err)
			}
			checks := map[scenario.Node][]*scenario.Check{}
			for _, step := range s.Steps {
				checks[step.Check.From] = append(checks[step.Check.From], step.Check)
			}
			if len(checks) != crowdSize {
				t.Errorf("%d instances ask, want %d", len(checks), crowdSize)
			}
			var asking sync.WaitGroup
			for _, mine := range checks {
				asking.Go(func() {
					r := check.NewRunner(l)
					defer r.Close()
					for _, c := range mine {
						if result := r.Run(t.Context(), c); !result.Pass {
							t.Errorf("%s: %s: %s", c.From, c.Name, result.Detail)
						}
					}
				})
			}
			asking.Wait()
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
	})
}
