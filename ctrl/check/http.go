package check

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"

	"github.com/vpclab/vpclab/ctrl/scenario"
)

// get fetches a page on a connection of its own and follows no redirect.
func get(p *probe, c *scenario.Check) seen {
	request, err := http.NewRequestWithContext(p.ctx, http.MethodGet, c.Do.URL, nil)
	if err != nil {
		return seen{err: fmt.Errorf("http: %w", err)}
	}
	if scheme := request.URL.Scheme; scheme != "http" && scheme != "https" {
		return seen{err: fmt.Errorf("http %s: scheme %q is not supported; use http or https", c.Do.URL, scheme)}
	}
	request.Header.Set("User-Agent", "vpclab")
	answer, err := browser{p}.Do(request)
	if err != nil {
		return seenOf(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return seen{err: fmt.Errorf("http: %w", err)}
	}
	text := string(body)
	return seen{outcome: scenario.OK, status: answer.StatusCode, body: &text, source: reportedSource(body)}
}

// report is what a built-in http listener answers: the line protocol's answer as JSON.
type report struct {
	Source     netip.Addr `json:"source"`
	SourcePort uint16     `json:"source_port"`
	Local      netip.Addr `json:"local"`
	LocalPort  uint16     `json:"local_port"`
}

// reportedSource is whom the page's listener saw; invalid if it is neither a built-in one nor a service that says who asks, and by which
// way (package whoami).
func reportedSource(body []byte) netip.Addr {
	var r struct {
		report
		Via string `json:"via"`
	}
	if json.Unmarshal(body, &r) != nil || !r.Local.IsValid() && r.Via == "" {
		return netip.Addr{}
	}
	return r.Source
}
