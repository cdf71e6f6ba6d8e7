// Package iam is who signs requests to a lab's services, and whether they may: temporary credentials for instances' roles and long-term
// ones for internet hosts, verification of Signature Version 4, and the decision over identity, endpoint and resource policies.
//
// It stores no credential: each follows from the lab's secret key, and what a role may do is asked of the lab's present model at each
// request. It has no sessions but those of instances' roles, no groups, permissions boundaries or organisations, and it does not know
// Signature Version 4A or 2. It decides nothing by itself: that is package policy's.
package iam
