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

// groupKey is one value of one label.
type groupKey struct{ label, value safetext.Text }

// groupNodes finds the groups there are, ordered by label and value, and tells each node its own. Labels change rarely,
// sums with every poll: so the nodes are sorted into groups once, and then only counted.
func groupNodes(nodes []*node) []groupKey {
	values := map[string]map[string]bool{}
	for _, n := range nodes {
		for label, value := range n.pub.Labels {
			if label == "name" {
				continue
			}
			if values[label] == nil {
				values[label] = map[string]bool{}
			}
			if len(values[label]) <= maxGroups {
				values[label][value.String()] = true
			}
		}
	}
	var groups []groupKey
	for label, of := range values {
		if len(of) > maxGroups {
			continue
		}
		for value := range of {
			groups = append(groups, groupKey{safetext.Clean(label), safetext.Clean(value)})
		}
	}
	slices.SortFunc(groups, func(a, b groupKey) int {
		if c := strings.Compare(a.label.String(), b.label.String()); c != 0 {
			return c
		}
		return strings.Compare(a.value.String(), b.value.String())
	})
	index := make(map[groupKey]int32, len(groups))
	for i, g := range groups {
		index[g] = int32(i)
	}
	for _, n := range nodes {
		n.groups = n.groups[:0]
		for label, value := range n.pub.Labels {
			if i, ok := index[groupKey{safetext.Clean(label), value}]; ok {
				n.groups = append(n.groups, i)
			}
		}
	}
	return groups
}

// groupsOf sums nodes up by the groups that groupNodes found.
func groupsOf(nodes []*node, keys []groupKey) []Group {
	if len(keys) == 0 {
		return nil
	}
	sums := make([]totals, len(keys))
	for _, n := range nodes {
		for _, i := range n.groups {
			sums[i].add(&n.pub)
		}
	}
	groups := make([]Group, len(keys))
	for i := range sums {
		t := &sums[i]
		groups[i] = Group{Label: keys[i].label, Value: keys[i].value, Nodes: t.nodes, Reporting: t.reporting, ByState: t.byState(),
			TotalRecords: t.records, Quality: t.quality(), QualityMean: t.mean()}
	}
	return groups
}
