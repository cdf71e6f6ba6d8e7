package imds

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

// A token is a time and a seal over it and the instance: 56 characters, as AWS's are.
const tokenLength = 8 + sha256.Size

// token is a session token of an instance that is valid before end.
func (s *Service) token(i vpc.InstanceID, end time.Time) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(end.UnixNano()))
	return base64.URLEncoding.EncodeToString(append(b, s.seal(b, i)...))
}

// valid reports whether a token is of this instance and not yet over.
func (s *Service) valid(token string, i vpc.InstanceID) bool {
	b, err := base64.URLEncoding.DecodeString(token)
	if err != nil || len(b) != tokenLength || !hmac.Equal(b[8:], s.seal(b[:8], i)) {
		return false
	}
	return s.Now().UnixNano() < int64(binary.BigEndian.Uint64(b))
}

func (s *Service) seal(end []byte, i vpc.InstanceID) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write(end)
	h.Write([]byte(i))
	return h.Sum(nil)
}
