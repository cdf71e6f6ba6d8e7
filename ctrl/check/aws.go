package check

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// refusals are the codes by which services that speak JSON deny what others deny by status 403 (DynamoDB developer guide, error handling).
var refusals = []string{
	"AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException", "IncompleteSignatureException",
	"MissingAuthenticationTokenException", "ExpiredTokenException",
}

// seenOfService is what a failed call of a service means. Status 403 and its like are `denied`; any other error of the service is
// `failed`, and its code the first word of the detail.
func seenOfService(p *probe, err error) seen {
	if _, ok := ended(err); ok {
		return seenOf(err)
	}
	if p.ctx.Err() != nil {
		return seen{err: p.ctx.Err()}
	}
	status := 0
	if r, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		status = r.HTTPStatusCode()
	}
	api, ok := errors.AsType[smithy.APIError](err)
	switch {
	case ok && (status == http.StatusForbidden || slices.Contains(refusals, api.ErrorCode())):
		return seen{outcome: scenario.Denied, detail: serviceSays(api)}
	case ok:
		return seen{outcome: Failed, detail: serviceSays(api)}
	case status != 0:
		return seen{outcome: Failed, detail: fmt.Sprintf("status %d, and what else the service answered is not understood: %v", status, err)}
	}
	return seen{err: err}
}

// baseEndpoint is the URL that is asked in place of the service's own; nil: the service's own.
func (p *probe) baseEndpoint(by vpc.EndpointRef) (*string, error) {
	if by == (vpc.EndpointRef{}) {
		return nil, nil
	}
	host, ok := p.lab.EndpointHost(by)
	if !ok {
		return nil, fmt.Errorf("endpoint %s/%s: it has no DNS name", by.VPC, by.Name)
	}
	url := "https://" + host
	return &url, nil
}

func serviceSays(e smithy.APIError) string {
	if e.ErrorMessage() == "" {
		return e.ErrorCode()
	}
	return e.ErrorCode() + ": " + clip(e.ErrorMessage())
}
