package s3

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rclone/gofakes3"
	"github.com/vpclab/vpclab/ctrl/service/s3/store"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

const namespace = "http://s3.amazonaws.com/doc/2006-03-01/"

type bucketList struct {
	XMLName           xml.Name `xml:"ListAllMyBucketsResult"`
	Xmlns             string   `xml:"xmlns,attr"`
	Owner             owner
	Buckets           []bucketEntry `xml:"Buckets>Bucket"`
	ContinuationToken string        `xml:",omitempty"`
	Prefix            string        `xml:",omitempty"`
}

type bucketEntry struct{ Name, CreationDate, BucketRegion string }

const mostBuckets = 10000 // on a page (S3 API, ListBuckets)

// listBuckets tells the caller's account of its buckets, in whichever region they are.
func (s *Server) listBuckets(w *reply, q *request) error {
	account := s.config.Account(q.ctx)
	after, err := base64.URLEncoding.DecodeString(q.query.Get("continuation-token"))
	limit := mostBuckets
	if n := q.query.Get("max-buckets"); n != "" && err == nil {
		limit, err = strconv.Atoi(n)
	}
	if err != nil || limit < 1 || limit > mostBuckets {
		return &failure{Status: http.StatusBadRequest, Code: "InvalidArgument", Message: "Argument max-buckets must be an integer between 1 and 10000"}
	}
	list := bucketList{Xmlns: namespace, Prefix: q.query.Get("prefix"), Owner: ownerOf(account)}
	for _, b := range s.store.Buckets(account) {
		if b.Name <= string(after) || !strings.HasPrefix(b.Name, list.Prefix) || q.query.Has("bucket-region") && b.Region != q.query.Get("bucket-region") {
			continue
		}
		if len(list.Buckets) == limit {
			list.ContinuationToken = base64.URLEncoding.EncodeToString([]byte(list.Buckets[limit-1].Name))
			break
		}
		list.Buckets = append(list.Buckets, bucketEntry{b.Name, b.Created.UTC().Format(time.RFC3339), b.Region})
	}
	return w.xml(http.StatusOK, list)
}

// createBucket makes a bucket of the caller's account. In us-east-1 that one has it already is no error, as it never was there.
func (s *Server) createBucket(w *reply, q *request) error {
	region, err := q.newRegion()
	if err != nil {
		return err
	}
	if acl := q.header.Get("X-Amz-Acl"); acl != "" && acl != "private" || q.grants() {
		return &failure{Status: http.StatusBadRequest, Code: "InvalidBucketAclWithObjectOwnership",
			Message: "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"}
	}
	if strings.EqualFold(q.header.Get("X-Amz-Bucket-Object-Lock-Enabled"), "true") {
		return notImplemented("object lock")
	}
	if o := q.header.Get("X-Amz-Object-Ownership"); o != "" && o != "BucketOwnerEnforced" {
		return notImplemented("x-amz-object-ownership: " + o)
	}
	if err := store.CheckName(q.bucket); err != nil {
		return err
	}
	owner := s.config.Account(q.ctx)
	if owner == "" {
		return denied("Anonymous users cannot create buckets")
	}
	err = s.create(q, store.Bucket{Name: q.bucket, Region: region, Account: owner})
	if mine := q.home.exists && q.home.Account == owner; errors.Is(err, gofakes3.ErrBucketAlreadyExists) && (!mine || region != vpc.DefaultRegion) {
		return taken(mine)
	} else if err != nil && !errors.Is(err, gofakes3.ErrBucketAlreadyExists) {
		return err
	}
	w.Header().Set("Location", "/"+q.bucket)
	return nil
}

func (s *Server) create(q *request, b store.Bucket) error {
	if s.elsewhere && !q.home.exists {
		if err := s.makeElsewhere(q.ctx, b.Name); err != nil {
			return err
		}
	}
	return s.store.Create(b)
}

func taken(mine bool) *failure {
	f := &failure{Status: http.StatusConflict, Code: "BucketAlreadyExists",
		Message: "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again."}
	if mine {
		f.Code = "BucketAlreadyOwnedByYou"
		f.Message = "Your previous request to create the named bucket succeeded and you already own it."
	}
	return f
}

// newRegion is where a new bucket will be: where the request arrived, and from us-east-1 anywhere (S3 API, CreateBucket).
func (q *request) newRegion() (string, error) {
	text, err := q.document(64 << 10)
	if err != nil {
		return "", err
	}
	var c struct {
		LocationConstraint     string
		Location, Bucket, Tags *struct{} // of directory buckets, and tags
	}
	if len(text) > 0 {
		if err := xml.Unmarshal(text, &c); err != nil {
			return "", &failure{Status: http.StatusBadRequest, Code: "MalformedXML",
				Message: "The XML you provided was not well-formed or did not validate against our published schema"}
		}
	}
	if c.Location != nil || c.Bucket != nil || c.Tags != nil {
		return "", notImplemented("tags of a bucket, and directory buckets")
	}
	if c.LocationConstraint == "EU" { // what eu-west-1 was called first
		c.LocationConstraint = "eu-west-1"
	}
	switch {
	case c.LocationConstraint == vpc.DefaultRegion, c.LocationConstraint != "" && !slices.Contains(vpc.Regions(), c.LocationConstraint):
		return "", &failure{Status: http.StatusBadRequest, Code: "InvalidLocationConstraint", Message: "The specified location-constraint is not valid"}
	case q.region == vpc.DefaultRegion && c.LocationConstraint == "":
		return q.region, nil
	case q.region == vpc.DefaultRegion, q.region == c.LocationConstraint:
		return c.LocationConstraint, nil
	case c.LocationConstraint == "":
		c.LocationConstraint = "unspecified"
	}
	return "", &failure{Status: http.StatusBadRequest, Code: "IllegalLocationConstraintException",
		Message: "The " + c.LocationConstraint + " location constraint is incompatible for the region specific endpoint this request was sent to."}
}

// document reads a body that is not data.
func (q *request) document(limit int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(q.body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, &failure{Status: http.StatusBadRequest, Code: "MaxMessageLengthExceeded", Message: "Your request was too big."}
	}
	return text, nil
}

// deleteBucket takes an empty bucket away.
func (s *Server) deleteBucket(w *reply, q *request) error {
	if err := s.forward(w, q); err != nil || !s.elsewhere || w.status >= 300 {
		return err
	}
	return s.store.Remove(q.bucket)
}

func (s *Server) headBucket(w *reply, q *request) error {
	w.Header().Set("X-Amz-Bucket-Region", q.home.Region)
	w.Header().Set("X-Amz-Access-Point-Alias", "false")
	w.Header().Set("Content-Type", "application/xml")
	return nil
}

// listUploads answers where no upload is under way, which the library takes for an error.
func (s *Server) listUploads(w *reply, q *request) error {
	if s.elsewhere || s.store.Uploading(q.bucket) {
		return s.forward(w, q)
	}
	return w.xml(http.StatusOK, struct {
		XMLName    xml.Name `xml:"ListMultipartUploadsResult"`
		Xmlns      string   `xml:"xmlns,attr"`
		Bucket     string
		Prefix     string `xml:",omitempty"`
		MaxUploads int
	}{Xmlns: namespace, Bucket: q.bucket, Prefix: q.query.Get("prefix"), MaxUploads: 1000})
}

// getBucketLocation says nothing for us-east-1, as S3 does.
func (s *Server) getBucketLocation(w *reply, q *request) error {
	region := q.home.Region
	if region == vpc.DefaultRegion {
		region = ""
	}
	return w.xml(http.StatusOK, struct {
		XMLName xml.Name `xml:"LocationConstraint"`
		Xmlns   string   `xml:"xmlns,attr"`
		Region  string   `xml:",chardata"`
	}{Xmlns: namespace, Region: region})
}
