package kafka

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/IBM/sarama"
)

// unreachable is a cluster that could not be connected to, and why. Sarama and the system say so much around the reason
// that a narrow screen would show none of it; the error itself is still there to be unwrapped.
type unreachable struct {
	cluster string
	err     error
}

func (u *unreachable) Error() string {
	return fmt.Sprintf("kafka at %s: %s", u.cluster, Reason(u.err))
}

func (u *unreachable) Unwrap() error { return u.err }

// Unreachable tells of an error of connecting to the cluster.
func (c Cluster) Unreachable(err error) error { return &unreachable{c.String(), err} }

// Reason is what kept a connection from being made, in few words: of several brokers, the first one's. Of any other error it is
// the text.
func Reason(err error) string {
	var op *net.OpError
	if !errors.As(err, &op) {
		return strings.TrimPrefix(err.Error(), sarama.ErrOutOfBrokers.Error()+": ")
	}
	var system *os.SyscallError
	if errors.As(op.Err, &system) {
		return system.Err.Error()
	}
	return op.Err.Error()
}
