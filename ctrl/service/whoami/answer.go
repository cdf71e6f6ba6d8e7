package whoami

import (
	"crypto/rand"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/vpclab/vpclab/ctrl/service"
)

// who is the answer to whatever has no form of its own.
type who struct {
	Service   string `json:"service"`
	Operation string `json:"operation"`
	Region    string `json:"region"`
	Via       string `json:"via"`
	Source    string `json:"source"`
	VPC       string `json:"vpc"`       // the scenario's name; empty on the public way
	Endpoint  string `json:"endpoint"`  // the endpoint's ID, as policies know it; empty without one
	Principal string `json:"principal"` // an ARN; empty if nobody signed
}

var ways = map[service.Via]string{service.Direct: "direct", service.Public: "public", service.ByGateway: "gateway endpoint", service.ByInterface: "interface endpoint"}

func (c call) who(from service.Caller, p Principal) who {
	w := who{Service: c.service, Operation: c.operation, Region: from.Region, Via: ways[from.Via], Source: from.Addr.String(), Principal: p.ARN}
	if from.VPC != nil {
		w.VPC = from.VPC.Name
	}
	if from.Endpoint != nil {
		w.Endpoint = string(from.Endpoint.ID)
	}
	return w
}

func requestID() string { return rand.Text() }

// answer is the answer to a call that may be made. Members that an SDK does not know it skips, so in JSON one answer fits all calls.
func (c call) answer(w http.ResponseWriter, from service.Caller, p Principal) {
	switch {
	case c.protocol == query && c.service == "sts" && c.operation == "GetCallerIdentity":
		c.writeXML(w, identity{ARN: p.ARN, UserID: p.UserID, Account: p.Account})
	case c.protocol == query && c.lists():
		c.writeXML(w, nothing{})
	default:
		c.writeJSON(w, http.StatusOK, c.who(from, p))
	}
}

// namespaces are those of XML answers, by the service.
var namespaces = map[string]string{
	"sts": "https://sts.amazonaws.com/doc/2011-06-15/", "sns": "http://sns.amazonaws.com/doc/2010-03-31/",
	"sqs": "http://queue.amazonaws.com/doc/2012-11-05/", "monitoring": "http://monitoring.amazonaws.com/doc/2010-08-01/",
}

// lists says that the call lists what the service has, which is nothing.
func (c call) lists() bool {
	return slices.Contains([]string{"sns", "sqs", "monitoring"}, c.service) && (strings.HasPrefix(c.operation, "List") || strings.HasPrefix(c.operation, "Describe"))
}

type (
	// identity is GetCallerIdentity's result (STS API reference).
	identity struct {
		ARN     string `xml:"Arn"`
		UserID  string `xml:"UserId"`
		Account string
	}
	nothing struct{}

	metadata struct{ RequestID string `xml:"RequestId"` }
)

// writeXML answers in the query protocol.
func (c call) writeXML(w http.ResponseWriter, result any) {
	type named struct {
		XMLName xml.Name
		Value   any
	}
	_ = named{}
	space := xml.Attr{Name: xml.Name{Local: "xmlns"}, Value: namespaces[c.service]}
	write(w, "text/xml", http.StatusOK, c.id, func(e *xml.Encoder) error {
		outer := xml.StartElement{Name: xml.Name{Local: c.operation + "Response"}, Attr: []xml.Attr{space}}
		return errors.Join(
			e.EncodeToken(outer),
			e.EncodeElement(result, xml.StartElement{Name: xml.Name{Local: c.operation + "Result"}}),
			e.EncodeElement(metadata{c.id}, xml.StartElement{Name: xml.Name{Local: "ResponseMetadata"}}),
			e.EncodeToken(outer.End()), e.Flush())
	})
}
