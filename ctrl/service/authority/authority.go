// Package authority is a lab's certificate authority: services answer HTTPS with certificates that it mints for the names that clients
// ask for.
//
// Its key is made anew for each lab and is never written down, and it can vouch for names below amazonaws.com alone, so that whoever
// trusts it trusts nothing else. Certificates are valid by the machine's own clock and not by the lab's: clients check them with theirs,
// which is the machine's. It revokes nothing, and it opens no socket.
package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"time"
)

// domain is what names are below; unnamed is told to who asks for none.
const (
	domain  = "amazonaws.com"
	unnamed = "services." + domain
)

// Validity by the real clock. Certificates begin long ago, for machines whose clock is behind, and are minted anew in time.
const (
	before    = 365 * 24 * time.Hour
	authority = 10 * 365 * 24 * time.Hour
	leaf      = 365 * 24 * time.Hour
	renewal   = 30 * 24 * time.Hour
)

// maxNames is how many certificates are kept.
const maxNames = 1024

// Authority mints certificates. It may be used by several goroutines.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey // of the authority
	own  *ecdsa.PrivateKey // of all services
	now  func() time.Time

	mu     sync.Mutex
	minted map[string]*tls.Certificate
}

// New makes an authority for a lab, whose name its certificate tells. now is the machine's real time.
func New(lab string, now func() time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the authority's key: %w", err)
	}
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the services' key: %w", err)
	}
	a := &Authority{key: key, own: own, now: now, minted: map[string]*tls.Certificate{}}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "vpclab " + lab, Organization: []string{"vpclab"}},
		NotBefore:             now().Add(-before),
		NotAfter:              now().Add(authority),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: []string{domain},
	}
	a.cert, err = a.sign(template, template, &key.PublicKey)
	return a, err
}

// PEM is the authority's certificate, which clients are made to trust (AWS_CA_BUNDLE, SSL_CERT_FILE).
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// GetCertificate is for tls.Config: a certificate for the name that the client asks for, which must be below amazonaws.com. A client
// that names none, since it was given an address, gets one that is not for it: AWS has none for addresses, either.
//
// A name's certificate has that name alone: one for a bucket with dots in its name fits, where AWS's has a wildcard that does not.
func (a *Authority) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.TrimSuffix(strings.ToLower(hello.ServerName), ".")
	if name == "" {
		name = unnamed
	}
	if !strings.HasSuffix(name, "."+domain) || len(name) > 253 {
		return nil, fmt.Errorf("mint certificate %q: it is not below %s", name, domain)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if known := a.minted[name]; known != nil && a.now().Add(renewal).Before(known.Leaf.NotAfter) {
		return known, nil
	}
	minted, err := a.mint(name)
	if err != nil {
		return nil, fmt.Errorf("mint certificate %q: %w", name, err)
	}
	if len(a.minted) >= maxNames {
		clear(a.minted)
	}
	a.minted[name] = minted
	return minted, nil
}

func (a *Authority) mint(name string) (*tls.Certificate, error) {
	cert, err := a.sign(&x509.Certificate{
		Subject:     pkix.Name{Organization: []string{"vpclab"}},
		DNSNames:    []string{name},
		NotBefore:   a.now().Add(-before),
		NotAfter:    a.now().Add(leaf),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.cert, &a.own.PublicKey)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: a.own, Leaf: cert}, nil
}

// sign gives a certificate a number and the authority's signature.
func (a *Authority) sign(template, parent *x509.Certificate, public *ecdsa.PublicKey) (*x509.Certificate, error) {
	number, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = number.Add(number, big.NewInt(1))
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, public, a.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(raw)
}
