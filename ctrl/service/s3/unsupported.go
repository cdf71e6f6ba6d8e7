package s3

import (
	"net/http"
	"slices"
	"strings"
)

// storageClasses are those whose objects can be read at once. The others' would have to be restored first.
var storageClasses = []string{"STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "REDUCED_REDUNDANCY"}

// archives are storage classes that there are, but not here.
var archives = []string{"GLACIER", "DEEP_ARCHIVE", "OUTPOSTS", "SNOW", "EXPRESS_ONEZONE"}

// checkHeaders refuses headers that the library would not look at, and do something else than was asked for. A backend may know them.
func (s *Server) checkHeaders(q *request) error {
	acl := q.header.Get("X-Amz-Acl")
	if q.op.writes() && (acl != "" && acl != "bucket-owner-full-control" || q.grants()) {
		return &failure{Status: http.StatusBadRequest, Code: "AccessControlListNotSupported", Message: "The bucket does not allow ACLs"}
	}
	if s.elsewhere {
		return nil
	}
	if err := q.checkConditions(); err != nil || !q.op.writes() {
		return err
	}
	switch class := q.header.Get("X-Amz-Storage-Class"); {
	case q.header.Get("X-Amz-Write-Offset-Bytes") != "":
		return notImplemented("x-amz-write-offset-bytes")
	case slices.Contains(archives, class):
		return notImplemented("x-amz-storage-class: " + class)
	case class != "" && !slices.Contains(storageClasses, class):
		return &failure{Status: http.StatusBadRequest, Code: "InvalidStorageClass", Message: "The storage class you specified is not valid"}
	}
	return nil
}

// checkConditions: a write is for a key that is not there yet, or for one entity tag (S3 user guide, conditional writes). Of copies the
// library knows conditions on the source alone.
func (q *request) checkConditions() error {
	none := q.header.Get("If-None-Match")
	switch {
	case !q.op.writes() && q.op.name != "CompleteMultipartUpload", none == "" && q.header.Get("If-Match") == "":
		return nil
	case q.op.copies:
		return notImplemented("conditions on the destination of a copy")
	case none != "" && none != "*":
		return notImplemented("If-None-Match: " + none)
	}
	return nil
}

// grants says whether a request would let others in by an access control list.
func (q *request) grants() bool {
	for name := range q.header {
		if strings.HasPrefix(name, "X-Amz-Grant-") {
			return true
		}
	}
	return false
}
