package whoami

import (
	"crypto/rand"
	"encoding/json"
	"encoding/xml"
	"errors"
	"net/http"

	"github.com/vpclab/vpclab/ctrl/service"
)

// who is the answer to whatever has no form of its own.
type who struct {
	Service   string `json:"service"`
	Operation string `json:"operation"`
	Region    string `json:"region"`
	Via       string `json:"via"` // "direct", "public", "gateway endpoint", "interface endpoint"
	Source    string `json:"source"`
	VPC       string `json:"vpc"`       // the scenario's name; empty on the public way
	Endpoint  string `json:"endpoint"`  // the endpoint's ID, as policies know it; empty without one
	Principal string `json:"principal"` // an ARN; empty if nobody signed
}

var ways = map[service.Via]string{
	service.Direct: "direct", service.Public: "public", service.ByGateway: "gateway endpoint", service.ByInterface: "interface endpoint",
}

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

// namespaces are those of XML answers, by the service.
var namespaces = map[string]string{
	"sts": "https://sts.amazonaws.com/doc/2011-06-15/", "sns": "http://sns.amazonaws.com/doc/2010-03-31/",
	"sqs": "http://queue.amazonaws.com/doc/2012-11-05/", "monitoring": "http://monitoring.amazonaws.com/doc/2010-08-01/",
}

// lists are calls of the query protocol that list what there is, which is nothing, and the element that holds it.
var lists = map[string]string{
	"sqs:ListQueues": "", "sns:ListTopics": "Topics", "sns:ListSubscriptions": "Subscriptions",
	"monitoring:ListMetrics": "Metrics", "monitoring:DescribeAlarms": "MetricAlarms",
}

type (
	// response is an answer in the query protocol.
	response struct {
		XMLName   xml.Name
		Namespace string `xml:"xmlns,attr"`
		Result    result
		RequestID string `xml:"ResponseMetadata>RequestId"`
	}
	// result is GetCallerIdentity's, or an empty list.
	result struct {
		XMLName xml.Name
		ARN     string `xml:"Arn,omitempty"`
		UserID  string `xml:"UserId,omitempty"`
		Account string `xml:",omitempty"`
		List    *list
	}
	list struct{ XMLName xml.Name }

	errorResponse struct {
		XMLName   xml.Name `xml:"ErrorResponse"`
		Type      string   `xml:"Error>Type"`
		Code      string   `xml:"Error>Code"`
		Message   string   `xml:"Error>Message"`
		RequestID string   `xml:"RequestId"`
	}
)

// answer is the answer to a call that may be made. In JSON one answer fits all calls, as SDKs skip the members that they do not know.
func (c call) answer(w http.ResponseWriter, from service.Caller, p Principal) {
	name := c.service + ":" + c.operation
	element, lists := lists[name]
	switch {
	case c.protocol == query && name == "sts:GetCallerIdentity":
		c.result(w, result{ARN: p.ARN, UserID: p.UserID, Account: p.Account})
	case c.protocol == query && lists && element == "":
		c.result(w, result{})
	case c.protocol == query && lists:
		c.result(w, result{List: &list{xml.Name{Local: element}}})
	default:
		c.json(w, http.StatusOK, c.who(from, p))
	}
}

// result answers in the query protocol.
func (c call) result(w http.ResponseWriter, r result) {
	r.XMLName.Local = c.operation + "Result"
	c.xml(w, http.StatusOK, response{xml.Name{Local: c.operation + "Response"}, namespaces[c.service], r, c.id})
}

// refuse tells why a call may not be made, in the client's protocol.
func (c call) refuse(w http.ResponseWriter, err error) {
	d, ok := errors.AsType[*service.Denied](err)
	status := http.StatusForbidden
	if !ok {
		d, status = &service.Denied{Code: "InternalFailure", Message: err.Error()}, http.StatusInternalServerError
	}
	c.fail(w, status, d)
}

// Refuse answers a request whose signature did not stand, before it came here.
func (h *Handler) Refuse(w http.ResponseWriter, r *http.Request, d *service.Denied) {
	c, _ := callOf(r) // what is not understood is refused in JSON
	c.refuse(w, d)
}

func (c call) fail(w http.ResponseWriter, status int, d *service.Denied) {
	if c.protocol == query {
		c.xml(w, status, errorResponse{Type: "Sender", Code: d.Code, Message: d.Message, RequestID: c.id})
		return
	}
	if c.protocol == target && status == http.StatusForbidden {
		status = http.StatusBadRequest // as JSON protocols have it
	}
	c.json(w, status, map[string]string{"__type": d.JSONCode(), "message": d.Message})
}

func (c call) xml(w http.ResponseWriter, status int, v any) {
	body, err := xml.Marshal(v)
	c.write(w, "text/xml", status, body, err)
}

func (c call) json(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	c.write(w, c.contentType, status, append(body, '\n'), err)
}

func (c call) write(w http.ResponseWriter, contentType string, status int, body []byte, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Amzn-RequestId", c.id)
	w.WriteHeader(status)
	_, _ = w.Write(body) // whoever has gone needs no answer
}

func requestID() string { return rand.Text() }
