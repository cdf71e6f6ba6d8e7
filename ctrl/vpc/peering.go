package vpc

import (
	"fmt"
	"slices"
	"time"
)

// Peering is a VPC peering connection: two VPCs whose private addresses reach each other (Amazon VPC peering guide).
type Peering struct {
	Name string
	ID   PeeringID
	// Requester and Accepter are its two VPCs.
	Requester, Accepter string
	// Accept and Reject are the accepter's answer; with neither the request waits.
	Accept, Reject bool
	// DNSRequester and DNSAccepter are AllowDnsResolutionFromRemoteVpc of the two sides: the other VPC resolves the side's public host
	// names to private addresses.
	DNSRequester, DNSAccepter bool
	Encryption                Encryption
	Link
	// ExpectState is the state that the file says the connection has; empty if it does not say.
	ExpectState PeeringState
	Life
}

// Life is how far a peering connection has come; Complete works it out.
type Life struct {
	State         PeeringState
	StatusMessage string        // AWS's words for the state and its cause
	Requested     time.Duration // Model.Elapsed when the request was made
}

// Link shapes what a peering connection carries, in each direction by itself.
type Link struct {
	Delay time.Duration // one way
	Loss  float64       // the part of the packets that is lost, from 0 to 1
	Rate  uint64        // bits per second; 0 is unlimited
}

// Encryption is what protects the packets between the two ends of a peering connection.
type Encryption string

// The kinds of encryption.
const (
	WireGuard    Encryption = "wireguard"
	NoEncryption Encryption = "none" // within one region only
)

// PeeringState is a state of a peering connection's life (Amazon VPC peering guide, peering connection life cycle).
type PeeringState string

// The states. Failed, expired, rejected and deleted are final.
const (
	InitiatingRequest PeeringState = "initiating-request"
	PendingAcceptance PeeringState = "pending-acceptance"
	Provisioning      PeeringState = "provisioning"
	Active            PeeringState = "active"
	Deleting          PeeringState = "deleting" // between regions; within one a connection does not stay in it
	Failed            PeeringState = "failed"
	Expired           PeeringState = "expired"
	Rejected          PeeringState = "rejected"
	Deleted           PeeringState = "deleted"
)

// PeeringStep is what moves a peering connection from one state to another.
type PeeringStep string

// The steps. Accept and reject are the accepter's, and delete is the requester's before acceptance and either's after it.
const (
	DeliverPeering   PeeringStep = "deliver"
	FailPeering      PeeringStep = "fail"
	AcceptPeering    PeeringStep = "accept"
	ProvisionPeering PeeringStep = "provision"
	RejectPeering    PeeringStep = "reject"
	ExpirePeering    PeeringStep = "expire"
	DeletePeering    PeeringStep = "delete"
	RemovePeering    PeeringStep = "remove" // what deletion has begun
)

// PeeringExpiry is how long a request waits for acceptance (VPC user guide, quotas).
const PeeringExpiry = 168 * time.Hour

// peeringSteps says where each step leads, and from which states.
var peeringSteps = map[PeeringStep]struct {
	to   PeeringState
	from []PeeringState
}{
	DeliverPeering:   {PendingAcceptance, []PeeringState{InitiatingRequest}},
	FailPeering:      {Failed, []PeeringState{InitiatingRequest, PendingAcceptance}},
	AcceptPeering:    {Provisioning, []PeeringState{PendingAcceptance}},
	ProvisionPeering: {Active, []PeeringState{Provisioning}},
	RejectPeering:    {Rejected, []PeeringState{PendingAcceptance}},
	ExpirePeering:    {Expired, []PeeringState{PendingAcceptance}},
	DeletePeering:    {Deleting, []PeeringState{PendingAcceptance, Active}},
	RemovePeering:    {Deleted, []PeeringState{Deleting}},
}

// After is the state that a step leads to from s. It is an InvalidTransition where AWS refuses the step.
func (s PeeringState) After(step PeeringStep) (PeeringState, error) {
	next := peeringSteps[step]
	if !slices.Contains(next.from, s) {
		return s, InvalidTransition{From: s, To: next.to}
	}
	return next.to, nil
}

// Live reports whether a connection of this state is active or may become so: a pair of VPCs has at most one such.
func (s PeeringState) Live() bool {
	return slices.Contains([]PeeringState{InitiatingRequest, PendingAcceptance, Provisioning, Active}, s)
}

// InvalidTransition is AWS's error for a step that a connection's state does not allow.
type InvalidTransition struct {
	ID       PeeringID
	From, To PeeringState
}

// Error has AWS's code and words.
func (e InvalidTransition) Error() string {
	return fmt.Sprintf("InvalidStateTransition: Invalid state transition for %s, attempted to transition from %s to %s", e.ID, e.From, e.To)
}

// Active reports whether the connection carries packets.
func (p *Peering) Active() bool { return p.State == Active }

// Peer is the VPC at the other end from the one called name, or "" if that is no end of the connection.
func (p *Peering) Peer(name string) string {
	switch name {
	case p.Requester:
		return p.Accepter
	case p.Accepter:
		return p.Requester
	}
	return ""
}

// Peering finds a peering connection by name, or nil.
func (m *Model) Peering(name string) *Peering {
	return find(m.Peerings, name, func(p *Peering) string { return p.Name })
}

// PeeringBetween finds the connection between two VPCs, whichever of them asked for it: the live one, or else one that ended without
// being removed, or nil.
func (m *Model) PeeringBetween(a, b string) *Peering {
	var ended *Peering
	for _, p := range m.Peerings {
		if p.Peer(a) != b || b == "" {
			continue
		}
		if p.State.Live() {
			return p
		}
		ended = p
	}
	return ended
}

// InterRegion reports whether the two VPCs of the connection are in different regions.
func (m *Model) InterRegion(p *Peering) bool {
	requester, accepter := m.VPC(p.Requester), m.VPC(p.Accepter)
	return requester != nil && accepter != nil && requester.Region != accepter.Region
}
