package pipeline

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/IBM/sarama"

	"weir/backend/jsonlex"
	"weir/backend/safetext"
)

// maskSign stands for a value that is not shown.
const maskSign = "•••"

// shown is at most limit bytes of a record's value, safe for a screen: the values of the fields that a contract
// classifies as sensitive are masked, in bytes that are no JSON too as far as names can be made out.
func (e *Engine) shown(topic string, value []byte, limit int) safetext.Text {
	if e.cfg.Contracts == nil || len(value) == 0 {
		return safetext.Bytes(value, limit)
	}
	// What is left out is judged by its own length: a mask may be shorter or longer than what it hides.
	text := safetext.Bytes(value, limit)
	begun := value[:min(len(value), limit)]
	masked := maskFields(begun, func(name string) bool { return e.cfg.Contracts.Masks(topic, name) })
	if masked == nil {
		return text
	}
	if left := len(value) - len(begun); left > 0 {
		return safetext.Sprintf("%s… (+%d bytes)", masked, left)
	}
	return safetext.Clean(string(masked))
}

// maskedValue is one value of a field in at most limit bytes.
func (e *Engine) maskedValue(topic, name string, value []byte, limit int) (text safetext.Text, masked bool) {
	if e.masks(topic, name) && string(value) != "null" {
		return safetext.Clean(maskSign), true
	}
	return e.shown(topic, value, limit), false
}

func (e *Engine) masks(topic, field string) bool {
	return e.cfg.Contracts != nil && e.cfg.Contracts.Masks(topic, field)
}

// masksFeature tells whether the values of a feature are masked: as a field of the events that is called like it.
func (e *Engine) masksFeature(name string) bool {
	_, field, ok := strings.Cut(name, ":")
	return e.masks(e.cfg.Events, name) || ok && e.masks(e.cfg.Events, field)
}

// shownKey is a record's key: it is the entity more often than not, and masked as that.
func (e *Engine) shownKey(m *sarama.ConsumerMessage) safetext.Text {
	if m.Key != nil && e.masks(e.cfg.Events, e.cfg.Entity) {
		return safetext.Clean(maskSign)
	}
	return safetext.Bytes(m.Key, sampleBytes)
}

// maskFields is b with the values of sensitive fields replaced, however deep they lie. It reads JSON
// loosely: a name is a string with a colon behind it, and its value ends where JSON's would, or with b. Nulls stay:
// they hide nothing, and often are what is wrong. It is nil when nothing had to be masked.
func maskFields(b []byte, sensitive func(name string) bool) []byte {
	var dst []byte
	kept, changed := 0, false
	for i := 0; i < len(b); {
		if b[i] != '"' {
			i++
			continue
		}
		end := jsonlex.StringEnd(b, i)
		colon := skipSpace(b, end)
		if colon >= len(b) || b[colon] != ':' {
			i = end
			continue
		}
		if !sensitive(nameOf(b[i:end])) {
			i = colon + 1
			continue
		}
		from := skipSpace(b, colon+1)
		to := valueEnd(b, from)
		if from < len(b) && string(b[from:to]) != "null" {
			dst = append(dst, b[kept:from]...)
			if quoted := b[from] == '"'; quoted {
				dst = append(dst, '"')
				dst = append(dst, maskSign...)
				dst = append(dst, '"')
			} else {
				dst = append(dst, maskSign...)
			}
			kept, changed = to, true
		}
		i = max(to, colon+1)
	}
	if !changed {
		return nil
	}
	return append(dst, b[kept:]...)
}

// nameOf is the text of a string token, its escapes resolved where they can be.
func nameOf(token []byte) string {
	var name string
	if bytes.IndexByte(token, '\\') >= 0 && json.Unmarshal(token, &name) == nil {
		return name
	}
	token = bytes.TrimPrefix(token, []byte{'"'})
	return string(bytes.TrimSuffix(token, []byte{'"'}))
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// valueEnd is the place after the value that begins at i, or the end of b. Of an array or object that is broken inside,
// rather too much is taken than too little.
func valueEnd(b []byte, i int) int {
	if i >= len(b) {
		return len(b)
	}
	switch b[i] {
	case '"':
		return jsonlex.StringEnd(b, i)
	case '{', '[':
		for depth := 0; i < len(b); {
			switch b[i] {
			case '"':
				i = jsonlex.StringEnd(b, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			i++
			if depth == 0 {
				return i
			}
		}
		return len(b)
	}
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] != ' ' && b[i] != '\n' {
		i++
	}
	return i
}
