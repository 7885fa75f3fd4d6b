package config

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log"
	"log/slog"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// TestSecretNeverPrints puts a secret, and structs that hold one, through every way of printing.
func TestSecretNeverPrints(t *testing.T) {
	const value = "hunter2hunter2"
	s := NewSecret(value)
	type holder struct {
		Password Secret
		Pointer  *Secret
		Any      any
		Map      map[string]Secret
		List     []Secret
	}
	h := holder{s, &s, s, map[string]Secret{"a": s}, []Secret{s}}
	c := Config{Kafka: Kafka{SASL: &SASL{Password: s}}, Edge: &Edge{Cloud: &Cloud{Token: s}}}

	printed := map[string]string{}
	for _, verb := range "vdsqxXtbcoOUeEfFgGpTw" {
		for _, flags := range []string{"", "+", "#", "-20", "020", " ", ".3", "[1]"} {
			format := "%" + flags + string(verb)
			printed[format+" secret"] = fmt.Sprintf(format, s)
			printed[format+" pointer"] = fmt.Sprintf(format, &s)
			printed[format+" holder"] = fmt.Sprintf(format, h)
			printed[format+" pointer to holder"] = fmt.Sprintf(format, &h)
			printed[format+" config"] = fmt.Sprintf(format, c)
			printed[format+" SASL"] = fmt.Sprintf(format, c.Kafka.SASL)
		}
	}
	printed["Sprint"] = fmt.Sprint(s, &s, h)
	printed["Errorf"] = fmt.Errorf("x %v: %w", s, fmt.Errorf("%+v", h)).Error()
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"slog text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"slog json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var b bytes.Buffer
		slog.New(handler(&b)).With("with", s).WithGroup("g").Info("x", "secret", s, "pointer", &s, "holder", h, "any", slog.AnyValue(s), "sasl", c.Kafka.SASL)
		printed[name] = b.String()
	}
	var b bytes.Buffer
	log.New(&b, "", 0).Println(s, h)
	printed["log"] = b.String()
	for name, marshal := range map[string]func(any) ([]byte, error){"json": json.Marshal, "yaml": yaml.Marshal, "xml": xml.Marshal} {
		for _, v := range []any{s, &s, holder{Password: s, Pointer: &s}, map[string]Secret{"a": s}, c.Kafka.SASL} {
			out, err := marshal(v)
			if err != nil && name != "xml" {
				t.Errorf("%s: %v", name, err)
			}
			printed[fmt.Sprintf("%s %T", name, v)] = string(out)
		}
	}
	out, err := json.Marshal(map[Secret]int{s: 1})
	printed["json key"] = string(out) + fmt.Sprint(err)
	b.Reset()
	if err := gob.NewEncoder(&b).Encode(s); err == nil {
		printed["gob"] = b.String()
	}
	for way, text := range printed {
		if strings.Contains(text, "hunter2") || strings.Contains(text, fmt.Sprintf("%x", "hunter2")) || strings.Contains(text, fmt.Sprintf("%X", "hunter2")) {
			t.Errorf("%s shows the secret: %s", way, text)
		}
	}
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%q", s), fmt.Sprintf("%#v", s), s.GoString(), printed["json config.Secret"]} {
		if !strings.Contains(text, "secret") {
			t.Errorf("got %q, want <secret> in it", text)
		}
	}
	if s.Reveal() != value || !s.IsSet() || NewSecret("").IsSet() || fmt.Sprint(Secret{}) != "" {
		t.Error("Reveal, IsSet or the empty secret")
	}
}
