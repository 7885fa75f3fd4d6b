package check

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
)

// tlsProblem says what is wrong with a handshake; an error that is none is told as it is.
func tlsProblem(err error) (found, do string) {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var header tls.RecordHeaderError
	switch {
	case errors.As(err, &unknown):
		return "its certificate is signed by an authority this machine does not trust", "name the authority's file as tls.ca (for Kafka), or install it on this machine"
	case errors.As(err, &name):
		return fmt.Sprintf("its certificate is for another name (%s)", certificateNames(name.Certificate)), "use a name of the certificate, or set tls.server_name (for Kafka)"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "its certificate has expired or is not valid yet: " + invalid.Detail, "renew it, or set this machine's clock"
	case errors.As(err, &header), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return "it does not speak TLS on this port", "use its TLS port, or turn TLS off"
	case strings.Contains(err.Error(), "certificate required"), strings.Contains(err.Error(), "bad certificate"):
		return "it wants a client certificate and did not take ours: " + err.Error(), "set tls.cert and tls.key"
	case isClosed(err):
		return "it closed the connection without an answer", "does it want TLS here, or is this the port of another service?"
	}
	return err.Error(), "read the message; it is the other side's"
}

// isClosed tells whether the other side hung up.
func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

func certificateNames(c *x509.Certificate) string {
	if c == nil {
		return "unknown"
	}
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return c.Subject.CommonName
	}
	return strings.Join(names[:min(len(names), 3)], ", ")
}
