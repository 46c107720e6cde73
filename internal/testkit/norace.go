//go:build !race

package testkit

var raceFlag []string
