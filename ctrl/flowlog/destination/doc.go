// Package destination is where flow logs end: S3 under AWS's keys, log groups with a stream for each interface, and plain files. S3 and
// CloudWatch Logs are spoken to by their APIs at an endpoint that is given, and are a folder of the same layout where none is. It decides
// neither what is delivered nor when, and does not try again: that is delivery's.
package destination
