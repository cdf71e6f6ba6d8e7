package whoami

import (
	"context"
	"encoding/xml"
	"errors"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// gate notes what it was asked, and answers err.
type gate struct {
	asked []service.Access
	err   error
}

func (g *gate) Authorize(_ context.Context, a service.Access) error {
	g.asked = append(g.asked, a)
	return g.err
}

var reader = Principal{ARN: "arn:aws:sts::111111111111:assumed-role/reader/i-1", Account: "111111111111", UserID: "AROAREADER:i-1"}

// caller asks SQS, or whatever code says, by an interface endpoint.
func caller(code string) service.Caller {
	return service.Caller{Via: service.ByInterface, Service: code, Region: "eu-west-1", Addr: netip.MustParseAddr("10.0.1.5"),
		VPC: &vpc.VPC{Name: "app"}, Endpoint: &vpc.Endpoint{ID: "vpce-1"}}
}

// ask sends a request: "GET /path", with headers "Name: value" and a body.
func ask(g *gate, p Principal, from service.Caller, line, body string, headers ...string) (status int, contentType, answer string) {
	method, path, _ := strings.Cut(line, " ")
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for _, h := range headers {
		name, v, _ := strings.Cut(h, ": ")
		r.Header.Set(name, v)
	}
	w := httptest.NewRecorder()
	h := &Handler{Gate: g, Principal: func(context.Context) Principal { return p }}
	h.ServeHTTP(w, r.WithContext(service.With(r.Context(), from)))
	return w.Code, w.Header().Get("Content-Type"), w.Body.String()
}

const (
	signed = "Authorization: AWS4-HMAC-SHA256 …"
	form   = "Content-Type: application/x-www-form-urlencoded; charset=utf-8"
)

func TestItTellsWhoAsked(t *testing.T) {
	public := service.Caller{Via: service.Public, Service: "kms", Region: "us-east-1", Addr: netip.MustParseAddr("198.18.0.7")}
	for _, row := range []struct {
		from      service.Caller
		principal Principal
		line      string
		headers   []string
		action    string // "": the gate is not asked
		want      string
	}{
		{caller("sqs"), Principal{}, "GET /", nil, "",
			`{"service":"sqs","operation":"Invoke","region":"eu-west-1","via":"interface endpoint","source":"10.0.1.5","vpc":"app","endpoint":"vpce-1","principal":""}`},
		{public, Principal{}, "GET /?x=y", nil, "",
			`{"service":"kms","operation":"Invoke","region":"us-east-1","via":"public","source":"198.18.0.7","vpc":"","endpoint":"","principal":""}`},
		{caller("sqs"), reader, "GET /", []string{signed}, "sqs:Invoke",
			`{"service":"sqs","operation":"Invoke","region":"eu-west-1","via":"interface endpoint","source":"10.0.1.5","vpc":"app","endpoint":"vpce-1","principal":"arn:aws:sts::111111111111:assumed-role/reader/i-1"}`},
		{caller("sqs"), reader, "GET /any/path", nil, "sqs:Invoke", `"operation":"Invoke"`},
		{caller("sqs"), reader, "GET /?X-Amz-Signature=1", nil, "sqs:Invoke", `"operation":"Invoke"`},
		{caller("sqs"), reader, "POST /", nil, "sqs:Invoke", `"operation":"Invoke"`},
		{caller("kms"), reader, "POST /", []string{signed, "X-Amz-Target: TrentService.ListKeys"}, "kms:ListKeys", `"operation":"ListKeys"`},
		{caller("sns"), reader, "GET /?Action=Publish", nil, "sns:Publish", `"operation":"Publish"`},
	} {
		g := &gate{}
		status, _, answer := ask(g, row.principal, row.from, row.line, "", row.headers...)
		if status != 200 || !strings.Contains(answer, row.want) {
			t.Errorf("%s %v: %d %s\nwant %s", row.line, row.headers, status, answer, row.want)
		}
		if row.action == "" && len(g.asked) > 0 || row.action != "" && (len(g.asked) != 1 || g.asked[0].Action != row.action || g.asked[0].Resource != "*") {
			t.Errorf("%s %v: the gate was asked %+v, want %q", row.line, row.headers, g.asked, row.action)
		}
	}
}

func TestCommonCallsHaveTheirForm(t *testing.T) {
	for _, row := range []struct{ code, body, want string }{
		{"sts", "Action=GetCallerIdentity&Version=2011-06-15", `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:sts::111111111111:assumed-role/reader/i-1</Arn><UserId>AROAREADER:i-1</UserId><Account>111111111111</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>`},
		{"sns", "Action=ListTopics&Version=2010-03-31", `<ListTopicsResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><ListTopicsResult><Topics></Topics></ListTopicsResult><ResponseMetadata>`},
		{"sqs", "Action=ListQueues&Version=2012-11-05", `<ListQueuesResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/"><ListQueuesResult></ListQueuesResult><ResponseMetadata>`},
	} {
		g := &gate{}
		status, contentType, answer := ask(g, reader, caller(row.code), "POST /", row.body, signed, form)
		if status != 200 || contentType != "text/xml" || !strings.HasPrefix(answer, row.want) {
			t.Errorf("%s %s: %d %s %s\nwant %s", row.code, row.body, status, contentType, answer, row.want)
		}
	}
	status, contentType, answer := ask(&gate{}, reader, caller("sqs"), "POST /", `{}`, signed, "X-Amz-Target: AmazonSQS.ListQueues", "Content-Type: application/x-amz-json-1.0")
	if status != 200 || contentType != "application/x-amz-json-1.0" || strings.Contains(answer, "QueueUrls") {
		t.Errorf("ListQueues in JSON: %d %s %s", status, contentType, answer)
	}
}

func TestDenialsAreInTheClientsProtocol(t *testing.T) {
	denied := &service.Denied{Code: "AccessDenied", Message: "User: <x> is not authorized"}
	for _, row := range []struct {
		line, body, headers string
		err                 error
		status              int
		want                string
	}{
		{"POST /", "Action=ListTopics", form, denied, 403, `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User: &lt;x&gt; is not authorized</Message></Error><RequestId>`},
		{"POST /", "{}", "X-Amz-Target: AmazonSQS.ListQueues", denied, 400, `{"__type":"AccessDeniedException","message":"User: \u003cx\u003e is not authorized"}`},
		{"PUT /x", "", form, denied, 403, `{"__type":"AccessDeniedException",`},
		{"PUT /x", "", form, errors.New("no policies"), 500, `{"__type":"InternalFailureException","message":"no policies"}`},
		{"POST /", "Action=a:b", form, nil, 400, `<ErrorResponse><Error><Type>Sender</Type><Code>InvalidAction</Code><Message>the request names no operation</Message>`},
		{"POST /", "Action=%", form, nil, 400, `{"__type":"InvalidActionException","message":"invalid URL escape`},
		{"POST /", "{}", "X-Amz-Target: AmazonSQS.", nil, 400, `{"__type":"InvalidActionException","message":"the request names no operation"}`},
	} {
		status, _, answer := ask(&gate{err: row.err}, Principal{}, caller("sns"), row.line, row.body, row.headers)
		if status != row.status || !strings.HasPrefix(answer, row.want) {
			t.Errorf("%s %s: %d %s\nwant %d %s", row.line, row.body, status, answer, row.status, row.want)
		}
		if strings.HasPrefix(answer, "<") && xml.Unmarshal([]byte(answer), &errorResponse{}) != nil {
			t.Errorf("%s is no XML", answer)
		}
	}
}
