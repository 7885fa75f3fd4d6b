// Package config reads weir.yaml: its types, defaults, environment expansion and validation.
package config

import "time"

// Config is a whole weir.yaml. Only Kafka is required; a section that is absent (nil) turns its engine off.
type Config struct {
	Path     string // the file it was read from
	Kafka    Kafka
	Pipeline *Pipeline
	Features *Features
	Model    *Model
	Edge     *Edge
	Mesh     *Mesh
	History  History
	Console  Console
	HTTP     HTTP
}

// Kafka says how brokers are reached.
type Kafka struct {
	Brokers []string // host:port
	TLS     *TLS
	SASL    *SASL
}

// TLS of a client. The zero TLS verifies against the system's roots.
type TLS struct {
	CA         string // PEM file of roots
	Cert       string // PEM file of the client certificate
	Key        string // PEM file of its key
	ServerName string
}

// SASL of a Kafka client.
type SASL struct {
	Mechanism string // plain, scram-sha-256, scram-sha-512
	Username  string
	Password  Secret
}

// Pipeline names the topics, the group and the size of batches.
type Pipeline struct {
	Group       string
	Instance    string // name of this process in the group; the same after a restart, unlike any other's; may be empty
	Events      string
	Predictions string
	DeadLetters string // default: Events + ".dead_letters"
	Start       string // latest, earliest: where a group without offsets begins
	Delivery    string // at_least_once, exactly_once
	Batch       Batch
}

// Batch bounds one unit of the pipeline's work, whichever comes first.
type Batch struct {
	MaxEvents int
	MaxWait   time.Duration
}

// Features is the online feature store.
type Features struct {
	URL       string
	Entity    string
	Timeout   time.Duration
	OnMissing string             // dead_letter, default, nan
	Defaults  map[string]float64 // by feature name; required for each name when OnMissing is default
	Names     []string           // view:feature, in the order of the model's input
	// Categories are, by feature name, the numbers the model was trained with in place of texts; "*" stands for every
	// text that is not listed.
	Categories map[string]map[string]float64
	Token      Secret // sent as a bearer token when set
	Cache      Cache
}

// Cache bounds the rows kept in front of the feature store.
type Cache struct {
	TTL     time.Duration
	Entries int
}

// Model is either an ONNX file or an Open Inference Protocol server.
type Model struct {
	ONNX      string // file
	Version   string // model_version of the predictions; default: the file's or the model's name
	Watch     bool   // swap in another model when the file is replaced, or the server reports another version
	Inference *Inference
}

// Inference is an Open Inference Protocol server.
type Inference struct {
	URL     string
	Name    string
	Version string        // empty: the server's choice
	Timeout time.Duration // of one request
	Output  string        // the output of probabilities; empty: found by its name
	Token   Secret        // sent as a bearer token when set
}

// Edge is the fleet of nodes and the cloud their aggregate goes to.
type Edge struct {
	Nodes       []string
	Targets     []Target // nodes with labels
	Sources     []Source // lists of more nodes
	Access      []Access // how nodes are asked: the first that matches a node is its own
	Poll        time.Duration
	Timeout     time.Duration
	StaleAfter  time.Duration // how old last_updated may be while a node counts as fresh
	Concurrency int           // polls in flight at once
	Outbox      string        // SQLite file; empty: in the state folder
	Cloud       *Cloud
	Federated   *Federated
}

// Federated lets the fleet learn one model together, by federated averaging.
type Federated struct {
	Every        time.Duration // from one round to the next
	Deadline     time.Duration // of a round's questions
	Participants int           // a round with fewer changes nothing
	MaxNorm      float64       // bound on how far one node may move the model
	MaxExamples  int           // bound on how much one node may weigh
}

// Target is a node with labels.
type Target struct {
	URL    string
	Labels map[string]string // such as site, region, owner
}

// Source lists nodes that may change: a file, a DNS name or a URL, one of the three.
type Source struct {
	File   string
	SRV    string // DNS name of SRV records
	Scheme string // of the nodes that SRV records name: http, https
	HTTPSD string // URL that answers as Prometheus's http_sd does
	Every  time.Duration
	Token  Secret // sent to HTTPSD as a bearer token when set
}

// Access is how the nodes are asked that have all its labels and a URL that begins with its prefix.
type Access struct {
	Labels  map[string]string
	Prefix  string
	Headers map[string]Secret
	Token   Secret // sent as a bearer token when set
	TLS     *TLS
}

// Cloud receives the aggregates.
type Cloud struct {
	URL     string
	Every   time.Duration
	Timeout time.Duration // of one attempt
	Token   Secret        // sent as a bearer token when set
	Gzip    bool          // compress what is sent
	// MaxBytes and MaxAge cap what waits in the outbox; what goes beyond is dropped, oldest first, and counted.
	MaxBytes int64
	MaxAge   time.Duration
}

// Mesh is the registry of data products.
type Mesh struct {
	Registry string // folder of <domain>/<name>.yaml
	// SchemaRegistry is the address of a Confluent-compatible schema registry; empty: topics hold JSON.
	SchemaRegistry string
	Window         time.Duration
	WindowRows     int      // above 0: so many of the newest records are judged instead
	Lineage        *Lineage // nil: told to nobody
}

// Lineage is where what is made from what is told, as OpenLineage events.
type Lineage struct {
	To        string        // an http or https URL, or a file that is appended to
	Namespace string        // of weir's jobs
	Every     time.Duration // between two events of a job that goes on
	Token     Secret        // sent as a bearer token when set
}

// History is the flight recorder.
type History struct {
	Path   string        // SQLite file; empty: in the state folder
	Retain time.Duration // how long snapshots are kept
	// MaxBytes is the file's size beyond which the oldest goes, whatever Retain says.
	MaxBytes int64
}

// Console is how the terminal looks.
type Console struct {
	Refresh  time.Duration
	Theme    string // auto, dark, light, colour-blind, or the path of a theme file
	ReadOnly bool
	TimeZone string // local, utc
	// Keys are keys in place of the console's own, by the name of their binding (see the help in the console).
	Keys map[string][]string
}

// HTTP is the port for probes and scripts.
type HTTP struct {
	Listen string // host:port; empty: none
}
