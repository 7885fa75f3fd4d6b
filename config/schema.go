package config

import "time"

// A field is one key of weir.yaml. The table below is the only description of the file: decoding, defaults,
// REFERENCE.md and the starter file are all made from it.
type field struct {
	key      string
	doc      string
	to       any    // where the value goes: *string, *Secret, *bool, *int, *float64, *int64 (a size), *time.Duration, *[]string, *map[string]float64, *map[string]map[string]float64, *map[string][]string, *map[string]string, *map[string]Secret
	is       format // of the text, or of each text of a list
	fallback string // the default as it is written in the file
	example  string // what the starter file writes where there is no default
	note     string // for the reference, where the default follows from something else
	required bool
	min, max int64   // of a number, a duration in ns, a size in bytes; both 0: any that is not negative
	low      float64 // the least of a *float64, in place of min

	fields []field // of a section
	// each makes a new entry of a list of sections: its fields, and how it is added to the list.
	each func() (fields []field, add func())
	use  func() // called when an optional section is there
	off  bool   // the starter file writes it as a comment
}

const (
	ms     = int64(time.Millisecond)
	second = int64(time.Second)
	minute = int64(time.Minute)
	hour   = int64(time.Hour)
)

// schema is the table, bound to c.
func schema(c *Config) []field {
	tls, sasl := &TLS{}, &SASL{}
	pipeline, features, model, inference := &Pipeline{}, &Features{}, &Model{}, &Inference{}
	edge, cloud, federated, mesh, lineage := &Edge{}, &Cloud{}, &Federated{}, &Mesh{}, &Lineage{}
	return []field{
		{key: "kafka", doc: "How the Kafka brokers are reached.", required: true, fields: []field{
			{key: "brokers", to: &c.Kafka.Brokers, is: address, required: true, example: "[localhost:9092]",
				doc: "where to ask first; the brokers name one another"},
			{key: "tls", use: func() { c.Kafka.TLS = tls }, off: true, doc: "encrypt; tls: {} trusts the system's roots", fields: tlsFields(tls, "broker")},
			{key: "sasl", use: func() { c.Kafka.SASL = sasl }, off: true, doc: "log in", fields: []field{
				{key: "mechanism", to: &sasl.Mechanism, is: oneOf("plain", "scram-sha-256", "scram-sha-512"), required: true, example: "scram-sha-512",
					doc: "how the password is proved"},
				{key: "username", to: &sasl.Username, is: anyText, required: true, example: "weir", doc: "who logs in"},
				{key: "password", to: &sasl.Password, required: true, example: `"${KAFKA_PASSWORD}"`, doc: "kept out of every log and screen"},
			}},
		}},
		{key: "pipeline", use: func() { c.Pipeline = pipeline }, doc: "Events in, predictions out. Needs features and model.", fields: []field{
			{key: "group", to: &pipeline.Group, is: groupName, fallback: "weir", doc: "the consumer group; more weirs in it share the work"},
			{key: "instance", to: &pipeline.Instance, is: groupName, fallback: `""`, doc: "this process's name in the group, the same after a restart; \"\" is none"},
			{key: "events", to: &pipeline.Events, is: topicName, fallback: "user_events", doc: "the topic to read"},
			{key: "predictions", to: &pipeline.Predictions, is: topicName, fallback: "predictions", doc: "the topic of predictions"},
			{key: "dead_letters", to: &pipeline.DeadLetters, is: topicName, note: "events, with .dead_letters after it", example: "user_events.dead_letters",
				doc: "the topic of events that got no prediction"},
			{key: "start", to: &pipeline.Start, is: oneOf("latest", "earliest"), fallback: "latest", doc: "where a group without offsets begins"},
			{key: "delivery", to: &pipeline.Delivery, is: oneOf("at_least_once", "exactly_once"), fallback: "at_least_once",
				doc: "exactly_once uses Kafka transactions"},
			{key: "batch", doc: "one unit of work, whichever bound comes first", fields: []field{
				{key: "max_events", to: &pipeline.Batch.MaxEvents, fallback: "1000", min: 1, max: 100_000, doc: "events in a batch"},
				{key: "max_wait", to: &pipeline.Batch.MaxWait, fallback: "20ms", min: ms, max: minute, doc: "how long a batch waits to fill"},
			}},
		}},
		{key: "features", use: func() { c.Features = features }, doc: "The online feature store, a Feast feature server.", fields: []field{
			{key: "url", to: &features.URL, is: httpURL, required: true, example: "http://localhost:6566", doc: "the server, without a path"},
			{key: "entity", to: &features.Entity, is: anyText, fallback: "user_id", doc: "the event's key to look features up by"},
			{key: "timeout", to: &features.Timeout, fallback: "500ms", min: ms, max: minute, doc: "of one request"},
			{key: "on_missing", to: &features.OnMissing, is: oneOf("dead_letter", "default", "nan"), fallback: "dead_letter",
				doc: "what to do where the store has no value"},
			{key: "names", to: &features.Names, is: feature, doc: "in the order of the model's inputs",
				fallback: "[user_profile:age, user_profile:location, user_behavior:click_rate_24h, user_behavior:purchase_history_30d]"},
			{key: "defaults", to: &features.Defaults, off: true, example: `{"user_profile:age": 35}`,
				doc: "the values for on_missing: default, one for each name"},
			{key: "categories", to: &features.Categories, off: true, example: `{"user_profile:location": {Bern: 0, Basel: 1, "*": -1}}`,
				doc: `the numbers the model knows texts by; "*" is any other`},
			{key: "token", to: &features.Token, off: true, example: `"${FEAST_TOKEN}"`, doc: "sent as Authorization: Bearer"},
			{key: "cache", doc: "rows kept in front of the store", fields: []field{
				{key: "ttl", to: &features.Cache.TTL, fallback: "30s", min: 0, max: 24 * hour, doc: "how long a row is kept; 0s keeps none"},
				{key: "entries", to: &features.Cache.Entries, fallback: "100000", min: 1, max: 100_000_000, doc: "rows kept at most"},
			}},
		}},
		{key: "model", use: func() { c.Model = model }, doc: "What scores events: an ONNX file or a model server, one of the two.", fields: []field{
			{key: "onnx", to: &model.ONNX, is: filePath, example: "model.onnx", doc: "an exported classifier"},
			{key: "version", to: &model.Version, is: anyText, note: "the file's or the model's name", example: "v2.1", doc: "written into each prediction"},
			{key: "watch", to: &model.Watch, fallback: "true", doc: "swap in the new model when the file is replaced, or the server reports another version"},
			{key: "inference", use: func() { model.Inference = inference }, off: true, doc: "a server that speaks the Open Inference Protocol, instead of onnx", fields: []field{
				{key: "url", to: &inference.URL, is: httpURL, required: true, example: "http://localhost:8080", doc: "the server, without /v2"},
				{key: "name", to: &inference.Name, is: anyText, required: true, example: "churn", doc: "the model's name on it"},
				{key: "version", to: &inference.Version, is: anyText, fallback: `""`, doc: "the model's version on it; \"\" is its choice"},
				{key: "timeout", to: &inference.Timeout, fallback: "5s", min: ms, max: minute, doc: "of one request"},
				{key: "output", to: &inference.Output, is: anyText, fallback: `""`, doc: "the output of probabilities; \"\" is found by its name"},
				{key: "token", to: &inference.Token, example: `"${MODEL_TOKEN}"`, doc: "sent as Authorization: Bearer"},
			}},
		}},
		{key: "edge", use: func() { c.Edge = edge }, off: true, doc: "The fleet of edge nodes, and the cloud their aggregate is sent to.", fields: []field{
			{key: "nodes", to: &edge.Nodes, is: httpURL, note: "needed without targets and sources", example: "[http://edge-node-1:8080, http://edge-node-2:8080]",
				doc: "each answers GET /data/summary"},
			{key: "targets", doc: "nodes with labels to group them by", example: "{url: http://edge-node-3:8080, labels: {site: oslo, owner: data-team}}",
				each: func() ([]field, func()) {
					t := &Target{}
					return []field{
						{key: "url", to: &t.URL, is: httpURL, required: true, example: "http://edge-node-3:8080", doc: "as in nodes"},
						{key: "labels", to: &t.Labels, example: "{site: oslo}", doc: "such as site, region, owner"},
					}, func() { edge.Targets = append(edge.Targets, *t) }
				}},
			{key: "sources", doc: "lists of more nodes, watched: a file, DNS, or a URL",
				example: "{file: nodes.txt}\n{srv: _edge._tcp.example.com, scheme: https}\n{http_sd: https://inventory.example.com/edge, every: 1m}",
				each: func() ([]field, func()) {
					s := &Source{}
					return []field{
						{key: "file", to: &s.File, is: filePath, example: "nodes.txt", doc: "one URL per line, with name=value labels after it; or file_sd JSON"},
						{key: "srv", to: &s.SRV, is: hostName, example: "_edge._tcp.example.com", doc: "a DNS name of SRV records"},
						{key: "scheme", to: &s.Scheme, is: oneOf("http", "https"), fallback: "http", doc: "of the nodes that srv names"},
						{key: "http_sd", to: &s.HTTPSD, is: endpoint, example: "https://inventory.example.com/edge", doc: "a URL that lists targets with labels"},
						{key: "every", to: &s.Every, fallback: "30s", min: second, max: 24 * hour, doc: "how often srv and http_sd are asked; a file is watched"},
						{key: "token", to: &s.Token, example: `"${INVENTORY_TOKEN}"`, doc: "sent to http_sd as Authorization: Bearer"},
					}, func() { edge.Sources = append(edge.Sources, *s) }
				}},
			{key: "access", doc: "how nodes are asked; the first entry that matches a node applies",
				example: `{labels: {site: oslo}, headers: {X-Site-Key: "${OSLO_KEY}"}}` + "\n" + `{prefix: "https://", token: "${EDGE_TOKEN}", tls: {ca: edge-ca.pem}}`,
				each: func() ([]field, func()) {
					a, tls := &Access{}, &TLS{}
					return []field{
						{key: "labels", to: &a.Labels, example: "{site: oslo}", doc: "a node must have all of them"},
						{key: "prefix", to: &a.Prefix, is: nodePrefix, fallback: `""`, example: "https://*.example.com:8443",
							doc: "of a node's URL, by whole parts: scheme, host (`*.` before it: all below), port (`:*`: any; none: the scheme's own), path; \"\" is any"},
						{key: "headers", to: &a.Headers, example: `{X-Site-Key: "${OSLO_KEY}"}`, doc: "sent with each poll; kept out of every log and screen"},
						{key: "token", to: &a.Token, example: `"${EDGE_TOKEN}"`, doc: "sent as Authorization: Bearer"},
						{key: "tls", use: func() { a.TLS = tls }, doc: "for https nodes", fields: tlsFields(tls, "node")},
					}, func() { edge.Access = append(edge.Access, *a) }
				}},
			{key: "poll", to: &edge.Poll, fallback: "15s", min: 100 * ms, max: 24 * hour, doc: "how often each node is asked"},
			{key: "timeout", to: &edge.Timeout, fallback: "10s", note: "10s, or two thirds of a poll shorter than 15s", min: ms, max: hour,
				doc: "of one answer; less than poll"},
			{key: "stale_after", to: &edge.StaleAfter, fallback: "5m", note: "5m, or twice a poll longer than that", min: second, max: 30 * 24 * hour,
				doc: "how old a node's data may grow"},
			{key: "concurrency", to: &edge.Concurrency, fallback: "256", min: 1, max: 65_536, doc: "polls in flight at once"},
			{key: "outbox", to: &edge.Outbox, is: filePath, fallback: `""`, doc: "SQLite file of unsent aggregates; \"\" is one in the state folder"},
			{key: "cloud", use: func() { edge.Cloud = cloud }, doc: "where the aggregate is posted", fields: []field{
				{key: "url", to: &cloud.URL, is: endpoint, required: true, example: "https://api.example.com/data/ingest", doc: "the full URL"},
				{key: "every", to: &cloud.Every, fallback: "5m", min: second, max: 24 * hour, doc: "how often"},
				{key: "timeout", to: &cloud.Timeout, fallback: "30s", min: 100 * ms, max: hour, doc: "of one attempt"},
				{key: "gzip", to: &cloud.Gzip, fallback: "false", doc: "compress what is sent"},
				{key: "max_bytes", to: &cloud.MaxBytes, fallback: "256MiB", min: 1 << 20, max: 1 << 40, doc: "how much may wait in the outbox; beyond that the oldest is dropped"},
				{key: "max_age", to: &cloud.MaxAge, fallback: "7d", min: minute, max: 365 * 24 * hour, doc: "how long it may wait, counted while weir runs and not by the machine's clock, which may jump"},
				{key: "token", to: &cloud.Token, example: `"${CLOUD_TOKEN}"`, doc: "sent as Authorization: Bearer"},
			}},
			{key: "federated", use: func() { edge.Federated = federated }, off: true,
				doc: "learn one model together: GET /model/update of each node is averaged, POST /model/global offers the mean; the first round holds at most 256MiB of updates, later ones 8 bytes a weight", fields: []field{
					{key: "every", to: &federated.Every, fallback: "5m", min: second, max: 24 * hour, doc: "from one round to the next"},
					{key: "deadline", to: &federated.Deadline, fallback: "30s", min: 100 * ms, max: hour, doc: "a node that answers later waits for the next round"},
					{key: "participants", to: &federated.Participants, fallback: "2", min: 1, max: 100_000, doc: "a round with fewer changes nothing"},
					{key: "max_norm", to: &federated.MaxNorm, fallback: "10", low: 1e-6, max: 1_000_000_000,
						doc: "how far one node may move the model, as the Euclidean norm of its update"},
					{key: "max_examples", to: &federated.MaxExamples, fallback: "1000000", min: 1, max: 1 << 53, doc: "how many examples one node may count for"},
				}},
		}},
		{key: "mesh", use: func() { c.Mesh = mesh }, doc: "Data products and their contracts.", fields: []field{
			{key: "registry", to: &mesh.Registry, is: folderPath, fallback: "data-products", doc: "the folder of <domain>/<name>.yaml"},
			{key: "schema_registry", to: &mesh.SchemaRegistry, is: httpURL, fallback: `""`,
				doc: "a Confluent-compatible one, for topics in Avro or Protobuf; \"\" is none"},
			{key: "window", to: &mesh.Window, fallback: "5m", min: second, max: 24 * hour, doc: "how much of a live topic is judged"},
			{key: "window_rows", to: &mesh.WindowRows, fallback: "0", max: 10_000_000, doc: "above 0: this many of the newest records are judged instead"},
			{key: "lineage", use: func() { mesh.Lineage = lineage }, off: true, doc: "what is made from what, as OpenLineage events", fields: []field{
				{key: "to", to: &lineage.To, is: fileOrURL, required: true, example: "https://lineage.example.com/api/v1/lineage",
					doc: "a receiver's full URL, or a file that gets one line per event"},
				{key: "namespace", to: &lineage.Namespace, is: anyText, fallback: "weir", doc: "of weir's jobs"},
				{key: "every", to: &lineage.Every, fallback: "5m", min: second, max: 24 * hour, doc: "how often, at most, a job that goes on is reported"},
				{key: "token", to: &lineage.Token, example: `"${LINEAGE_TOKEN}"`, doc: "sent as Authorization: Bearer"},
			}},
		}},
		{key: "history", doc: "The flight recorder.", fields: []field{
			{key: "path", to: &c.History.Path, is: filePath, fallback: `""`, doc: "SQLite file; \"\" is one in the state folder"},
			{key: "retain", to: &c.History.Retain, fallback: "24h", min: minute, max: 365 * 24 * hour, doc: "how much recorded time it remembers"},
			{key: "max_bytes", to: &c.History.MaxBytes, fallback: "1GiB", min: 1 << 20, max: 1 << 40, doc: "how large the file may grow; beyond that the oldest is dropped"},
		}},
		{key: "console", doc: "How the terminal looks.", fields: []field{
			{key: "refresh", to: &c.Console.Refresh, fallback: "1s", min: 100 * ms, max: minute, doc: "how often it is drawn"},
			{key: "theme", to: &c.Console.Theme, is: themeName, fallback: "auto", doc: "auto asks the terminal"},
			{key: "read_only", to: &c.Console.ReadOnly, fallback: "false", doc: "true: no command changes the world"},
			{key: "keys", to: &c.Console.Keys, off: true, example: `{freeze: [space, f], quit: [ctrl+c]}`, doc: "keys of your own, by the name the help gives"},
			{key: "time_zone", to: &c.Console.TimeZone, is: oneOf("local", "utc"), fallback: "local", doc: "of every time shown"},
		}},
		{key: "http", doc: "A port for probes and scripts: /healthz /readyz /metrics /snapshot.", fields: []field{
			{key: "listen", to: &c.HTTP.Listen, is: listen, fallback: `""`, doc: "such as 127.0.0.1:9464; \"\" opens none"},
		}},
	}
}

// tlsFields are the keys of a client's TLS towards peer.
func tlsFields(t *TLS, peer string) []field {
	return []field{
		{key: "ca", to: &t.CA, is: filePath, example: "ca.pem", doc: "PEM file of the roots to trust instead of the system's"},
		{key: "cert", to: &t.Cert, is: filePath, example: "client.pem", doc: "PEM file of weir's own certificate, with key"},
		{key: "key", to: &t.Key, is: filePath, example: "client.key", doc: "PEM file of the certificate's private key"},
		{key: "server_name", to: &t.ServerName, is: hostName, example: peer + ".example.com", note: "the " + peer + "'s host",
			doc: "the name the " + peer + "'s certificate must carry"},
	}
}
