package service

import "strings"

// JSONCode is the denial's code as services with JSON protocols write it; the query and REST protocols have Code.
func (d *Denied) JSONCode() string {
	switch d.Code {
	case "InvalidAccessKeyId", "InvalidClientTokenId":
		return "UnrecognizedClientException"
	case "SignatureDoesNotMatch":
		return "InvalidSignatureException"
	}
	return strings.TrimSuffix(d.Code, "Exception") + "Exception"
}
