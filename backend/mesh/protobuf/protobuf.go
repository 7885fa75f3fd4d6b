// Package protobuf turns Protocol Buffers into JSON by the .proto they were written with, as Confluent's serializers frame
// them. It does no I/O.
//
// Fields have their names as in the .proto, not in camel case; enums are names, numbers of 64 bits numbers, bytes base64,
// NaN and infinities null. A field that tells absence from its default (messages, proto2, optional, members of a oneof) is
// null when it is absent; one that does not, a plain proto3 scalar, has its default. Well-known types have their JSON
// form: timestamps are ISO 8601, wrappers their value. Fields the schema does not know are passed over.
package protobuf

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// The bounds of a schema and of what one record may become.
const (
	MaxSchema  = 1 << 20 // bytes of one file
	MaxImports = 200     // files a schema may need
	MaxJSON    = 16 << 20
	maxDepth   = 64
	maxIndexes = 32
)

// ErrData is wrapped by every error about bytes that do not follow their schema.
var ErrData = errors.New("protobuf data")

// Schema is a compiled .proto file.
type Schema struct {
	file  linker.File
	types linker.Resolver // of the file and its imports, for extensions and google.protobuf.Any
}

// root is the schema's own name among its imports.
const root = "\x00schema.proto"

// Compile compiles a .proto file. imports are the files it needs by the path they are imported by; those of
// google/protobuf and confluent need not be given.
func Compile(ctx context.Context, schema string, imports map[string]string) (*Schema, error) {
	if len(imports) > MaxImports {
		return nil, fmt.Errorf("protobuf schema: it needs %d files; at most %d are read", len(imports), MaxImports)
	}
	files := map[string]string{}
	for path, text := range confluentFiles {
		files[path] = text
	}
	for path, text := range imports {
		files[path] = text
	}
	files[root] = schema
	for path, text := range files {
		if len(text) > MaxSchema {
			return nil, fmt.Errorf("protobuf schema: %s has %d bytes; at most %d are read", path, len(text), MaxSchema)
		}
	}
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(files)}),
		MaxParallelism: 1,
	}
	compiled, err := compiler.Compile(ctx, root)
	if err != nil {
		return nil, fmt.Errorf("protobuf schema: %w", err)
	}
	return &Schema{file: compiled[0], types: linker.ResolverFromFile(compiled[0])}, nil
}

// AppendJSON appends the record that data hold to dst as JSON: the indexes of its message among those of the file, then
// the message, of which it tells. The error wraps ErrData.
func (s *Schema) AppendJSON(dst, data []byte) ([]byte, Message, error) {
	message, rest, err := s.message(data)
	if err != nil {
		return dst, Message{}, err
	}
	m := dynamicpb.NewMessage(message)
	if err := unmarshal(proto.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: maxDepth, Resolver: s.types}, rest, m); err != nil {
		return dst, Message{}, fmt.Errorf("%w: message %s: %w", ErrData, message.FullName(), err)
	}
	w := writer{schema: s, start: len(dst)}
	dst, err = w.message(dst, m, 0)
	return dst, Message{message}, err
}

// Message is the type of a record.
type Message struct {
	descriptor protoreflect.MessageDescriptor
}

// IsTime tells whether the field at a path is a google.protobuf.Timestamp: names, and [] for the elements of a repeated one or
// the values of a map.
func (m Message) IsTime(path []string) bool {
	message := m.descriptor
	for len(path) > 0 {
		if _, known := wellKnown[message.FullName()]; known { // its JSON has not its fields
			return false
		}
		f := message.Fields().ByName(protoreflect.Name(path[0]))
		if f == nil {
			return false
		}
		path = path[1:]
		if f.IsList() || f.IsMap() {
			if len(path) == 0 || path[0] != "[]" {
				return false
			}
			path = path[1:]
		}
		if f.IsMap() {
			f = f.MapValue()
		}
		if message = f.Message(); message == nil {
			return false
		}
	}
	return message.FullName() == "google.protobuf.Timestamp"
}

// unmarshal decodes a message. The protobuf module (1.36.12) panics where the key of a map's entry is of the wrong type
// (the fuzz target found it); bytes from outside must not.
func unmarshal(o proto.UnmarshalOptions, data []byte, m proto.Message) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot be decoded: %v", r)
		}
	}()
	return o.Unmarshal(data, m)
}

// message reads the indexes: how many, then the message's place in the file and in each message around it; 0 alone is
// the first message.
func (s *Schema) message(data []byte) (protoreflect.MessageDescriptor, []byte, error) {
	next := func() (int64, bool) {
		v, n := binary.Varint(data)
		if n <= 0 {
			return 0, false
		}
		data = data[n:]
		return v, true
	}
	count, ok := next()
	if !ok || count < 0 || count > maxIndexes {
		return nil, nil, fmt.Errorf("%w: expected how many indexes lead to the message, from 0 to %d", ErrData, maxIndexes)
	}
	messages := s.file.Messages()
	var found protoreflect.MessageDescriptor
	for i := range max(1, count) {
		index := int64(0)
		if count > 0 {
			if index, ok = next(); !ok {
				return nil, nil, fmt.Errorf("%w: index %d to the message is cut short", ErrData, i)
			}
		}
		if index < 0 || index >= int64(messages.Len()) {
			return nil, nil, fmt.Errorf("%w: message index %d; there are %d messages", ErrData, index, messages.Len())
		}
		found = messages.Get(int(index))
		messages = found.Messages()
	}
	return found, data, nil
}

// confluentFiles are what Confluent's serializers take for granted beside google/protobuf.
var confluentFiles = map[string]string{
	"confluent/meta.proto": `syntax = "proto3";
package confluent;
import "google/protobuf/descriptor.proto";
message Meta {
  string doc = 1;
  map<string, string> params = 2;
  repeated string tags = 3;
}
extend google.protobuf.FileOptions { Meta file_meta = 1088; }
extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
extend google.protobuf.FieldOptions { Meta field_meta = 1088; }
extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }
extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }
`,
	"confluent/type/decimal.proto": `syntax = "proto3";
package confluent.type;
message Decimal {
  bytes value = 1;
  uint32 precision = 2;
  int32 scale = 3;
}
`,
}
