package kafka

import (
	"errors"
	"fmt"

	"github.com/IBM/sarama"
)

// MaxNote is how long a note may be: what brokers take for the metadata of an offset unless told otherwise
// (offset.metadata.max.bytes), with some room.
const MaxNote = 4000

// Notes are the texts a group has left beside its offsets of a topic's partitions; a partition without one is not in
// them.
func (a *Admin) Notes(group, topic string, partitions []int32) (map[int32]string, error) {
	committed, err := a.groupOffsets(group, topic, partitions)
	if errors.Is(err, sarama.ErrGroupIDNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the notes of group %q on %s: %w", group, a.cluster, err)
	}
	out := make(map[int32]string)
	for _, p := range partitions {
		if block := committed.GetBlock(topic, p); block != nil && block.Err == sarama.ErrNoError && block.Metadata != "" {
			out[p] = block.Metadata
		}
	}
	return out, nil
}

// SetNote leaves a text beside an offset of a group that has no members; it takes the place of the one before.
func (a *Admin) SetNote(group, topic string, partition int32, offset int64, note string) error {
	_, err := ask(a, func() (struct{}, error) { return struct{}{}, a.setNote(group, topic, partition, offset, note) })
	return err
}

func (a *Admin) setNote(group, topic string, partition int32, offset int64, note string) error {
	refused := func(err error) error {
		return fmt.Errorf("leave a note as group %q on %s: %w", group, a.cluster, err)
	}
	coordinator, err := a.client.Coordinator(group)
	if err != nil {
		return refused(err)
	}
	request := &sarama.OffsetCommitRequest{Version: 2, ConsumerGroup: group, ConsumerGroupGeneration: sarama.GroupGenerationUndefined, RetentionTime: -1}
	request.AddBlock(topic, partition, offset, 0, note)
	response, err := coordinator.CommitOffset(request)
	if err != nil {
		_ = coordinator.Close() // the next Coordinator opens it again
		_ = a.client.RefreshCoordinator(group)
		return refused(err)
	}
	if code, told := response.Errors[topic][partition]; told && code != sarama.ErrNoError {
		_ = a.client.RefreshCoordinator(group)
		return refused(code)
	}
	return nil
}
