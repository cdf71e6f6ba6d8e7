// Package imds is the instance metadata service: what an instance's programs learn at 169.254.169.254 and fd00:ec2::254 about their
// instance, its interfaces and its role, with session tokens (version 2) and, where the instance allows it, without (version 1).
//
// It answers who asks (service.Caller) and opens no socket. It has what a lab knows: no image, instance type, block devices, user data,
// tags, events or spot notices, and no signature of the identity document, as nobody has a certificate to check one with. Each version
// of the metadata has all categories.
package imds
