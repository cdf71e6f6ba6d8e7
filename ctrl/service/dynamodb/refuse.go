package dynamodb

import (
	"net/http"

	"github.com/vpclab/vpclab/ctrl/service"
)

// Refuse answers a request whose signature did not stand, before it came here.
func (s *Server) Refuse(w http.ResponseWriter, _ *http.Request, d *service.Denied) {
	writeFailure(w, d)
}
