package iam

import (
	"crypto/hmac"

	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// find finds whose an access key is, and its secret key.
func (s *Store) find(accessKey, token string) (Identity, string, *service.Denied) {
	if token == "" {
		return s.findUser(accessKey)
	}
	c, ok := s.claim(token)
	if !ok {
		return Identity{}, "", deny("InvalidToken", "The provided token is malformed or otherwise invalid.", "the session token is not of this lab")
	}
	own := s.temporary(c)
	if !hmac.Equal([]byte(own.AccessKeyID), []byte(accessKey)) {
		return Identity{}, "", unknownKey("the session token belongs to another access key than " + accessKey)
	}
	if !s.now().Before(own.Expiration) {
		return Identity{}, "", deny("ExpiredToken", "The provided token has expired.",
			"the credentials expired at "+stamp(own.Expiration)+"; the instance's metadata has new ones")
	}
	v, i := instance(s.model(), c)
	switch {
	case i == nil:
		return Identity{}, "", unknownKey("the instance that got " + accessKey + " is gone")
	case i.Role.None:
		return Identity{}, "", unknownKey("instance " + i.Name + ", which got " + accessKey + ", has no role any more")
	}
	return roleIdentity(v, i, c.Issued), own.SecretAccessKey, nil
}

// findUser looks among the internet hosts: an access key of them says nothing by itself.
func (s *Store) findUser(accessKey string) (Identity, string, *service.Denied) {
	m := s.model()
	for _, h := range m.Hosts {
		if own := s.User(m.Account, h.Name); hmac.Equal([]byte(own.AccessKeyID), []byte(accessKey)) {
			return userIdentity(m.Account, h.Name), own.SecretAccessKey, nil
		}
	}
	return Identity{}, "", unknownKey("nobody in the lab has the access key " + accessKey + ", or it needs a session token")
}

func instance(m *vpc.Model, c claim) (*vpc.VPC, *vpc.Instance) {
	for _, v := range m.VPCs {
		if v.ID != c.VPC {
			continue
		}
		for _, i := range v.Instances {
			if i.ID == c.Instance {
				return v, i
			}
		}
	}
	return nil, nil
}
