package backend

import (
	"context"
	"time"

	"github.com/IBM/sarama"

	"weir/backend/mesh"
	"weir/backend/pipeline"
	"weir/backend/safetext"
)

// contracts tells the pipeline what the data products say of its records: engines do not know one another. Without a
// mesh nothing is judged, and fields are masked by their names.
type contracts struct{ mesh *mesh.Engine }

// Batch implements pipeline.Tap: what the pipeline reads is judged as it passes.
func (c *contracts) Batch(topic string, from int64, records []*sarama.ConsumerMessage) {
	if c.mesh != nil {
		c.mesh.Batch(topic, from, records)
	}
}

// Masks implements pipeline.Contracts.
func (c *contracts) Masks(topic, field string) bool {
	if c.mesh == nil {
		return mesh.MasksByName(field)
	}
	return c.mesh.Masks(topic, field)
}

// Judge implements pipeline.Contracts.
func (c *contracts) Judge(ctx context.Context, topic string, record []byte, arrived time.Time) (by []safetext.Text, broken []pipeline.BrokenRule) {
	if c.mesh == nil {
		return nil, nil
	}
	by, faults := c.mesh.JudgeRecord(ctx, topic, record, arrived)
	for _, f := range faults {
		broken = append(broken, pipeline.BrokenRule(f))
	}
	return by, broken
}
