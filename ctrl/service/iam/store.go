package iam

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"io"
	"time"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

// Credentials are what a client signs with.
type Credentials struct {
	AccessKeyID     string // ASIA… if temporary, AKIA… if long-term
	SecretAccessKey string
	SessionToken    string    // of temporary ones
	Issued          time.Time // zero for long-term ones
	Expiration      time.Time // zero for long-term ones
}

// Temporary credentials are valid for lifetime. An instance gets new ones each period, so that what it is told is valid for an hour or
// more: AWS promises five minutes at least, and SDKs renew a quarter of an hour before the end (EC2 user guide, retrieve security
// credentials).
const (
	lifetime = 6 * time.Hour
	period   = 5 * time.Hour
)

// Store issues a lab's credentials and knows them again.
type Store struct {
	key   []byte
	model func() *vpc.Model
	now   func() time.Time
}

// New makes a store with a secret key out of random. The model is the lab's present one at each call. now is the machine's time, and not
// the lab's: clients date their signatures, and judge when credentials end, by the clock that they have. The error is random's.
func New(random io.Reader, model func() *vpc.Model, now func() time.Time) (*Store, error) {
	key := make([]byte, sha256.Size)
	if _, err := io.ReadFull(random, key); err != nil {
		return nil, fmt.Errorf("make the lab's secret key: %w", err)
	}
	return &Store{key: key, model: model, now: now}, nil
}

// Role issues credentials for the role of an instance. Within five hours they are the same ones.
func (s *Store) Role(v *vpc.VPC, i *vpc.Instance) Credentials {
	c := claim{VPC: v.ID, Instance: i.ID, Issued: s.now().Truncate(period)}
	return s.temporary(c)
}

// User issues the long-term credentials of an internet host: an IAM user of the account who has the host's name.
func (s *Store) User(account, host string) Credentials {
	of := account + "/" + host
	return Credentials{AccessKeyID: "AKIA" + s.keyID(of), SecretAccessKey: s.secret(of)}
}

func (s *Store) temporary(c claim) Credentials {
	of := c.text()
	return Credentials{
		AccessKeyID: "ASIA" + s.keyID(of), SecretAccessKey: s.secret(of), SessionToken: s.token(c),
		Issued: c.Issued, Expiration: c.Issued.Add(lifetime),
	}
}

// keyID is what follows AKIA or ASIA: 16 characters.
func (s *Store) keyID(of string) string {
	return base32.StdEncoding.EncodeToString(s.derive("access key ID", of))[:16]
}

// secret is a secret access key: 40 characters.
func (s *Store) secret(of string) string {
	return base64.StdEncoding.EncodeToString(s.derive("secret access key", of))[:40]
}

// derive is 32 bytes that only the lab can know; the purpose keeps what is told from what is not.
func (s *Store) derive(purpose, of string) []byte {
	return sign(s.key, purpose+"\x00"+of)
}

func sign(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
