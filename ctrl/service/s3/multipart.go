package s3

import (
	"encoding/xml"
	"net/http"
	"strconv"
	"time"

	"github.com/rclone/gofakes3"
	"github.com/vpclab/vpclab/ctrl/service/s3/store"
)

type partList struct {
	XMLName              xml.Name `xml:"ListPartsResult"`
	Xmlns                string   `xml:"xmlns,attr"`
	Bucket, Key          string
	UploadID             string `xml:"UploadId"`
	StorageClass         string
	Owner                owner
	PartNumberMarker     int
	NextPartNumberMarker int
	MaxParts             int
	IsTruncated          bool
	Part                 []partEntry
}

type partEntry struct {
	PartNumber   int
	LastModified string
	ETag         string
	Size         int64
}

// mostListed is how many parts an answer has at most (S3 API, ListParts).
const mostListed = 1000

// listParts tells the parts after a marker, which is the number of the last one that the client knows. The library takes it for that of the
// next.
func (s *Server) listParts(w *reply, q *request) error {
	if s.elsewhere {
		return s.forward(w, q)
	}
	id := q.query.Get("uploadId")
	parts, err := s.store.Parts(q.bucket, q.key, gofakes3.UploadID(id))
	if err != nil {
		return err
	}
	list := partList{Xmlns: namespace, Bucket: q.bucket, Key: q.key, UploadID: id, StorageClass: "STANDARD", Owner: ownerOf(q.home.Account),
		PartNumberMarker: q.number("part-number-marker", 0), MaxParts: min(q.number("max-parts", mostListed), mostListed)}
	for _, p := range parts {
		if p.Number <= list.PartNumberMarker {
			continue
		}
		if len(list.Part) == list.MaxParts {
			list.IsTruncated = list.MaxParts > 0 // nobody asks for pages of nothing on and on
			break
		}
		list.Part = append(list.Part, partEntry{p.Number, p.Modified.UTC().Format(time.RFC3339), p.ETag, p.Size})
		list.NextPartNumberMarker = p.Number
	}
	return w.xml(http.StatusOK, list)
}

// number is a parameter that has been found to be one, or what it is if it is not there.
func (q *request) number(name string, otherwise int) int {
	n, err := strconv.Atoi(q.query.Get(name))
	if err != nil {
		return otherwise
	}
	return n
}

// owner is an account as S3 tells of it.
type owner struct{ ID, DisplayName string }

func ownerOf(account string) owner { return owner{store.CanonicalID(account), account} }
