package demo

import "time"

// What the faults do. Most are asked for by the servers at each request; those that close ports are brought about here.

const (
	brokerLatency  = 300 * time.Millisecond
	featureLatency = 350 * time.Millisecond
	dropFactor     = 0.1
	spikeFactor    = 4
)

// eventFaults is what happens to the events now, and the factor on their rate.
func (w *World) eventFaults() (eventFaults, float64) {
	factor := 1.0
	if w.faults.isOn(trafficDrop) {
		factor *= dropFactor
	}
	if w.faults.isOn(trafficSpike) {
		factor *= spikeFactor
	}
	return eventFaults{
		poison: w.faults.isOn(poisonEvents),
		nulls:  w.faults.isOn(nullsSpike),
		schema: w.faults.isOn(schemaBreak),
		hot:    w.faults.isOn(hotPartitionOn),
	}, factor
}

// featureFaults is what happens to the feature store's answers now.
func (w *World) featureFaults() featureFaults {
	f := featureFaults{missing: w.faults.isOn(featuresMissing), drift: w.faults.isOn(drift)}
	if w.faults.isOn(featuresSlow) {
		f.slow = featureLatency
	}
	return f
}

// reconcile makes the ports agree with the faults that are on.
func (w *World) reconcile() {
	latency := time.Duration(0)
	if w.faults.isOn(brokerSlow) {
		latency = brokerLatency
	}
	w.brokerGate.latency.Store(int64(latency))
	w.setDown(w.brokerGate, w.faults.isOn(brokerDown))
	w.setDown(w.featureGate, w.faults.isOn(featuresDown))
	w.setDown(w.cloudGate, w.faults.isOn(cloudDown))
	for _, n := range w.fleet.nodes {
		if n.ownsGate {
			w.setDown(n.gate, w.fleet.isDown(n))
		}
	}
}

func (w *World) setDown(g *gate, down bool) {
	if down {
		g.down()
		return
	}
	if err := g.up(); err != nil && w.ctx.Err() == nil {
		// Something else took the port meanwhile: it is tried again until it is free.
		w.logger.Warn("demo world: a server waits for its port", "address", g.Addr().String(), "error", err)
		time.AfterFunc(reopenEvery, w.faults.apply)
	}
}
