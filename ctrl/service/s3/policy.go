package s3

import "net/http"

// largestPolicy is in bytes (S3 user guide, bucket policies).
const largestPolicy = 20 << 10

func (s *Server) getBucketPolicy(w *reply, q *request) error {
	if err := s.ownersOnly(q); err != nil {
		return err
	}
	if q.home.Policy == "" {
		return &failure{Status: http.StatusNotFound, Code: "NoSuchBucketPolicy", Message: "The bucket policy does not exist", BucketName: q.bucket}
	}
	w.Header().Set("Content-Type", "application/json")
	_, err := w.Write([]byte(q.home.Policy))
	return err
}

// putBucketPolicy takes a policy if it is one; it holds from the next request on.
func (s *Server) putBucketPolicy(w *reply, q *request) error {
	if err := s.ownersOnly(q); err != nil {
		return err
	}
	text, err := q.document(largestPolicy)
	if err != nil {
		return err
	}
	if err := s.config.CheckPolicy(string(text)); err != nil {
		return &failure{Status: http.StatusBadRequest, Code: "MalformedPolicy", Message: err.Error()}
	}
	return s.setPolicy(w, q, string(text))
}

func (s *Server) deleteBucketPolicy(w *reply, q *request) error {
	if err := s.ownersOnly(q); err != nil {
		return err
	}
	return s.setPolicy(w, q, "")
}

func (s *Server) setPolicy(w *reply, q *request, text string) error {
	if err := s.store.SetPolicy(q.bucket, text); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// ownersOnly: whatever a policy allows, a bucket's policy is for its own account (S3 API, PutBucketPolicy).
func (s *Server) ownersOnly(q *request) error {
	if s.config.Account(q.ctx) == q.home.Account {
		return nil
	}
	return &failure{Status: http.StatusMethodNotAllowed, Code: "MethodNotAllowed", Message: "The specified method is not allowed against this resource."}
}
