package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/IBM/sarama"
)

// Holders are the partitions of a topic that members of a group hold, each with its member's id. settled is false while
// the group rebalances or has no members; nobody holds anything for certain then.
func (a *Admin) Holders(ctx context.Context, group, topic string) (holders map[int32]string, settled bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	groups, err := ask(a, func() ([]*sarama.GroupDescription, error) { return a.admin.DescribeConsumerGroups([]string{group}) })
	if err != nil {
		return nil, false, fmt.Errorf("ask for the members of group %q on %s: %w", group, a.cluster, err)
	}
	if len(groups) != 1 {
		return nil, false, fmt.Errorf("ask for the members of group %q on %s: it answered for %d groups", group, a.cluster, len(groups))
	}
	if groups[0].Err != sarama.ErrNoError {
		return nil, false, fmt.Errorf("ask for the members of group %q on %s: %w", group, a.cluster, groups[0].Err)
	}
	holders = make(map[int32]string)
	for id, m := range groups[0].Members {
		assignment, err := m.GetMemberAssignment()
		if err != nil {
			return nil, false, fmt.Errorf("read what member %q of group %q holds: %w", id, group, err)
		}
		if assignment == nil { // holds nothing yet
			continue
		}
		for _, p := range assignment.Topics[topic] {
			holders[p] = id
		}
	}
	return holders, groups[0].State == "Stable", nil
}

// RemoveInstance takes the member with a name of its own (KIP-345) out of a group, which rebalances at once. It is fine
// if there is none.
func (a *Admin) RemoveInstance(ctx context.Context, group, instance string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	answer, err := ask(a, func() (*sarama.LeaveGroupResponse, error) {
		return a.admin.RemoveMemberFromConsumerGroup(group, []string{instance})
	})
	if err == nil && answer.Err != sarama.ErrNoError {
		err = answer.Err
	}
	if err == nil {
		for _, m := range answer.Members {
			if m.Err != sarama.ErrNoError {
				err = m.Err
			}
		}
	}
	if err != nil && !errors.Is(err, sarama.ErrUnknownMemberId) && !errors.Is(err, sarama.ErrGroupIDNotFound) {
		return fmt.Errorf("take %q out of group %q on %s: %w", instance, group, a.cluster, err)
	}
	return nil
}
