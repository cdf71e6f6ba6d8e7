package service

import "context"

// Access is what a request wants to do to one resource.
type Access struct {
	Action   string // "s3:GetObject"
	Resource string // an ARN
	// Account owns the resource, and Policy is its own policy document in JSON; empty if it has none.
	Account, Policy string
	// Keys are the condition keys that only the service knows: "s3:prefix".
	Keys map[string][]string
}

// Gate decides about requests: who signed it, by which way it came, and what the policies of the identity, the endpoint and the
// resource say.
type Gate interface {
	// Authorize returns nil, or a *Denied. The context is the request's.
	Authorize(ctx context.Context, a Access) error
}

// Denied is a request that may not be done.
type Denied struct {
	Code    string // of AWS's error: "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"
	Message string // AWS's words, for the client
	// Why is for the person: what was asked for, and which statement of which policy refuses it, or that none allows it.
	Why string
}

// Error is AWS's message.
func (d *Denied) Error() string { return d.Code + ": " + d.Message }
