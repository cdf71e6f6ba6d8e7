package iam

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

// claim is what a session token says: whose role, and since when.
type claim struct {
	VPC      vpc.VPCID
	Instance vpc.InstanceID
	Issued   time.Time // to the second
}

func (c claim) text() string {
	return string(c.VPC) + "/" + string(c.Instance) + "/" + strconv.FormatInt(c.Issued.Unix(), 10)
}

// token is the claim with the lab's seal before it, in Base64.
func (s *Store) token(c claim) string {
	text := c.text()
	return base64.StdEncoding.EncodeToString(append(s.derive("session token", text), text...))
}

// claim reads a session token of this lab. false: it is none.
func (s *Store) claim(token string) (claim, bool) {
	b, err := base64.StdEncoding.DecodeString(token)
	if err != nil || len(b) < sha256.Size {
		return claim{}, false
	}
	seal, text := b[:sha256.Size], string(b[sha256.Size:])
	parts := strings.Split(text, "/")
	if !hmac.Equal(seal, s.derive("session token", text)) || len(parts) != 3 {
		return claim{}, false
	}
	issued, err := strconv.ParseInt(parts[2], 10, 64)
	return claim{VPC: vpc.VPCID(parts[0]), Instance: vpc.InstanceID(parts[1]), Issued: time.Unix(issued, 0).UTC()}, err == nil
}
