//go:build !race

package edge

// underRace tells that the race detector slows everything down.
const underRace = false
