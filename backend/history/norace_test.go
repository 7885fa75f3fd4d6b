//go:build !race

package history

// underRace tells that the race detector slows everything down.
const underRace = false
