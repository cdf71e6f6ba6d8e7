package check

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// metadata is where every instance finds its metadata service (EC2 user guide, instance metadata).
const metadata = "http://169.254.169.254/latest/"

// credentials are what the node signs with. An instance asks its metadata service for those of its role, by IMDSv2 alone; the transport's
// outcomes are then the check's, and whatever else keeps it from having credentials is `failed`.
func (p *probe) credentials() (Credentials, error) {
	if p.node.VPC != "" {
		c, err := p.roleCredentials()
		if err != nil {
			return c, during("credentials from instance metadata", err)
		}
		return c, nil
	}
	c, ok := p.lab.Credentials(p.node)
	if !ok {
		return c, fmt.Errorf("credentials of %s: it has none", p.node)
	}
	return c, nil
}

func (p *probe) roleCredentials() (c Credentials, err error) {
	token, err := p.askMetadata(http.MethodPut, "api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60")
	if err != nil {
		return c, err
	}
	const roles = "meta-data/iam/security-credentials/"
	role, err := p.askMetadata(http.MethodGet, roles, "X-aws-ec2-metadata-token", token)
	if err != nil {
		return c, err
	}
	text, err := p.askMetadata(http.MethodGet, roles+role, "X-aws-ec2-metadata-token", token)
	if err != nil {
		return c, err
	}
	var doc struct{ Code, AccessKeyID, SecretAccessKey, Token string }
	if err := json.Unmarshal([]byte(text), &doc); err != nil || doc.Code != "Success" {
		return c, &end{outcome: Failed, detail: fmt.Sprintf("role %s has none: %s", role, clip(text))}
	}
	return Credentials{doc.AccessKeyID, doc.SecretAccessKey, doc.Token}, nil
}

// askMetadata is one request with one header, and the text of its answer.
func (p *probe) askMetadata(method, path, header, value string) (string, error) {
	request, err := http.NewRequestWithContext(p.ctx, method, metadata+path, nil)
	if err != nil {
		return "", err
	}
	request.Header.Set(header, value)
	answer, err := browser{p}.Do(request)
	if err != nil {
		return "", err
	}
	if answer.StatusCode != http.StatusOK {
		return "", &end{outcome: Failed, detail: fmt.Sprintf("%s %s answers status %d", method, path, answer.StatusCode)}
	}
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}

// Retrieve implements aws.CredentialsProvider.
func (c Credentials) Retrieve(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}, nil
}
