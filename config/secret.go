package config

import (
	"fmt"
	"log/slog"
)

// Secret is a string that never prints: every way of formatting, logging or marshalling it gives "<secret>", and
// "" when it is empty. Reveal is the one way to its value. The zero Secret is the empty one.
//
// The value stands behind a pointer because fmt skips Format where a verb does not fit an enclosing struct, and then
// prints fields as they are: an address, here.
type Secret struct{ value *string }

const redacted = "<secret>"

// NewSecret wraps a value.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{&value}
}

// Reveal is the value itself, for the one place that must send it.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsSet tells whether there is a value.
func (s Secret) IsSet() bool { return s.value != nil }

// Equal tells whether both have one value; == tells only whether they are one.
func (s Secret) Equal(other Secret) bool { return s.Reveal() == other.Reveal() }

// String is "<secret>".
func (s Secret) String() string {
	if !s.IsSet() {
		return ""
	}
	return redacted
}

// GoString is "<secret>".
func (s Secret) GoString() string { return s.String() }

// Format is "<secret>" for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, s.String()) }

// LogValue is "<secret>".
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is "<secret>".
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML is "<secret>".
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }
