package check

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// The built-in protocol: a line `vpclab TOKEN` is answered by `TOKEN SOURCE-IP SOURCE-PORT LOCAL-IP LOCAL-PORT`, where source and
// local are the two ends as the listener saw them.
const greeting = "vpclab "

// maxLine bounds a line in either direction, in bytes: a greeting and an answer are far shorter.
const maxLine = 512

func newToken() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// formatAnswer is the listener's side.
func formatAnswer(token string, source, local netip.AddrPort) string {
	return fmt.Sprintf("%s %s %d %s %d\n", token, source.Addr(), source.Port(), local.Addr(), local.Port())
}

// parseAnswer is the source address that one of our listeners saw; false if the line is not its answer to token.
func parseAnswer(line, token string) (source netip.AddrPort, ok bool) {
	f := strings.Fields(line)
	if len(f) != 5 || f[0] != token {
		return source, false
	}
	if _, ok = parseEnd(f[3], f[4]); !ok {
		return source, false
	}
	return parseEnd(f[1], f[2])
}

func parseEnd(addr, port string) (netip.AddrPort, bool) {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return netip.AddrPort{}, false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a, uint16(n)), true
}

// reply is what came back for a line. With a listener that is not ours only closed is known.
type reply struct {
	ours   bool
	source netip.AddrPort
	closed bool // a FIN came, and no byte before it
}

// exchange sends one line and reads what comes back.
func (s *socket) exchange() (reply, error) {
	token := newToken()
	if err := s.send([]byte(greeting + token + "\n")); err != nil {
		return reply{}, err
	}
	answer, err := s.readReply(token)
	if err != nil {
		s.abandoned = append(s.abandoned, token)
	}
	return answer, err
}

func (s *socket) readReply(token string) (reply, error) {
	var got []byte
	buf := make([]byte, maxLine)
	for {
		n, err := s.receive(buf)
		if err != nil {
			if e, ok := ended(err); ok && e.outcome == scenario.Timeout && len(got) > 0 {
				return reply{}, nil // a byte came back, of somebody who speaks another protocol
			}
			return reply{}, err
		}
		got = s.withoutLate(append(got, buf[:n]...))
		if len(got) == 0 && n > 0 {
			continue
		}
		line, _, whole := bytes.Cut(got, []byte("\n"))
		if whole || s.proto == flow.UDP || n == 0 {
			source, ours := parseAnswer(string(line), token)
			return reply{ours: ours, source: source, closed: len(got) == 0 && s.proto == flow.TCP}, nil
		}
		if !slices.ContainsFunc(append(s.abandoned, token), func(token string) bool { return mayBecomeAnswer(got, token) }) {
			return reply{}, nil
		}
	}
}

// withoutLate takes away whole lines that answer what was asked before and given up.
func (s *socket) withoutLate(got []byte) []byte {
	for {
		line, rest, whole := bytes.Cut(got, []byte("\n"))
		late := func(token string) bool {
			_, ok := parseAnswer(string(line), token)
			return ok
		}
		if !whole || !slices.ContainsFunc(s.abandoned, late) {
			return got
		}
		got = rest
	}
}

// mayBecomeAnswer reports whether more bytes could make an answer to token of got.
func mayBecomeAnswer(got []byte, token string) bool {
	n := min(len(got), len(token))
	return len(got) < maxLine && string(got[:n]) == token[:n]
}
