//go:build race

package mesh

// raceDetector tells that the race detector is on, which multiplies memory and time.
const raceDetector = true
