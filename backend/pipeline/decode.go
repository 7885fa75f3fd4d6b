package pipeline

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"

	"weir/backend/features"
	"weir/backend/jsonlex"
)

// Bounds on what an event may hold. Beyond them it becomes a dead letter.
const (
	maxDepth     = 256  // nested arrays and objects
	maxEntity    = 1024 // bytes of the entity's JSON token
	maxTimestamp = 128  // bytes of the timestamp's JSON token
)

// decoded is what the pipeline needs of one event. Its bytes lie in the record's own value wherever they can.
type decoded struct {
	user   []byte // the entity's JSON token, verbatim: "u-17" with its quotes, or 17
	entity features.Entity
	stamp  []byte // the timestamp's JSON token, verbatim
	at     int64  // the timestamp in nanoseconds since 1970; 0 when it is not one we can read
}

// fault says why bytes are not an event, without allocating: most calls succeed, but a burst of garbage must not
// cost more than good traffic.
type fault struct {
	code faultCode
	at   int // byte of the value
}

type faultCode uint8

const (
	noFault faultCode = iota
	faultEmpty
	faultUTF8
	faultTruncated
	faultNotObject
	faultSyntax
	faultControl
	faultEscape
	faultSurrogate
	faultNumber
	faultDeep
	faultTrailing
	faultNoEntity
	faultEntityType
	faultEntityEmpty
	faultEntityLong
	faultEntityNumber
	faultNoTimestamp
	faultTimestampType
	faultTimestampLong
)

// stage is where in the pipeline the fault lies.
func (f fault) stage() string {
	switch f.code {
	case faultNoEntity, faultEntityType, faultEntityEmpty, faultEntityLong, faultEntityNumber, faultSurrogate:
		return stageEntity
	}
	return stageDecode
}

// reason is the fault in words; entity is the name of the field that was looked for.
func (f fault) reason(entity string) string {
	switch f.code {
	case faultEmpty:
		return "the value is empty, expected a JSON object"
	case faultUTF8:
		return fmt.Sprintf("not UTF-8 at byte %d", f.at)
	case faultTruncated:
		return fmt.Sprintf("the JSON ends too early, at byte %d", f.at)
	case faultNotObject:
		return "the JSON is not an object"
	case faultSyntax:
		return fmt.Sprintf("not JSON at byte %d", f.at)
	case faultControl:
		return fmt.Sprintf("a bare control character in a string at byte %d", f.at)
	case faultEscape:
		return fmt.Sprintf("an escape that JSON does not know at byte %d", f.at)
	case faultSurrogate:
		return fmt.Sprintf("%s holds half a surrogate pair", entity)
	case faultNumber:
		return fmt.Sprintf("not a JSON number at byte %d", f.at)
	case faultDeep:
		return fmt.Sprintf("nested deeper than %d at byte %d", maxDepth, f.at)
	case faultTrailing:
		return fmt.Sprintf("more after the JSON object, at byte %d", f.at)
	case faultNoEntity:
		return "no " + entity
	case faultEntityType:
		return entity + " is neither a string nor a number"
	case faultEntityEmpty:
		return entity + " is empty"
	case faultEntityLong:
		return fmt.Sprintf("%s is longer than %d bytes", entity, maxEntity)
	case faultEntityNumber:
		return entity + " is not a whole number of 64 bits"
	case faultNoTimestamp:
		return "no timestamp"
	case faultTimestampType:
		return "timestamp is neither a string nor a number"
	case faultTimestampLong:
		return fmt.Sprintf("timestamp is longer than %d bytes", maxTimestamp)
	}
	return "no fault"
}

// decode reads one event: a JSON object (RFC 8259, strict, in UTF-8) with the entity and a timestamp. Of a name that
// comes twice the last one counts, as in Python. It allocates only for an entity written with escapes.
func decode(value []byte, entity string, out *decoded) fault {
	if len(value) == 0 {
		return fault{code: faultEmpty}
	}
	if !utf8.Valid(value) {
		return fault{faultUTF8, invalidAt(value)}
	}
	var user, stamp []byte
	s := scanner{b: value}
	s.space()
	if s.peek() == '{' {
		f := s.object(1, func(name, token []byte) {
			if named(name, entity) {
				user = token
			}
			if named(name, "timestamp") {
				stamp = token
			}
		})
		if f.code != noFault {
			return f
		}
	} else if f := s.value(0); f.code != noFault {
		return f
	} else if s.space(); s.i == len(value) {
		return fault{code: faultNotObject}
	}
	if s.space(); s.i < len(value) {
		return fault{faultTrailing, s.i}
	}
	return out.fill(user, stamp)
}

// fill reads the two tokens; nil is a name that did not come.
func (d *decoded) fill(user, stamp []byte) fault {
	switch {
	case user == nil:
		return fault{code: faultNoEntity}
	case len(user) > maxEntity:
		return fault{code: faultEntityLong}
	case user[0] == '"':
		text := user[1 : len(user)-1]
		if len(text) == 0 {
			return fault{code: faultEntityEmpty}
		}
		key := jsonlex.Borrow(text)
		if bytes.IndexByte(text, '\\') >= 0 {
			unescaped, ok := jsonlex.AppendUnescaped(nil, text)
			if !ok {
				return fault{code: faultSurrogate}
			}
			key = jsonlex.Borrow(unescaped)
		}
		d.entity = features.Entity{Key: key}
	case jsonlex.StartsNumber(user[0]):
		// Feast's integer keys have 64 bits; a fraction or an exponent names no entity.
		if _, err := strconv.ParseInt(jsonlex.Borrow(user), 10, 64); err != nil {
			return fault{code: faultEntityNumber}
		}
		d.entity = features.Entity{Key: jsonlex.Borrow(user), Numeric: true}
	default:
		return fault{code: faultEntityType}
	}
	d.user = user
	switch {
	case stamp == nil:
		return fault{code: faultNoTimestamp}
	case len(stamp) > maxTimestamp:
		return fault{code: faultTimestampLong}
	case stamp[0] == '"':
		d.at, _ = parseTimestamp(stamp[1 : len(stamp)-1])
	case jsonlex.StartsNumber(stamp[0]):
		d.at, _ = parseUnix(stamp)
	default:
		return fault{code: faultTimestampType}
	}
	d.stamp = stamp
	return fault{}
}
