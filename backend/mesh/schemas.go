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
	avro  *avro.Schema // nil: the record is JSON after its id
	err   error
	again time.Time // when the registry is asked anew; zero: never
}

// The bounds of the registry's cache, and how long an id it does not know is not asked for again.
const (
	maxSchemas   = 1000
	unknownAgain = 30 * time.Second
	registryWait = time.Second // between attempts while the registry is away
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

// decode gives the JSON of a framed record, appended to dst. An error that wraps errRegistry means to try again.
func (s *schemas) decode(ctx context.Context, dst, record []byte) ([]byte, error) {
	found, err := s.get(ctx, binary.BigEndian.Uint32(record[1:5]))
	if err != nil {
		return dst, err
	}
	switch {
	case found.err != nil:
		return dst, found.err
	case found.avro == nil:
		return append(dst, record[5:]...), nil
	}
	return found.avro.AppendJSON(dst, record[5:])
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

// fetch asks the registry. Its error is about the registry; what is wrong with a schema is in the schema.
func (s *schemas) fetch(ctx context.Context, id uint32) (_ *schema, err error) {
	address, err := url.JoinPath(s.url, "schemas", "ids", fmt.Sprint(id))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRegistry, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRegistry, err)
	}
	request.Header.Set("Accept", "application/vnd.schemaregistry.v1+json, application/json")
	response, err := s.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRegistry, err)
	}
	defer func() { _ = response.Body.Close() }() // only read from
	body, err := io.ReadAll(io.LimitReader(response.Body, avro.MaxSchema+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errRegistry, err)
	case response.StatusCode == http.StatusNotFound:
		return &schema{err: fmt.Errorf("the schema registry knows no schema %d", id), again: time.Now().Add(unknownAgain)}, nil
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%w: it answered %s", errRegistry, response.Status)
	}
	var answer struct {
		Schema string `json:"schema"`
		Type   string `json:"schemaType"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("%w: it did not answer with a schema: %w", errRegistry, err)
	}
	switch answer.Type {
	case "", "AVRO":
		parsed, err := avro.Parse([]byte(answer.Schema))
		if err != nil {
			return &schema{err: fmt.Errorf("schema %d: %w", id, err)}, nil
		}
		return &schema{avro: parsed}, nil
	case "JSON":
		return &schema{}, nil
	}
	return &schema{err: fmt.Errorf("schema %d is of type %s; weir reads Avro and JSON", id, answer.Type)}, nil
}

func (s *schemas) close() {
	if s != nil {
		s.client.CloseIdleConnections()
	}
}

// values gives the JSON of records and why those without cannot be decoded. It waits while the schema registry is away,
// which the product then says; nil when ctx ends.
func (e *Engine) values(ctx context.Context, p *live, records [][]byte, errs []error) ([][]byte, []error) {
	errs = errs[:0]
	for range records {
		errs = append(errs, nil)
	}
	if e.schemas == nil {
		return records, errs
	}
	for i, record := range records {
		if !framed(record) {
			continue
		}
		for {
			decoded, err := e.schemas.decode(ctx, nil, record)
			if err == nil {
				records[i] = decoded
				p.feed.blocked("")
				break
			}
			if ctx.Err() != nil {
				return nil, nil
			}
			if !errors.Is(err, errRegistry) {
				errs[i] = err
				break
			}
			p.feed.blocked(err.Error())
			timer := time.NewTimer(registryWait)
			select {
			case <-ctx.Done():
				timer.Stop()
				return nil, nil
			case <-timer.C:
			}
		}
	}
	return records, errs
}
