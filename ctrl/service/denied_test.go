package service

import "testing"

func TestDenialsHaveNamesInJSON(t *testing.T) {
	for code, want := range map[string]string{
		"AccessDenied": "AccessDeniedException", "ExpiredToken": "ExpiredTokenException", "MissingAuthenticationToken": "MissingAuthenticationTokenException",
		"InvalidAccessKeyId": "UnrecognizedClientException", "InvalidClientTokenId": "UnrecognizedClientException", "SignatureDoesNotMatch": "InvalidSignatureException",
		"IncompleteSignatureException": "IncompleteSignatureException",
	} {
		if got := (&Denied{Code: code}).JSONCode(); got != want {
			t.Errorf("%s is %s, want %s", code, got, want)
		}
	}
}
