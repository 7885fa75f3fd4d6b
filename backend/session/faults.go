package session

import (
	"time"

	"weir/backend/demo"
	"weir/backend/timeline"
)

// worldFaults shows the embedded world's faults to the runtime in its own words.
type worldFaults struct{ world *demo.World }

func (w worldFaults) FaultNames() []string    { return demo.FaultNames() }
func (w worldFaults) Known(name string) error { return demo.KnownFault(name) }
func (w worldFaults) Inject(name string, after, lasting time.Duration) error {
	return w.world.Inject(name, after, lasting)
}
func (w worldFaults) Clear(name string) error { return w.world.Clear(name) }
func (w worldFaults) InForce() []timeline.Fault {
	var out []timeline.Fault
	for _, f := range w.world.Faults() {
		out = append(out, timeline.Fault{Name: f.Name, Since: f.Since, Until: f.Until})
	}
	return out
}
