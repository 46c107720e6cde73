//go:build race

package testkit

// raceFlag builds the server with the race detector when the tests have it.
var raceFlag = []string{"-race"}
