package edge

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// update is what a node learned: the answer of GET {node}/model/update.
type update struct {
	weights  []float64
	examples int64 // it learned from
	base     int64 // the version of the global model it began with
}

// globalModel is what the fleet has learned together.
type globalModel struct {
	version int64
	weights []float64 // nil before the first round
}

// maxWeight bounds one weight, so that no sum of them overflows.
const maxWeight = 1e30

// errUpdate is wrapped by every error about the shape of an update.
var errUpdate = errors.New("not a valid update")

// parseUpdate reads {"weights": [numbers], "examples": n, "base_version": v}, strictly.
func parseUpdate(body []byte, maxWeights int) (update, error) {
	var u update
	if err := checkJSON(body); err != nil {
		return u, fmt.Errorf("%w: %s", errUpdate, strings.TrimPrefix(err.Error(), ErrSummary.Error()+": "))
	}
	seen := map[string]bool{}
	err := eachKey(body, func(key, value string) (err error) {
		if seen[key] {
			return fmt.Errorf("%w: %s is given twice", errUpdate, key)
		}
		seen[key] = true
		switch key {
		case "weights":
			u.weights, err = parseWeights(value, maxWeights)
		case "examples":
			u.examples, err = wholeNumber(key, value)
		case "base_version":
			u.base, err = wholeNumber(key, value)
		}
		return err
	})
	if err != nil {
		return u, err
	}
	for _, key := range []string{"weights", "examples", "base_version"} {
		if !seen[key] {
			return u, fmt.Errorf("%w: %s is missing", errUpdate, key)
		}
	}
	if u.examples == 0 {
		return u, fmt.Errorf("%w: it learned from no example", errUpdate)
	}
	return u, nil
}

func wholeNumber(key, value string) (int64, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 || n > maxRecords {
		return 0, fmt.Errorf("%w: %s: expected a whole number from 0 to 2^53, found %s", errUpdate, key, describe(value))
	}
	return n, nil
}

func parseWeights(value string, most int) ([]float64, error) {
	if value[0] != '[' {
		return nil, fmt.Errorf("%w: weights: expected a list of numbers, found %s", errUpdate, describe(value))
	}
	inside := strings.TrimSpace(value[1 : len(value)-1])
	if inside == "" {
		return nil, fmt.Errorf("%w: weights: the list is empty", errUpdate)
	}
	count := strings.Count(inside, ",") + 1
	if count > most {
		return nil, fmt.Errorf("%w: weights: %d of them, at most %d are read", errUpdate, count, most)
	}
	weights := make([]float64, 0, count)
	for text := range strings.SplitSeq(inside, ",") {
		text = strings.TrimSpace(text)
		if !isNumber(text) {
			return nil, fmt.Errorf("%w: weights: expected numbers, found %s", errUpdate, describe(text))
		}
		w, err := strconv.ParseFloat(text, 64)
		if err != nil || math.Abs(w) > maxWeight {
			return nil, fmt.Errorf("%w: weights: %s is out of range", errUpdate, describe(text))
		}
		weights = append(weights, w)
	}
	return weights, nil
}

// bounds limit what one node can do to the model.
type bounds struct {
	maxNorm      float64 // Euclidean, of an update's difference from what it began with; beyond it is scaled down
	maxExamples  int64   // beyond, a node counts as if it had so many
	participants int     // fewer make no round
}

// averaged is what came of the updates of one round.
type averaged struct {
	model    globalModel
	refused  map[int]string // why, by index of the node
	used     int
	clipped  int
	examples int64
	moved    float64 // the norm of the model's change; NaN in the first round
}

// maxFirstRound bounds the weights held in the first round, in bytes: the updates of 335 nodes with 100,000 weights each.
// Only the first round holds any; those after it take 8 bytes a weight, however many nodes there are.
const maxFirstRound = 256 << 20

// averager is federated averaging (McMahan et al. 2017): the mean of the updates weighted by their examples. Only
// updates that began with the present model take part; when there is none yet, the version most updates began with
// counts as present. An update is added when it comes, and forgotten, but in the first round, in which what all are
// compared with is known only at its end. It is safe for concurrent use until finish.
type averager struct {
	now globalModel
	b   bounds

	mu   sync.Mutex
	out  averaged
	sum  []float64 // of the differences from the reference, weighted
	room int       // bytes of updates that may still be held
	held []heldUpdate
	full bool // an update was not held for want of room
}

// heldUpdate is an update that waits for the end of the first round.
type heldUpdate struct {
	node int
	update
}

func newAverager(now globalModel, b bounds) *averager {
	return &averager{now: now, b: b, room: maxFirstRound, out: averaged{refused: map[int]string{}, moved: math.NaN()}}
}

// take adds the update of a node.
func (a *averager) take(node int, u update) {
	if a.now.weights == nil {
		a.hold(node, u)
		return
	}
	a.add(node, u, a.now.version, a.now.weights)
}

func (a *averager) hold(node int, u update) {
	a.mu.Lock()
	defer a.mu.Unlock()
	size := 8 * len(u.weights)
	if size > a.room {
		a.full = true
		a.out.refused[node] = fmt.Sprintf("no room: the first round holds at most %s of updates; it begins with what comes of it", sizeText(maxFirstRound))
		return
	}
	a.room -= size
	a.held = append(a.held, heldUpdate{node, u})
}

// add adds an update to the sum, if it began with the version base; it is clipped by its distance from reference.
func (a *averager) add(node int, u update, base int64, reference []float64) {
	why, scale := "", 1.0
	switch {
	case u.base != base:
		why = fmt.Sprintf("began with version %d, expected %d", u.base, base)
	case len(u.weights) != len(reference):
		why = fmt.Sprintf("has %d weights, expected %d", len(u.weights), len(reference))
	default:
		if norm := distance(u.weights, reference); norm > a.b.maxNorm {
			scale = a.b.maxNorm / norm
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if why != "" {
		a.out.refused[node] = why
		return
	}
	if a.sum == nil {
		a.sum = make([]float64, len(reference))
	}
	n := min(u.examples, a.b.maxExamples)
	a.out.used++
	a.out.examples += n
	if scale < 1 {
		a.out.clipped++
	}
	for j, w := range u.weights {
		a.sum[j] += float64(n) * scale * (w - reference[j])
	}
}

// finish is the round's result, once all updates are taken.
func (a *averager) finish() (averaged, error) {
	base, reference := a.now.version, a.now.weights
	if reference == nil {
		base, reference = a.settleFirst()
	}
	if a.out.used < a.b.participants {
		err := fmt.Errorf("%d of at least %d updates", a.out.used, a.b.participants)
		if a.full {
			err = fmt.Errorf("%w: the first round holds at most %s of them, lower edge.federated.participants or the number of weights", err, sizeText(maxFirstRound))
		}
		return a.out, err
	}
	mean := a.sum
	for j := range mean {
		mean[j] = reference[j] + mean[j]/float64(a.out.examples)
		if math.IsNaN(mean[j]) || math.IsInf(mean[j], 0) {
			return a.out, errors.New("the mean is not finite")
		}
	}
	if a.now.weights != nil {
		a.out.moved = distance(mean, a.now.weights)
	}
	a.out.model = globalModel{version: base + 1, weights: mean}
	return a.out, nil
}

// settleFirst adds what the first round held: what most have in common is what all are compared with.
func (a *averager) settleFirst() (base int64, reference []float64) {
	updates := make([]update, len(a.held))
	for i := range a.held {
		updates[i] = a.held[i].update
	}
	base, size := majority(updates)
	alike := slices.DeleteFunc(updates, func(u update) bool { return u.base != base || len(u.weights) != size })
	if len(alike) > 0 {
		reference = median(alike) // no single node can move it far
	}
	for _, h := range a.held {
		a.add(h.node, h.update, base, reference)
	}
	a.held = nil
	return base, reference
}

// majority is the base version and the size most updates share; of equals the higher version.
func majority(updates []update) (base int64, size int) {
	type shape struct {
		base int64
		size int
	}
	votes := map[shape]int{}
	best := shape{}
	for _, u := range updates {
		votes[shape{u.base, len(u.weights)}]++
	}
	for s, n := range votes {
		if m := votes[best]; n > m || n == m && (s.base > best.base || s.base == best.base && s.size > best.size) {
			best = s
		}
	}
	return best.base, best.size
}

// median is the median of each weight.
func median(updates []update) []float64 {
	out := make([]float64, len(updates[0].weights))
	column := make([]float64, len(updates))
	for j := range out {
		for i, u := range updates {
			column[i] = u.weights[j]
		}
		slices.Sort(column)
		middle := len(column) / 2
		out[j] = column[middle]
		if len(column)%2 == 0 {
			out[j] = column[middle-1]/2 + column[middle]/2
		}
	}
	return out
}

// distance is the Euclidean distance, without overflow on the way.
func distance(a, b []float64) float64 {
	sum := 0.0
	for i := range a {
		sum = math.Hypot(sum, a[i]-b[i])
	}
	return sum
}
