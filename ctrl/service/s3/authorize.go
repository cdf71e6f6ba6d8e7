package s3

import (
	"errors"
	"net/http"

	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// resolve finds the buckets of a request. Buckets have one name in the whole lab and are in one region: elsewhere the client is sent
// there. us-east-1 tells where any bucket is.
func (s *Server) resolve(q *request) error {
	q.home = s.place(q.bucket)
	if q.op.copies {
		q.sourceHome = s.place(q.source.bucket)
	}
	switch {
	case !q.home.exists, q.home.Region == q.region, q.op.name == "CreateBucket":
	case q.op.name == "GetBucketLocation" && q.region == vpc.DefaultRegion:
	default:
		return redirect(q.home.Bucket)
	}
	if q.foreign("X-Amz-Expected-Bucket-Owner", q.home) || q.foreign("X-Amz-Source-Expected-Bucket-Owner", q.sourceHome) {
		return denied("Access Denied")
	}
	private := q.caller.Via == service.ByGateway || q.caller.Via == service.ByInterface
	if q.sourceHome.exists && q.sourceHome.Region != q.region && private {
		return denied("VPC endpoints do not support cross-region requests")
	}
	return nil
}

// foreign says whether a bucket is not of the account that a header expects.
func (q *request) foreign(header string, p place) bool {
	owner := q.header.Get(header)
	return owner != "" && p.exists && owner != p.Account
}

func (s *Server) place(name string) place {
	b, ok := s.store.Bucket(name)
	return place{b, ok}
}

// missing is that a bucket is not there. It is told to those alone who may do what they asked for.
func (q *request) missing() error {
	for _, p := range []struct {
		name string
		place
	}{{q.bucket, q.home}, {q.source.bucket, q.sourceHome}} {
		if p.name != "" && !p.exists && q.op.name != "CreateBucket" {
			return &failure{Status: http.StatusNotFound, Code: "NoSuchBucket", Message: "The specified bucket does not exist", BucketName: p.name}
		}
	}
	return nil
}

// authorize asks for all that an operation does, and for what its answer would give away.
func (s *Server) authorize(q *request) error {
	for _, a := range s.accesses(q) {
		if err := s.config.Gate.Authorize(q.ctx, a); err != nil {
			return err
		}
	}
	switch q.op.name {
	case "GetObject", "HeadObject", "GetObjectAttributes":
		return s.authorizeAbsence(q, q.home, q.address)
	case "CopyObject", "UploadPartCopy":
		return s.authorizeAbsence(q, q.sourceHome, q.source)
	}
	return nil
}

// authorizeAbsence: that a key does not exist is told to those alone who may list the bucket (S3 API, GetObject). What a backend has we
// cannot know.
func (s *Server) authorizeAbsence(q *request, home place, a address) error {
	if s.elsewhere || !home.exists || s.store.Has(a.bucket, a.key) {
		return nil
	}
	return s.config.Gate.Authorize(q.ctx, s.access(q, "s3:ListBucket", home, address{bucket: a.bucket}, nil))
}

func (s *Server) accesses(q *request) []service.Access {
	var list []service.Access
	if q.op.copies {
		list = append(list, s.access(q, "s3:GetObject", q.sourceHome, q.source, nil))
	}
	if q.op.action == "s3:ListAllMyBuckets" {
		return append(list, service.Access{Action: q.op.action, Resource: "arn:aws:s3:::*", Account: s.config.Account(q.ctx)})
	}
	if q.op.action != "" {
		list = append(list, s.access(q, q.op.action, q.home, q.address, q.keys()))
	}
	if q.op.name == "GetObjectAttributes" {
		list = append(list, s.access(q, "s3:GetObjectAttributes", q.home, q.address, nil))
	}
	if q.op.writes() && q.header.Get("X-Amz-Tagging") != "" {
		list = append(list, s.access(q, "s3:PutObjectTagging", q.home, q.address, q.keys()))
	}
	if q.op.writes() && q.header.Get("X-Amz-Acl") != "" {
		list = append(list, s.access(q, "s3:PutObjectAcl", q.home, q.address, q.keys()))
	}
	return list
}

// writes says whether the operation's headers are a new object's.
func (op operation) writes() bool {
	return op.name == "PutObject" || op.name == "CopyObject" || op.name == "CreateMultipartUpload"
}

// access is to a bucket or an object. Where there is no bucket, it is as if the caller had it: what does not exist has no owner who
// would have to agree.
func (s *Server) access(q *request, action string, home place, a address, keys map[string][]string) service.Access {
	owner := home.Account
	if !home.exists {
		owner = s.config.Account(q.ctx)
	}
	return service.Access{Action: action, Resource: a.arn(), Account: owner, Policy: home.Policy, Keys: keys}
}

// conditionKeys are S3's own, by the header that gives them.
var conditionKeys = map[string]string{
	"X-Amz-Acl":                       "s3:x-amz-acl",
	"X-Amz-Copy-Source":               "s3:x-amz-copy-source",
	"X-Amz-Metadata-Directive":        "s3:x-amz-metadata-directive",
	"X-Amz-Server-Side-Encryption":    "s3:x-amz-server-side-encryption",
	"X-Amz-Storage-Class":             "s3:x-amz-storage-class",
	"X-Amz-Website-Redirect-Location": "s3:x-amz-website-redirect-location",
	"If-Match":                        "s3:if-match",
	"If-None-Match":                   "s3:if-none-match",
}

// keys are the condition keys of a request that only S3 knows (service authorization reference, condition keys for Amazon S3).
func (q *request) keys() map[string][]string {
	keys := map[string][]string{}
	if q.op.name == "ListObjects" || q.op.name == "ListMultipartUploads" {
		for _, name := range []string{"prefix", "delimiter", "max-keys"} {
			if q.query.Has(name) {
				keys["s3:"+name] = q.query[name][:1]
			}
		}
	}
	for header, key := range conditionKeys {
		if v := q.header.Get(header); v != "" && (q.op.writes() || q.op.name == "CompleteMultipartUpload") {
			keys[key] = []string{v}
		}
	}
	if q.home.exists {
		keys["s3:ResourceAccount"] = []string{q.home.Account}
	}
	return keys
}

// deniedBy is the refusal in an error, if it is one.
func deniedBy(err error) (*service.Denied, bool) {
	var d *service.Denied
	ok := errors.As(err, &d)
	return d, ok
}
