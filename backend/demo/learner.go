package demo

import (
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
)

// What the nodes learn together: the energy a reading costs, from four figures of the machine it comes from. The law is
// one for all; each node sees its own part of the machines, and no reading leaves its node.
var energyLaw = [...]float64{2.5, -1.2, 0.4, 3.1}

const (
	learnerReadings = 80      // of the node with the most, give or take
	learnerSteps    = 5       // of gradient descent a round
	learnerRate     = 0.08    // of one step
	learnerNoise    = 0.05    // of one reading
	maxGlobalModel  = 1 << 16 // bytes
)

// learner is a node's own part of the learning.
type learner struct {
	readings [][len(energyLaw)]float64
	energy   []float64

	mu      sync.Mutex
	weights [len(energyLaw)]float64
	version int64
}

func newLearner(seed uint64, site int) *learner {
	rng := rand.New(rand.NewPCG(seed, 0x1ea2))
	l := &learner{}
	for range learnerReadings/2 + rng.IntN(learnerReadings/2) {
		var x [len(energyLaw)]float64
		y := learnerNoise * rng.NormFloat64()
		for j := range x {
			x[j] = rng.NormFloat64()
			if j == site%len(x) {
				x[j]++ // each site has machines of its own kind
			}
			y += energyLaw[j] * x[j]
		}
		l.readings, l.energy = append(l.readings, x), append(l.energy, y)
	}
	return l
}

// update answers with what the node makes of the global model it was last given.
func (l *learner) update(w http.ResponseWriter, _ *http.Request) {
	l.mu.Lock()
	weights, version := l.weights, l.version
	l.mu.Unlock()
	for range learnerSteps {
		var slope [len(energyLaw)]float64
		for i, x := range l.readings {
			wrong := -l.energy[i]
			for j := range x {
				wrong += weights[j] * x[j]
			}
			for j := range x {
				slope[j] += wrong * x[j]
			}
		}
		for j := range weights {
			weights[j] -= learnerRate * slope[j] / float64(len(l.readings))
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(struct {
		Weights     []float64 `json:"weights"`
		Examples    int       `json:"examples"`
		BaseVersion int64     `json:"base_version"`
	}{weights[:], len(l.readings), version})
}

// global takes the model all nodes made together.
func (l *learner) global(w http.ResponseWriter, r *http.Request) {
	var m struct {
		Version int64     `json:"version"`
		Weights []float64 `json:"weights"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, maxGlobalModel)).Decode(&m); err != nil || len(m.Weights) != len(energyLaw) {
		http.Error(w, "expected version and 4 weights", http.StatusBadRequest)
		return
	}
	l.mu.Lock()
	l.weights, l.version = [len(energyLaw)]float64(m.Weights), m.Version
	l.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}
