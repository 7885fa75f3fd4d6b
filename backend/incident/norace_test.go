//go:build !race

package incident

// underRace tells that the race detector slows everything down.
const underRace = false
