package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"weir/backend/features"
	"weir/backend/kafka"
	"weir/backend/model"
	"weir/backend/wire"
	"weir/config"
)

// latestEvents is how many of a partition's newest events are looked at, at most.
const latestEvents = 10

const eventsWhat = "latest events"

// checkEvents takes the newest events and asks for their users' features, as the pipeline would: do the events carry
// the entity, does the store know it, and are the values of the kind the model takes? Nothing is committed.
func checkEvents(ctx context.Context, c *config.Config) []Row {
	events, newest, err := readLatest(ctx, c)
	switch {
	case err != nil:
		return []Row{row(Skipped, eventsWhat, "the topic "+c.Pipeline.Events+" cannot be read", "")}
	case len(events) == 0:
		return []Row{row(OK, eventsWhat, "there are none in "+c.Pipeline.Events+" yet", "")}
	}
	var entities []features.Entity
	noEntity := ""
	for _, e := range events {
		entity, problem := entityOf(e, c.Features.Entity)
		if problem != "" {
			noEntity = problem
			continue
		}
		entities = append(entities, entity)
	}
	age := max(time.Since(newest), 0).Round(100 * time.Millisecond)
	if len(entities) == 0 {
		return []Row{row(Failed, eventsWhat, fmt.Sprintf("none of the last %d carries %s: %s", len(events), c.Features.Entity, noEntity),
			"correct features.entity or pipeline.events; such events become dead letters")}
	}
	rows, err := fetch(ctx, c.Features, entities)
	if err != nil {
		return []Row{row(Skipped, eventsWhat, "the feature store cannot be asked", "")}
	}
	complete, problem := 0, ""
	columns := columnsOf(ctx, c)
	for _, r := range rows {
		if p := incomplete(r, c.Features.Names, columns); p != "" {
			problem = p
			continue
		}
		complete++
	}
	found := fmt.Sprintf("%d of the last %d have all their features, the newest %v old", complete, len(events), age)
	switch {
	case noEntity != "":
		return []Row{row(Warning, eventsWhat, fmt.Sprintf("%s; %d carry no %s: %s", found, len(events)-len(entities), c.Features.Entity, noEntity), "such events become dead letters")}
	case problem == "":
		return []Row{row(OK, eventsWhat, found, "")}
	}
	do := map[string]string{
		"dead_letter": "such events become dead letters; fill the store, or set features.on_missing",
		"default":     "features.defaults takes the place of what is missing, never of a value of the wrong kind",
		"nan":         "the model is given NaN for what is missing, never for a value of the wrong kind",
	}[c.Features.OnMissing]
	return []Row{row(Warning, eventsWhat, found+"; "+problem, do)}
}

// readLatest reads the newest events of each partition, and tells the newest's time.
func readLatest(ctx context.Context, c *config.Config) (values [][]byte, newest time.Time, err error) {
	cluster, err := kafka.NewCluster(c.Kafka)
	if err != nil {
		return nil, newest, err
	}
	messages, err := kafka.Bounded(cluster, func(cluster kafka.Cluster) ([]*sarama.ConsumerMessage, error) {
		return readEnds(ctx, cluster, c.Pipeline.Events)
	})
	for _, m := range messages {
		values = append(values, m.Value)
		if m.Timestamp.After(newest) {
			newest = m.Timestamp
		}
	}
	return values, newest, err
}

func readEnds(ctx context.Context, cluster kafka.Cluster, topic string) ([]*sarama.ConsumerMessage, error) {
	settings := hurry(ctx, cluster).Config()
	settings.Consumer.MaxWaitTime = 20 * time.Millisecond // a reader closes only when its last request is answered
	settings.Net.Proxy.Enable, settings.Net.Proxy.Dialer = true, deadlineDialer{ctx}
	client, err := sarama.NewClient(cluster.Brokers(), settings)
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }()
	partitions, err := client.Partitions(topic)
	if err != nil {
		return nil, err
	}
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return nil, err
	}
	defer func() { _ = consumer.Close() }()
	read := make([][]*sarama.ConsumerMessage, len(partitions))
	failed := make([]error, len(partitions))
	var group sync.WaitGroup
	for i, p := range partitions {
		group.Go(func() { read[i], failed[i] = readPartition(ctx, client, consumer, topic, p) })
	}
	group.Wait()
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	return slices.Concat(read...), nil
}

// readPartition reads up to latestEvents from the end of a partition. The last offset may hold a transaction's mark,
// which is no event, so that the end is found by waiting for a moment.
func readPartition(ctx context.Context, client sarama.Client, consumer sarama.Consumer, topic string, partition int32) (messages []*sarama.ConsumerMessage, err error) {
	oldest, err := client.GetOffset(topic, partition, sarama.OffsetOldest)
	if err != nil {
		return nil, err
	}
	end, err := client.GetOffset(topic, partition, sarama.OffsetNewest)
	if err != nil || end == oldest {
		return nil, err
	}
	reader, err := consumer.ConsumePartition(topic, partition, max(oldest, end-latestEvents))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	moment := time.NewTimer(time.Second)
	defer moment.Stop()
	for len(messages) < latestEvents {
		select {
		case m := <-reader.Messages():
			messages = append(messages, m)
			if m.Offset >= end-1 {
				return messages, nil
			}
		case <-moment.C:
			return messages, nil
		case <-ctx.Done():
			return messages, ctx.Err()
		}
	}
	return messages, nil
}

// entityOf finds an event's entity; the pipeline reads it more strictly.
func entityOf(event []byte, name string) (features.Entity, string) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(event, &fields); err != nil {
		return features.Entity{}, "not a JSON object"
	}
	raw, ok := fields[name]
	if !ok {
		return features.Entity{}, "no key " + name
	}
	var number json.Number
	var text string
	switch {
	case json.Unmarshal(raw, &text) == nil && text != "":
		return features.Entity{Key: text}, ""
	case raw[0] != '"' && json.Unmarshal(raw, &number) == nil && number != "":
		return features.Entity{Key: number.String(), Numeric: true}, ""
	}
	return features.Entity{}, name + " is neither a text nor a number"
}

// fetch asks the store as the pipeline does, with its tables of categories but without its cache.
func fetch(ctx context.Context, f *config.Features, entities []features.Entity) ([]*features.Row, error) {
	client := newHTTPClient()
	defer client.CloseIdleConnections()
	asked := *f
	if deadline, ok := ctx.Deadline(); ok {
		asked.Timeout = time.Until(deadline)
	}
	store, err := wire.Asked(&asked, client)
	if err != nil {
		return nil, err
	}
	rows := make([]*features.Row, len(entities))
	return rows, store.Fetch(ctx, entities, rows)
}

// columnsOf is what the model takes, without kinds where it cannot be asked.
func columnsOf(ctx context.Context, c *config.Config) (columns []model.Column) {
	if c.Model == nil {
		return nil
	}
	if m, err := wire.ModelSource(c.Model).Load(ctx); err == nil && len(m.Describe().Inputs) > 0 {
		return model.Columns(c.Features.Names, m.Describe().Inputs)
	}
	return nil
}

// incomplete says which feature of a row the model could not be given, or nothing.
func incomplete(r *features.Row, names []string, columns []model.Column) string {
	if r == nil {
		return "the store gave no row"
	}
	for i, v := range r.Values {
		name := names[i]
		switch {
		case v.Status != features.Present:
			return name + " is " + v.Status.String()
		case i < len(columns) && v.IsText && !columns[i].IsText:
			return name + " is a text, the model takes a number"
		case i < len(columns) && !v.IsText && columns[i].IsText:
			return name + " is a number, the model takes a text"
		}
	}
	return ""
}
