//go:build !race

package demo

// underRace tells that the race detector slows everything down.
const underRace = false
