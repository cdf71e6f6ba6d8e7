package authority

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func made(t *testing.T, now func() time.Time) *Authority {
	a, err := New("test", now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *Authority) pool(t *testing.T) *x509.CertPool {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(a.PEM()) {
		t.Fatal("the authority's certificate cannot be read")
	}
	return pool
}

func TestWhoTrustsTheLabIsServed(t *testing.T) {
	a := made(t, time.Now)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.Listener = tls.NewListener(server.Listener, &tls.Config{GetCertificate: a.GetCertificate})
	server.Start()
	defer server.Close()
	dial := func(trust *x509.CertPool, name string) error {
		conn, err := tls.Dial("tcp", server.Listener.Addr().String(), &tls.Config{RootCAs: trust, ServerName: name})
		if err == nil {
			conn.Close()
		}
		return err
	}
	for _, name := range []string{
		"s3.us-east-1.amazonaws.com", "S3.us-east-1.amazonaws.com", "my.logs.s3.eu-west-1.amazonaws.com",
		"vpce-0a-1b.sqs.us-east-1.vpce.amazonaws.com", "vpce-0a-1b-us-east-1a.vpce-svc-2.us-east-1.vpce.amazonaws.com",
	} {
		if err := dial(a.pool(t), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := dial(made(t, time.Now).pool(t), "s3.us-east-1.amazonaws.com"); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("with another lab's authority: got %v", err)
	}
	if err := dial(a.pool(t), "bank.example.com"); err == nil {
		t.Error("a name that is not Amazon's was served")
	}
	if err := dial(a.pool(t), "127.0.0.1"); err == nil || !strings.Contains(err.Error(), "doesn't contain any IP SANs") {
		t.Errorf("by address: got %v", err)
	}
}

// Whoever has the lab's key can do no harm elsewhere.
func TestTheAuthorityIsTrustedForAmazonAlone(t *testing.T) {
	a := made(t, time.Now)
	for _, row := range []struct {
		name string
		fits bool
	}{{"s3.us-east-1.amazonaws.com", true}, {"bank.example.com", false}, {"notamazonaws.com", false}} {
		cert, err := a.mint(row.name)
		if err != nil {
			t.Fatal(err)
		}
		_, err = cert.Leaf.Verify(x509.VerifyOptions{DNSName: row.name, Roots: a.pool(t)})
		if (err == nil) != row.fits {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

func TestNamesThatAreRefused(t *testing.T) {
	a := made(t, time.Now)
	for _, name := range []string{"amazonaws.com", "example.com", "amazonaws.com.example.com", "xamazonaws.com", strings.Repeat("a.", 125) + domain} {
		_, err := a.GetCertificate(&tls.ClientHelloInfo{ServerName: name})
		if err == nil || !strings.Contains(err.Error(), "not below amazonaws.com") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	cert, err := a.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil || cert.Leaf.DNSNames[0] != unnamed {
		t.Errorf("without a name: %v", err)
	}
}

func TestCertificatesAreKeptAndRenewed(t *testing.T) {
	clock := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	a := made(t, func() time.Time { return clock })
	get := func(name string) *tls.Certificate {
		cert, err := a.GetCertificate(&tls.ClientHelloInfo{ServerName: name})
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	first := get("s3.us-east-1.amazonaws.com")
	if !first.Leaf.NotBefore.Before(clock.AddDate(0, -11, 0)) {
		t.Errorf("it begins at %v, which a clock that is behind finds too early", first.Leaf.NotBefore)
	}
	clock = clock.Add(leaf - renewal - time.Hour)
	if get("s3.us-east-1.amazonaws.com") != first {
		t.Error("it was minted anew without need")
	}
	clock = clock.Add(2 * time.Hour)
	if get("s3.us-east-1.amazonaws.com") == first {
		t.Error("it was not renewed before its end")
	}
	for n := range maxNames + 10 {
		get(fmt.Sprintf("bucket%d.s3.amazonaws.com", n))
	}
	if len(a.minted) > maxNames {
		t.Errorf("%d certificates are kept", len(a.minted))
	}
}
