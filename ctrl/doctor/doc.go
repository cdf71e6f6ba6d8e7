// Package doctor says whether this machine can run vpclab, what is missing and how to get it. It repairs nothing, and what it tries
// out it tries in a throw-away lab.
package doctor
