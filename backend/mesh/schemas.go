package mesh

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"weir/backend/mesh/avro"
	"weir/backend/mesh/judge"
	"weir/backend/mesh/protobuf"
)

// schemas asks a Confluent-compatible schema registry for the schemas records name by their id, each once.
type schemas struct {
	url    string
	client *http.Client

	mu    sync.Mutex
	known map[uint32]*schema
}

// schema is what the registry said of an id. err says why its records cannot be decoded, for good or until again.
type schema struct {
	avro     *avro.Schema
	protobuf *protobuf.Schema // neither: the record is JSON after its id
	err      error
	again    time.Time // when the registry is asked anew; zero: never
}

// The bounds of the registry's cache, and how long an id it does not know is not asked for again.
const (
	maxSchemas   = 1000
	unknownAgain = 30 * time.Second
	registryWait = time.Second // between attempts while the registry is away
	compileWait  = 5 * time.Second
)

// newSchemas is nil without an address.
func newSchemas(address string) *schemas {
	if address == "" {
		return nil
	}
	return &schemas{
		url: strings.TrimRight(address, "/"), known: map[uint32]*schema{},
		client: &http.Client{
			Timeout:       5 * time.Second,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// framed tells whether a record begins as Confluent's serializers write it: a zero byte and the id of its schema.
func framed(b []byte) bool { return len(b) > 5 && b[0] == 0 }

// errRegistry is wrapped by errors that may pass: the registry is away.
var errRegistry = errors.New("the schema registry is away")

// decode gives the JSON of a framed record, appended to dst, and what tells of its times. An error that wraps errRegistry
// means to try again.
func (s *schemas) decode(ctx context.Context, dst, record []byte) ([]byte, judge.Times, error) {
	found, err := s.get(ctx, binary.BigEndian.Uint32(record[1:5]))
	if err != nil {
		return dst, nil, err
	}
	switch {
	case found.err != nil:
		return dst, nil, found.err
	case found.avro != nil:
		dst, err = found.avro.AppendJSON(dst, record[5:])
		return dst, found.avro, err
	case found.protobuf != nil:
		dst, message, err := found.protobuf.AppendJSON(dst, record[5:])
		return dst, message, err
	}
	return append(dst, record[5:]...), nil, nil
}

func (s *schemas) get(ctx context.Context, id uint32) (*schema, error) {
	s.mu.Lock()
	found, ok := s.known[id]
	s.mu.Unlock()
	if ok && (found.again.IsZero() || time.Now().Before(found.again)) {
		return found, nil
	}
	found, err := s.fetch(ctx, id)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) >= maxSchemas {
		clear(s.known) // ids come few; garbage that looks framed may bring many
	}
	s.known[id] = found
	return found, nil
}

// answer is what the registry says of a schema, by its id or as the version of a subject.
type answer struct {
	Schema     string      `json:"schema"`
	Type       string      `json:"schemaType"`
	References []reference `json:"references"`
}

// reference names a schema that another one is made with: by a type's full name (Avro) or an import's path (Protobuf).
type reference struct {
	Name    string `json:"name"`
	Subject string `json:"subject"`
	Version int    `json:"version"`
}

// errUnknown tells that the registry answered and does not have what was asked for.
var errUnknown = errors.New("the schema registry knows no")

// ask gets a path of the registry, whose parts are escaped. The error wraps errRegistry, or errUnknown.
func (s *schemas) ask(ctx context.Context, path string) (a answer, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		return a, fmt.Errorf("%w: %w", errRegistry, err)
	}
	request.Header.Set("Accept", "application/vnd.schemaregistry.v1+json, application/json")
	response, err := s.client.Do(request)
	if err != nil {
		return a, fmt.Errorf("%w: %w", errRegistry, err)
	}
	defer func() { _ = response.Body.Close() }() // only read from
	body, err := io.ReadAll(io.LimitReader(response.Body, 4*avro.MaxSchema))
	switch {
	case err != nil:
		return a, fmt.Errorf("%w: %w", errRegistry, err)
	case response.StatusCode == http.StatusNotFound:
		return a, errUnknown
	case response.StatusCode != http.StatusOK:
		return a, fmt.Errorf("%w: it answered %s", errRegistry, response.Status)
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return a, fmt.Errorf("%w: it did not answer with a schema: %w", errRegistry, err)
	}
	return a, nil
}

// fetch asks the registry. Its error is about the registry; what is wrong with a schema is in the schema.
func (s *schemas) fetch(ctx context.Context, id uint32) (*schema, error) {
	a, err := s.ask(ctx, fmt.Sprintf("/schemas/ids/%d", id))
	if errors.Is(err, errUnknown) {
		return &schema{err: fmt.Errorf("%w schema %d", errUnknown, id), again: time.Now().Add(unknownAgain)}, nil
	}
	if err != nil {
		return nil, err
	}
	bad := func(err error) *schema { return &schema{err: fmt.Errorf("schema %d: %w", id, err)} }
	switch a.Type {
	case "", "AVRO", "PROTOBUF":
	case "JSON":
		return &schema{}, nil
	default:
		return bad(fmt.Errorf("it is of type %s; weir reads Avro, Protobuf and JSON", a.Type)), nil
	}
	r := references{schemas: s, texts: map[string]string{}}
	err = r.collect(ctx, a.References)
	switch {
	case errors.Is(err, errRegistry):
		return nil, err
	case err != nil:
		found := bad(err)
		found.again = time.Now().Add(unknownAgain)
		return found, nil
	}
	if a.Type == "PROTOBUF" {
		ctx, cancel := context.WithTimeout(ctx, compileWait)
		defer cancel()
		compiled, err := protobuf.Compile(ctx, a.Schema, r.texts)
		if err != nil {
			return bad(err), nil
		}
		return &schema{protobuf: compiled}, nil
	}
	first := make([][]byte, len(r.order))
	for i, name := range r.order {
		first[i] = []byte(r.texts[name])
	}
	parsed, err := avro.Parse([]byte(a.Schema), first...)
	if err != nil {
		return bad(err), nil
	}
	return &schema{avro: parsed}, nil
}

// references are the schemas that another one is made with, those they are made with included.
type references struct {
	schemas *schemas
	texts   map[string]string // by the name they are referred to by
	order   []string          // names, each after those its schema refers to
}

func (r *references) collect(ctx context.Context, list []reference) error {
	for _, ref := range list {
		if _, ok := r.texts[ref.Name]; ok {
			continue
		}
		if len(r.texts) >= protobuf.MaxImports {
			return fmt.Errorf("it is made with more than %d others", protobuf.MaxImports)
		}
		a, err := r.schemas.ask(ctx, fmt.Sprintf("/subjects/%s/versions/%d", url.PathEscape(ref.Subject), ref.Version))
		if errors.Is(err, errUnknown) {
			return fmt.Errorf("%w version %d of %s, which it refers to as %s", errUnknown, ref.Version, ref.Subject, ref.Name)
		}
		if err != nil {
			return err
		}
		r.texts[ref.Name] = a.Schema
		if err := r.collect(ctx, a.References); err != nil {
			return err
		}
		r.order = append(r.order, ref.Name)
	}
	return nil
}

func (s *schemas) close() {
	if s != nil {
		s.client.CloseIdleConnections()
	}
}

// value is what a record holds.
type value struct {
	json  []byte
	times judge.Times // nil: it was JSON
	err   error       // why it cannot be decoded
}

// values gives what records hold, in the memory of reuse. It waits while the schema registry is away, which the product then
// says, if there is one whose feed they are of; nil when ctx ends.
func (e *Engine) values(ctx context.Context, p *live, records [][]byte, reuse []value) []value {
	out := reuse[:0]
	for _, record := range records {
		out = append(out, value{json: record})
	}
	if e.schemas == nil {
		return out
	}
	blocked := func(why string) {
		if p != nil {
			p.feed.blocked(why)
		}
	}
	for i, record := range records {
		if !framed(record) {
			continue
		}
		for {
			decoded, times, err := e.schemas.decode(ctx, make([]byte, 0, 2*len(record)+64), record)
			if err == nil {
				out[i].json, out[i].times = decoded, times
				blocked("")
				break
			}
			if ctx.Err() != nil {
				return nil
			}
			if !errors.Is(err, errRegistry) {
				out[i].err = err
				break
			}
			blocked(err.Error())
			timer := time.NewTimer(registryWait)
			select {
			case <-ctx.Done():
				timer.Stop()
				return nil
			case <-timer.C:
			}
		}
	}
	return out
}
