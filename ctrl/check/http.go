package check

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"

	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// maxBody bounds how much of an HTTP answer is read, in bytes.
const maxBody = 1 << 20

// Read and Write make a socket the stream that net/http parses from.
func (s *socket) Read(b []byte) (int, error) {
	n, err := s.receive(b)
	if err == nil && n == 0 && len(b) > 0 {
		return 0, io.EOF
	}
	return n, err
}

func (s *socket) Write(b []byte) (int, error) {
	if err := s.send(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// get fetches a page on a connection of its own and follows no redirect.
func get(p *probe, c *scenario.Check) seen {
	request, err := http.NewRequestWithContext(p.ctx, http.MethodGet, c.Do.URL, nil)
	if err != nil {
		return seen{err: fmt.Errorf("http: %w", err)}
	}
	if request.URL.Scheme != "http" {
		return seen{err: fmt.Errorf("http %s: scheme %q is not supported; use http", c.Do.URL, request.URL.Scheme)}
	}
	request.Close = true
	request.Header.Set("User-Agent", "vpclab")
	s, err := dial(p, flow.TCP, netip.AddrPortFrom(c.Do.Addr, c.Do.Port))
	if err != nil {
		return seenOf(err)
	}
	result := fetch(p, s, request)
	if result.outcome == scenario.OK {
		s.finish()
	} else {
		s.close()
	}
	return result
}

// fetch sends the request and reads the whole answer.
func fetch(p *probe, s *socket, request *http.Request) seen {
	if err := request.Write(s); err != nil {
		return notHTTP(p, err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(s), request)
	if err != nil {
		return notHTTP(p, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	if err != nil {
		return notHTTP(p, err)
	}
	return seen{outcome: scenario.OK, http: &page{answer.StatusCode, string(body)}, source: reportedSource(body)}
}

// notHTTP is what it means that no whole answer could be read: the connection ended, or the other side speaks something else.
func notHTTP(p *probe, err error) seen {
	if _, ok := ended(err); ok {
		return seenOf(err)
	}
	if p.ctx.Err() != nil {
		return seen{err: p.ctx.Err()}
	}
	return seen{outcome: Failed, detail: fmt.Sprintf("the answer is not HTTP: %v", err)}
}

// report is what a built-in http listener answers: the line protocol's answer as JSON.
type report struct {
	Source     netip.Addr `json:"source"`
	SourcePort uint16     `json:"source_port"`
	Local      netip.Addr `json:"local"`
	LocalPort  uint16     `json:"local_port"`
}

// reportedSource is invalid if the page is not a built-in listener's.
func reportedSource(body []byte) netip.Addr {
	var r report
	if json.Unmarshal(body, &r) != nil || !r.Local.IsValid() {
		return netip.Addr{}
	}
	return r.Source
}
