package s3

import (
	"net/http"

	"github.com/vpclab/vpclab/ctrl/service"
)

// Refuse answers a request whose signature did not stand, before it came here.
func (s *Server) Refuse(w http.ResponseWriter, r *http.Request, d *service.Denied) {
	s.newReply(w).refuse(r.Method, d)
}
