package s3

import (
	"net/http"
	"slices"
	"strings"
)

// level is what an operation is about.
type level uint8

const (
	account level = iota
	onBucket
	onObject
)

// operation is one of S3's, by how a request for it looks.
type operation struct {
	name   string // as the S3 API reference calls it
	method string
	level  level
	copies bool     // the request names a copy source
	sub    string   // the query parameter that says which operation it is; empty: none does
	params []string // the query parameters that it may have besides
	action string   // of policies, on the bucket or the object
	// do does it; nil: the engine does.
	do func(*Server, *reply, *request) error
}

var (
	listParams = []string{"list-type", "prefix", "delimiter", "max-keys", "marker", "continuation-token", "start-after", "encoding-type",
		"fetch-owner"}
	getParams = []string{"partNumber", "response-content-type", "response-content-language", "response-expires",
		"response-cache-control", "response-content-disposition", "response-content-encoding"}
)

// operations are those that the service knows. Actions are from the service authorization reference; a request that is none of these is
// refused.
var operations = []operation{
	{name: "ListBuckets", method: http.MethodGet, level: account, params: []string{"prefix", "max-buckets", "continuation-token", "bucket-region"},
		action: "s3:ListAllMyBuckets", do: (*Server).listBuckets},

	{name: "CreateBucket", method: http.MethodPut, level: onBucket, action: "s3:CreateBucket", do: (*Server).createBucket},
	{name: "DeleteBucket", method: http.MethodDelete, level: onBucket, action: "s3:DeleteBucket", do: (*Server).deleteBucket},
	{name: "HeadBucket", method: http.MethodHead, level: onBucket, action: "s3:ListBucket", do: (*Server).headBucket},
	{name: "ListObjects", method: http.MethodGet, level: onBucket, params: listParams, action: "s3:ListBucket", do: (*Server).listObjects},
	{name: "GetBucketLocation", method: http.MethodGet, level: onBucket, sub: "location", action: "s3:GetBucketLocation", do: (*Server).getBucketLocation},
	{name: "GetBucketPolicy", method: http.MethodGet, level: onBucket, sub: "policy", action: "s3:GetBucketPolicy", do: (*Server).getBucketPolicy},
	{name: "PutBucketPolicy", method: http.MethodPut, level: onBucket, sub: "policy", action: "s3:PutBucketPolicy", do: (*Server).putBucketPolicy},
	{name: "DeleteBucketPolicy", method: http.MethodDelete, level: onBucket, sub: "policy", action: "s3:DeleteBucketPolicy", do: (*Server).deleteBucketPolicy},
	{name: "GetBucketVersioning", method: http.MethodGet, level: onBucket, sub: "versioning", action: "s3:GetBucketVersioning"},
	{name: "ListMultipartUploads", method: http.MethodGet, level: onBucket, sub: "uploads",
		params: []string{"prefix", "key-marker", "upload-id-marker", "max-uploads"}, action: "s3:ListBucketMultipartUploads",
		do: (*Server).listUploads},
	{name: "DeleteObjects", method: http.MethodPost, level: onBucket, sub: "delete", do: (*Server).deleteObjects}, // each object by itself

	{name: "GetObject", method: http.MethodGet, level: onObject, params: getParams, action: "s3:GetObject"},
	{name: "HeadObject", method: http.MethodHead, level: onObject, params: getParams, action: "s3:GetObject"},
	{name: "GetObjectAttributes", method: http.MethodGet, level: onObject, sub: "attributes", action: "s3:GetObject", do: (*Server).getObjectAttributes},
	{name: "PutObject", method: http.MethodPut, level: onObject, action: "s3:PutObject"},
	{name: "CopyObject", method: http.MethodPut, level: onObject, copies: true, action: "s3:PutObject"},
	{name: "DeleteObject", method: http.MethodDelete, level: onObject, action: "s3:DeleteObject"},
	{name: "GetObjectTagging", method: http.MethodGet, level: onObject, sub: "tagging", action: "s3:GetObjectTagging"},
	{name: "PutObjectTagging", method: http.MethodPut, level: onObject, sub: "tagging", action: "s3:PutObjectTagging"},
	{name: "DeleteObjectTagging", method: http.MethodDelete, level: onObject, sub: "tagging", action: "s3:DeleteObjectTagging"},
	{name: "CreateMultipartUpload", method: http.MethodPost, level: onObject, sub: "uploads", action: "s3:PutObject"},
	{name: "UploadPart", method: http.MethodPut, level: onObject, sub: "uploadId", params: []string{"partNumber"}, action: "s3:PutObject"},
	{name: "UploadPartCopy", method: http.MethodPut, level: onObject, copies: true, sub: "uploadId", params: []string{"partNumber"}, action: "s3:PutObject"},
	{name: "CompleteMultipartUpload", method: http.MethodPost, level: onObject, sub: "uploadId", action: "s3:PutObject"},
	{name: "AbortMultipartUpload", method: http.MethodDelete, level: onObject, sub: "uploadId", action: "s3:AbortMultipartUpload"},
	{name: "ListParts", method: http.MethodGet, level: onObject, sub: "uploadId", params: []string{"max-parts", "part-number-marker"},
		action: "s3:ListMultipartUploadParts", do: (*Server).listParts},
}

// findOperation is the one operation that a request can mean.
func findOperation(method string, l level, copies bool, params []string) (operation, bool) {
	for _, op := range operations {
		if op.method == method && op.level == l && op.copies == copies && op.takes(params) {
			return op, true
		}
	}
	return operation{}, false
}

// takes says whether a request with such query parameters is this operation: it has the one that selects it, and no strange one.
func (op operation) takes(params []string) bool {
	if op.sub != "" && !slices.Contains(params, op.sub) {
		return false
	}
	for _, p := range params {
		if p != op.sub && !slices.Contains(op.params, p) {
			return false
		}
	}
	return true
}

// signing are the query parameters of a presigned URL's signature, in lower case; others that begin with x-amz- stand for headers.
var signing = []string{"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signedheaders", "x-amz-signature",
	"x-amz-security-token", "x-amz-content-sha256"}

// meaning says what a query parameter is for: the operation, the signature (nothing to us), or a header that presigning moved there.
func meaning(param string) (operation, header bool) {
	lower := strings.ToLower(param)
	switch {
	case lower == "x-id", slices.Contains(signing, lower): // SDKs write the operation's name into x-id
		return false, false
	case strings.HasPrefix(lower, "x-amz-"):
		return false, true
	}
	return true, false
}
