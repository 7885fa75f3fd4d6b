package kafka

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"

	"github.com/IBM/sarama"
)

// saslMechanism is one way to log in: its name for sarama and, for SCRAM, its hash.
type saslMechanism struct {
	sasl sarama.SASLMechanism
	hash func() hash.Hash
}

func mechanism(name string) (saslMechanism, error) {
	switch strings.ToLower(name) {
	case "plain":
		return saslMechanism{sasl: sarama.SASLTypePlaintext}, nil
	case "scram-sha-256":
		return saslMechanism{sasl: sarama.SASLTypeSCRAMSHA256, hash: sha256.New}, nil
	case "scram-sha-512":
		return saslMechanism{sasl: sarama.SASLTypeSCRAMSHA512, hash: sha512.New}, nil
	}
	return saslMechanism{}, fmt.Errorf("kafka.sasl.mechanism: expected plain, scram-sha-256 or scram-sha-512, found %q", name)
}

// Bounds on what a server may ask for: RFC 5802 sets none, so that a hostile one could keep a client hashing for ever.
const (
	minIterations = 4096 // RFC 7677
	maxIterations = 1 << 20
)

// scram is the client's side of one SCRAM exchange (RFC 5802, RFC 7677), without channel binding.
type scram struct {
	hash  func() hash.Hash
	nonce func() (string, error)

	password      string
	clientNonce   string
	firstBare     string // client-first-message-bare
	serverProof   []byte // the signature the server must show
	step          int
	authenticated bool
}

func newSCRAM(h func() hash.Hash) *scram { return &scram{hash: h, nonce: randomNonce} }

func randomNonce() (string, error) {
	raw := make([]byte, 24)
	if _, err := rand.Read(raw); err != nil {
		return "", err
	}
	return base64.RawStdEncoding.EncodeToString(raw), nil
}

// Begin takes the credentials. User names and passwords are sent as UTF-8 without SASLprep, as most Kafka clients do.
func (s *scram) Begin(user, password, authzID string) error {
	nonce, err := s.nonce()
	if err != nil {
		return fmt.Errorf("scram: no randomness for a nonce: %w", err)
	}
	if authzID != "" {
		return errors.New("scram: acting as another identity is not supported")
	}
	s.password = password
	s.clientNonce = nonce
	s.firstBare = "n=" + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(user) + ",r=" + nonce
	s.step, s.authenticated = 0, false
	return nil
}

// Step answers one message of the server.
func (s *scram) Step(challenge string) (string, error) {
	s.step++
	switch s.step {
	case 1:
		return "n,," + s.firstBare, nil
	case 2:
		return s.prove(challenge)
	case 3:
		return "", s.verify(challenge)
	}
	return "", errors.New("scram: the server went on after the exchange was over")
}

// Done tells whether the exchange is over and the server has proved that it knows the password.
func (s *scram) Done() bool { return s.authenticated }

// prove answers the server-first-message with the proof that we know the password.
func (s *scram) prove(serverFirst string) (string, error) {
	fields := attributes(serverFirst)
	nonce := fields['r']
	if !strings.HasPrefix(nonce, s.clientNonce) || len(nonce) == len(s.clientNonce) {
		return "", errors.New("scram: the server's nonce does not extend ours")
	}
	salt, err := base64.StdEncoding.DecodeString(fields['s'])
	if err != nil || len(salt) == 0 {
		return "", errors.New("scram: the server sent no usable salt")
	}
	iterations, err := strconv.Atoi(fields['i'])
	if err != nil || iterations < minIterations || iterations > maxIterations {
		return "", fmt.Errorf("scram: the server asks for %q iterations, expected %d to %d", fields['i'], minIterations, maxIterations)
	}
	salted, err := pbkdf2.Key(s.hash, s.password, salt, iterations, s.hash().Size())
	if err != nil {
		return "", fmt.Errorf("scram: %w", err)
	}
	clientKey := s.hmac(salted, "Client Key")
	storedKey := s.hash()
	storedKey.Write(clientKey)
	withoutProof := "c=biws,r=" + nonce // biws is base64 of "n,,": no channel binding
	message := s.firstBare + "," + serverFirst + "," + withoutProof
	proof := s.hmac(storedKey.Sum(nil), message)
	for i := range proof {
		proof[i] ^= clientKey[i]
	}
	s.serverProof = s.hmac(s.hmac(salted, "Server Key"), message)
	return withoutProof + ",p=" + base64.StdEncoding.EncodeToString(proof), nil
}

// verify reads the server-final-message.
func (s *scram) verify(serverFinal string) error {
	fields := attributes(serverFinal)
	if e, ok := fields['e']; ok {
		return fmt.Errorf("scram: the server refused: %s", e)
	}
	signature, err := base64.StdEncoding.DecodeString(fields['v'])
	if err != nil || !hmac.Equal(signature, s.serverProof) {
		return errors.New("scram: the server could not prove that it knows the password; it may be an impostor")
	}
	s.authenticated = true
	return nil
}

func (s *scram) hmac(key []byte, message string) []byte {
	mac := hmac.New(s.hash, key)
	mac.Write([]byte(message))
	return mac.Sum(nil)
}

// attributes reads "r=…,s=…,i=…".
func attributes(message string) map[byte]string {
	out := make(map[byte]string, 4)
	for part := range strings.SplitSeq(message, ",") {
		if len(part) >= 2 && part[1] == '=' {
			out[part[0]] = part[2:]
		}
	}
	return out
}
