package kafka

import (
	"crypto/sha256"
	"hash"
	"strings"
	"testing"
)

// rfc7677 is the example exchange of RFC 7677, section 3.
var rfc7677 = struct{ nonce, first, serverFirst, final, serverFinal string }{
	"rOprNGfwEbeRWgbNEkqO",
	"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
	"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
	"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
	"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
}

func begun(t *testing.T, h func() hash.Hash) *scram {
	t.Helper()
	s := newSCRAM(h)
	s.nonce = func() (string, error) { return rfc7677.nonce, nil }
	if err := s.Begin("user", "pencil", ""); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Step(""); err != nil || got != rfc7677.first {
		t.Fatalf("first message %q, error %v", got, err)
	}
	return s
}

func TestSCRAMFollowsTheRFC(t *testing.T) {
	s := begun(t, sha256.New)
	if got, err := s.Step(rfc7677.serverFirst); err != nil || got != rfc7677.final {
		t.Fatalf("final message\n%q, want\n%q, error %v", got, rfc7677.final, err)
	}
	if s.Done() {
		t.Fatal("done before the server proved itself")
	}
	if _, err := s.Step(rfc7677.serverFinal); err != nil || !s.Done() {
		t.Fatalf("error %v, done %v", err, s.Done())
	}
}

func TestSCRAMDistrustsTheServer(t *testing.T) {
	for _, test := range []struct{ name, first, final, want string }{
		{"foreign nonce", strings.Replace(rfc7677.serverFirst, "r=rO", "r=xx", 1), "", "nonce"},
		{"our nonce alone", "r=" + rfc7677.nonce + ",s=W22Z,i=4096", "", "nonce"},
		{"too few iterations", strings.Replace(rfc7677.serverFirst, "i=4096", "i=1", 1), "", "iterations"},
		{"endless iterations", strings.Replace(rfc7677.serverFirst, "i=4096", "i=999999999", 1), "", "iterations"},
		{"no salt", strings.Replace(rfc7677.serverFirst, "s=W22ZaJ0SNY7soEsUEjb6gQ==", "s=", 1), "", "salt"},
		{"refused", rfc7677.serverFirst, "e=invalid-proof", "invalid-proof"},
		{"impostor", rfc7677.serverFirst, "v=AAAATRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "impostor"},
		{"silence", rfc7677.serverFirst, "", "impostor"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := begun(t, sha256.New)
			_, err := s.Step(test.first)
			if err == nil {
				_, err = s.Step(test.final)
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || s.Done() {
				t.Fatalf("got %v, done %v; want an error about %s", err, s.Done(), test.want)
			}
		})
	}
}

func TestSCRAMEscapesTheUser(t *testing.T) {
	s := newSCRAM(sha256.New)
	if err := s.Begin("a=b,c", "p", ""); err != nil {
		t.Fatal(err)
	}
	if got, _ := s.Step(""); !strings.HasPrefix(got, "n,,n=a=3Db=2Cc,r=") {
		t.Fatalf("got %q", got)
	}
}
