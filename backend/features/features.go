// Package features looks up the online features of entities.
//
// Stores stack: NewDrift(NewCache(NewEncoder(NewFeast(…)))) asks Feast for what is not cached, turns texts into the
// numbers of their tables, keeps the rows for a while, and tells how far they drift from a baseline.
//
// # When something is wrong
//
// What a person on call sees, what it means, and what to do:
//
//   - "no answer in time": the store is slow. weir asks for fewer entities at once by itself, down to 16, and lag grows
//     meanwhile. If it lasts: look at the store's own online database; a longer features.timeout only hides it.
//   - "asked again every 500ms to 5s": five requests in a row found nobody. weir goes on trying; nothing is lost.
//     Is the server running, and does its address still lead there?
//   - "one entity may be the cause": the server refuses a request. If it still answers for other entities, weir finds
//     the one it chokes on, whose events become dead letters with INVALID values; if not, the server is ill, and its
//     own log says why.
//   - "the store does not know view:feature": a feature was renamed or not applied. Mend features.names or the feature
//     repository; the batch waits and goes on by itself.
//   - "the feature store's answer is not Feast's": something else answers, such as a proxy's page. Ask it by hand:
//     curl -d '{"features":[…],"entities":{…},"full_feature_names":true}' URL/get-online-features
//   - many dead letters of NOT_FOUND: the store is not filled, or filled for other entities; materialize it. Rows found
//     missing are asked for again after a tenth of the cache's ttl.
package features

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Status says what a store knows about one value, in Feast's words.
type Status uint8

// The statuses of a value.
const (
	Present Status = iota
	NullValue
	NotFound
	OutsideMaxAge
	Invalid
)

// String is Feast's name of the status.
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return statusNames[Invalid]
}

var statusNames = [...]string{"PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE", "INVALID"}

// Value is one feature of one entity. Text counts where IsText is true, else Number, and Text may say what the number
// stands for; booleans are 0 and 1. A value that is not there is NaN.
type Value struct {
	Status Status
	IsText bool
	Number float64
	Text   string
}

// Row holds the values of one entity in the order of Store.Names. Rows are immutable and shared: a cache hands the
// same row to every caller.
type Row struct {
	Values []Value
	// Fetched is when the store was asked for it, in Unix milliseconds; 0 where the store does not say.
	Fetched int64
}

// Entity is the key features are looked up by, as the event wrote it: Feast distinguishes 17 from "17".
type Entity struct {
	Key     string // the decoded string, or the digits of the number
	Numeric bool
}

// Clone copies the key, for whoever keeps an entity longer than the call that brought it.
func (e Entity) Clone() Entity { return Entity{strings.Clone(e.Key), e.Numeric} }

// Store answers which features entities have now.
type Store interface {
	// Names are the features asked for, as configured (view:feature), in the order of every Row's Values.
	Names() []string
	// Fetch fills rows[i] with the features of entities[i]; the slices have one length. An entity unknown to the
	// store gets a row of NotFound values, never an error. On an error no row counts: the store could not be asked,
	// and the caller may ask again. The keys' bytes are only borrowed for the call.
	Fetch(ctx context.Context, entities []Entity, rows []*Row) error
	// Stats counts what the store did since it was made. It is safe at any time.
	Stats() Stats
}

// The ways a Fetch fails. Errors wrap one of them, or the error of the caller's context.
var (
	// ErrUnavailable means that asking again may help: the store is away, slow or overloaded.
	ErrUnavailable = errors.New("the feature store is away")
	// ErrContract means that what came back is not what the store's protocol says.
	ErrContract = errors.New("the feature store's answer is not Feast's")
	// ErrConfiguration means that the store understood and refused: a wrong name, address or token.
	ErrConfiguration = errors.New("the feature store refuses the configuration")
)

// Stats is what a store did so far.
type Stats struct {
	Hits, Misses uint64    // entities answered without asking, and asked of the store behind the cache
	Requests     uint64    // requests sent, retries included
	Errors       uint64    // requests that failed
	LastError    string    // of the last failed request, as it came; clean it before showing
	P50, P99     float64   // milliseconds a request, over the last minute
	Cached       int       // rows in the cache
	State        State     // of the last request
	Since        time.Time // when State last changed; zero before the first request
	Drift        []Drift   // by feature, in the order of Names; nil where nobody observes it
}

// State is one word for a store.
type State string

// The states of a store.
const (
	StateIdle State = "-"    // nothing was asked yet
	StateOK   State = "ok"   // the last request was answered
	StateSlow State = "slow" // answered, but it took more than half of the deadline
	StateDown State = "down" // the last request failed
)
