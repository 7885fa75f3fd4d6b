package edge

import (
	"slices"
	"strings"

	"weir/backend/safetext"
)

// maxGroups bounds the values of one label that make groups; a label with more, such as a serial number, makes none.
const maxGroups = 200

// Group is the nodes that share one value of one label.
type Group struct {
	Label, Value         safetext.Text
	Nodes, Reporting     int
	ByState              map[State]int
	TotalRecords         int64
	Quality, QualityMean float64 // NaN when nothing reports
}

// groupsOf sums nodes up by each value of each label, ordered by label and value.
func groupsOf(nodes []*node) []Group {
	byLabel := map[string]map[string]*totals{}
	for _, n := range nodes {
		for label, value := range n.pub.Labels {
			if label == "name" {
				continue
			}
			values := byLabel[label]
			if values == nil {
				values = map[string]*totals{}
				byLabel[label] = values
			}
			t := values[value.String()]
			if t == nil {
				if len(values) > maxGroups {
					continue
				}
				fresh := newTotals()
				t = &fresh
				values[value.String()] = t
			}
			t.add(&n.pub)
		}
	}
	var groups []Group
	for label, values := range byLabel {
		if len(values) > maxGroups {
			continue
		}
		for value, t := range values {
			groups = append(groups, Group{
				Label: safetext.Clean(label), Value: safetext.Clean(value),
				Nodes: t.nodes, Reporting: t.reporting, ByState: t.byState, TotalRecords: t.records,
				Quality: t.quality(), QualityMean: t.mean(),
			})
		}
	}
	slices.SortFunc(groups, func(a, b Group) int {
		if c := strings.Compare(a.Label.String(), b.Label.String()); c != 0 {
			return c
		}
		return strings.Compare(a.Value.String(), b.Value.String())
	})
	return groups
}
