package flowlog

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Traffic says which records a subscription wants.
type Traffic uint8

// The traffic types.
const (
	All Traffic = iota
	Accept
	Reject
)

var trafficWords = [...]string{"ALL", "ACCEPT", "REJECT"}

// String returns AWS's word.
func (t Traffic) String() string { return trafficWords[t] }

// ParseTraffic finds a traffic type by AWS's word, in any case.
func ParseTraffic(word string) (Traffic, error) {
	i := slices.Index(trafficWords[:], strings.ToUpper(word))
	if i < 0 {
		return 0, fmt.Errorf("traffic %s: it is ALL, ACCEPT or REJECT", quoted(word))
	}
	return Traffic(i), nil
}

// wants reports whether records of an action are delivered.
func (t Traffic) wants(accept bool) bool { return t == All || accept == (t == Accept) }

// The aggregation intervals that there are (EC2 API, CreateFlowLogs, MaxAggregationInterval); the longer one is the default.
const (
	ShortInterval = time.Minute
	LongInterval  = 10 * time.Minute
)

// Subscription is a flow log: what of whom goes where, in which form. It does not change once it is made.
type Subscription struct {
	ID              string // fl-…
	Account, Region string // its owner's, which S3 keys have in them
	Resource        string // the ID of the VPC, subnet or interface that it watches
	Traffic         Traffic
	Interval        time.Duration // ShortInterval, LongInterval, or 0 for LongInterval
	Format          Format
	Destination     Destination
}

func (s *Subscription) interval() time.Duration {
	if s.Interval == 0 {
		return LongInterval
	}
	return s.Interval
}

// check finds what no flow log can have.
func (s *Subscription) check() error {
	if i := s.interval(); i != ShortInterval && i != LongInterval {
		return fmt.Errorf("flow log %s: interval %v: it is 60s or 600s", s.ID, i)
	}
	if s.ID == "" || s.Resource == "" {
		return fmt.Errorf("flow log %q of %q: both need an ID", s.ID, s.Resource)
	}
	return nil
}

// covers reports whether an interface is the subscription's resource, or in it.
func (s *Subscription) covers(i *Interface) bool {
	return s.Resource == i.VPC || s.Resource == i.Subnet || s.Resource == i.ID || s.Resource == i.Resource
}

// same reports whether two subscriptions differ in nothing but their ID.
func (s *Subscription) same(o *Subscription) bool {
	return s.Resource == o.Resource && s.Traffic == o.Traffic && s.interval() == o.interval() &&
		s.Format.String() == o.Format.String() && s.Destination == o.Destination
}

// ExistsError says that there is such a subscription already (EC2 API, FlowLogAlreadyExists).
type ExistsError struct{ ID, Other string }

func (e *ExistsError) Error() string {
	return fmt.Sprintf("flow log %s: FlowLogAlreadyExists: Error. There is an existing Flow Log with the same configuration and log "+
		"destination. (%s)", e.ID, e.Other)
}
